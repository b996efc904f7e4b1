"""Old facts make room, and nothing goes that somebody has yet to take."""

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub import Sink, Source
from hub.configuration import load_configuration
from hub.flow import Kinds
from hub.messages import Article, Bar, Dump, Forecast, Message, Score
from hub.runtime.app import App
from hub.runtime.disk.pruning import at_worst, prune, shed, taken, wanted
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import Member
from hub.runtime.hosting.plugins import Declared
from hub.runtime.mqtt.bus import Bus
from hub.runtime.mqtt.outbox import CURSOR
from hub.settings import RetentionSettings
from hub.testing import START, FakeClock
from tests.days import a_day
from tests.hubs import write_values

DAY = timedelta(days=1)
EVERYTHING: Kinds = (Bar, Forecast, Score, Article)


def article(number: int, at: datetime) -> Article:
    return Article(asset="BTC", title=f"headline {number}", url=f"https://x/{number}", source="test", published_at=None, collected_at=at)


def member(name: str, *flows: Any, failure: str | None = None) -> Member:
    return Member(name, {}, declared=Declared(list(flows)), failure=failure)


def sink(name: str, kinds: Kinds, *, durable: bool = True) -> Sink:
    async def write(_batch: object) -> None:
        raise AssertionError("nobody writes here")

    return Sink(name, write, kinds, durable=durable)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
async def app(tmp_path: Path, clock: FakeClock) -> Any:
    """A hub with 30 days of facts, all of them published, and nobody else who reads them."""
    write_values(tmp_path, plugins={})
    configuration = load_configuration(tmp_path / "config.yaml", {})
    store = SqliteStore.open(tmp_path / "data" / "tickerml.db", clock)
    for day in range(30):
        at = START + DAY * day
        store.record([*a_day(20, start=at, seed=day), *(article(day * 10 + number, at) for number in range(10))])
    store.move_cursor(CURSOR, store.last_seq())
    await clock.advance((30 * DAY).total_seconds())
    recorder = Recorder(store, clock)
    yield App(configuration, recorder, Bus(configuration.settings.mqtt, clock, structlog.get_logger()), clock)
    await recorder.close()


def facts(app: App, *kinds: type[Message]) -> list[tuple[int, Message]]:
    return app.recorder.store.facts_after(0, kinds or EVERYTHING, 1_000_000)


def oldest(app: App, kind: type[Any], field: str) -> datetime:
    return min(getattr(fact, field) for _, fact in facts(app, kind))


async def test_what_is_older_than_wanted_goes_and_bars_never(app: App) -> None:
    bars, forecasts = facts(app, Bar), facts(app, Forecast)
    gone = prune(app, wanted(RetentionSettings(scores=10 * DAY, articles=20 * DAY)))
    assert set(gone) == {"Score", "Article"}
    now = app.clock.now()
    assert oldest(app, Article, "collected_at") == now - 20 * DAY
    newest_of_topics = {type(fact): fact for fact in app.recorder.store.newest(Score)}
    assert newest_of_topics, "the newest of each topic is still there"
    assert (facts(app, Bar), facts(app, Forecast)) == (bars, forecasts)
    assert prune(app, wanted(RetentionSettings(scores=10 * DAY, articles=20 * DAY))) == {}, "and again nothing"
    assert prune(app, wanted(RetentionSettings(scores=None, articles=None))) == {}
    assert set(prune(app, wanted(RetentionSettings(forecasts=30 * DAY)))) <= {"Forecast"}


async def test_nothing_goes_that_a_forwarder_has_yet_to_take(app: App) -> None:
    """However long its database is away; and one that has never come anywhere holds all."""
    store, before = app.recorder.store, facts(app)
    app.members["influxdb"] = member("influxdb", sink("influxdb", EVERYTHING))
    assert taken(app, Article) == 0
    assert prune(app, at_worst()) == {}
    assert facts(app) == before
    half = [seq for seq, _ in facts(app, Article)][50]
    store.move_cursor("influxdb.influxdb", half)
    assert prune(app, at_worst())["Article"] > 0
    left = facts(app)
    assert [fact for fact in left if fact[0] > half] == [fact for fact in before if fact[0] > half]
    assert len(left) < len(before)


async def test_a_forwarder_of_other_facts_and_one_that_only_listens_hold_nothing(app: App) -> None:
    app.members["x"] = member("x", sink("bars", (Bar,)), sink("live", EVERYTHING, durable=False))
    assert taken(app, Article) == app.recorder.store.last_seq()


async def test_the_place_of_a_plugin_that_has_failed_is_kept(app: App) -> None:
    """What it would take is not known: its settings may be wrong today and right tomorrow."""
    app.recorder.store.move_cursor("influxdb.influxdb", 5)
    assert taken(app, Article) == app.recorder.store.last_seq(), "nobody of that name is here"
    app.members["influxdb"] = member("influxdb", failure="no")
    assert taken(app, Article) == 5


async def test_what_has_not_been_published_stays(app: App) -> None:
    app.recorder.store.move_cursor(CURSOR, 0)
    before = facts(app)
    prune(app, at_worst())
    assert facts(app) == before


async def test_what_stands_in_no_daily_dump_yet_stays(app: App) -> None:
    async def stream() -> Any:
        yield []

    app.members["etl"] = member("etl", Source("dumps", stream, (Dump,)))
    before = facts(app)
    assert prune(app, at_worst()) == {}, "there is no dump at all"
    app.recorder.store.record([Dump(day=(START + 20 * DAY).date(), files=(), revision=1, minutes_missing=0)])
    app.recorder.store.move_cursor(CURSOR, app.recorder.store.last_seq())
    assert prune(app, at_worst())["Article"] > 0
    assert (START + 11 * DAY).date() <= oldest(app, Article, "collected_at").date() <= (START + 12 * DAY).date()
    assert facts(app, Bar, Forecast) == [fact for fact in before if isinstance(fact[1], Bar | Forecast)]


async def test_a_full_disk_lets_go_of_what_can_be_had_again(app: App, tmp_path: Path) -> None:
    """Old scores and articles, and all archives but the newest; forecasts are the ledger, and stay."""
    folder = tmp_path / "data" / "backups"
    folder.mkdir()
    for name in ("tickerml-2025-01-01T0317Z.tar.gz", "tickerml-2025-01-02T0317Z.tar.gz", "mine.tar.gz"):
        (folder / name).touch()
    before = facts(app, Bar, Forecast)
    shed(app)
    assert sorted(file.name for file in folder.iterdir()) == ["mine.tar.gz", "tickerml-2025-01-02T0317Z.tar.gz"]
    assert facts(app, Bar, Forecast) == before
    assert oldest(app, Article, "collected_at") >= app.clock.now() - 8 * DAY


@pytest.mark.parametrize("where", ["retention: {scores: 1d}", "retention: {articles: 7d}", "retention: {forecasts: 29d}"])
def test_less_than_a_dump_looks_back_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "config.yaml").write_text(f"{where}\nplugins: {{}}\n")
    assert load_configuration(tmp_path / "config.yaml", {}).problems


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ages=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["BTC", "ETH"]), st.booleans()), max_size=60),
    cursor=st.integers(0, 80),
    kept=st.integers(8, 40),
)
def test_of_any_facts_the_right_ones_stay(
    tmp_path_factory: pytest.TempPathFactory, ages: list[tuple[int, str, bool]], cursor: int, kept: int
) -> None:
    """Bars, whatever is younger, whatever is not taken, and the newest of each topic; and nothing else."""
    now = START + 40 * DAY
    with closing(SqliteStore.open(tmp_path_factory.mktemp("store") / "x.db", FakeClock())) as store:
        for number, (age, asset, spoilt) in enumerate(ages):
            store.record([article(number, now - DAY * age).model_copy(update={"asset": asset})])
            if spoilt:
                spoil(store, number + 1)
        before = now - DAY * kept
        rows = {number + 1: (now - DAY * age, asset, spoilt) for number, (age, asset, spoilt) in enumerate(ages)}
        newest = {asset: seq for seq, (_, asset, _) in sorted(rows.items())}
        gone = store.forget(Article, "collected_at", before, cursor)
        left = {seq for (seq,) in store._rows("SELECT seq FROM fact")}
        away = {seq for seq, (at, asset, spoilt) in rows.items() if at < before and seq <= cursor and seq != newest[asset] and not spoilt}
        assert left == rows.keys() - away
        assert gone == len(away)


def spoil(store: SqliteStore, seq: int) -> None:
    """What a bad disk does: that row is somebody else's business."""
    with store._transaction() as run:
        run("UPDATE fact SET payload = '{broken' WHERE seq = ?", (seq,))
