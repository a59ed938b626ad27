"""Take the screenshots of a report for the pages: docs/report_desktop.png, report_dark.png and report_phone.png.

    rsuda assess maps/top_mosaic_09cm_area2_classes.tif points.gpkg -o accuracy
    rsuda report runs/source-only runs/st-dasegnet -k 4 --out report.html
    python docs/report_pictures.py report.html

It needs selenium, chromium and chromedriver. docs/accuracy.md says how the points get their labels.
"""

from __future__ import annotations

import argparse
import base64
import shutil
from pathlib import Path

from selenium import webdriver

HERE = Path(__file__).parent
# width, theme, and the section that each picture ends with
PICTURES = {"desktop": (1280, "light", "accuracy"), "dark": (1280, "dark", "scores"), "phone": (390, "light", "scores")}
END = "return Math.ceil(document.getElementById(arguments[0]).getBoundingClientRect().bottom + window.scrollY + 16)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page.resolve()
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for name, (width, theme, last) in PICTURES.items():
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            features = [{"name": "prefers-color-scheme", "value": theme}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            driver.get(page.as_uri())
            size["height"] = driver.execute_script(END, last)
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            picture = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
            (HERE / f"report_{name}.png").write_bytes(base64.b64decode(picture))
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
