"""The points that InfluxDB would not take: on disk, bounded, and readable whatever happened to the file."""

import json
from pathlib import Path

import pytest

from hub.errors import TransientError
from hub.testing import FakeHub
from plugins.influxdb import set_aside
from plugins.influxdb.destination import Destination
from plugins.influxdb.set_aside import SetAside


def test_it_is_remembered_over_restarts_and_a_cut_line_is_passed_over(tmp_path: Path) -> None:
    """A power cut can end a file anywhere."""
    hub = FakeHub(data_dir=tmp_path)
    SetAside(hub).put("tickerml", [("a 1", "no"), ("b 2", "no")])
    with (tmp_path / "set_aside.jsonl").open("a") as file:
        file.write('{"at": "2025-05-20T00:00:00Z", "line": "c')
    again = SetAside(hub)
    assert (again.holds("a 1"), again.holds("b 2"), again.holds("c 3")) == (True, True, False)
    assert (again.words() or "").startswith("2 points that InfluxDB refused are set aside in ")


def test_it_never_grows_beyond_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's mistake must not fill the card; what is newest is kept."""
    monkeypatch.setattr(set_aside, "MOST_BYTES", 10_000)
    aside = SetAside(FakeHub(data_dir=tmp_path))
    for number in range(500):
        aside.put("tickerml", [(f"bar close={number}", "no")])
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["set_aside.jsonl", "set_aside.jsonl.1"]
    assert max(file.stat().st_size for file in files) < 11_000
    kept = [json.loads(line)["line"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert kept == [f"bar close={number}" for number in range(500 - len(kept), 500)]


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """The point is not given up, and the cursor does not move."""
    (tmp_path / "set_aside.jsonl").mkdir()
    aside = SetAside(FakeHub(data_dir=tmp_path))
    aside._points = set()
    with pytest.raises(TransientError, match=r"set_aside\.jsonl: cannot be written"):
        aside.put("tickerml", [("a 1", "no")])
    (tmp_path / "destination.new").mkdir()
    with pytest.raises(TransientError, match="destination: cannot be written"):
        Destination(tmp_path, "x").note()


def test_a_destination_that_was_doubted_is_not_known_after_a_crash(tmp_path: Path) -> None:
    """Between making a database and remembering it, anything can happen: then it gets everything again."""
    first = Destination(tmp_path, "here")
    assert not first.known
    first.note()
    assert Destination(tmp_path, "here").known
    assert not Destination(tmp_path, "elsewhere").known
    first.doubt()
    assert not Destination(tmp_path, "here").known
    first.believe()
    assert Destination(tmp_path, "here").known
