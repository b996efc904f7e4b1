"""One file, row by row: what is a bar, and what is told of everything else."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.market.interval import MINUTE_MS, epoch_ms
from tests.trainer.files import DUMP, FULL, HUB, NOW, PLAIN, T, at, dump, plain, price, unhurried, write
from trainer import unpacked
from trainer.bar_csv import Reading, read_bars
from trainer.checks import UNITS, Fault, units_of
from trainer.month import NUMBERS
from trainer.unpacked import UnusableFile


def reading(folder: Path, *lines: str, now_ms: int = NOW) -> Reading:
    return read_bars(write(folder / "BTCUSDT.csv", lines), now_ms)


def test_a_plain_csv_becomes_bars_to_the_digit(tmp_path: Path) -> None:
    found = reading(tmp_path, PLAIN, *map(plain, range(30)))
    assert found.minutes.times.tolist() == [at(minute) for minute in range(30)]
    middle = price(7)
    assert found.minutes.values[:5, 7].tolist() == [middle, middle + 1, middle - 1, middle + 0.5, 2.5]
    assert np.isnan(found.minutes.values[5:]).all(), "what the file does not say is not known"
    assert (found.rows, found.faults.total(), found.layout.kind) == (30, 0, "plain")


@pytest.mark.parametrize("header", [[], [DUMP]], ids=["without header", "with header"])
@pytest.mark.parametrize("scale", [1, 1000], ids=["ms", "us"])
def test_a_public_dump_is_read_in_either_unit(header: list[str], scale: int, tmp_path: Path) -> None:
    """Binance changed from milliseconds to microseconds on 2025-01-01; some newer dumps have a header."""
    found = reading(tmp_path, *header, *(dump(minute, scale=scale) for minute in range(20)))
    assert found.minutes.times.tolist() == [at(minute) for minute in range(20)]
    assert dict(zip(NUMBERS[5:], found.minutes.values[5:, 3], strict=True)) == {
        "quote_volume": 250.0,
        "trades": 7.0,
        "taker_buy_volume": 1.25,
    }
    assert found.layout.kind == "binance"


def test_optional_columns_may_be_empty(tmp_path: Path) -> None:
    found = reading(tmp_path, FULL, f"{plain(0)},,250,,", f"{plain(1)},1.5,,0.5,3")
    assert np.array_equal(found.minutes.values[5:, 0], [math.nan, 250.0, math.nan], equal_nan=True)
    assert np.array_equal(found.minutes.values[5:, 1], [1.5, math.nan, 0.5], equal_nan=True)


def test_stand_ins_never_train(tmp_path: Path) -> None:
    """A fallback bar is only a last price; its volume is not known, and no fault of the file."""
    stand_in = f"{at(1)},100,100,100,100,,,,coingecko"
    found = reading(tmp_path, HUB, f"{plain(0)},250,7,binanceus", stand_in, f"{plain(2)},250,7,binanceus")
    assert found.minutes.times.tolist() == [at(0), at(2)]
    assert (found.rows, found.fallback, found.faults.total()) == (3, 1, 0)
    assert found.sources == {"binanceus": 2}
    assert reading(tmp_path, f"{HUB},quality", f"{plain(0)},,,x,fallback", f"{plain(1)},,,x,exact").fallback == 1


BAD: dict[str, tuple[Fault, dict[str, Any]]] = {
    "an underscore": (Fault.NUMBER, {"close": "1_000"}),
    "nan": (Fault.NUMBER, {"open": "nan"}),
    "true": (Fault.NUMBER, {"close": "true"}),
    "infinity": (Fault.NUMBER, {"high": "inf"}),
    "an exponent": (Fault.NUMBER, {"high": "1e3"}),
    "a sign": (Fault.NUMBER, {"volume": "-1"}),
    "a plus": (Fault.NUMBER, {"volume": "+1"}),
    "a space": (Fault.NUMBER, {"volume": " 1"}),
    "sixteen digits": (Fault.NUMBER, {"high": "1" * 16}),
    "thirteen decimals": (Fault.NUMBER, {"volume": "1." + "1" * 13}),
    "Arabic digits": (Fault.NUMBER, {"open": "\u0661\u0660\u0660"}),
    "an empty price": (Fault.NUMBER, {"low": ""}),
    "a formula": (Fault.NUMBER, {"volume": "=1+1"}),
    "a NUL": (Fault.NUMBER, {"volume": "1\0"}),
    "a price of zero": (Fault.PRICE, {"open": "0", "low": "0"}),
    "low above open": (Fault.SHAPE, {"low": "100.2"}),
    "high below close": (Fault.SHAPE, {"high": "100.2"}),
    "off the grid": (Fault.GRID, {"time": at(1) + 1}),
    "not over yet": (Fault.FUTURE, {"time": NOW // MINUTE_MS * MINUTE_MS}),
    "before 2017": (Fault.TIME, {"time": 0}),
    "nanoseconds": (Fault.TIME, {"time": at(1) * 1_000_000}),
    "no time": (Fault.TIME, {"time": "2025-05-20"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_costs_itself_and_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    """Its neighbours are kept. An empty line counts as a line and as nothing else."""
    fault, cells = BAD[name]
    found = reading(tmp_path, PLAIN, plain(0), "", plain(1, **cells), plain(2))
    assert found.minutes.times.tolist() == [at(0), at(2)]
    assert (found.rows, found.faults) == (3, {fault: 1})
    [(line, reason)] = found.rejects
    assert line == 4
    assert len(reason) < 250
    assert reason.isprintable()


def test_rows_of_another_length_and_a_wrong_close_are_refused(tmp_path: Path) -> None:
    """The lines after them keep their numbers."""
    lines = [dump(0), "1,2,3", dump(1, close_time=at(3) * 1000 - 1), dump(2, taker_base="9"), dump(3, open="x"), dump(4)]
    found = reading(tmp_path, *lines)
    assert found.minutes.times.tolist() == [at(0), at(4)]
    assert found.faults == {Fault.COLUMNS: 1, Fault.LENGTH: 1, Fault.TAKER: 1, Fault.NUMBER: 1}
    assert [line for line, _ in sorted(found.rejects)] == [2, 3, 4, 5]


def test_line_numbers_hold_over_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is read in blocks; here of three rows."""
    monkeypatch.setattr(unpacked, "BLOCK", 150)
    monkeypatch.setattr(unpacked, "PIECE", 50)
    spoilt = {4: "1,2,3", 5: ""}
    rows = [spoilt.get(minute % 10, plain(minute, volume="x" if minute % 10 == 9 else 1.5)) for minute in range(95)]
    found = reading(tmp_path, PLAIN, *rows)
    assert [line for line, _ in found.rejects] == sorted(minute + 2 for minute in range(95) if minute % 10 in {4, 9})
    assert (found.rows, len(found.minutes)) == (95 - 9, 95 - 10 - 9 - 9)


def test_rows_out_of_order_are_sorted_and_repeated_minutes_counted(tmp_path: Path) -> None:
    """The last word about a minute counts."""
    found = reading(tmp_path, PLAIN, plain(2), plain(0), plain(1), plain(1), plain(2, close=101.5, high=102))
    assert found.minutes.times.tolist() == [at(0), at(1), at(2)]
    assert (found.unsorted, found.duplicates, found.revisions) == (3, 1, 1)
    assert found.minutes.values[3, 2] == 101.5


def test_windows_line_ends_quotes_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    """What spreadsheets make of a CSV."""
    quoted = ",".join(f'"{cell}"' for cell in plain(1).split(","))
    file = write(tmp_path / "x.csv", ["\ufeff" + PLAIN, plain(0), quoted, plain(2).replace("2.5", '"2.5')], newline="\r\n")
    found = read_bars(file, NOW)
    assert found.minutes.times.tolist() == [at(0), at(1)]
    assert [line for line, _ in found.rejects] == [4]


UNUSABLE: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "is empty"),
    "another header": (["time,price"], r"csv:1: no column open_time, open, high, low, close, volume"),
    "a column twice": ([f"{PLAIN},close"], r"csv:1: more than one column is close"),
    "no header": ([plain(0)], r"csv:1: 6 columns and no header"),
    "two units": (
        [PLAIN, plain(0), plain(1), plain(2, scale=1000)],
        r"csv:4: this open time is in microseconds, those before in milliseconds",
    ),
    "two symbols": ([f"{PLAIN},symbol", f"{plain(0)},BTC-USDT", f"{plain(1)},ETH-USDT"], r"csv:3: symbol is 'ETH-USDT'"),
    "five minutes": ([f"{PLAIN},interval", f"{plain(0)},1m", f"{plain(5)},5m"], r"csv:3: interval is '5m'"),
    "hours": ([PLAIN, *(plain(minute) for minute in range(0, 1200, 60))], "60 minutes apart"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_file_of_something_else_is_refused_whole(name: str, tmp_path: Path) -> None:
    """In words, with the line."""
    lines, words = UNUSABLE[name]
    with pytest.raises(UnusableFile, match=words):
        reading(tmp_path, *lines)


@unhurried
@given(st.integers(0, 10**16))
def test_units_are_told_as_the_collector_tells_them(stamp: int) -> None:
    """One rule for what a time stamp means."""
    place = int(units_of(np.array([stamp]))[0])
    try:
        expected = epoch_ms(stamp)
    except ValueError:
        assert place < 0
        return
    minute = list(UNITS.values())[place]
    assert expected == stamp * UNITS["milliseconds"] // minute


numbers = st.sampled_from(
    ["100", "100.5", "0", "99.9", "1e2", "nan", "", "-1", "1_0", " 1", "1.", ".5", "true", "0x1", "1" * 16, "100.0000001"]
)


@unhurried
@given(st.lists(st.lists(numbers, min_size=5, max_size=5), max_size=30))
def test_whatever_stands_in_the_cells_every_row_is_accounted_for(rows: list[list[str]]) -> None:
    """A row is a bar or has a reason, and a bar is possible."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{T + 60_000 * number},{','.join(cells)}" for number, cells in enumerate(rows)]
        found = reading(Path(folder), PLAIN, *lines)
    assert len(found.minutes) + found.faults.total() == found.rows == len(rows)
    opened, high, low, closed, volume = found.minutes.values[:5]
    assert np.all((low > 0) & (low <= opened) & (opened <= high) & (low <= closed) & (closed <= high) & (volume >= 0))
