"""The page as people see it: a real hub, a real browser, after a simulated day."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from hub.clock import SystemClock
from hub.runtime.disk.store import SqliteStore
from hub.testing import START
from tests.brokers import free_port, wait_for_port
from tests.browsers import Watched, chromium, watched
from tests.days import a_day
from tests.hubs import drop_in, hub, log_of, running, status_until, write_values
from tests.offers import other_model
from tests.publishing import exported, trainer
from trainer.keygen import make_keys

VIEWS = ("/", "/accuracy", "/data", "/news", "/models", "/system")
CHART = "Chart.getChart(document.querySelector('#chart-BTC-USDT canvas'))"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a hub that has a day behind it, and lives twenty times as fast as we do."""
    home, port = tmp_path_factory.mktemp("station"), free_port()
    (home / "data").mkdir()
    store = SqliteStore.open(home / "data" / "tickerml.db", SystemClock())
    store.record(a_day())
    store.close()
    write_values(
        home,
        clock={"start": f"{START.replace(day=21):%Y-%m-%dT%H:%M:%SZ}", "speed": 20},
        plugins={"collector": {"source": "simulated", "backfill": "1h", "fallback": None}, "dashboard": {"port": port}},
    )
    with running(home):
        wait_for_port(port, 30)
        yield f"http://127.0.0.1:{port}"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What it gives, once that is something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)
    return found


def line_of(page: Page) -> str:
    """How the page's line to the station is."""
    return page.locator("#line").get_attribute("data-state") or ""


def drawn(seen: Watched, chart: str) -> int:
    """How many series are drawn there."""
    return int(
        seen.page.evaluate("id => globalThis.Chart?.getChart(document.querySelector(`#${id} canvas`))?.data.datasets.length ?? 0", chart)
    )


@pytest.mark.parametrize(("size", "scheme"), [({}, "dark"), ({}, "light"), (PHONE, "dark"), ({"width": 800, "height": 1280}, "light")])
def test_every_view_renders_without_trouble_on_every_screen(browser: Browser, station: str, size: dict[str, int], scheme: Any) -> None:
    """No error, no refused script, nobody else asked, nothing to scroll sideways for."""
    seen = watched(browser, station, color_scheme=scheme, **size)
    for view in VIEWS:
        page = seen.open(view)
        until(lambda page=page: line_of(page) == "live")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert page.title().endswith("TickerML")
        assert page.locator("nav a[aria-current=page]").get_attribute("href") == view
    seen.open("/")
    until(lambda: drawn(seen, "chart-BTC-USDT") >= 1)
    assert seen.page.locator(".chart canvas").count() == 2
    seen.open("/accuracy")
    until(lambda: drawn(seen, "reliability-10-live") == 2)
    seen.open("/news")
    until(lambda: drawn(seen, "moods") == 2)
    assert seen.troubles == []
    seen.page.context.close()


def test_what_is_shown_is_what_is_on_disk(browser: Browser, station: str) -> None:
    seen = watched(browser, station)
    assert "no better than" in seen.open("/accuracy").locator(".verdict").inner_text()
    assert seen.page.locator("tbody tr").count() >= 12
    data = seen.open("/data")
    assert "40 minutes are missing on 1 day" in data.locator("main").inner_text()
    assert data.locator(".calendar li.some").count() == 2
    assert data.locator("text=the exchange had none of it").count() == 2
    models = seen.open("/models").locator("main").inner_text()
    for words in ("mine 3", "newer 4", "its outputs are not finite", "rejected"):
        assert words in models
    system = seen.open("/system")
    assert "collector" in system.locator("main").inner_text()
    until(lambda: "store" in system.locator("#doctor").inner_text())
    assert "hub runs" in system.locator(".log").inner_text()
    assert seen.troubles == []


def test_headlines_are_text_whatever_they_say(browser: Browser, station: str) -> None:
    """No script of theirs runs, and no address of theirs leads where no web page is."""
    seen = watched(browser, station)
    page = seen.open("/news")
    page.wait_for_timeout(500)
    titles = page.locator("td.title").all_inner_texts()
    assert any("7 * 7" in title for title in titles)
    assert not any("\u202e" in title for title in titles)
    links = page.locator("td.title a")
    assert links.count() > 0
    for number in range(links.count()):
        assert re.match(r"https?://", links.nth(number).get_attribute("href") or "")
        assert "noopener" in (links.nth(number).get_attribute("rel") or "")
    assert page.locator("main img, main script:not([type='application/json'])").count() == 0
    assert seen.troubles == []


def test_every_view_can_be_read_without_a_script(browser: Browser, station: str) -> None:
    seen = watched(browser, station, java_script_enabled=False)
    for view, words in zip(VIEWS, ("BTC/USDT", "no better than", "minutes are missing", "7 * 7", "newer 4", "collector"), strict=True):
        main = seen.open(view).locator("main").inner_text()
        assert words in main, view
    assert " UTC" in seen.open("/data").locator("tbody time").first.inner_text()
    assert "ok" in seen.open("/system/doctor").locator(".findings").inner_text()
    assert seen.troubles == []


def test_bars_arrive_by_themselves(browser: Browser, station: str) -> None:
    """The price, the chart and the time change on a page that nobody touches, and what was opened by hand stays."""
    seen = watched(browser, station)
    page = seen.open("/")
    until(lambda: drawn(seen, "chart-BTC-USDT"))
    page.evaluate("window.untouched = true")
    last = f"{CHART}.data.datasets[0].data.at(-1).x"
    price = page.locator("[data-symbol=BTC-USDT]")
    begun, shown = page.evaluate(last), price.inner_text()
    page.locator("#theme").focus()
    until(lambda: page.evaluate(last) > begun and price.inner_text() != shown)
    assert page.evaluate("window.untouched"), "it was not loaded again"
    assert page.evaluate("document.activeElement.id") == "theme"
    assert page.evaluate(f"{CHART}.data.datasets[0].data.length") == 120
    assert seen.troubles == []


def test_times_are_the_viewers_and_utc_is_there(browser: Browser, station: str) -> None:
    texts = []
    for zone in ("UTC", "Asia/Tokyo"):
        seen = watched(browser, station, timezone_id=zone, locale="en-GB")
        page = seen.open("/data")
        first = page.locator("tbody time").first
        assert first.get_attribute("title") == "2025-05-20 10:00:00 UTC"
        texts.append(first.inner_text())
    assert ["10:00" in texts[0], "19:00" in texts[1]] == [True, True], texts


def test_it_can_be_used_by_keyboard_and_says_what_its_pictures_show(browser: Browser, station: str) -> None:
    seen = watched(browser, station)
    page = seen.open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for view in VIEWS:
        page = seen.open(view)
        missing = page.evaluate(
            """() => [...document.querySelectorAll('[role=img]')].filter(one => !one.getAttribute('aria-label')).length
                + [...document.querySelectorAll('button, a, input:not([type=hidden])')].filter(one => !one.innerText.trim()
                && !one.getAttribute('aria-label') && !one.labels?.length).length
                + [...document.querySelectorAll('table')].filter(one => !one.querySelector('th[scope=col]')).length"""
        )
        assert missing == 0, view
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(browser: Browser, station: str, scheme: Any) -> None:
    """WCAG AA: 4.5 to 1 for every colour of text on every ground."""
    page = watched(browser, station, color_scheme=scheme).open("/system")
    colours = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())",
        ["text", "quiet", "accent", "up", "down", "warn", "card", "shade", "back"],
    )
    *inks, card, shade, back = map(luminance, colours)
    for ink in inks:
        for ground in (card, shade, back):
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, colours


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `#rrggbb`."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_theme_that_was_chosen_stays(browser: Browser, station: str) -> None:
    seen = watched(browser, station, color_scheme="light")
    page = seen.open("/")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page = seen.open("/models")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"


@pytest.mark.timeout(180)
def test_a_lost_station_is_said_and_found_again(browser: Browser, tmp_path: Path) -> None:
    """The hub is killed under an open page; when it is back, so is the page."""
    port = free_port()
    write_values(tmp_path, plugins={"collector": {"source": "simulated", "backfill": "30m"}, "dashboard": {"port": port}})
    seen = watched(browser, f"http://127.0.0.1:{port}")
    with running(tmp_path):
        wait_for_port(port, 30)
        page = seen.open("/")
        until(lambda: line_of(page) == "live")
    until(lambda: page.locator("#line").inner_text() == "no connection")
    with running(tmp_path):
        until(lambda: line_of(page) == "live", 60)


@pytest.mark.timeout(240)
def test_a_model_is_promoted_and_rolled_back_by_whoever_has_the_password(browser: Browser, tmp_path: Path) -> None:
    """A real offer in the shadow; the buttons do what `hub models` does."""
    port = free_port()
    collector = {"source": "simulated", "backfill": "30m"}
    write_values(tmp_path, plugins={"collector": collector, "inference": {"shadow": "24h"}, "dashboard": {"port": port}})
    make_keys(tmp_path)
    assert hub(tmp_path, "models", "trust", "tickerml.pub").returncode == 0
    exported(tmp_path, "mine", other_model())
    seen = watched(browser, f"http://127.0.0.1:{port}")
    with running(tmp_path):
        wait_for_port(port, 30)
        status_until(tmp_path, lambda shown: shown.get("running"))
        assert trainer(tmp_path, "publish", "mine", "--wait", "60s").returncode == 0, log_of(tmp_path)[-2000:]
        page = seen.open("/models")
        assert "The starter model" in page.locator("main").inner_text()
        assert page.locator("button:has-text('Promote')").count() == 0
        page.click("text=Promote: sign in")
        page.fill("#password", "not the password")
        page.click("main button")
        assert "not the password" in page.locator("[role=alert]").inner_text()
        page.fill("#password", (tmp_path / "data" / "dashboard" / "first-password").read_text().strip())
        page.click("main button")
        page.wait_for_url("**/models")
        page.click("button:has-text('Promote')")
        page.wait_for_selector("button:has-text('Roll back')")
        live = json.loads(hub(tmp_path, "models", "list", "--json").stdout)["live"]
        assert (live["name"], live["version"]) == ("other", "0.01")
        page.click("button:has-text('Roll back')")
        until(lambda: "The starter model" in page.locator("main .columns").inner_text())
        assert "withdrawn" in page.locator("main").inner_text() or "rolled back" in page.locator("main").inner_text()
        page.click("text=Sign out")
        assert seen.open("/models").locator("button:has-text('Roll back')").count() == 0
    assert [trouble for trouble in seen.troubles if "403" not in trouble] == []


@pytest.mark.timeout(180)
def test_a_page_that_stays_open_does_not_grow(browser: Browser, tmp_path: Path) -> None:
    """Two hours of bars in twelve seconds: no figure, no element and no listener is left behind."""
    port = free_port()
    collector = {"source": "simulated", "backfill": "3h"}
    write_values(tmp_path, clock={"speed": 600}, plugins={"collector": collector, "dashboard": {"port": port}})
    seen = watched(browser, f"http://127.0.0.1:{port}")
    with running(tmp_path):
        wait_for_port(port, 30)
        page = seen.open("/")
        until(lambda: drawn(seen, "chart-BTC-USDT"))
        tools = page.context.new_cdp_session(page)
        last = f"{CHART}.data.datasets[0].data.at(-1).x"

        def after(minutes: int) -> dict[str, float]:
            """What the page holds, so many minutes of the market later, when all rubbish is gone."""
            begun = page.evaluate(last)
            until(lambda: page.evaluate(last) >= begun + minutes * 60_000, 60)
            tools.send("Performance.enable")
            for _ in range(3):
                tools.send("HeapProfiler.collectGarbage")
            return {each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]}

        early = after(60)
        late = after(120)
        assert late["JSHeapUsedSize"] - early["JSHeapUsedSize"] < 3_000_000
        assert late["Nodes"] <= early["Nodes"] * 1.2 + 200
        assert late["JSEventListeners"] <= early["JSEventListeners"] + 50
    assert seen.troubles == []


@pytest.mark.timeout(120)
def test_a_first_start_says_what_is_happening(browser: Browser, tmp_path: Path) -> None:
    """A slow exchange: the page tells how far the history is, and turns into charts by itself."""
    port = free_port()
    write_values(tmp_path, plugins={"dashboard": {"port": port}, "slow": {}})
    drop_in(tmp_path, "slow", SLOW)
    seen = watched(browser, f"http://127.0.0.1:{port}")
    with running(tmp_path):
        wait_for_port(port, 30)
        page = seen.open("/")
        assert "The station has just started" in page.locator("main").inner_text()
        assert "slow" in page.locator("main").inner_text()
        (tmp_path / "go").touch()
        until(lambda: page.locator("progress").count() and page.locator("progress").get_attribute("value") == "50")
        until(lambda: drawn(seen, "chart-BTC-USDT"))
    assert seen.troubles == []


SLOW = """
import asyncio
from datetime import timedelta
from pathlib import Path

from hub import Bar, Source, hookimpl
from hub.testing import START, bars


@hookimpl
def register_sources(hub):
    async def stream():
        while not Path("go").exists():
            await asyncio.sleep(0.05)
        hub.log.info("filling in the past", minutes=5, of=10, percent=50)
        for minute in range(1000):
            yield bars(100.0 + minute, start=START + timedelta(minutes=minute))
            await asyncio.sleep(0.5)

    return [Source("bars", stream, produces=(Bar,))]
"""
