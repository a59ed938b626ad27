"""Styles and attribute tables, read by QGIS and GDAL themselves where they are installed."""

import json
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from oracle_models import NORTH_UP, RUN, legend, sure, trained, write

from rsuda.geo.maps.attribute_table import attribute_table
from rsuda.inference.predict import predict

PYTHON = "/usr/bin/python3"  # Debian's, for which QGIS and GDAL are packaged
NAMES = ("road", "roof <&> \"tower\" 'ä'", "tree")
COLOURS = ["#{:02x}{:02x}{:02x}".format(*c) for c in legend(NAMES).palette]


def by_third(image):
    """Thirds of an image of 90 columns by their class, with 0.8 certainty in the middle."""
    logits = sure((image[:, 0] // 30).clamp(0, 2), 3)
    return logits * image[:, 1:2].clamp(0, 1)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qgis")
    cols = np.broadcast_to(np.arange(90), (60, 90))
    values = np.stack([cols, np.ones_like(cols)]).astype(np.uint8)
    values[1, :20] = 0  # all classes alike
    values[:, -6:, :6] = 255
    scene = write(folder / "scene.tif", values, NORTH_UP, nodata=255)
    network = trained(by_third, names=NAMES)
    (prediction,) = predict([scene], network, **{**RUN, "polygons": "gpkg"}, confidence=True, probabilities=True)
    return prediction


def of_debian(code, *arguments, module):
    """What a script in Debian's Python printed as JSON; skips where it lacks the module."""
    env = {"QT_QPA_PLATFORM": "offscreen", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    if (
        not Path(PYTHON).exists()
        or subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, env=env).returncode
    ):
        pytest.skip(f"{PYTHON} has no {module}")
    command = [PYTHON, "-c", code, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert process.returncode == 0, process.stdout + process.stderr
    return json.loads(process.stdout.splitlines()[-1])


IN_QGIS = """
import json, os, sys
from qgis.core import *
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

app = QgsApplication([], False)
app.initQgis()
told = {}
for file in sys.argv[1:]:
    if file.endswith(".tif"):
        layer = QgsRasterLayer(file, "raster")
    else:
        layer = QgsVectorLayer(file, "polygons", "ogr")
    by_itself = type(layer.renderer()).__name__
    message, loaded = layer.loadNamedStyle(os.path.splitext(file)[0] + ".qml")
    renderer = layer.renderer()
    if isinstance(renderer, QgsPalettedRasterRenderer):
        classes = [[c.value, c.label, c.color.name()] for c in renderer.classes()]
    elif isinstance(renderer, QgsCategorizedSymbolRenderer):
        classes = [[c.value(), c.label(), c.symbol().color().name()] for c in renderer.categories()]
    else:
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        classes = [[i.value, i.label, i.color.name()] for i in items]
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setBackgroundColor(QColor(255, 0, 255))
    settings.setOutputSize(QSize(180, 120))
    settings.setExtent(layer.extent())
    settings.setDestinationCrs(layer.crs())
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    image.save(file + ".png")
    told[os.path.basename(file)] = {
        "valid": layer.isValid(), "loaded": loaded, "message": message, "crs": layer.crs().authid(),
        "by_itself": by_itself, "renderer": type(renderer).__name__, "classes": classes,
        "attribute": renderer.classAttribute() if hasattr(renderer, "classAttribute") else None,
        "pixels": [image.pixelColor(x, y).name() for x, y in ((30, 80), (90, 80), (150, 80), (90, 20), (3, 117))],
    }
print(json.dumps(told), flush=True)
os._exit(0)  # QGIS takes its layers down in an order that crashes
"""


@pytest.fixture(scope="module")
def in_qgis(outputs):
    files = [outputs.raster, outputs.confidence, outputs.probabilities, outputs.polygons]
    return of_debian(IN_QGIS, *files, module="qgis.core")


def test_qgis_loads_every_layer_and_its_style(in_qgis):
    assert len(in_qgis) == 4
    for layer in in_qgis.values():
        assert layer["valid"] and layer["loaded"] and not layer["message"].strip() and layer["crs"] == "EPSG:32632"
        assert layer["by_itself"] == layer["renderer"]  # the style beside the file is the one that it opens with


def test_qgis_shows_the_legend_of_the_class_raster(in_qgis):
    layer = in_qgis["scene_classes.tif"]
    assert layer["renderer"] == "QgsPalettedRasterRenderer"
    assert layer["classes"] == [[k, n, c] for k, (n, c) in enumerate(zip(NAMES, COLOURS, strict=True))]
    assert layer["pixels"] == [*COLOURS, COLOURS[0], "#ff00ff"]  # the first class of equals; nodata shows what is below


def test_qgis_shows_the_legend_of_the_polygons(in_qgis):
    layer = in_qgis["scene_polygons.gpkg"]
    assert layer["renderer"] == "QgsCategorizedSymbolRenderer" and layer["attribute"] == "name"
    assert layer["classes"] == [[n, n, c] for n, c in zip(NAMES, COLOURS, strict=True)]
    mixed = [[(a + b) // 2 for a, b in zip(c, (255, 0, 255), strict=True)] for c in legend(NAMES).palette]
    half = ["#{:02x}{:02x}{:02x}".format(*c) for c in mixed]
    for seen, expected in zip(layer["pixels"], [*half, half[0], "#ff00ff"], strict=True):
        apart = [abs(int(seen[k : k + 2], 16) - int(expected[k : k + 2], 16)) for k in (1, 3, 5)]
        assert max(apart) <= 2, (seen, expected)


@pytest.mark.parametrize("name", ["scene_confidence.tif", "scene_probabilities.tif"])
def test_qgis_shows_shares_in_a_ramp_from_pale_to_dark(in_qgis, name):
    layer = in_qgis[name]
    assert layer["renderer"] == "QgsSingleBandPseudoColorRenderer"
    assert [c[:2] for c in layer["classes"]] == [[0, "0"], [63.5, "0.25"], [127, "0.5"], [190.5, "0.75"], [254, "1"]]
    light = [sum(int(c[2][k : k + 2], 16) for k in (1, 3, 5)) for c in layer["classes"]]
    assert light == sorted(light, reverse=True)
    sure_of_it, *_, undecided, nothing = layer["pixels"]
    assert sure_of_it == layer["classes"][-1][2] and nothing == "#ff00ff"
    assert light[0] > sum(int(undecided[k : k + 2], 16) for k in (1, 3, 5)) > light[-1]  # a third


COLUMNS = ["Value", "Count", "Class", "Red", "Green", "Blue", "Alpha", "Area_m2"]
IN_GDAL = """
import json, sys
from osgeo import gdal

raster = gdal.Open(sys.argv[1])
band = raster.GetRasterBand(1)
table = band.GetDefaultRAT()
columns = range(table.GetColumnCount())
print(json.dumps({
    "names": [table.GetNameOfCol(c) for c in columns], "types": [table.GetTypeOfCol(c) for c in columns],
    "uses": [table.GetUsageOfCol(c) for c in columns], "kind": table.GetTableType(), "categories": band.GetCategoryNames(),
    "rows": [[table.GetValueAsString(r, c) for c in columns] for r in range(table.GetRowCount())],
    "row_of_2": table.GetRowOfValue(2), "description": band.GetDescription(), "overviews": band.GetOverviewCount(),
}))
"""


def test_gdal_reads_the_attribute_table(outputs):

    layer = of_debian(IN_GDAL, outputs.raster, module="osgeo")
    assert (
        layer["names"] == COLUMNS
        and layer["uses"] == [5, 1, 2, 6, 7, 8, 9, 0]
        and layer["kind"] == 0
        and layer["types"] == [0, 1, 2, 0, 0, 0, 0, 1]
    )
    assert layer["categories"] == list(NAMES) and layer["row_of_2"] == 2 and layer["description"] == "class"
    with rasterio.open(outputs.raster) as file:
        counts = np.bincount(file.read(1).ravel(), minlength=256)
    for k, row in enumerate(layer["rows"]):
        assert row[0] == str(k) and row[2] == NAMES[k] and row[3:7] == [*map(str, legend(NAMES).palette[k]), "255"]
        assert float(row[1]) == counts[k] and float(row[7]) == counts[k] / 4
    assert len(layer["rows"]) == 3


def test_attribute_table_has_the_documented_form():
    """The same without GDAL's Python: a PAMDataset of one band, fields with type and usage, a row of texts for each class."""
    root = ElementTree.fromstring(attribute_table(legend(NAMES), [5_000_000_000, 0, 7], 0.25))
    assert root.tag == "PAMDataset" and root[0].attrib == {"band": "1"}
    table = root[0].find("GDALRasterAttributeTable")
    assert table.attrib == {"tableType": "thematic"}
    fields = [tuple(f.find(tag).text for tag in ("Name", "Type", "Usage")) for f in table.findall("FieldDefn")]
    assert [f[0] for f in fields] == COLUMNS and dict(f[::2] for f in fields)["Class"] == "2"
    rows = [[cell.text for cell in row] for row in table.findall("Row")]
    assert rows[0] == ["0", "5000000000", NAMES[0], "0", "255", "7", "255", "1250000000.0000"]
    assert [c.text for c in root[0].find("CategoryNames")] == list(NAMES)


def test_attribute_table_leaves_the_raster_unchanged(outputs, tmp_path):
    def layer(path):
        with rasterio.open(path) as file:
            tags = file.tags(), file.tags(1), file.tags(ns="IMAGE_STRUCTURE")
            return file.profile, file.colormap(1), file.overviews(1), *tags

    alone = tmp_path / outputs.raster.name
    alone.write_bytes(outputs.raster.read_bytes())
    assert layer(outputs.raster) == layer(alone)
    assert not any(k.startswith("STATISTICS") for k in layer(outputs.raster)[4])


LABELLING_IN_QGIS = """
import json, sys
from qgis.core import *
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], True)
app.initQgis()
layer = QgsVectorLayer(sys.argv[1], "points", "ogr")
loaded = layer.loadDefaultStyle()[1]
fields = layer.fields()
kinds = {field.name(): field.editorWidgetSetup().type() for field in fields}
choices = fields[fields.indexFromName("reference")].editorWidgetSetup().config()["map"]
layer.startEditing()
first = next(layer.getFeatures())
layer.changeAttributeValue(first.id(), fields.indexFromName("reference"), "road")
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setDestinationCrs(layer.crs())
settings.setExtent(layer.extent())
settings.setOutputSize(QSize(300, 300))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
colours = [image.pixelColor(x, y).getRgb()[:3] for x in range(300) for y in range(300)]
names = [name for choice in choices for name in choice][1:]
print(json.dumps([loaded, kinds, names, colours.count((227, 26, 28)) > 50, colours.count((35, 35, 35)) > 50]))
"""


def test_points_to_label_open_in_qgis_with_a_form_that_hides_the_map(outputs, tmp_path):
    from rsuda.accuracy.sample import sample

    file = sample(outputs.raster, tmp_path / "points.gpkg", points=30, minimum=5).file
    loaded, kinds, names, red, dark = of_debian(LABELLING_IN_QGIS, file, module="qgis.core")
    assert loaded and names == list(NAMES) and red and dark
    assert kinds["reference"] == "ValueMap" and kinds["map_class"] == kinds["stratum"] == "Hidden"
