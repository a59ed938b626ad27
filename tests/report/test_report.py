"""Test the report: its numbers are those of the runs, names cannot break it, and it loads nothing."""

import json
import re
import shutil
import sys
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pytest
import yaml
from oracle_models import write
from rasterio.transform import from_origin
from short_settings import settings
from tiny_cities import HOSTILE, options

from rsuda.accuracy.read_assessment import read_assessment
from rsuda.cli import main
from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.settings import dump
from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.learning.networks import build_network
from rsuda.report.histograms import _overlap
from rsuda.report.map_accuracy import map_accuracy
from rsuda.report.report import report
from rsuda.report.runs import read_runs
from rsuda.report.scores import measure
from rsuda.report.stages import stages_of
from rsuda.report.views import draw_windows, open_view
from rsuda.runs.weights import architecture, load_run, save_run

CPU = {"device": "cpu", "precision": "fp32", "k": 2, "size": 32}


class Page(HTMLParser):
    """Elements in order, texts outside of scripts and styles, the content of scripts, and all addresses."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.scripts, self.addresses, self.ids, self.open = [], [], [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
            assert not name.startswith("on"), f"{tag} has a handler {name}"

    def handle_data(self, data):
        last = next((t for t in reversed(self.open) if t in ("script", "style")), None) if self.open else None
        if last and self.open[-1] == last:
            self.scripts += [data] if last == "script" else []
        else:
            self.texts.append(data)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


@pytest.fixture(scope="module")
def html(reported):
    return (reported / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def copies(reported, tmp_path):
    """Copies of the runs, for tests that damage them."""
    for name in ("source-only", "dacs"):
        shutil.copytree(reported / name, tmp_path / name)
    return tmp_path


def miou(reported, run):
    place = domain(str(reported / "west.yaml"), reported)
    return evaluate(Predictor.of(load_run(reported / run), "cpu", "fp32"), place).scores


def test_the_headline_has_the_scores_of_evaluate(reported, page):
    before, after = (miou(reported, r) for r in ("source-only", "dacs"))
    old, new = (f"{100 * s.miou:.1f}" for s in (before, after))
    verb = "lifts" if after.miou > before.miou else "lowers"
    worst = int(np.nanargmin(after.iou))
    sentence = f"DACS {verb} mIoU on west {HOSTILE} from {old} to {new}; still worst: {after.names[worst]}"
    assert sentence in page.text and f"{sentence} {100 * after.iou[worst]:.0f}" in page.text
    for scores in (before, after):
        for value in scores.iou:
            assert f"{100 * value:.1f}" in page.text


def test_the_page_is_light_and_loads_nothing(html, page):
    assert len(html.encode()) < 8e6
    assert page.addresses and all(a.startswith(("data:", "#")) or a == "accuracy/accuracy.html" for a in page.addresses)
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttp|import\(|sendBeacon|WebSocket", html)
    assert set(re.findall(r"https?://[^\s\"'<>]+", html)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert "default-src 'none'" in html


def test_names_are_escaped_everywhere(html, page):
    assert HOSTILE not in html
    assert page.text.count(HOSTILE) > 10 and "a & b" in page.text
    assert page.elements.count("script") == 3  # one that says scripts run, the map's names, the page's own
    assert all("alert(1)</script" not in s for s in page.scripts)


def test_headings_are_in_order_and_the_document_has_a_title(html, page):
    levels = [int(t[1]) for t in page.elements if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert '<html lang="en">' in html and '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert HOSTILE in unescape(re.search(r"<title>(.*?)</title>", html, re.S).group(1))
    assert page.elements.count("img") == len(re.findall(r"<img[^>]*\balt=", html))


def test_identifiers_are_unique_and_links_have_targets(page):
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses if a.startswith("#") and len(a) > 1} <= set(page.ids)


def test_the_accuracy_of_a_map_beside_the_page_is_shown(reported, page, tmp_path):
    result = read_assessment(reported / "accuracy")
    overall = result.overall
    assert f"{100 * overall.value:.1f} ({100 * overall.low:.0f}\N{EN DASH}{100 * overall.high:.0f}) %" in page.text
    assert "a map of DACS" in page.text and "accuracy/accuracy.html" in page.addresses
    for part in result.classes[:2]:  # no pixel has the third
        assert f"({part.area.low:,.0f}\N{EN DASH}{part.area.high:,.0f})" in page.text
    runs = read_runs([reported / "source-only"])
    assert map_accuracy(None, reported / "other.html", runs) is None  # the map is of another run
    chosen = map_accuracy(reported / "accuracy", tmp_path / "page.html", runs)
    assert chosen.run is None and chosen.link.endswith("/accuracy/accuracy.html")
    assert map_accuracy(None, tmp_path / "page.html", runs) is None
    with pytest.raises(MissingError, match=r"accuracy\.json"):
        map_accuracy(tmp_path, tmp_path / "page.html", runs)


def test_windows_to_label_are_in_a_geopackage_beside_the_page(reported, page):
    layer = gpd.read_file(reported / "report_windows.gpkg")
    assert len(layer) == 3 and layer.crs.to_epsg() == 32632 and layer.area.tolist() == pytest.approx([256.0] * 3)
    assert "report_windows.gpkg" in page.text
    for row in layer.itertuples():
        assert f"{row.uncertainty:.2f}" in page.text


def test_stages_add_up_to_the_whole_page(reported):
    view = open_view(read_runs([reported / "dacs"])[0], None, "cpu", "fp32")
    shown = []
    stages = stages_of([view, view], view.target_domain.labelled("val"), lambda done, total: shown.append(done / total))
    for name in stages.work:
        stages.of(name)(1, 2)
        stages.of(name)(2, 2)
    assert len(stages.work) == 4 and shown == sorted(set(shown)) and shown[-1] == 1


def test_the_page_has_the_curves_of_both_runs(page):
    assert "target mIoU, percent" in page.text and "share of pseudo labels trusted" in page.text
    assert "no model was selected by them" in page.text


def test_the_scores_of_a_run_equal_those_of_evaluate(reported):
    (run,) = read_runs([reported / "dacs"])
    view = open_view(run, None, "cpu", "fp32")
    quality = measure(view, view.target_domain.labelled("val"), 1, labelled=True)
    assert (quality.scores.matrix == miou(reported, "dacs").matrix).all()
    assert quality.area.sum() == quality.true_area.sum() == 128 * 128 * 0.25


def test_a_window_is_predicted_like_its_scene(reported):
    """A window's prediction equals the model's own, at the model's GSD and for a scene of another GSD."""
    (run,) = read_runs([reported / "dacs"])
    view = open_view(run, None, "cpu", "fp32")
    (scene,) = view.target_domain.labelled("val")
    (window,) = draw_windows([scene], 0.5, 1, 0, side=64)
    whole = scene.read(view.target.spec.bands, 0.5, (0, 0, 128, 128)).values
    row, col = window.row % 32, window.col % 32  # pixels left out above and to the left, for the encoder's grid
    surroundings = np.pad(whole[:, row:, col:], [(0, 0), (0, row), (0, col)], mode="symmetric")
    expected = view.predictor.probabilities(view.target.spec.unit(surroundings)[None])[0]
    expected = expected[:, window.row - row :, window.col - col :][:, :64, :64]
    assert np.allclose(view.target.probabilities(window, 64), expected, atol=1e-5)
    assert view.target.probabilities(window, 32).shape == (3, 32, 32)
    feature = view.target.features(window)
    assert feature is not None and feature.shape[0] == 16 and feature.shape[1] == feature.shape[2]
    coarse = Scene(scene.name, scene.image, None, scene.bands, declared_gsd=0.25)
    (window,) = draw_windows([coarse], 0.5, 1, 0, side=32)
    assert window.side == 64 and view.target.pixels(window)[0].shape == (3, 32, 32)


def test_overlap_is_1_for_equal_distributions_and_0_for_distant_ones():
    values = np.random.default_rng(0).normal(size=10_000)
    assert _overlap(values, values) == pytest.approx(1) and _overlap(values, values + 100) < 0.01
    assert 0.3 < _overlap(values, values + 1.5) < 0.7


# -- incomplete input ----------------------------------------------------------------------------------------------


def test_a_target_without_labels_is_reported_without_scores(reported, tmp_path):
    village = str(reported / "village.yaml")
    for method in ("source-only", "dacs"):
        shutil.copytree(reported / method, tmp_path / method)
        fields = yaml.safe_load((tmp_path / method / "config.yaml").read_text())
        (tmp_path / method / "config.yaml").write_text(yaml.safe_dump({**fields, "target": village}))
        (tmp_path / method / "target_curve.csv").unlink()
    html = report([tmp_path / "source-only", tmp_path / "dacs"], out=tmp_path / "r.html", **CPU).read_text()
    page = Page(html)
    assert "village has no labelled split, so scores, confusions and errors are missing" in page.text
    assert 'id="confusion"' not in html and "lifts mIoU" not in page.text and "IoU in percent" not in page.text
    assert "selection score is" in page.text and 'id="next"' in html and "as predicted" in page.text
    assert "which this target lacks" in page.text


def test_a_single_run_and_missing_metrics_are_explained(copies):
    (copies / "dacs" / "metrics.csv").unlink()
    page = Page(report([copies / "dacs"], out=copies / "r.html", **CPU).read_text())
    assert "DACS reaches mIoU" in page.text and "Train the 'before' with method='source-only'" in page.text
    assert "has no metrics.csv with losses, so their curves are missing" in page.text
    assert not (copies / "r.html").with_name("r_windows.html").exists()


@pytest.mark.parametrize(
    ("miou", "says"),
    [
        (
            0.01,
            r"Did adapting help\? \+\S+ points mIoU Before adaptation \(source only, step 2\) mIoU was 1\.0, now it is",
        ),
        (None, r"Did adapting help\? probably Without labels .* 0\.01 before\."),
    ],
)
def test_a_single_run_is_compared_with_its_own_model_before_adaptation(copies, miou, says):
    iou = None if miou is None else {"a": miou, "b": None}
    before = {"what": "source only, step 2", "selection": 0.01, "miou": miou, "iou": iou}
    (copies / "dacs" / "before.json").write_text(json.dumps(before))
    page = Page(report([copies / "dacs"], out=copies / "r.html", **CPU).read_text())
    assert re.search(says, page.text), page.text[:2000]


def test_missing_source_data_leave_the_target_alone(reported, tmp_path):
    for file in reported.glob("w*"):
        if file.is_file():
            shutil.copy(file, tmp_path)
    page = Page(report([reported / "dacs"], out=tmp_path / "r.html", data=tmp_path, **CPU).read_text())
    assert "DACS reaches mIoU" in page.text and "no image of domain east" in page.text


def test_other_differences_of_the_runs_are_noted(copies):
    file = copies / "dacs" / "config.yaml"
    file.write_text(file.read_text().replace("band_mixing: 0.0", "band_mixing: 1.0"))
    page = Page(report([copies / "source-only", copies / "dacs"], out=copies / "r.html", **CPU).read_text())
    assert "differ in more than the method: band mixing" in page.text


def test_a_scene_far_from_the_target_is_noted(copies, tmp_path):
    far = from_origin(500_000, 6_300_000, 0.5, 0.5)
    scene = write(tmp_path / "far.tif", np.full((3, 70, 70), 90, np.uint8), far)
    page = Page(report([copies / "dacs"], scene, tmp_path / "r.html", **CPU).read_text())
    assert re.search(r"This scene is \d+ km from the nearest target scene", page.text)


# -- refusals ----------------------------------------------------------------------------------------------------------


def other_legend(folder):
    s = settings(folder / "dacs" / "config.yaml", method="source-only")
    s = options(folder, source=s.source.name, target=s.target.name, method="source-only")
    spec = load_run(folder / "dacs").spec
    names = tuple(reversed(spec.legend.names))
    spec = type(spec)(**{**vars(spec), "legend": type(spec.legend)(names, spec.legend.colours)})
    (folder / "other").mkdir()
    save_run(folder / "other", build_network("plain", architecture(s, spec)), spec, "source-only")
    (folder / "other" / "config.yaml").write_text(dump(s))
    return [folder / "dacs", folder / "other"]


def other_target(folder):
    file = folder / "dacs" / "config.yaml"
    text, count = re.subn(r"(?m)(^target:\n  name: ).*", r"\1vaihingen", file.read_text())
    assert count == 1
    file.write_text(text)
    return [folder / "source-only", folder / "dacs"]


def unfinished(folder):
    (folder / "dacs" / "weights.safetensors").unlink()
    return [folder / "dacs"]


def spoilt(name, text):
    def prepare(folder):
        (folder / "dacs" / name).write_text(text)
        return [folder / "dacs"]

    return prepare


def plain(folder):
    return [folder / "dacs"]


def band(folder):
    return {"scene": write(folder / "grey.tif", np.zeros((1, 64, 64), np.uint8))}


def nowhere(folder):
    return {"scene": write(folder / "bare.tif", np.zeros((3, 64, 64), np.uint8), None, None)}


BAD = {
    "no run": (lambda f: [], {}, InputError, "needs a run folder"),
    "no such run": (lambda f: [f / "x"], {}, MissingError, "the run .*x is missing: name a run folder"),
    "a run twice": (lambda f: [f / "dacs", f / "." / "dacs"], {}, InputError, "given twice"),
    "unfinished": (unfinished, {}, MissingError, "holds no weights.safetensors: finish its training"),
    "another target": (other_target, {}, InputError, "runs of one pair, but the target of"),
    "another legend": (other_legend, {}, InputError, "runs of one pair, but the legend of"),
    "damaged metrics": (spoilt("metrics.csv", "loss,step\nx,y\n"), {}, InputError, "not a table of losses"),
    "damaged curve": (spoilt("target_curve.csv", "step,miou\n1,x\n"), {}, InputError, "not a table of scores"),
    "damaged label-free scores": (spoilt("label_free.json", "[1]"), {}, InputError, "holds no scores"),
    "no data": (plain, {"data": "missing"}, MissingError, "data folder"),
    "no such scene": (plain, {"scene": "missing.tif"}, MissingError, "there is no file"),
    "a scene of one band": (plain, band, InputError, "has 1 band, but 3 are needed"),
    "a scene without GSD": (plain, nowhere, InputError, "declare it"),
    "no window": (plain, {"k": 0}, InputError, "at least 1 window"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_leaves_no_file(copies, case):
    prepare, more, kind, message = BAD[case]
    runs, more = prepare(copies), more(copies) if callable(more) else more
    before = sorted(copies.rglob("*"))
    with pytest.raises(kind, match=message) as error:
        report(runs, out=copies / "r.html", **{**CPU, **more})
    assert "\n" not in str(error.value) and sorted(copies.rglob("*")) == before


@pytest.mark.parametrize("name", ["r.html", "r_windows.gpkg"])
def test_existing_files_are_overwritten_only_on_demand(copies, name):
    (copies / name).write_text("kept")
    with pytest.raises(ExistsError, match="overwrite=True"):
        report([copies / "dacs"], out=copies / "r.html", **CPU)
    assert (copies / name).read_text() == "kept"
    with pytest.raises(ExistsError, match="is a folder"):
        report([copies / "dacs"], out=copies, **CPU)
    with pytest.raises(InputError, match=r"r\.pdf must end in \.html: pass out='.*r\.html'"):
        report([copies / "dacs"], out=copies / "r.pdf", **CPU)


def test_the_command_overwrites_the_page_only_on_demand(copies, monkeypatch, capsys):
    words = ["rsuda", "report", copies / "dacs", "-o", copies / "r.html", "-k", 2, "--size", 32, "--device", "cpu"]
    (copies / "r.html").write_text("old")
    for more, code, message in (([], 2, "Error: "), (["--overwrite"], 0, "Wrote ")):
        monkeypatch.setattr(sys, "argv", [*map(str, words), *more])
        with pytest.raises(SystemExit) as end:
            main()
        sentence = capsys.readouterr()
        assert (end.value.code or 0) == code and message in sentence.out + sentence.err
    assert "<h1>" in (copies / "r.html").read_text()
