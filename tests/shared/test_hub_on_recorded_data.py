"""The whole hub, as its user runs it, on real bars: what `hub bars export` gives is what the exchange's file says, to the digit."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.market.interval import from_ms
from tests.hubs import hub, running, status_until, write_values

COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


def rows_of(file: Path) -> list[tuple[str, ...]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [tuple(row[column] for column in COLUMNS) for row in csv.DictReader(lines)]


def trimmed(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """`109000.0` and `109000` are one number."""
    for at, *numbers in rows:
        yield at, *(number.rstrip("0").rstrip(".") if "." in number else number for number in numbers)


def play(folder: Path, files: dict[str, Path]) -> None:
    """Run the hub on these files until their last bars are on disk."""
    section = {"source": "simulated", "simulated": {"file": {symbol: str(file) for symbol, file in files.items()}}}
    write_values(folder, symbols=list(files), plugins={"collector": section})
    ends = {symbol.replace("/", "-"): int(rows_of(file)[-1][0]) for symbol, file in files.items()}

    def all_there(shown: dict[str, object]) -> bool:
        last = {row["symbol"]: row["last_bar"] for row in shown["symbols"]}  # type: ignore[attr-defined]
        return all(symbol in last and last[symbol]["open_time"] == iso(end) for symbol, end in ends.items())

    with running(folder):
        status_until(folder, all_there, seconds=110.0)


def iso(ms: int) -> str:
    return from_ms(ms).isoformat().replace("+00:00", "Z")


def exported(folder: Path, symbol: str) -> list[tuple[str, ...]]:
    answer = hub(folder, "bars", "export", "--symbol", symbol)
    assert answer.returncode == 0, answer.stderr
    return [tuple(row[column] for column in COLUMNS) for row in csv.DictReader(answer.stdout.splitlines())]


@pytest.mark.timeout(180)
def test_eight_weeks_of_two_symbols_are_exported_to_the_digit(shared_data: Path, tmp_path: Path) -> None:
    """The main job: 161,280 bars from the exchange to disk, and no minute missing."""
    files = {f"{base}/USDT": shared_data / "market" / f"binance_spot_{base}USDT_1m_20250520_20250714.csv.gz" for base in ("BTC", "ETH")}
    play(tmp_path, files)
    for symbol, file in files.items():
        expected = list(trimmed(rows_of(file)))
        assert len(expected) == 80_640
        assert list(trimmed(exported(tmp_path, symbol))) == expected
    assert hub(tmp_path, "bars", "gaps").stdout == "none\n"


@pytest.mark.timeout(180)
def test_a_halt_is_one_gap_and_stays_empty(shared_data: Path, tmp_path: Path) -> None:
    """Binance stood still on 2021-04-20 and 2021-04-25: nothing is made up for it."""
    file = shared_data / "market" / "binance_spot_BTCUSDT_1m_20210326_20210520.csv.gz"
    play(tmp_path, {"BTC/USDT": file})
    gaps = json.loads(hub(tmp_path, "bars", "gaps", "--json").stdout)
    assert [(gap["first_open_time"], gap["last_open_time"], gap["reason"]) for gap in gaps] == [
        ("2021-04-20T02:00:00Z", "2021-04-20T04:29:00Z", "exchange: no data"),
        ("2021-04-25T04:01:00Z", "2021-04-25T08:44:00Z", "exchange: no data"),
    ]
    assert list(trimmed(exported(tmp_path, "BTC/USDT"))) == list(trimmed(rows_of(file)))
