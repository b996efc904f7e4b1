"""A file that a bad disk has changed: the hub opens, keeps the file, and takes over what can still be read."""

import hashlib
import random
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Alert, Bar, Forecast, Gap
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, FakeClock, bars

T = to_ms(START)
SEEDS = 100
DAY = 24 * 60
ALL = 3 * 59 * 2
FILES = ("tickerml.db", "tickerml.db-wal")


def opened(folder: Path) -> SqliteStore:
    return SqliteStore.open(folder / "tickerml.db", FakeClock())


def opened_unless_newer(folder: Path) -> SqliteStore | None:
    """None where a bit of the schema's number was turned: that is what a newer hub's file looks like."""
    try:
        return opened(folder)
    except HubError as error:
        if "newer hub" in str(error):
            return None
        raise


def read_all(store: SqliteStore) -> int:
    """Everything a hub reads; returns how many bars there are."""
    found = sum(len(store.bars(symbol, 0, 10**14)) for symbol in store.symbols())
    for symbol in ("BTC-USDT", "ETH-USDT"):
        store.newest_bar(symbol)
        store.missing(symbol, T, T + DAY * MINUTE_MS)
        store.fallback(symbol, T, T + DAY * MINUTE_MS)
        store.gap_report(symbol)
    store.facts_after(0, (Bar, Gap, Alert), 10**6)
    store.newest(Forecast)
    store.cursors(), store.frontier(), store.last_seq(), store.gaps()
    return found


@pytest.fixture(scope="module", params=["killed", "stopped"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Three hours of bars, some gaps and alerts, as a hub leaves them that was killed, or stopped in good order."""
    folder = tmp_path_factory.mktemp("store")
    with closing(opened(folder)) as store:
        for hour in range(3):
            at = START + timedelta(hours=hour)
            store.record([*bars(*range(1, 60), start=at), *bars(*range(1, 60), symbol="ETH-USDT", start=at)])
            missed = at + timedelta(minutes=59)
            store.record([Gap(symbol="BTC-USDT", first_open_time=missed, last_open_time=missed, reason="exchange: no data")])
            store.record([Alert(symbol="BTC-USDT", source="test", text="x" * 200)])
        store.move_cursor("mqtt", store.last_seq(), {"BTC-USDT": T})
        if request.param == "killed":
            return {name: (folder / name).read_bytes() for name in FILES}
    return {"tickerml.db": (folder / "tickerml.db").read_bytes()}


def damaged(files: dict[str, bytes], where: str, chance: random.Random) -> dict[str, bytes]:
    """A few bits of the header, of anything behind it, or of the write-ahead log, are turned."""
    name = "tickerml.db-wal" if where == "wal" else "tickerml.db"
    content = bytearray(files[name])
    limits = (0, 100) if where == "header" else (0 if where == "wal" else 100, len(content))
    for _ in range(chance.choice([1, 3, 30])):
        content[chance.randrange(*limits)] ^= 1 << chance.randrange(8)
    return files | {name: bytes(content)}


@pytest.mark.parametrize("where", ["header", "middle", "wal"])
def test_a_damaged_file_never_stops_the_hub(files: dict[str, bytes], where: str, tmp_path: Path) -> None:
    """Hundreds of them. It is kept for whoever wants to look, and a new one begins; or it is still good and goes on."""
    if where == "wal" and len(files) == 1:
        return  # a hub that stopped in good order leaves none
    moved = lost = 0
    for seed in range(SEEDS):
        chance = random.Random(f"{where}{seed}")
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = damaged(files, where, chance)
        for name, content in made.items():
            (folder / name).write_bytes(content)
        store = opened_unless_newer(folder)
        if store is None:
            assert where == "header", seed
            assert (folder / "tickerml.db").read_bytes() == made["tickerml.db"], seed
            continue
        with closing(store):
            lost += read_all(store) < ALL
            store.record(bars(1, start=START + timedelta(days=9)))
            kept = sorted((folder / "damaged").glob("*")) if (folder / "damaged").exists() else []
            assert (store.recovered is not None) == bool(kept), seed
            if store.recovered:
                moved += 1
                assert store.recovered.startswith(f"database damaged, moved to {folder / 'damaged'}"), seed
                assert made["tickerml.db"] in [file.read_bytes() for file in kept], "as it was"
    assert moved > SEEDS / 10 or where == "wal" or len(files) == 2, "the log may hold a better copy of a page"
    assert lost < SEEDS


def test_what_can_still_be_read_is_taken_over(files: dict[str, bytes], tmp_path: Path) -> None:
    """One bad page of a year of bars must not cost the year; what it held is missing, and fetched again."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with closing(sqlite3.connect(tmp_path / "tickerml.db")) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(page,)] = file.execute("SELECT pageno FROM dbstat WHERE name = 'bar' AND pagetype = 'leaf' LIMIT 1 OFFSET 2")
        [(size,)] = file.execute("PRAGMA page_size")
    content = bytearray((tmp_path / "tickerml.db").read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    (tmp_path / "tickerml.db").write_bytes(content)
    with closing(opened(tmp_path)) as store:
        assert store.recovered is not None
        assert "taken over" in store.recovered
        kept = read_all(store)
        assert ALL - 150 < kept < ALL
        gone = ALL - kept
        missing = [last - first for symbol in ("BTC-USDT", "ETH-USDT") for first, last in store.missing(symbol, T, T + 179 * MINUTE_MS)]
        assert sum(stretch // MINUTE_MS + 1 for stretch in missing) == gone + 3 + 3
        assert len(store.gaps()) == 3
        assert len(store.facts_after(0, (Alert,), 100)) == 3
        assert store.cursor("mqtt") == store.last_seq()
        assert store.record(bars(5.0, start=START + timedelta(days=2))) == store.last_seq()
    with closing(opened(tmp_path)) as store:
        assert store.recovered is None


def test_a_row_that_cannot_be_holds_up_nobody_and_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    """A turned bit can make a price that no bar has; the forwarders pass it, and the minute is fetched again."""
    with closing(opened(tmp_path)) as store:
        store.record(bars(*range(1, 11)))
        with closing(sqlite3.connect(store.path, isolation_level=None)) as disk:
            disk.execute("PRAGMA ignore_check_constraints=1")
            disk.execute("UPDATE bar SET low = -1.0 WHERE seq = 4")
        assert [bar.close for bar in store.bars("BTC-USDT", T, T + DAY * MINUTE_MS)] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
        assert len(store.facts_after(0, (Bar,), 100)) == 9
        assert "next start of the hub repairs it" in (store.damage or "")
        store.record(bars(11, start=START + timedelta(minutes=10)))
    with closing(opened(tmp_path)) as store:
        assert store.recovered is not None
        assert store.damage is None
        assert store.missing("BTC-USDT", T, T + 10 * MINUTE_MS) == [(T + 3 * MINUTE_MS, T + 3 * MINUTE_MS)]


def test_a_forwarder_ahead_of_the_facts_is_damage(tmp_path: Path) -> None:
    """It would wait for ever, and nobody would know."""
    with closing(opened(tmp_path)) as store:
        store.record(bars(1, 2, 3))
        store.move_cursor("mqtt", 3, {"BTC-USDT": T + 2 * MINUTE_MS})
        with closing(sqlite3.connect(store.path, isolation_level=None)) as disk:
            disk.execute("UPDATE cursor SET seq = 99999")
    with closing(opened(tmp_path)) as store:
        assert store.recovered is not None
        assert (store.cursor("mqtt"), store.last_seq()) == (3, 3)
        assert store.frontier() == {"BTC-USDT": T + 2 * MINUTE_MS}


@pytest.mark.parametrize("ended", ["killed", "stopped"])
def test_a_newer_schema_is_refused_and_not_a_byte_is_changed(tmp_path: Path, ended: str) -> None:
    """A downgrade must not touch what it does not understand; the message says what to do."""
    store = opened(tmp_path)
    store.record(bars(1, 2, 3))
    with closing(sqlite3.connect(store.path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    left = tmp_path / "left"
    left.mkdir()
    if ended == "stopped":
        store.close()
    for name in FILES:
        if (tmp_path / name).exists():
            (left / name).write_bytes((tmp_path / name).read_bytes())
    store.close()
    before = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in left.iterdir()}
    for _ in range(2):
        with pytest.raises(HubError, match=r"tickerml.db: was written by a newer hub .*install that version again, or restore a backup"):
            opened(left)
    assert {name: hashlib.sha256((left / name).read_bytes()).hexdigest() for name in before} == before
    assert not (left / "damaged").exists()
