"""Provide a method outside the repository: the example of docs/adding_a_method.md, as printed."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_method.md"


def example() -> str:
    """The text of the example's file."""
    match = re.search(r'```python title="low_entropy.py"\n(.*?)```', PAGE.read_text(), re.S)
    assert match, "the page shows low_entropy.py"
    return match[1]


def write_example(folder: Path) -> str:
    """Write the example with its presets, and return the method's name."""
    file = folder / "low_entropy.py"
    file.write_text(example())
    file.with_suffix(".yaml").write_text("sample:\n  method:\n    entropy_weight: 0.02\n")
    return f"{file}:LowEntropy"
