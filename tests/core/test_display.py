"""Sentences quote other libraries without what their messages have for terminals."""

import pytest

from rsuda.core.display import quoted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[96mONNX\x1b[0m has \x1b[1;31mno\x1b[0m step\nand more", "ONNX has no step"),
        ("\n  \x1b[0m\n\x1b]8;;https://a.b\x07link\x1b]8;;\x07 of it", "link of it"),
        ("a\tb\x00c", "a\\tb\\x00c"),
        ("", "ValueError"),
        (" \n\x1b[0m", "ValueError"),
        ("Größe 5 [m]", "Größe 5 [m]"),
    ],
)
def test_a_quotation_is_one_plain_line(text, expected):
    assert quoted(ValueError(text)) == expected


def test_a_quotation_is_short():
    assert quoted("x" * 400) == "x" * 300 and quoted("x" * 400, 9) == "x" * 9
