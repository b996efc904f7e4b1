"""The trainer on real bars: what is on disk is what the files say, and what their makers counted."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from hub.clock import SystemClock
from hub.market.interval import from_ms, minutes_in, to_ms
from tests.hubs import hub
from tests.shared.test_hub_on_recorded_data import play
from trainer.ingest import ingest
from trainer.intake import Intake
from trainer.series import load


def take(data: Path, *paths: Path) -> Intake:
    return ingest(paths, data, None, "spot", to_ms(SystemClock().now()))


def parquet(data: Path) -> dict[str, bytes]:
    return {str(file.relative_to(data)): file.read_bytes() for file in sorted(data.rglob("*.parquet"))}


def utc(ms: int) -> str:
    return f"{from_ms(ms):%Y-%m-%d %H:%M:%S}"


def test_every_file_of_spot_bars_is_counted_as_its_makers_counted(shared_data: Path, tmp_path: Path) -> None:
    """Rows, first and last bar, gaps and their minutes; the perpetual futures and the lists beside them are left out."""
    market = shared_data / "market"
    intake = take(tmp_path, market)
    assert intake.errors == []
    found = {Path(origin.name).name: origin for origin in intake.origins if not origin.left_out}
    with (market / "manifest.csv").open() as lines:
        expected = {row["file"]: row for row in csv.DictReader(lines) if row["market"] == "binance_spot"}
    assert found.keys() == expected.keys()
    gaps = defaultdict(list)
    with (market / "gaps.csv").open() as lines:
        for row in csv.DictReader(lines):
            gaps[row["file"]].append((row["first_missing_utc"], row["last_missing_utc"]))
    for name, origin in found.items():
        wanted = expected[name]
        assert (origin.rows, origin.kept) == (int(wanted["rows"]),) * 2
        assert origin.symbol == wanted["symbol"].replace("USDT", "-USDT")
        assert [(utc(first), utc(last)) for first, last in origin.gaps] == gaps[name]
        assert sum(map(minutes_in, origin.gaps)) == int(wanted["missing_minutes"])
    stretches = load(tmp_path)
    assert sum(len(stretch) for every in stretches.values() for stretch in every) == sum(int(row["rows"]) for row in expected.values())
    edges = {utc(int(stretch.open_time[0])) for every in stretches.values() for stretch in every}
    assert {row["first_utc"] for row in expected.values()} <= edges
    before = parquet(tmp_path)
    assert take(tmp_path, market).total.duplicates == intake.total.kept
    assert parquet(tmp_path) == before


def test_a_days_dump_in_microseconds_is_a_day_of_bars(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "api" / "binance_public_dump_BTCUSDT-1m-2026-03-01.csv"
    [origin] = take(tmp_path, file).origins
    assert (origin.rows, origin.kept, origin.kind, origin.gaps) == (1440, 1440, "binance", [])
    [stretch] = load(tmp_path)["BTC-USDT"]
    first = file.read_text().splitlines()[0].split(",")
    assert utc(int(stretch.open_time[0])) == "2026-03-01 00:00:00"
    assert (stretch.close[0], stretch.trades[0], stretch.taker_buy_volume[0]) == (float(first[4]), float(first[8]), float(first[9]))
    assert np.all(stretch.taker_buy_volume <= stretch.volume)


@pytest.mark.timeout(180)
def test_the_hubs_export_gives_the_same_parquet_as_the_exchanges_file(shared_data: Path, tmp_path: Path) -> None:
    """From the exchange through the hub's store and out again: not a digit differs."""
    file = shared_data / "market" / "binance_spot_BTCUSDT_1m_20240101_20240121.csv.gz"
    (tmp_path / "hub").mkdir()
    play(tmp_path / "hub", {"BTC/USDT": file})
    answer = hub(tmp_path / "hub", "bars", "export", "--symbol", "BTC/USDT", "--out", "BTC-USDT.csv")
    assert answer.returncode == 0, answer.stderr
    take(tmp_path / "one", file)
    [origin] = take(tmp_path / "two", tmp_path / "hub" / "BTC-USDT.csv").origins
    assert (origin.kind, origin.kept) == ("hub", 30_000)
    assert parquet(tmp_path / "one") == parquet(tmp_path / "two")
