"""The architecture, proven on the source itself: imports point to a lower level, and the two columns do not mix."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rsuda"

# From low to high; a module imports from rows above its own only. 'x.*' stands for each module of the package x.
LEVELS = [
    {"rsuda", "errors", "geo", "learning"},
    {"text_file", "whole_file"},
    {"legend", "config", "lock"},
    {"spec", "choices"},
    {
        "geo.grid",
        "geo.resample",
        "geo.limits",
        "geo.polygon_file",
        "learning.metrics",
        "learning.device",
        "learning.colours",
        "learning.places",
        "learning.decoders",
        "learning.layers",
        "learning.processes",
        "parts.draws",
        "parts.likely",
        "parts.world",
    },
    {"deepness", "learning.program", "own_process", "scheduler"},
    {"geo.raster", "geo.tiles", "geo.runs", "learning.network", "learning.augment", "learning.synchronised", "parts", "parts.*"},
    {"geo.rings", "geo.drawn", "spread"},
    {
        "geo.facts",
        "geo.scene",
        "geo.domain_file",
        "geo.cog",
        "geo.store",
        "geo.qgis",
        "geo.attributes",
        "geo.stac",
        "geo.vector",
        "learning.resolutions",
        "methods.base",
    },
    {"geo.domains", "geo.region", "methods.*"},
    {"pair", "methods"},
    {"data", "from_torchgeo", "provenance", "checkpoint", "metrics_file", "progress"},
    {"run", "given"},
    {"engine", "segmenter", "exported"},
    {"bands", "model_item"},
    {"cluster", "jobs", "candidates"},
    {"label_free", "suggest", "verbs", "verbs.written"},
    {"verbs.predict", "verbs.evaluate", "verbs.fit", "verbs.export"},
    {"target_curve", "training"},
    {"verbs.adapt", "verbs.info"},
    {"report", "report.read", "report.pictures", "report.drawings", "report.page"},
    {"report.sight"},
    {"report.*"},
    {"report.answer"},
    {"verbs.adapt_and_score", "verbs.benchmark_run", "verbs.report", "datamodule"},
    {"verbs.benchmark_spread"},
    {"verbs.benchmark"},
    {"verbs.benchmark_table", "screen", "api"},
    {"cli.app", "cli.completion", "cli.options"},
    {"cli.*"},
    {"cli"},
    {"cli.__main__", "cli.rio"},
]  # fmt: skip

COLUMNS = {
    "base": {
        "rsuda",
        "errors",
        "text_file",
        "legend",
        "spec",
        "config",
        "choices",
        "deepness",
        "lock",
        "whole_file",
        "own_process",
    },
    "learning": {"learning", "learning.*", "parts", "parts.*", "methods", "methods.*"},
    "geo": {"geo", "geo.*"},
    "meeting point": {
        "pair",
        "data",
        "run",
        "checkpoint",
        "metrics_file",
        "progress",
        "provenance",
        "training",
        "engine",
        "exported",
        "model_item",
        "bands",
        "scheduler",
        "spread",
        "cluster",
        "jobs",
        "api",
        "datamodule",
        "from_torchgeo",
        "given",
        "segmenter",
        "candidates",
        "label_free",
        "suggest",
        "target_curve",
        "report",
        "report.*",
        "verbs",
        "verbs.*",
        "screen",
        "cli",
        "cli.*",
    },
}
GEO_LIBRARIES = {"rasterio", "affine", "geopandas", "shapely", "pyogrio", "fiona", "pyproj", "osgeo"}
LEARNING_LIBRARIES = {
    "torch",
    "torchvision",
    "lightning",
    "kornia",
    "torchgeo",
    "timm",
    "segmentation_models_pytorch",
    "safetensors",
}


def sources():
    """Module name below rsuda to its syntax tree, 'rsuda' for the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__") or "rsuda"
        found[name] = ast.parse(path.read_text(), str(path))
    return found


SOURCES = sources()
# what only type checkers read: the package itself names what it loads when it is used
SOURCES["rsuda"].body = [n for n in SOURCES["rsuda"].body if "TYPE_CHECKING" not in ast.unparse(getattr(n, "test", n))]


def imports(tree):
    """All imported modules, those inside functions too: (modules of rsuda, other top-level packages)."""
    own, others = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from rsuda on"
            module = node.module or ""
            below = [f"{module}.{alias.name}" for alias in node.names]
            names = [n if n.removeprefix("rsuda.") in SOURCES else module for n in below]
        else:
            continue
        for name in names:
            if name == "rsuda" or name.startswith("rsuda."):
                own.add(name.removeprefix("rsuda."))
            else:
                others.add(name.partition(".")[0])
    return own, others


def row(module, groups):
    """The group a module is in, by name or by 'package.*'."""
    for names in ({module}, {module.rpartition(".")[0] + ".*"}):
        for key, group in groups:
            if names & group:
                return key
    return pytest.fail(f"rsuda/{module.replace('.', '/')}.py has no place in the architecture: give it one here")


def level(module):
    return row(module, list(enumerate(LEVELS)))


def column(module):
    return row(module, list(COLUMNS.items()))


def test_imports_are_found_wherever_they_stand():
    code = "import torch.nn\nfrom rsuda.geo import grid\ndef f():\n    from rsuda.parts.losses import some\n    import affine"
    assert imports(ast.parse(code)) == ({"geo.grid", "parts.losses"}, {"torch", "affine"})


@pytest.mark.parametrize("module", SOURCES)
def test_an_import_points_to_a_lower_level(module):
    higher = [other for other in imports(SOURCES[module])[0] if level(other) >= level(module)]
    assert not higher


@pytest.mark.parametrize("module", [m for m in SOURCES if column(m) != "meeting point"])
def test_columns_import_from_themselves_and_the_base_only(module):
    crossing = [other for other in imports(SOURCES[module])[0] if column(other) not in ("base", column(module))]
    assert not crossing


@pytest.mark.parametrize("module", [m for m in SOURCES if column(m) == "learning"])
def test_learning_knows_no_geo_library(module):
    assert not imports(SOURCES[module])[1] & GEO_LIBRARIES


@pytest.mark.parametrize("module", [m for m in SOURCES if column(m) == "geo"])
def test_geo_knows_no_learning_library(module):
    assert not imports(SOURCES[module])[1] & LEARNING_LIBRARIES


@pytest.mark.parametrize("module", [m for m in SOURCES if column(m) == "base"])
def test_the_base_needs_numpy_and_yaml_at_most(module):
    assert imports(SOURCES[module])[1] <= set(sys.stdlib_module_names) | {"numpy", "yaml"}


def test_parts_need_nothing_but_torch_and_the_base():
    for module in (m for m in SOURCES if m.startswith("parts")):
        own, others = imports(SOURCES[module])
        assert {column(o) for o in own - {"parts.draws", "parts.likely", "parts.world"}} <= {"base"}, module
        assert others <= set(sys.stdlib_module_names) | {"torch"}, module


def test_no_method_knows_another():
    papers = {m for m in SOURCES if m.startswith("methods.") and m != "methods.base"}
    assert papers  # else this would prove nothing
    assert not any(imports(SOURCES[m])[0] & (papers | {"methods"}) for m in papers)
    assert imports(SOURCES["methods"])[0] == papers | {"methods.base"}  # the table lists them all


def test_pixel_and_world_meet_in_grid_only():
    """No other module builds or takes apart an affine transform."""
    for module, tree in SOURCES.items():
        words = {getattr(n, key, None) or "" for n in ast.walk(tree) for key in ("id", "attr", "module")}
        words |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
        found = {w for w in words if "affine" in w.lower() or w in ("rasterio.transform", "from_origin", "from_bounds")}
        assert bool(found) == (module == "geo.grid"), f"{module}: {found}"


@pytest.mark.parametrize("module", [m for m in SOURCES if m.partition(".")[0] == "cli"])
def test_the_command_line_loads_nothing_heavy_before_a_command_runs(module):
    top = [n for n in SOURCES[module].body if isinstance(n, ast.Import | ast.ImportFrom)]
    own, others = imports(ast.Module(top, []))
    assert all(column(o) == "base" or o.partition(".")[0] == "cli" for o in own)
    # only rasterio's command line, which is made of click, loads its plugin
    assert others <= set(sys.stdlib_module_names) | {"typer", "rich"} | ({"click"} if module == "cli.rio" else set())


def test_no_file_is_a_drawer_for_things_without_a_name():
    folders = ("rsuda", "tests", "configs", "benchmarks", "notebooks", "docs")
    stems = {p.stem.lower() for folder in folders for p in (ROOT / folder).rglob("*")}
    assert not stems & {"utils", "util", "common", "helpers", "helper", "misc"}
