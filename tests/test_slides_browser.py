"""No slide is fuller than its page, on the screen and on paper."""

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOO_FULL = """
return [...document.querySelectorAll("section")].flatMap((slide, i) => {
  slide.style.display = "block";
  const last = [...slide.children].filter(c => c.tagName != "FOOTER").pop().getBoundingClientRect().bottom;
  const wide = [...slide.querySelectorAll("pre, p, h1, h2")].some(c => c.scrollWidth > c.clientWidth + 1);
  const over = slide.scrollHeight > 720 || slide.scrollWidth > 1280 || wide;
  slide.style.display = "";
  return over ? [i + 1] : [];
})"""


@pytest.mark.browser
def test_every_slide_fits_on_its_page(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver")
    subprocess.run([sys.executable, ROOT / "scripts" / "slides.py", "04", "06", "08", "11", "--output", tmp_path], check=True)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,860"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        for path in sorted(tmp_path.glob("*.html")):
            browser.get(f"file://{path}")
            assert browser.execute_script(TOO_FULL) == [], path.name
            pages = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
            assert len(re.findall(rb"/Type\s*/Page\b", pages)) == browser.execute_script("return document.querySelectorAll('section').length")
            browser.find_element("tag name", "body").send_keys(webdriver.Keys.ARROW_RIGHT)
            assert browser.execute_script("return location.hash") == "#2"
    finally:
        browser.quit()
