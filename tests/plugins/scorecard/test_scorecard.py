"""The scorecard bar by bar: each forecast is scored when its minute has come, over restarts and gaps."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from hub.ledger import accuracy
from hub.messages import Bar, Forecast, Message, Score
from hub.testing import START, FakeHub, bars, replay
from plugins import scorecard
from plugins.scorecard.scoreboard import Scoreboard, in_words
from tests.hub.test_ledger import YOUNG, forecast, scattered


def played(hub: FakeHub, arriving: Sequence[Bar], scoreboard: Any = scorecard) -> list[Score]:
    """The scores that these bars lead to; each is on disk before it is heard of."""
    found: list[Score] = []
    for bar in arriving:
        hub.store.record([bar])
        made = [message for message in replay(scoreboard, [bar], hub=hub) if isinstance(message, Score)]
        hub.store.record(made)
        found += made
    return found


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


def test_a_forecast_is_scored_by_the_bar_that_closes_at_its_target(hub: FakeHub) -> None:
    """Not one earlier, not one later, and once."""
    hub.store.record([*bars(100.0), forecast(0), forecast(0, horizon=10)])
    board = scorecard.register_transforms(hub)[0]
    made = [
        (bar.open_time, played(hub, [bar], board)) for bar in bars(*[100.0 + n for n in range(1, 15)], start=START + timedelta(minutes=1))
    ]
    assert [(at, [score.horizon_minutes for score in scores]) for at, scores in made if scores] == [
        (START + timedelta(minutes=5), [5]),
        (START + timedelta(minutes=10), [10]),
    ]
    [five] = made[4][1]
    assert (five.n, five.window, five.role, five.missing) == (1, "7d", "live", 0)
    assert five.last_outcome == pytest.approx(np.log(1.05))
    assert five.skill is not None


def test_scores_are_those_of_the_ledger(hub: FakeHub) -> None:
    """Kept up bar by bar or read from disk as a whole: the same numbers."""
    messages, _, said = scattered(80)
    of_bars = [message for message in messages if isinstance(message, Bar)]
    hub.store.record(list[Message](said))
    made = played(hub, of_bars, scorecard.register_transforms(hub)[0])
    [whole] = accuracy(hub.store, START, START + timedelta(days=1), "7d")
    assert len(made) == 80
    numbers = {"n", "skill", "skill_low", "auc", "hit_rate", "brier", "coverage", "error", "baseline_error", "last_outcome", "missing"}
    assert made[-1].model_dump(include=numbers) == pytest.approx(whole.model_dump(include=numbers))
    assert made[-1].model == whole.model


def test_after_a_restart_it_goes_on_as_if_nothing_had_been(hub: FakeHub) -> None:
    """All that it knows is on disk: a new scoreboard at every bar says what one that never stopped says."""
    messages, _, said = scattered(30)
    of_bars = [message for message in messages if isinstance(message, Bar)]
    hub.store.record(list[Message](said))
    board = scorecard.register_transforms(hub)[0]
    fresh = FakeHub()
    fresh.store.record(list[Message](said))
    for bar in of_bars[:120]:
        steady, anew = played(hub, [bar], board), played(fresh, [bar])
        assert [score.n for score in anew if score.n and score.n > 0][-1:] == [score.n for score in steady][-1:] or not steady
        assert {score.n for score in steady} <= {score.n for score in anew}


def test_a_minute_without_a_bar_is_marked_and_scored_when_it_is_filled(hub: FakeHub) -> None:
    """Not dropped: the score says how many are missing."""
    hub.store.record([*bars(100.0), forecast(0), forecast(1)])
    board = scorecard.register_transforms(hub)[0]
    later = bars(*[101.0] * 10, start=START + timedelta(minutes=6))
    made = played(hub, later, board)
    assert [(score.n, score.missing) for score in made] == [(1, 0), (1, 1)]
    hub.store.record(bars(102.0, start=START + timedelta(minutes=5)))
    [filled] = played(hub, bars(101.0, start=START + timedelta(minutes=16)), board)
    assert (filled.n, filled.missing) == (2, 0)


async def test_what_lies_before_the_window_is_forgotten(hub: FakeHub) -> None:
    """A rolling window, so that a year does not slow it down."""
    messages, _, said = scattered(100)
    hub.store.record(list[Message](said))
    board = Scoreboard(hub, timedelta(hours=2))
    made: list[Score] = []
    for bar in (message for message in messages if isinstance(message, Bar)):
        hub.store.record([bar])
        made += [score async for score in board.score(bar)]
    assert max(score.n for score in made) == 23, "24 in two hours, and the newest is still open"
    assert made[-1].n == 23
    [record] = board._records.values()
    assert len(record.lines) + len(record.waiting) <= 25


def test_shadow_and_live_each_have_their_score(hub: FakeHub) -> None:
    """On the same minutes; when a shadow is promoted, what it said before counts on."""
    hub.store.record([*bars(100.0), forecast(0), forecast(0, role="shadow", model=YOUNG)])
    board = scorecard.register_transforms(hub)[0]
    made = played(hub, bars(*[101.0] * 5, start=START + timedelta(minutes=1)), board)
    assert [(score.role, score.model.name, score.n) for score in made] == [("live", "line", 1), ("shadow", "young", 1)]
    hub.store.record([forecast(5, model=YOUNG)])
    made = played(hub, bars(*[101.0] * 5, start=START + timedelta(minutes=6)), board)
    assert [(score.role, score.model.name, score.n) for score in made] == [("live", "young", 2)]


def test_an_old_models_last_scores_do_not_stand_where_the_live_ones_are_read(hub: FakeHub) -> None:
    """Its forecasts are still scored, in the ledger; the topic shows the model that serves."""
    hub.store.record([*bars(100.0), forecast(0, horizon=30), forecast(5, horizon=30, model=YOUNG)])
    made = played(hub, bars(*[101.0] * 36, start=START + timedelta(minutes=1)), scorecard.register_transforms(hub)[0])
    assert [score.model.name for score in made] == ["young"]


def test_other_symbols_bars_change_nothing(hub: FakeHub) -> None:
    """Each symbol is scored by its own."""
    hub.store.record([*bars(100.0), forecast(0)])
    assert played(hub, bars(*[1.0] * 10, symbol="ETH-USDT")) == []


@pytest.mark.parametrize(("window", "words"), [(timedelta(days=7), "7d"), (timedelta(hours=36), "36h"), (timedelta(minutes=90), "90m")])
def test_the_window_is_told_as_it_is_written(window: timedelta, words: str) -> None:
    """So that whoever reads a score knows what it is of."""
    assert in_words(window) == words


def test_the_window_has_bounds() -> None:
    """A minute says nothing; ten years would not fit in memory."""
    with pytest.raises(ValueError, match="window"):
        scorecard.register_settings().model_validate({"window": "10m"})


def test_a_forecast_has_a_place_of_its_own() -> None:
    """The builder of these tests makes what the wire carries."""
    assert Forecast.model_validate_json(forecast(0).model_dump_json()) == forecast(0)
