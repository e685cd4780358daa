"""A planner's morning in a browser: from what is at risk to an approved revision, in few clicks.

What a page looks like is left as pictures in the folder of the test.
"""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from resources.operational.api_keys import ApiKeys
from tests.support.browser import COMMAND, Browser, browser
from tests.support.retailers import KEY, copied

SERVE = Path(sys.executable).with_name("forecast-assets")
# Contrast of text to what is behind it (WCAG 2.2, AA), of inputs without a name, and targets too small for a finger.
CONTRAST = """(() => {
  const light = rgb => { const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .03928 ? v / 12.92
    : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const parsed = text => text.match(/[\\d.]+/g).map(Number);
  const behind = one => { for (let at = one; at; at = at.parentElement) { const c = parsed(getComputedStyle(at)
    .backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3) } return [255, 255, 255] };
  const weak = [];
  for (const one of document.querySelectorAll('main *, nav *')) {
    if (![...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const a = light(parsed(getComputedStyle(one).color).slice(0, 3)), b = light(behind(one));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) weak.push([one.tagName, one.textContent.slice(0, 40), ratio]) }
  return weak })()"""
NAMELESS = """[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')].filter(one =>
  !(one.labels && one.labels.length) && !one.getAttribute('aria-label') && !one.textContent.trim())
  .map(one => one.outerHTML)"""
PICTURES = "[...document.images].filter(one => !one.alt).length"
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
ORDER = """[...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary')]
  .map(one => one.tabIndex).some(at => at > 0)"""


@pytest.fixture(scope="module")
def home(published: tuple[Runner, RunOutcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(published[0], tmp_path_factory.mktemp("morning") / "home").settings.home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(home), "FORECAST_ASSETS_MLFLOW": "false",
                   "FORECAST_ASSETS_WORKERS": "1", "FORECAST_ASSETS_RISK_PATHS": "100"}  # fmt: skip
    with subprocess.Popen(
        [str(SERVE), "serve", "--port", "0", "--no-log-requests"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("Listening"))
        yield line.split()[2]
        process.kill()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if COMMAND is None:
        if "CI" in os.environ:
            pytest.fail("chromium is not installed: .ci/run installs it")
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def signed(home: Path, name: str, role: str = "planner") -> str:
    keys = ApiKeys(home / "operational" / "operational.sqlite")
    key = keys.create(name, role, now=datetime.now(UTC), valid_for=timedelta(days=1))[1]
    return f"Basic {base64.b64encode(f'{name}:{key}'.encode()).decode()}"


def seen(page: Browser, folder: Path, name: str) -> None:
    """Leave a picture, and hold the page to what everybody needs."""
    page.picture(folder / f"{name}.png")
    assert page.value(CONTRAST) == [], name
    assert page.value(NAMELESS) == [], name
    assert page.value(PICTURES) == 0, name
    assert page.value(ORDER) is False, name
    assert page.value(WIDE) <= 0, name
    assert page.value("document.querySelectorAll('h1').length") == 1, name
    assert page.value("document.documentElement.lang") == "en"


def test_a_morning_takes_fewer_than_25_clicks(home: Path, address: str, page: Browser, tmp_path: Path) -> None:  # noqa: PLR0915
    pictures = Path(os.environ.get("PICTURES_OF_PAGES", tmp_path))
    page.sign_in(signed(home, "ana"))
    page.open(f"{address}/plan")
    seen(page, pictures, "1-worklist")
    links = page.value("[...document.querySelectorAll('td a')].map(one => one.textContent).slice(0, 3)")
    # Read why of the first three.
    for at, name in enumerate(links):
        page.click("td a", name)
        assert "Why, on" in page.text()
        if at == 0:
            seen(page, pictures, "2-series")
        if at < 2:
            page.back()
    # Override the third one.
    page.click("a.button", "Override it", loads=False)
    page.fill("input[name=value]", "25")
    page.fill("select[name=reason]", "promotion")
    page.fill("input[name=note]", "leaflet of the second week")
    page.click("input[name=needs_approval]", loads=False)
    page.click("form.ask button", "Preview")
    assert "Nothing is recorded yet" in page.text()
    seen(page, pictures, "3-preview-of-a-series")
    page.click("button", "Record it")
    assert "a second person has to approve it" in page.text()
    # Override a node.
    page.click("nav a", "Nodes")
    seen(page, pictures, "4-nodes")
    page.click("td a", "FOOD")
    seen(page, pictures, "5-a-node")
    page.click("main a", "Override it")
    seen(page, pictures, "6-form-of-a-node")
    page.fill("input[name=value]", "10")
    page.fill("select[name=reason]", "weather")
    page.click("input[name=needs_approval]", loads=False)
    page.click("form.ask button", "Preview")
    seen(page, pictures, "7-preview-of-a-node")
    page.click("button", "Record it")
    # A second key approves both.
    page.sign_in(signed(home, "ben"))
    page.open(f"{address}/plan/overrides")
    seen(page, pictures, "8-overrides")
    for name in page.value("[...document.querySelectorAll('input[name=override]')].map(one => one.value)"):
        page.click(f"input[value='{name}']", loads=False)
    page.fill("input[name=decision]", "as agreed")
    page.click("button", "Approve")
    assert page.text().count("is approved.") == 2
    # See the new revision.
    page.fill("input[name=why]", "leaflet and weather")
    seen(page, pictures, "9-approved")
    page.click("button", "Publish a revision")
    seen(page, pictures, "10-publishing")
    ends = time.monotonic() + 240
    while "Running" in page.text():
        assert time.monotonic() < ends, page.text()
        time.sleep(2)
        page.open(f"{address}/plan/revision")
    page.clicks += 1
    assert "Finished" in page.text(), page.text()
    seen(page, pictures, "11-published")
    page.click("nav a", "Worklist")
    assert f"{str(KEY).removesuffix('r0')}r1" in page.text()
    assert "ana" in page.text()
    page.click("main a", "Export all of them as CSV", loads=False)
    seen(page, pictures, "12-worklist-after")
    page.click("td a", links[2])
    seen(page, pictures, "13-series-after")
    # Its worst day is another one than those that are overridden.
    page.click("td a", "2025-07-01")
    assert "ana: +25%, promotion, leaflet of the second week" in page.text()
    assert page.clicks < 25, page.clicks
    assert page.errors == []
    (pictures / "clicks").write_text(f"{page.clicks} clicks, {page.typed} fields")


def test_a_keyboard_reaches_the_content_first_and_then_all_of_it_in_order(
    home: Path, address: str, page: Browser
) -> None:
    page.sign_in(signed(home, "ana"))
    page.open(f"{address}/plan")
    reached = []
    for _ in range(12):
        page.press_tab()
        reached.append(page.value("document.activeElement.name || document.activeElement.textContent"))
        has_outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.value(has_outline) == "solid", reached
    assert reached[:5] == ["Skip to the content", "Worklist", "Nodes", "Changes", "Overrides"]
    assert reached[5:10] == ["product", "stores", "band", "flag", "planner"]


def test_pages_fit_a_tablet_held_upright(home: Path, address: str, page: Browser) -> None:
    page.sign_in(signed(home, "ana"))
    page.call("Emulation.setDeviceMetricsOverride", width=768, height=1024, deviceScaleFactor=1, mobile=True)
    for path in ("/plan", "/plan/nodes", "/plan/overrides", "/plan/override", "/plan/changes"):
        page.open(address + path)
        assert page.value(WIDE) <= 0, path
        small = "[...document.querySelectorAll('button, select, input:not([type=checkbox]):not([type=hidden])')]"
        assert page.value(f"Math.min(...{small}.map(one => one.getBoundingClientRect().height), 99)") >= 30, path
