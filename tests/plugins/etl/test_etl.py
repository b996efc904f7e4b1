"""Every day's dump: whole, once, delivered, and nothing half is ever taken for it."""

import asyncio
import csv
import hashlib
import os
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import Dump, TransientError
from hub.dumps import DumpManifest, guarded, unguarded
from hub.errors import HubError
from hub.market.interval import to_ms
from hub.messages import Request
from hub.testing import FakeHub
from plugins.etl.daily import Daily
from plugins.etl.folder import dump_day, manifest_in
from plugins.etl.schedule import next_time
from plugins.etl.settings import EtlSettings
from tests.plugins.etl.days import DAY, MINUTE, a_day, article, etl_hub, forecast, prices

TODAY = DAY.date()
ONE = timedelta(days=1)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def is_whole(place: Path) -> bool:
    """Whether there is a manifest, and every file is what it says."""
    manifest = manifest_in(place)
    return manifest is not None and all(
        hashlib.sha256((place / file.name).read_bytes()).hexdigest() == file.sha256 and (place / file.name).stat().st_size == file.bytes
        for file in manifest.files
    )


async def announced(hub: FakeHub, count: int, seconds: float = 9000.0) -> list[Dump]:
    """What the plugin says until so many dumps are announced, or so many seconds of the hub's time are over."""
    found: list[Dump] = []
    end = hub.clock.monotonic() + seconds
    async with aclosing(Daily(hub, hub.settings_for(EtlSettings)).stream()) as stream:
        while len(found) < count and hub.clock.monotonic() < end:
            waiting = asyncio.ensure_future(anext(stream))
            while not waiting.done() and hub.clock.monotonic() < end:
                if hub.clock.next_wake is not None:  # otherwise it is at work, which takes real time
                    await hub.clock.advance(10.0)
                await asyncio.sleep(0.01)
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                break
            found.append(waiting.result())
    return found


# --- what stands in it


def test_a_days_tables_hold_the_days_facts_and_no_others(tmp_path: Path) -> None:
    hub = etl_hub(tmp_path, [*a_day(), *prices(DAY + ONE, minutes=30)])
    manifest = dump_day(hub, tmp_path, TODAY)
    place = tmp_path / "2025-05-20"
    assert is_whole(place)
    assert {file.table for file in manifest.files} == {"bars", "forecasts", "scores", "sentiment", "articles"}
    minutes = [int(row["open_time_ms"]) for row in read(place / "bars-BTC-USDT.csv")]
    assert minutes == list(range(to_ms(DAY), to_ms(DAY + ONE), 60_000))
    told = read(place / "forecasts.csv")
    assert [(row["horizon_minutes"], row["target_time"], row["state"]) for row in told] == [
        ("5", "2025-05-20T12:05:00Z", "scored"),
        ("30", "2025-05-20T00:20:00Z", "scored"),
        ("30", "2025-05-20T12:30:00Z", "scored"),
    ], "each stands on the day its time comes, with what came; 5 minutes before midnight is the next day's"
    assert all(float(row["outcome"]) for row in told)
    assert [(row["hour"], row["score"], row["articles"]) for row in read(place / "sentiment.csv")] == [
        ("2025-05-20T03:00:00Z", "-0.25", "4")
    ]
    assert len(read(place / "scores.csv")) == 1
    assert [file.rows for file in manifest.files if file.table == "articles"] == [7]
    for file in manifest.files:
        assert list(read(place / file.name)[0] if file.rows else [c.name for c in file.columns]) == [c.name for c in file.columns]


def test_gaps_stand_in_the_manifest_with_their_reason(tmp_path: Path) -> None:
    from hub import Gap

    gap = Gap(symbol="BTC-USDT", first_open_time=DAY + 60 * MINUTE, last_open_time=DAY + 69 * MINUTE, reason="halted")
    facts = [bar for bar in prices() if not 60 <= (bar.open_time - DAY) / MINUTE < 70]
    manifest = dump_day(etl_hub(tmp_path, [*facts, *prices(symbol="ETH-USDT"), gap]), tmp_path, TODAY)
    assert [(each.symbol, each.first_open_time, each.reason) for each in manifest.gaps] == [("BTC-USDT", DAY + 60 * MINUTE, "halted")]
    assert manifest.minutes_missing == 10


def test_no_cell_is_a_formula_and_the_text_comes_back(tmp_path: Path) -> None:
    """E1"""
    dump_day(etl_hub(tmp_path, a_day()), tmp_path, TODAY)
    titles = [row["title"] for row in read(tmp_path / "2025-05-20" / "articles.csv")]
    assert not any(title[0] in "=+-@\t\r" for title in titles)
    assert [unguarded(title) for title in titles] == ["=HYPERLINK(1)", 'plain, "quoted"', "'quote", "@x", "+1", "-1", "\tx"]
    assert {row["version"] for row in read(tmp_path / "2025-05-20" / "forecasts.csv")} == {"'=1+1"}


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=50))
def test_guarded_text_is_harmless_and_comes_back(text: str) -> None:
    assert guarded(text)[:1] not in set("=+-@\t\r")
    assert unguarded(guarded(text)) == text


# --- which days


async def test_a_first_start_dumps_what_is_there_and_then_every_day_once(tmp_path: Path) -> None:
    """E5: three days of the past at once, oldest first; the running day when it is over."""
    facts = [bar for day in range(4) for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + day * ONE, symbol)]
    hub = etl_hub(tmp_path, facts, DAY + 3 * ONE + timedelta(hours=23, minutes=58))
    found = await announced(hub, 4)
    assert [each.day for each in found] == [TODAY + day * ONE for day in range(4)]
    assert hub.clock.now() >= DAY + 4 * ONE
    again = etl_hub(tmp_path, facts, DAY + 4 * ONE + timedelta(hours=2))
    assert await announced(again, 1, 1200.0) == [], "a restart dumps none again"


async def test_days_that_were_missed_are_caught_up(tmp_path: Path) -> None:
    facts = [bar for day in range(5) for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + day * ONE, symbol)]
    assert len(await announced(etl_hub(tmp_path, facts, DAY + ONE + MINUTE), 1)) == 1
    late = await announced(etl_hub(tmp_path, facts, DAY + 5 * ONE + timedelta(hours=3)), 4)
    assert [each.day for each in late] == [TODAY + day * ONE for day in range(1, 5)]


async def test_a_dump_by_hand_does_not_hide_the_days_that_were_missed_before_it(tmp_path: Path) -> None:
    """The Pi was off, and somebody asks for yesterday before the hub has caught up."""
    facts = [bar for day in range(4) for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + day * ONE, symbol)]
    await announced(etl_hub(tmp_path, facts, DAY + ONE + MINUTE), 1)
    hub = etl_hub(tmp_path, facts, DAY + 4 * ONE + MINUTE)
    await Daily(hub, EtlSettings()).answer(Request.model_validate({}))
    found = await announced(etl_hub(tmp_path, facts, DAY + 4 * ONE + MINUTE), 2)
    assert [each.day for each in found] == [TODAY + ONE, TODAY + 2 * ONE]


async def test_days_that_are_filled_in_after_the_first_start_are_dumped_then(tmp_path: Path) -> None:
    """The past comes later than the first look at it."""
    fresh = [bar for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + 3 * ONE, symbol)]
    assert [each.day for each in await announced(etl_hub(tmp_path, fresh, DAY + 4 * ONE + MINUTE), 1)] == [TODAY + 3 * ONE]
    assert await announced(etl_hub(tmp_path, fresh, DAY + 4 * ONE + MINUTE), 1, 1200.0) == []
    past = [bar for day in (1, 2) for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + day * ONE, symbol)]
    found = await announced(etl_hub(tmp_path, [*fresh, *past], DAY + 4 * ONE + MINUTE), 2)
    assert [each.day for each in found] == [TODAY + ONE, TODAY + 2 * ONE]


async def test_a_day_of_which_more_has_come_is_dumped_again(tmp_path: Path) -> None:
    half = [*prices(minutes=1000), *prices(symbol="ETH-USDT"), *prices(DAY + ONE, minutes=5), *prices(DAY + ONE, "ETH-USDT", minutes=5)]
    hub = etl_hub(tmp_path, half)
    [first] = await announced(hub, 1)
    assert (first.revision, first.minutes_missing) == (1, 440)
    later = etl_hub(tmp_path, [*half, *prices()], DAY + ONE + timedelta(hours=1))
    [second] = await announced(later, 1)
    assert (second.day, second.revision, second.minutes_missing) == (TODAY, 2, 0)


async def test_the_last_minute_of_the_day_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    hub = etl_hub(tmp_path, [*prices(minutes=1439), *prices(symbol="ETH-USDT")])
    [found] = await announced(hub, 1, 1200.0)
    assert found.minutes_missing == 1
    assert hub.clock.now() - DAY - ONE >= timedelta(minutes=10)


async def test_by_hand_any_day_that_is_over_is_dumped_and_announced(tmp_path: Path) -> None:
    hub = etl_hub(tmp_path, a_day())
    daily = Daily(hub, EtlSettings())
    told = await daily.answer(Request.model_validate({"day": "2025-05-20"}))
    assert told["revision"] == 1
    assert {file["name"] for file in told["files"]} >= {"bars-BTC-USDT.csv", "articles.csv"}
    for day, words in (("2025-05-21", "is not over yet"), ("2024-01-01", "no bar of 2024-01-01")):
        with pytest.raises(HubError, match=words):
            await daily.answer(Request.model_validate({"day": day}))


# --- what may go wrong


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", range(1, 8))
def test_wherever_it_breaks_off_no_half_dump_counts_and_the_next_try_makes_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """E2: power, or a full disk, at any of its steps; also where an older dump is replaced."""
    hub, place = etl_hub(tmp_path, a_day()), tmp_path / "2025-05-20"
    owner, name = (os, "fsync") if call == "fsync" else (Path, "replace")
    real, count = getattr(owner, name), 0

    def fails(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    dump_day(hub, tmp_path, TODAY)
    hub.store.record([forecast(DAY + timedelta(hours=5)), article("one more", DAY + timedelta(hours=5)), *prices(close_by=0.25)])
    monkeypatch.setattr(owner, name, fails)
    try:
        dump_day(hub, tmp_path, TODAY)
    except TransientError as error:
        assert f"{place}: the dump cannot be written: No space left on device" in str(error)  # noqa: PT017
    monkeypatch.undo()
    assert manifest_in(place) is None or is_whole(place)
    dump_day(hub, tmp_path, TODAY)
    assert is_whole(place)
    assert not list(place.glob("*.part"))


async def test_what_was_delivered_is_removed_when_it_is_old_and_nothing_else(tmp_path: Path) -> None:
    facts = [bar for day in range(4) for symbol in ("BTC-USDT", "ETH-USDT") for bar in prices(DAY + day * ONE, symbol)]
    (tmp_path / "here").mkdir()
    away = tmp_path / "away"
    hub = etl_hub(tmp_path / "here", facts, DAY + 4 * ONE + MINUTE, target=away.as_uri(), keep=timedelta(days=2))
    found = await announced(hub, 5, 7200.0)
    assert [each.day for each in found] == [TODAY + day * ONE for day in range(4)]
    assert {file.url for file in found[0].files} == {f"{away.as_uri()}/2025-05-20/{file.name}" for file in found[0].files}
    assert sorted(place.name for place in (tmp_path / "here").iterdir() if place.is_dir()) == ["2025-05-22", "2025-05-23"]
    assert all(is_whole(away / f"2025-05-{20 + day}") for day in range(4))
    assert await announced(etl_hub(tmp_path / "here", facts, DAY + 4 * ONE + MINUTE, target=away.as_uri()), 1, 1200.0) == []


async def test_a_target_that_does_not_work_is_tried_again_and_costs_no_dump(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "away").write_text("a file, no folder")
    facts = a_day()
    hub = etl_hub(tmp_path / "here", facts, target=(tmp_path / "away").as_uri())
    with pytest.raises(TransientError, match="away"):
        await announced(hub, 1)
    assert is_whole(tmp_path / "here" / "2025-05-20")
    (tmp_path / "away").unlink()
    [found] = await announced(etl_hub(tmp_path / "here", facts, target=(tmp_path / "away").as_uri()), 1)
    assert found.day == TODAY
    assert is_whole(tmp_path / "away" / "2025-05-20")


# --- settings


@pytest.mark.parametrize(
    ("at", "due"),
    [
        ("00:00", "2025-05-21T00:00:00Z"),
        ("12:30", "2025-05-20T12:30:00Z"),
        ("10:00", "2025-05-21T10:00:00Z"),
        ("5 */6 * * *", "2025-05-20T12:05:00Z"),
    ],
)
def test_when_it_is_due(at: str, due: str) -> None:
    assert EtlSettings.model_validate({"at": at}).at == at
    assert next_time(at, datetime(2025, 5, 20, 10, tzinfo=UTC)) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"at": "25:00"}, "time of day"),
        ({"at": "61 * * * *"}, "cron expression"),
        ({"target": "/srv/dumps"}, "must be a URL"),
        ({"target": "sftp://me:secret@host/x"}, "must not hold a password"),
        ({"target": "sftp://host/../etc"}, "without"),
        ({"target": "sftp:///x"}, "names no host"),
        ({"format": "parquet"}, "csv"),
        ({"keep": "1h"}, "greater than or equal"),
    ],
)
def test_a_section_that_will_not_do_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EtlSettings.model_validate(section)


def test_a_time_without_quotes_is_understood() -> None:
    """YAML 1.1 reads 12:30 as 750."""
    assert EtlSettings.model_validate({"at": 750}).at == "12:30"
    assert EtlSettings.model_validate({"at": 0}).at == "00:00"


def test_a_manifest_that_names_files_elsewhere_is_none(tmp_path: Path) -> None:
    """E4"""
    manifest = dump_day(etl_hub(tmp_path, a_day()), tmp_path, TODAY)
    for name in ("../x.csv", "/etc/passwd", "a b", "x;rm", ""):
        bad = manifest.model_dump(mode="json")
        bad["files"][0]["name"] = name
        with pytest.raises(ValueError, match="name"):
            DumpManifest.model_validate(bad)
    assert manifest.day == date(2025, 5, 20)
