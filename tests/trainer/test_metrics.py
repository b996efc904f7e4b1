"""The numbers a model is judged by, against their definitions and scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from trainer import metrics

CHANCE = np.random.default_rng(4)
UP = CHANCE.random(5_000) < 0.5
SAID = np.clip(0.5 + 0.05 * CHANCE.normal(size=5_000) + 0.02 * UP, 0.01, 0.99)


def test_auc_and_brier_are_what_everybody_calls_so() -> None:
    assert metrics.auc(UP, SAID) == pytest.approx(roc_auc_score(UP, SAID), abs=1e-12)
    assert metrics.brier(UP, SAID) == pytest.approx(brier_score_loss(UP, SAID), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_auc_with_ties_is_the_share_of_pairs_in_order(pairs: list[tuple[bool, int]]) -> None:
    """Ties count half."""
    ups = [score for up, score in pairs if up]
    downs = [score for up, score in pairs if not up]
    value = metrics.auc(np.array([up for up, _ in pairs]), np.array([float(score) for _, score in pairs]))
    if not ups or not downs:
        assert np.isnan(value)
    else:
        expected = sum((a > b) + 0.5 * (a == b) for a in ups for b in downs) / (len(ups) * len(downs))
        assert value == pytest.approx(expected)


def test_shuffled_labels_score_a_half() -> None:
    """Whatever else comes out, something looks into the future."""
    assert metrics.auc(np.random.default_rng(1).permutation(UP), SAID) == pytest.approx(0.5, abs=0.03)


def test_persistence_has_no_skill_and_the_truth_all_of_it() -> None:
    outcome = CHANCE.normal(size=1_000)
    assert metrics.mse_skill(outcome, np.zeros(1_000)) == 0.0
    assert metrics.mse_skill(outcome, outcome) == 1.0


def test_what_is_said_honestly_has_a_small_calibration_error() -> None:
    """And what is said too surely a large one."""
    p = CHANCE.uniform(0.3, 0.7, 50_000)
    up = CHANCE.random(50_000) < p
    assert metrics.calibration_error(up, p) < 0.01
    assert metrics.calibration_error(up, 0.5 + 2 * (p - 0.5)) > 0.05


def test_the_right_interval_covers_four_fifths_and_beats_a_wider_and_a_narrower_one() -> None:
    outcome = CHANCE.normal(size=20_000)
    losses = {}
    for factor in (0.5, 1.0, 2.0):
        end = np.full(20_000, 1.2816 * factor)
        losses[factor] = metrics.pinball(outcome, -end, end)
    assert metrics.coverage(outcome, np.full(20_000, -1.2816), np.full(20_000, 1.2816)) == pytest.approx(0.8, abs=0.01)
    assert min(losses, key=losses.__getitem__) == 1.0


def test_the_interval_of_auc_holds_the_truth_and_grows_where_days_go_together() -> None:
    """Minutes of one day share their luck: drawing them one by one would promise too much."""
    days = np.repeat(np.arange(50), 100)
    luck = np.random.default_rng(2).normal(size=50)[days]
    said = 0.5 + 0.1 * np.random.default_rng(3).normal(size=5_000)
    up = np.random.default_rng(5).random(5_000) < 0.5 + 0.3 * np.tanh(luck) * np.sign(said - 0.5)
    together = metrics.auc_interval(up, said, days * metrics.DAY_MS)
    apart = metrics.auc_interval(up, said, np.arange(5_000) * metrics.DAY_MS)
    assert together[0] < metrics.auc(up, said) < together[1]
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def test_following_the_direction_pays_its_costs() -> None:
    outcome = np.array([0.01, -0.02])
    assert metrics.return_after_cost(outcome, np.array([0.9, 0.1])) == pytest.approx(0.015 - 0.001)
