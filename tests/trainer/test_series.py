"""Bars on disk and in memory."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from tests.trainer.files import at, unhurried
from trainer.month import NOTHING, NUMBERS, Minutes, month_files, read_month
from trainer.series import gaps_in, load
from trainer.shelf import Shelf, Tally, merged, only_writer

NAN = float("nan")


def minutes(*numbers: int, close: float = 100.0, **known: float) -> Minutes:
    """Bars of these minutes, each as dull as the others."""
    bar = {"open": 100.0, "high": 110.0, "low": 90.0, "close": close, "volume": 1.0} | known
    values = np.array([[bar.get(name, NAN)] * len(numbers) for name in NUMBERS])
    return Minutes(np.array([at(number) for number in numbers], np.int64), values)


def shelve(data: Path, bars: Minutes, symbol: str = "BTC-USDT", market: str = "spot") -> Tally:
    shelf = Shelf(data, symbol, market)
    tally = shelf.merge(bars)
    shelf.save()
    return tally


def test_what_was_shelved_is_loaded_in_stretches_without_gaps(tmp_path: Path) -> None:
    """Over months, symbols and holes; what is not known is NaN."""
    shelve(tmp_path, minutes(*range(-3, 2), *range(5, 8), trades=7.0))
    shelve(tmp_path, minutes(*range(17_000, 17_400)), "ETH-USDT")
    found = load(tmp_path)
    assert {symbol: [len(stretch) for stretch in stretches] for symbol, stretches in found.items()} == {
        "BTC-USDT": [5, 3],
        "ETH-USDT": [400],
    }
    first, second = found["BTC-USDT"]
    assert first.open_time.tolist() == [at(minute) for minute in range(-3, 2)]
    assert (second.symbol, second.close.tolist(), second.trades.tolist()) == ("BTC-USDT", [100.0] * 3, [7.0] * 3)
    assert np.isnan(second.taker_buy_volume).all()
    assert [file.name for file in month_files(tmp_path / "bars" / "ETH-USDT")] == ["2025-05.parquet", "2025-06.parquet"]


def test_the_same_bars_again_change_no_byte(tmp_path: Path) -> None:
    """Nor the time of the file."""
    shelve(tmp_path, minutes(*range(100)))
    [file] = month_files(tmp_path / "bars" / "BTC-USDT")
    before = (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino)
    assert shelve(tmp_path, minutes(*range(100))) == Tally(duplicates=100)
    assert (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_the_newer_word_counts_and_knowledge_is_kept(tmp_path: Path) -> None:
    """A poorer copy of the same bar takes nothing away; another bar for the same minute replaces all of it."""
    shelve(tmp_path, minutes(0, 1, trades=7.0, taker_buy_volume=0.5))
    assert shelve(tmp_path, minutes(0, 2, quote_volume=3.0)) == Tally(new=1, completed=1)
    assert shelve(tmp_path, minutes(1, close=101.0)) == Tally(revisions=1)
    [stretch] = load(tmp_path)["BTC-USDT"]
    assert stretch.close.tolist() == [100.0, 101.0, 100.0]
    assert np.array_equal(stretch.trades, [7.0, NAN, NAN], equal_nan=True)
    assert np.array_equal(stretch.quote_volume, [3.0, NAN, 3.0], equal_nan=True)


bars_of_minutes = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([100.0, 101.0]), st.sampled_from([NAN, 5.0])), unique_by=lambda bar: bar[0]
)


@unhurried
@given(bars_of_minutes, bars_of_minutes)
def test_merging_twice_is_merging_once(one: list[tuple[int, float, float]], two: list[tuple[int, float, float]]) -> None:
    """Ascending, each minute once, each bar counted once, and what was said last is what stands."""

    def of(bars: list[tuple[int, float, float]]) -> Minutes:
        parts = [minutes(number, close=close, trades=trades) for number, close, trades in sorted(bars)]
        return Minutes(np.concatenate([p.times for p in parts]), np.concatenate([p.values for p in parts], axis=1)) if parts else NOTHING

    both, tally = merged(of(one), of(two))
    assert both.times.tolist() == sorted({at(number) for number, *_ in one + two})
    assert tally.new + tally.completed + tally.duplicates + tally.revisions == len(two)
    again, second = merged(both, of(two))
    assert second == Tally(duplicates=len(two))
    assert np.array_equal(again.values, both.values, equal_nan=True)
    closes = dict(zip(both.times.tolist(), both.values[3].tolist(), strict=True))
    assert all(closes[at(number)] == close for number, close, _ in two)


def test_gaps_are_the_minutes_between(tmp_path: Path) -> None:
    assert gaps_in(minutes(0, 1, 3, 10, 11).times) == [(at(2), at(2)), (at(4), at(9))]
    assert gaps_in(minutes().times) == []
    assert gaps_in(minutes(5).times) == []


def test_a_folder_without_bars_says_what_brings_some(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="`trainer ingest`"):
        load(tmp_path)
    with pytest.raises(HubError, match="`trainer ingest`"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"nonsense" * 100])
def test_a_damaged_month_is_named(damage: bytes, tmp_path: Path) -> None:
    """Not skipped: a hole in the bars would go unnoticed."""
    shelve(tmp_path, minutes(*range(10)))
    [file] = month_files(tmp_path / "bars" / "BTC-USDT")
    file.write_bytes(damage)
    with pytest.raises(HubError, match=r"2025-05\.parquet: cannot be read"):
        load(tmp_path)
    with pytest.raises(HubError, match=r"2025-05\.parquet: cannot be read"):
        shelve(tmp_path, minutes(11))


def test_a_half_written_file_of_a_crash_is_not_read(tmp_path: Path) -> None:
    shelve(tmp_path, minutes(*range(10)))
    (tmp_path / "bars" / "BTC-USDT" / "2025-06.parquet.part").write_bytes(b"half")
    assert [len(stretch) for stretch in load(tmp_path)["BTC-USDT"]] == [10]


def test_a_disk_that_will_not_have_it_leaves_the_old_month(tmp_path: Path) -> None:
    """And says which folder."""
    shelve(tmp_path, minutes(*range(10)))
    (tmp_path / "bars" / "BTC-USDT" / "2025-05.parquet.part").mkdir()
    with pytest.raises(HubError, match="BTC-USDT: cannot be written"):
        shelve(tmp_path, minutes(11))
    assert [len(stretch) for stretch in load(tmp_path)["BTC-USDT"]] == [10]


def test_a_kill_leaves_every_month_old_or_new(tmp_path: Path) -> None:
    """A program that rewrites the same month again and again, killed at a moment of chance."""
    script = textwrap.dedent("""
        import itertools, sys
        from pathlib import Path
        from tests.trainer.test_series import minutes, shelve
        for close in itertools.count(1):
            shelve(Path(sys.argv[1]), minutes(*range(3000), close=float(90 + close % 20)))
            print(close, flush=True)
    """)
    root = Path(__file__).parents[2]
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True) as process:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        [file] = month_files(tmp_path / "bars" / "BTC-USDT")
        assert len(set(read_month(file).values[3])) == 1
        assert len(read_month(file)) == 3000


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    """The second one is told, and nothing is lost."""
    with only_writer(tmp_path), pytest.raises(HubError, match="another `trainer ingest`"), only_writer(tmp_path):
        pass
    with only_writer(tmp_path):
        pass


def test_minutes_that_overlap_are_refused(tmp_path: Path) -> None:
    """Somebody has copied one month over another."""
    shelve(tmp_path, minutes(*range(10)))
    folder = tmp_path / "bars" / "BTC-USDT"
    (folder / "2025-06.parquet").write_bytes((folder / "2025-05.parquet").read_bytes())
    with pytest.raises(HubError, match="overlap"):
        load(tmp_path)
