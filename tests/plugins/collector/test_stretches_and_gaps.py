"""The arithmetic of what is wanted, and the rules of what a missing minute becomes."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.market.interval import MINUTE_MS, Range, from_ms, to_ms
from hub.messages import Gap
from hub.testing import START, MemoryStore
from plugins.collector.gaps import ABSENT, answered, resting, stretch_of, unanswered
from plugins.collector.klines import Page, parse
from plugins.collector.stretches import common, settle, span_of, united, without
from tests.exchanges import page

T = to_ms(START)
NOW = T + 10_000 * MINUTE_MS


def at(minute: int) -> int:
    return T + minute * MINUTE_MS


def minutes_of(stretches: list[Range]) -> set[int]:
    return {minute for first, last in stretches for minute in range(first, last + 1, MINUTE_MS)}


stretches = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=8).map(
    lambda pairs: [(at(first), at(first + length)) for first, length in pairs]
)


@settings(max_examples=500, deadline=None)
@given(stretches, stretches)
def test_stretches_behave_as_sets_of_minutes(one: list[Range], other: list[Range]) -> None:
    assert minutes_of(united(one)) == minutes_of(one)
    assert minutes_of(without(one, other)) == minutes_of(one) - minutes_of(other)
    assert minutes_of(common(one, other)) == minutes_of(one) & minutes_of(other)
    assert united(one) == sorted(united(one))


@settings(max_examples=500, deadline=None)
@given(stretches.filter(bool), st.sets(st.integers(0, 70)), st.integers(1, 30))
def test_every_minute_asked_for_is_a_bar_missing_or_still_wanted(wanted: list[Range], there: set[int], limit: int) -> None:
    """And none is two of these."""
    wanted = united(wanted)
    span = span_of(wanted)
    rows = [at(minute) for minute in sorted(there) if span[0] <= at(minute) <= span[1]][:limit]
    fetched = settle(wanted, span, parse(page(*rows), "BTC-USDT", "test", NOW) if rows else Page(), ABSENT)
    bars = {to_ms(bar.open_time) for bar in fetched.bars}
    missing = minutes_of([stretch for stretch, _ in fetched.missing])
    rest = minutes_of(fetched.rest)
    assert bars | missing | rest == minutes_of(wanted)
    assert not bars & missing
    assert not (bars | missing) & rest
    assert bars <= set(rows)
    assert not missing & set(rows)
    assert minutes_of(fetched.rest) < minutes_of(wanted), "every answer settles something"


def gap(first: int, last: int, reason: str = ABSENT, tries: int = 1, next_try: int | None = 60) -> Gap:
    times = {"first_open_time": from_ms(at(first)), "last_open_time": from_ms(at(last))}
    return Gap(
        symbol="BTC-USDT",
        reason=reason,
        tries=tries,
        next_try_at=None if next_try is None else from_ms(NOW + next_try * MINUTE_MS),
        **times,
    )


def described(gaps: list[Gap]) -> list[tuple[int, int, int]]:
    return [((to_ms(gap.first_open_time) - T) // MINUTE_MS, (to_ms(gap.last_open_time) - T) // MINUTE_MS, gap.tries) for gap in gaps]


def test_a_new_gap_is_asked_for_again_in_an_hour() -> None:
    [made] = answered("BTC-USDT", [((at(3), at(5)), ABSENT)], [], [], NOW)
    assert described([made]) == [(3, 5, 1)]
    assert made.next_try_at == from_ms(NOW) + timedelta(hours=1)


def test_a_known_gap_counts_on_where_it_lies_and_new_minutes_begin_anew() -> None:
    made = answered("BTC-USDT", [((at(3), at(8)), ABSENT)], [], [gap(3, 5, tries=2)], NOW)
    assert described(made) == [(3, 5, 3), (6, 8, 1)]


def test_the_fourth_time_is_the_last() -> None:
    [made] = answered("BTC-USDT", [((at(3), at(5)), ABSENT)], [], [gap(3, 5, tries=3)], NOW)
    assert (made.tries, made.next_try_at) == (4, None)


def test_a_halt_that_goes_on_grows_in_one_piece() -> None:
    assert described(answered("BTC-USDT", [((at(6), at(6)), ABSENT)], [], [gap(3, 5)], NOW)) == [(3, 6, 1)]
    assert described(answered("BTC-USDT", [((at(6), at(6)), "rejected: x")], [], [gap(3, 5)], NOW)) == [(6, 6, 1)]


def test_an_outage_was_no_answer_and_counts_for_nothing() -> None:
    assert described(answered("BTC-USDT", [((at(3), at(5)), ABSENT)], [], [gap(3, 5, reason="refused", tries=9)], NOW)) == [(3, 5, 1)]


def test_a_gap_answered_for_in_part_stays_whole_in_the_books() -> None:
    """A store may forget a gap that a new one overlaps."""
    made = answered("BTC-USDT", [((at(0), at(9)), ABSENT)], [(at(10), at(20))], [gap(0, 20)], NOW)
    assert described(made) == [(0, 9, 2), (10, 20, 1)]
    store = MemoryStore([gap(0, 20)])
    store.record(made)
    assert sum(known.minutes for known in store.gaps()) == 21


def test_an_outage_is_noted_once_grows_and_leaves_answers_alone() -> None:
    known = [gap(0, 4)]
    first = unanswered("BTC-USDT", [(at(0), at(9))], known, "refused", NOW)
    assert described(first) == [(5, 9, 1)]
    assert not unanswered("BTC-USDT", [(at(0), at(9))], known + first, "refused", NOW)
    assert described(unanswered("BTC-USDT", [(at(0), at(12))], known + first, "refused", NOW)) == [(5, 12, 2)]


def test_gaps_rest_until_their_time_has_come() -> None:
    gaps = [gap(0, 1, next_try=60), gap(3, 4, next_try=0), gap(6, 7, next_try=None), gap(9, 9, next_try=-5)]
    assert resting(gaps, NOW) == [stretch_of(gaps[0]), stretch_of(gaps[2])]
