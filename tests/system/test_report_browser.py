"""Use the report in a real browser: by mouse, finger and keyboard, in light and dark, on a desktop and a phone."""

import json
import re
import shutil

import pytest
from tiny_cities import HOSTILE

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = (shutil.which(n) for n in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]

# Contrast of each text with what lies behind it: colours with alpha are laid over those of the elements below.
CONTRAST = """
const parse = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return text.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const behind = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) {
    layers.push(parse(getComputedStyle(e).backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const light = (c) => {
  const [r, g, b] = c.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const poor = [];
let seen = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
  if (!text || !element.checkVisibility() || element.closest("script, style, option")) continue;
  const style = getComputedStyle(element), back = behind(element);
  const front = over(parse(element.closest("svg") ? style.fill : style.color), back);
  const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
  seen += 1;
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) poor.push(`${text.slice(0, 40)} (${element.tagName}.${element.className}): ${ratio.toFixed(2)}`);
}
return [seen, poor];
"""


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, reported):
    """Open the page at a width in light or dark; in the end the page has made no request and no complaint."""

    def open(width=1280, theme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})
        features = [
            {"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"},
        ]  # fmt: skip
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get((reported / "report.html").as_uri())
        return browser

    yield open
    assert browser.get_log("browser") == []
    sent = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    page = (reported / "report.html").as_uri()
    assert asked and {a for a in asked if not a.startswith("data:")} == {page}


def one(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def to_middle(browser, element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def border(stage):
    return float(re.search(r"--at:\s*([\d.]+)%", stage.get_attribute("style")).group(1))


def view_box(browser):
    return [float(v) for v in one(browser, ".map svg").get_dom_attribute("viewBox").split()]


def test_border_between_two_pictures_moves_by_mouse_and_keyboard(opened):
    browser = opened()
    stage = to_middle(browser, one(browser, ".stage"))
    assert border(stage) == 50
    ActionChains(browser).move_to_element(stage).click_and_hold().move_by_offset(100, 0).release().perform()
    moved = border(stage)
    assert moved == pytest.approx(50 + 100 * 100 / stage.size["width"], abs=1.5)
    one(browser, ".stage input").send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert border(stage) == moved - 2
    one(browser, ".stage input").send_keys(Keys.HOME)
    assert border(stage) == 0


def test_pictures_to_compare_can_be_chosen(opened):
    browser = opened()
    figure = to_middle(browser, one(browser, ".compare"))
    left, right = (
        figure.find_element(By.CSS_SELECTOR, f".{side} .top").get_attribute("src") for side in ("over", "under")
    )
    assert left != right and left.startswith("data:image/") and right.startswith("data:image/")
    figure.find_element(By.CSS_SELECTOR, "select.left option[value=label]").click()
    label = figure.find_element(By.CSS_SELECTOR, "img[data-key=label]").get_attribute("src")
    assert figure.find_element(By.CSS_SELECTOR, ".over .top").get_attribute("src") == label != left


def test_map_zooms_moves_and_resets(opened):
    browser = opened()
    view = to_middle(browser, one(browser, ".map .view"))
    whole = view_box(browser)
    one(browser, "[data-do=in]").click()
    near = view_box(browser)
    assert near[2] == pytest.approx(whole[2] / 1.5) and near[3] == pytest.approx(whole[3] / 1.5)
    view.send_keys("++", Keys.ARROW_RIGHT)
    assert view_box(browser)[2] < near[2]
    before = view_box(browser)
    ActionChains(browser).move_to_element(view).click_and_hold().move_by_offset(-60, -40).release().perform()
    after = view_box(browser)
    shown = view.size["width"] / before[2]
    assert after[:2] == pytest.approx([before[0] + 60 / shown, before[1] + 40 / shown], abs=2 / shown)
    wheel = ScrollOrigin.from_element(view)
    ActionChains(browser).scroll_from_origin(wheel, 0, -200).perform()
    assert view_box(browser) == after  # the wheel alone scrolls the page
    to_middle(browser, view)
    ActionChains(browser).key_down(Keys.CONTROL).scroll_from_origin(wheel, 0, 200).key_up(Keys.CONTROL).perform()
    assert view_box(browser)[2] > after[2]
    one(browser, "[data-do=all]").click()
    assert view_box(browser) == pytest.approx(whole)


def test_polygon_shows_class_area_and_confidence_by_click_and_key(opened):
    browser = opened()
    view = to_middle(browser, one(browser, ".map .view"))
    said = one(browser, ".map .said")
    view.send_keys("+++")
    ActionChains(browser).move_to_element(view).click().perform()
    form = rf"(a & b|{re.escape(HOSTILE)}|c): [\d.]+ (m²|ha|km²), confidence \d+ %"
    assert re.fullmatch(form, said.text)
    by_click = said.text
    outline = one(browser, ".map .chosen").get_attribute("d")
    assert outline.startswith("M")
    polygon = next(p for p in browser.find_elements(By.CSS_SELECTOR, ".mask path") if p.get_attribute("d") == outline)
    assert f"{float(polygon.get_attribute('data-a')):.0f} m²" in by_click
    browser.execute_script("arguments[0].textContent = ''", said)
    view.send_keys(Keys.ENTER)  # the cross is where the mouse clicked
    assert said.text == by_click


def test_opacity_of_masks_and_visible_domains_can_be_changed(opened):
    browser = opened()
    to_middle(browser, one(browser, ".map .opacity")).send_keys(Keys.HOME)
    assert one(browser, ".map .mask").get_attribute("opacity") == "0"
    to_middle(browser, one(browser, "[data-show=source]")).click()
    points = {d: one(browser, f".clouds .of-{d}").value_of_css_property("display") for d in ("source", "target")}
    assert points["target"] == "none" and points["source"] != "none"
    assert one(browser, "[data-show=source]").get_attribute("aria-pressed") == "true"


def test_phone_shows_the_whole_width_and_a_finger_moves_border_and_map(opened):
    browser = opened(390)
    assert browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]") == [
        390,
        390,
    ]
    ends = "return [...document.querySelectorAll('main p, h1, h2')].map(e => e.getBoundingClientRect().right)"
    assert max(browser.execute_script(ends)) <= 390
    stage = to_middle(browser, one(browser, ".stage"))
    box = stage.rect
    top = box["y"] - browser.execute_script("return scrollY") + box["height"] / 2

    def touch(*places):
        kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
        for kind, fingers in zip(kinds, places, strict=True):
            points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(fingers)]
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    touch([(box["x"] + 180, top)], [(box["x"] + 140, top)], [(box["x"] + 60, top)])
    assert border(stage) == pytest.approx(100 * 60 / box["width"], abs=2)
    view = to_middle(browser, one(browser, ".map .view"))
    box, before = view.rect, view_box(browser)
    y = box["y"] - browser.execute_script("return scrollY") + box["height"] / 2
    x = box["x"] + box["width"] / 2
    touch([(x - 30, y), (x + 30, y)], [(x - 60, y), (x + 60, y)], [(x - 100, y), (x + 100, y)])
    assert view_box(browser)[2] < before[2] / 2


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_all_text_has_enough_contrast(opened, width, theme):
    browser = opened(width, theme)
    dark = browser.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (theme == "dark")
    seen, poor = browser.execute_script(CONTRAST)
    assert seen > 200 and poor == []


def test_focus_is_visible_on_every_element(opened):
    browser = opened()
    body, met = one(browser, "body"), set()
    for _ in range(40):
        body.send_keys(Keys.TAB) if not met else browser.switch_to.active_element.send_keys(Keys.TAB)
        kind, width = browser.execute_script(
            "const e = document.activeElement, style = getComputedStyle(e.closest('.stage') || e);"
            "return [e.tagName + '.' + e.className, style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)]"
        )
        if kind == "BODY.":  # past the last one
            break
        met.add(kind)
        assert width >= 2, kind
    assert len(met) > 4
