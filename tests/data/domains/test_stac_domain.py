"""STAC items, collections and search results as domains: local files, and HTTP from this machine."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rsuda
from rsuda.core.errors import InputError, MissingError
from rsuda.data.domains.stac_domain import is_stac
from rsuda.data.find_domain import domain

pystac = pytest.importorskip("pystac")

BANDS = np.random.default_rng(0).integers(1, 3000, (4, 64, 96)).astype(np.uint16)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
WHOLE = (0, 0, 64, 96)


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values[None] if values.ndim == 2 else values
    options = {"crs": "EPSG:32633", "transform": from_origin(400000, 5500000, 10, 10), "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", height=64, width=96, count=len(values), **options) as file:
        file.write(values)


def item(name, assets, **properties):
    shape = {"type": "Polygon", "coordinates": [[[13, 49], [14, 49], [14, 50], [13, 49]]]}
    result = pystac.Item(name, shape, [13, 49, 14, 50], datetime(2024, 6, 1, tzinfo=UTC), properties)
    for key, (href, roles, extra) in assets.items():
        result.add_asset(key, pystac.Asset(href, media_type=COG, roles=roles, extra_fields=extra))
    return result


def save(thing, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = thing.to_dict(include_self_link=False, transform_hrefs=False)
    path.write_text(json.dumps(fields))
    return str(path)


def eo(*names):
    return {"eo:bands": [{"name": name, "common_name": common} for name, common in names]}


def sentinel(folder, name="S2A"):
    """An item of four COGs with one band each, as of Sentinel-2, and a thumbnail."""
    bands = (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"))
    for values, (band, _) in zip(BANDS, bands, strict=True):
        write(folder / f"{name}/{band}.tif", values)
    assets = {common: (f"./{name}/{band}.tif", ["data"], eo((band, common))) for band, common in bands}
    assets["thumbnail"] = ("./preview.png", ["thumbnail"], {})
    return item(name, assets)


def test_assets_of_one_band_are_one_scene(tmp_path):
    place = save(sentinel(tmp_path), tmp_path / "item.json")
    result = domain(place)
    assert (result.name, result.bands) == ("S2A", ("blue", "green", "red", "ir")) and result.gsd == 10
    scene = result.split("train")[0]
    assert (scene.read(("red", "green", "blue"), None, WHOLE).values == BANDS[[2, 1, 0]]).all()
    assert domain(place, bands="IRRG").bands == ("ir", "red", "green")
    assert rsuda.info(place)["bands"] == "BGRIR" or rsuda.info(place)["kind"] == "domain"


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_an_asset_of_several_bands(tmp_path, version):
    write(tmp_path / "data/x.tif", BANDS)
    names = (("b1", "red"), ("b2", "green"), ("b3", "blue"), ("b4", "nir"))
    extra = eo(*names) | {"raster:bands": [{"nodata": 7}] * 4}
    if version == "1.1.0":
        extra = {"bands": [{"name": name, "eo:common_name": common, "nodata": 7} for name, common in names]}
    fields = item("ortho", {"image": ("./data/x.tif", ["data"], extra)}).to_dict(include_self_link=False)
    fields["stac_version"] = version
    fields["assets"]["image"]["href"] = "./data/x.tif"
    (tmp_path / "item.json").write_text(json.dumps(fields))
    result = domain(str(tmp_path / "item.json"))
    assert result.bands == ("red", "green", "blue", "ir") and result.scenes["ortho"].nodata == 7
    assert (result.scenes["ortho"].read(("ir",), None, WHOLE).values == BANDS[3:]).all()


def test_a_static_catalogue_and_a_search_result(tmp_path):
    catalogue = pystac.Catalog("city", "two scenes")
    for name in ("a", "b"):
        write(tmp_path / f"{name}.tif", BANDS[:3])
        catalogue.add_item(item(name, {"visual": (str(tmp_path / f"{name}.tif"), ["visual"], {})}))
    catalogue.normalize_and_save(str(tmp_path / "out"), pystac.CatalogType.SELF_CONTAINED)
    result = domain(str(tmp_path / "out/catalog.json"), bands="RGB")
    assert list(result.scenes) == ["a", "b"] and result.name == "city"
    features = [entry.to_dict(include_self_link=False) for entry in catalogue.get_items()]
    (tmp_path / "search.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert list(domain(str(tmp_path / "search.json"), bands="RGB").scenes) == ["a", "b"]


def test_labels_with_classes_make_a_source(tmp_path):
    label = (np.indices((64, 96)).sum(0) // 30 % 3).astype(np.uint8)
    write(tmp_path / "x.tif", BANDS[:3])
    write(tmp_path / "y.tif", label)
    classes = [
        {"value": 1, "name": "water", "color_hint": "0000FF"},
        {"value": 2, "name": "built", "title": "Built area"},
        {"value": 0, "name": "none", "nodata": True},
    ]
    assets = {
        "image": ("./x.tif", ["data"], eo(("r", "red"), ("g", "green"), ("b", "blue"))),
        "labels": ("./y.tif", ["labels"], {"classification:classes": classes}),
    }
    result = domain(save(item("x", assets), tmp_path / "x.json"))
    assert result.legend.names == ("water", "Built area") and result.legend.palette[0] == (0, 0, 255)
    index, outside = result.labelled("train")[0].whole_label(result.legend)
    assert not outside and (index == np.array([255, 0, 1])[label]).all()


def test_maps_of_rsuda_are_left_out(tmp_path):
    entry = item("map", {"classes": ("./m.tif", ["data"], {})}, **{"processing:software": {"rsuda": "0.2"}})
    with pytest.raises(InputError, match="holds no imagery, since its items are maps of rsuda"):
        domain(save(entry, tmp_path / "map.json"))


def test_refusals(tmp_path):
    assets = {key: (f"./{key}.tif", ["data"], eo(("r", "red"), ("n", "nir"))) for key in ("one", "two")}
    with pytest.raises(InputError, match=r"several images: one \(.*\), two .*target_bands='RGB'"):
        domain(save(item("x", assets), tmp_path / "x.json"))
    with pytest.raises(InputError, match="has no band red in an asset of its own: its assets are one"):
        domain(save(item("x", assets), tmp_path / "x.json"), bands="RGB")
    with pytest.raises(InputError, match="has no image: its assets are thumbnail"):
        domain(save(item("x", {"thumbnail": ("./t.png", ["thumbnail"], {})}), tmp_path / "x.json"))
    for text in ("{}", "[1]", "no JSON", '{"type": "Feature"}'):
        (tmp_path / "y.json").write_text(text)
        with pytest.raises(InputError, match=r"y\.json is not valid STAC"):
            domain(str(tmp_path / "y.json"))
    with pytest.raises(MissingError, match="there is no file"):
        domain(save(item("x", {"a": ("./gone.tif", ["data"], {})}), tmp_path / "x.json"))


_SERVER = """
import http.server, os, re
class Ranges(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if not wanted or not os.path.isfile(path):
            return super().do_GET()
        first, last = map(int, wanted.groups())
        whole = open(path, "rb").read()
        part = whole[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
print(web.server_port, flush=True)
web.serve_forever()
"""


@pytest.fixture
def server(tmp_path):
    """Serve the folder by a process of its own, since GDAL holds Python's lock while it waits for an answer."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as web:
        yield f"http://127.0.0.1:{int(web.stdout.readline())}"
        web.kill()


def test_an_address(tmp_path, server):
    save(sentinel(tmp_path), tmp_path / "items/S2A.json")
    (tmp_path / "S2A").rename(tmp_path / "items/S2A")
    result = domain(f"{server}/items/S2A.json", bands="RGB")
    assert str(result.scenes["S2A"].image).startswith(server)
    assert (result.scenes["S2A"].read(("red",), None, WHOLE).values == BANDS[2:3]).all()
    with pytest.raises(MissingError, match="cannot read"):
        domain(f"{server}/items/gone.json")
    with pytest.raises(MissingError, match=r"folders are not listed over a network: name a raster"):
        domain(f"{server}/items", bands="RGB", gsd=1.0)


def test_what_is_an_address_of_stac():
    assert is_stac("https://a.b/x.json?token=1") and is_stac("https://a.b/collections/c/items/d")
    assert not is_stac("https://a.b/x.tif") and not is_stac("/vsicurl/https://a.b/x.tif") and not is_stac("gone.json")
