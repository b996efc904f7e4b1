"""The power goes at any write: nothing that the store confirmed is lost, nothing is there by halves, and the file is whole."""

from pathlib import Path

import pytest

from tests.crash.lives import OnDisk, lives


class Trusting(OnDisk):
    """Believes, after a failed sync, what is in memory."""

    @classmethod
    def _rewrite(cls, file: Path) -> None:
        pass


def test_no_confirmed_bar_is_lost_in_200_power_cuts(tmp_path: Path) -> None:
    """synchronous=FULL is what this costs, and what it buys. A store cut while it is made is made again."""
    outcome = lives(tmp_path, 200)
    assert (outcome.lost, outcome.damaged) == (0, 0)
    for phase in ("opening: ", "opening again: ", "writing: tickerml.db-wal", "closing: "):
        assert sum(times for where, times in outcome.cuts.items() if where.startswith(phase)), f"no cut while {phase}{outcome.cuts}"
    assert outcome.cuts["writing: tickerml.db"], f"no cut in a checkpoint: {outcome.cuts}"


def test_no_confirmed_bar_is_lost_where_syncs_fail_before_the_cut(tmp_path: Path) -> None:
    """After a failed fsync Linux takes the pages for written: the next fsync succeeds, and the data is nowhere but in memory."""
    outcome = lives(tmp_path, 200, failing_syncs=0.1)
    assert (outcome.lost, outcome.damaged) == (0, 0)


def test_the_harness_sees_a_store_that_does_not_sync(tmp_path: Path) -> None:
    """With synchronous=NORMAL the last commits may still be in the air."""
    assert lives(tmp_path, 30, synchronous="NORMAL").lost


def test_the_harness_sees_a_hub_that_publishes_before_the_commit(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    assert lives(tmp_path, 30, hasty=True).lost


def test_the_harness_sees_a_store_that_trusts_its_memory_after_a_failed_sync(tmp_path: Path) -> None:
    """SQLite's own retry is not enough, once its log has been read back from memory."""
    assert lives(tmp_path, 300, failing_syncs=0.05, kind=Trusting).lost


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("failing_syncs", [0.0, 0.05, 0.3])
def test_no_confirmed_bar_is_lost_in_2000_power_cuts(tmp_path: Path, failing_syncs: float) -> None:
    """The same, ten times as long."""
    outcome = lives(tmp_path, 2000, failing_syncs=failing_syncs, seed=12)
    assert (outcome.lost, outcome.damaged) == (0, 0)
