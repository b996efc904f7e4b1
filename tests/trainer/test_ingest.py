"""Files into Parquet, as a call of many of them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.files import FULL, HUB, NOW, PLAIN, at, dump, plain, write
from trainer.ingest import Wanted, ingest
from trainer.intake import Intake, Origin
from trainer.series import load
from trainer.shelf import FOLDER


def take(data: Path, *paths: Path, symbol: str | None = None, market: Wanted = "spot") -> Intake:
    return ingest(paths, data, symbol, market, NOW)


def counts(origin: Origin) -> dict[str, int]:
    return {name: count for name, count in origin.as_dict().items() if count}


def snapshot(data: Path) -> dict[str, tuple[bytes, int]]:
    files = (file for file in data.rglob("*") if file.is_file())
    return {str(file.relative_to(data)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def trainer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    call = "from trainer.cli import main; main()"
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", call, *arguments],
        cwd=folder,
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two days in three kinds of files."""
    return {
        "plain": write(tmp_path / "in" / "BTCUSDT.csv.gz", [PLAIN, *map(plain, range(1440))]),
        "dump": write(tmp_path / "in" / "BTCUSDT-1m-2025-05.zip", map(dump, range(720, 2880))),
        "hub": write(tmp_path / "in" / "ETH-USDT.csv", [HUB, *(f"{plain(minute)},250,7,binanceus" for minute in range(100))]),
    }


def test_files_of_three_kinds_become_one_series(files: dict[str, Path], tmp_path: Path) -> None:
    """Every row of every file is accounted for; a dump completes what the plain file did not know."""
    intake = take(tmp_path / "data", files["plain"], files["dump"], files["hub"])
    assert [counts(origin) for origin in intake.origins] == [
        {"rows": 1440, "kept": 1440},
        {"rows": 2160, "kept": 1440, "completed": 720},
        {"rows": 100, "kept": 100},
    ]
    bars = load(tmp_path / "data")
    assert {symbol: [len(stretch) for stretch in stretches] for symbol, stretches in bars.items()} == {
        "BTC-USDT": [2880],
        "ETH-USDT": [100],
    }
    [bitcoin] = bars["BTC-USDT"]
    assert np.isnan(bitcoin.trades[:720]).all()
    assert (bitcoin.trades[720:] == 7).all()
    assert intake.errors == []


def test_the_same_call_again_changes_nothing_on_disk(files: dict[str, Path], tmp_path: Path) -> None:
    """Not one byte; in whatever order the files come."""
    data = tmp_path / "data"
    take(data, *files.values())
    before = snapshot(data)
    intake = take(data, *reversed(files.values()))
    assert {name for origin in intake.origins for name in counts(origin)} == {"rows", "duplicates"}
    assert snapshot(data) == before


def test_an_export_of_the_hub_gives_the_same_parquet_as_the_plain_file(tmp_path: Path) -> None:
    """The same bars are the same file, whoever wrote them down."""
    take(tmp_path / "one", write(tmp_path / "BTCUSDT.csv", [PLAIN, *map(plain, range(3000))]))
    exported = [HUB, *(f"{plain(minute)},,,simulated" for minute in range(3000))]
    intake = take(tmp_path / "two", write(tmp_path / "export-BTC-USDT.csv", exported))
    assert {name: data for name, (data, _) in snapshot(tmp_path / "one").items()} == {
        name: data for name, (data, _) in snapshot(tmp_path / "two").items()
    }
    assert any("simulated exchange" in line for line in intake.lines())


def test_gaps_are_told_per_file_and_of_all_that_is_on_disk(tmp_path: Path) -> None:
    """A gap that another file fills is none."""
    first = write(tmp_path / "a" / "BTCUSDT.csv", [PLAIN, *(plain(minute) for minute in range(100) if not 20 <= minute < 30)])
    second = write(tmp_path / "b" / "BTCUSDT.csv", [PLAIN, *map(plain, range(15, 25)), *map(plain, range(110, 112))])
    intake = take(tmp_path / "data", first, second)
    assert [origin.gaps for origin in intake.origins] == [[(at(20), at(29))], [(at(25), at(109))]]
    assert intake.gaps == {"BTC-USDT": [(at(25), at(29)), (at(100), at(109))]}


def test_a_bad_file_keeps_no_other_from_going_in(files: dict[str, Path], tmp_path: Path) -> None:
    """Nothing of it is on disk, and the error names it with its line."""
    whole = gzip.compress(("\n".join([PLAIN, *map(plain, range(9000, 20_000))]) + "\n").encode())
    bad = tmp_path / "in" / "BTCUSDT-cut.csv.gz"
    bad.write_bytes(whole[: len(whole) // 2])
    intake = take(tmp_path / "data", bad, files["plain"], tmp_path / "in" / "absent-BTCUSDT.csv")
    assert [len(stretch) for stretch in load(tmp_path / "data")["BTC-USDT"]] == [1440]
    [cut, absent] = intake.errors
    assert cut.startswith(f"{bad}:")
    assert "it ends early or is damaged from here on" in cut
    assert "no such file" in absent
    assert intake.as_dict()["total"] == {
        "rows": 1440,
        "kept": 1440,
        "completed": 0,
        "duplicates": 0,
        "revisions": 0,
        "fallback": 0,
        "rejected": 0,
        "failed": 2,
    }


def test_a_folder_gives_what_fits_and_says_what_it_leaves_out(files: dict[str, Path], tmp_path: Path) -> None:
    """Lists that lie beside the bars, and bars of another market, are no errors there."""
    write(tmp_path / "in" / "gaps.csv", ["file,first,last"])
    write(tmp_path / "in" / "futures" / "binance_usdm_perp_BTCUSDT_1m.csv", [PLAIN, *map(plain, range(5000, 5010))])
    (tmp_path / "in" / "README.md").write_text("no bars")
    intake = take(tmp_path / "data", tmp_path / "in")
    left_out = {Path(origin.name).name: origin.left_out for origin in intake.origins if origin.left_out}
    assert set(left_out) == {"gaps.csv", "binance_usdm_perp_BTCUSDT_1m.csv"}
    assert "prices of its own" in str(left_out["binance_usdm_perp_BTCUSDT_1m.csv"])
    assert intake.errors == []
    assert [len(stretch) for stretch in load(tmp_path / "data")["BTC-USDT"]] == [2880]
    assert take(tmp_path / "other", tmp_path / "in" / "futures").errors == ["nothing was taken in: every file was left out"]
    (tmp_path / "empty").mkdir()
    assert "no file in this folder ends in .csv" in take(tmp_path / "other", tmp_path / "empty").errors[0]


def test_the_perpetual_future_is_mixed_with_spot_only_if_asked(tmp_path: Path) -> None:
    """Neither into a folder of spot bars, nor spot into one of its own."""
    perp = write(tmp_path / "BTCUSDT_usdm.csv", [PLAIN, *map(plain, range(10))])
    spot = write(tmp_path / "BTCUSDT.csv", [PLAIN, *map(plain, range(20, 30))])
    assert "--market perp" in take(tmp_path / "data", perp).errors[0]
    assert take(tmp_path / "perp", perp, market="perp").errors == []
    assert "holds bars of the market 'perp'" in take(tmp_path / "perp", spot).errors[0]
    assert take(tmp_path / "data", spot).errors == []
    assert "holds bars of the market 'spot'" in take(tmp_path / "data", perp, market="perp").errors[0]
    assert take(tmp_path / "data", perp, market="any").errors == []
    assert [len(stretch) for stretch in load(tmp_path / "data")["BTC-USDT"]] == [10, 10]


def test_the_symbol_comes_from_the_name_the_option_or_the_column(tmp_path: Path) -> None:
    """Where two of them disagree, nothing is taken: another coin's prices are the worst kind of noise."""
    rows = [PLAIN, *map(plain, range(3))]
    column = [f"{PLAIN},symbol", *(f"{plain(minute)},BTC/USDT" for minute in range(3))]
    nameless, named = write(tmp_path / "bars.csv", rows), write(tmp_path / "ETHUSDT.csv", rows)
    said, both = write(tmp_path / "said.csv", column), write(tmp_path / "ETHUSDT_said.csv", column)
    two = write(tmp_path / "BTCUSDT_ETHUSDT.csv", rows)
    data = tmp_path / "data"
    assert "no symbol in its name" in take(data, nameless).errors[0]
    assert take(data, nameless, symbol="SOL-USDT").origins[0].symbol == "SOL-USDT"
    assert take(data, named).origins[0].symbol == "ETH-USDT"
    assert "is of ETH-USDT by its name, not of BTC-USDT" in take(data, named, symbol="BTC-USDT").errors[0]
    assert take(data, said).origins[0].symbol == "BTC-USDT"
    assert "its column symbol says BTC-USDT" in take(data, both).errors[0]
    assert "more than one symbol" in take(data, two).errors[0]
    assert take(data, two, symbol="ETH-USDT").errors == []


def test_a_zip_may_carry_the_symbol_inside(tmp_path: Path) -> None:
    """As archives that a browser has renamed do."""
    write(tmp_path / "BTCUSDT-1m-2025-05.zip", map(dump, range(10))).rename(tmp_path / "download (1).zip")
    assert take(tmp_path / "data", tmp_path / "download (1).zip").origins[0].symbol == "BTC-USDT"


def test_a_file_without_a_single_bar_has_failed(tmp_path: Path) -> None:
    """A header alone, or rows that are all refused: one of them says why."""
    header = write(tmp_path / "BTCUSDT.csv", [FULL])
    refused = write(tmp_path / "BTC-USDT.csv", [PLAIN, plain(0, close="nan"), plain(1, open="x")])
    errors = take(tmp_path / "data", header, refused).errors
    assert "none of its 0 rows is a bar" in errors[0]
    assert "none of its 2 rows is a bar; line 2: close is 'nan', not a plain number" in errors[1]


def test_many_bars_are_written_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are counted as if they had waited."""
    monkeypatch.setattr("trainer.ingest.LARGEST_HELD", 100)
    paths = [write(tmp_path / f"{day}-BTCUSDT.csv", [PLAIN, *map(plain, range(day * 80, day * 80 + 90))]) for day in range(5)]
    intake = take(tmp_path / "data", *paths)
    assert [counts(origin) for origin in intake.origins] == [{"rows": 90, "kept": 90}, *[{"rows": 90, "kept": 80, "duplicates": 10}] * 4]
    assert [len(stretch) for stretch in load(tmp_path / "data")["BTC-USDT"]] == [410]


def test_the_command_reports_in_words_and_in_json(files: dict[str, Path], tmp_path: Path) -> None:
    """What went in on stdout, what did not on stderr; exit code 1 where a file failed, 0 where rows were refused."""
    spoilt = write(tmp_path / "in" / "ETHUSDT.csv", [PLAIN, plain(0), plain(1, close="1_000"), plain(200)])
    answer = trainer(tmp_path, "ingest", str(files["plain"]), str(spoilt), "--data", "data")
    assert answer.returncode == 0, answer.stderr
    assert "BTC-USDT, 1,440 rows, 1,440 kept, 0 duplicates, 0 rejected; no gaps" in answer.stdout
    assert "  line 3: close is '1_000', not a plain number" in answer.stdout
    answer = trainer(tmp_path, "ingest", str(spoilt), "nowhere-BTCUSDT.csv", "--data", "data", "--json")
    assert (answer.returncode, answer.stderr) == (1, "error: nowhere-BTCUSDT.csv: no such file\n")
    told: dict[str, Any] = json.loads(answer.stdout)
    assert told["files"][0]["rejects"] == [{"line": 3, "reason": "close is '1_000', not a plain number"}]
    assert told["files"][0]["reasons"] == {"not a plain number": 1}
    assert told["files"][0]["gaps"]["list"][0] == {"first": "2025-05-20T00:01:00Z", "last": "2025-05-20T03:19:00Z", "minutes": 199}
    assert told["total"]["failed"] == 1


def test_wrong_use_is_told_as_such(tmp_path: Path) -> None:
    """Usage is exit code 2; a folder that cannot be written is a failure with a fix."""
    assert trainer(tmp_path, "--help").returncode == 0
    assert trainer(tmp_path, "ingest", "x.csv").returncode == 2
    assert trainer(tmp_path, "ingest", "x.csv", "--data", "d", "--symbol", "bitcoin").returncode == 2
    assert trainer(tmp_path, "ingest", "x.csv", "--data", "d", "--market", "moon").returncode == 2
    (tmp_path / "file").touch()
    answer = trainer(tmp_path, "ingest", "x.csv", "--data", "file")
    assert (answer.returncode, "choose another folder with --data" in answer.stderr, "Traceback" in answer.stderr) == (1, True, False)
    answer = trainer(tmp_path, "keygen", "--out", "keys")
    assert (answer.returncode, "hub models trust tickerml.pub" in answer.stdout) == (0, True)
    assert trainer(tmp_path, "keygen", "--out", "keys").returncode == 1


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """It is there at once because neither numpy nor anything of the hub's runtime is imported for it."""
    script = (
        "import sys, trainer.cli; print([m for m in ('numpy', 'pyarrow', 'pydantic', 'hub.runtime', 'cryptography') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    answer = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "[]\n"
    assert FOLDER == "bars"
