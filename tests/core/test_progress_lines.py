"""Progress as lines on stderr, for programs that run a command."""

from rsuda.cli.terminal import PixelBar
from rsuda.core.progress_lines import PercentLines


def test_lines_are_printed_on_request_alone_and_once_a_percent(monkeypatch, capsys):
    monkeypatch.delenv("RSUDA_PROGRESS", raising=False)
    PixelBar(visible=False)("scene.tif", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("RSUDA_PROGRESS", "lines")
    bar = PixelBar(visible=False)
    for done in (1, 2, 500, 1000):
        bar("scene.tif", done, 1000)
    PercentLines().show(0, 0)
    assert capsys.readouterr() == ("", "progress: 0 %\nprogress: 50 %\nprogress: 100 %\nprogress: 100 %\n")
