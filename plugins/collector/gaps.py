"""Minutes that have no bar become facts too: a gap with its reason, and when to ask again."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from hub.market.interval import MINUTE_MS, Range, from_ms, to_ms
from hub.messages import Gap
from plugins.collector.stretches import common, without

ABSENT = "exchange: no data"
REJECTED = "rejected: "
RETRIES = (timedelta(hours=1), timedelta(hours=24), timedelta(days=7))
"""How long after the first, second and third time that the exchange had no bar it is asked again; then no more."""


def stretch_of(gap: Gap) -> Range:
    """First and last open time of the gap, ms."""
    return to_ms(gap.first_open_time), to_ms(gap.last_open_time)


def is_answer(gap: Gap) -> bool:
    """The exchange answered and had no bar to be used; otherwise it could not be asked."""
    return gap.reason.startswith((ABSENT, REJECTED))


def resting(gaps: Iterable[Gap], now_ms: int) -> list[Range]:
    """Known gaps whose time to be asked for again has not come at `now_ms` of the exchange's time."""
    soon = from_ms(now_ms + MINUTE_MS)
    return [stretch_of(gap) for gap in gaps if gap.next_try_at is None or gap.next_try_at > soon]


def answered(symbol: str, missing: Sequence[tuple[Range, str]], rest: Sequence[Range], known: Sequence[Gap], now_ms: int) -> list[Gap]:
    """Gaps to record where the exchange had no bar.

    A known gap counts one try more, a halt that goes on grows, and what is not answered for yet (`rest`) of a known gap stays as it was.
    """
    made: list[Gap] = []
    for stretch, reason in missing:
        tried = [gap for gap in known if is_answer(gap) and common([stretch_of(gap)], [stretch])]
        for gap in tried:
            made += [_gap(symbol, piece, reason, gap.tries + 1, now_ms) for piece in common([stretch_of(gap)], [stretch])]
        for piece in without([stretch], map(stretch_of, tried)):
            before = next((gap for gap in known if _leads_to(gap, piece, reason)), None)
            made.append(_gap(symbol, piece if before is None else (stretch_of(before)[0], piece[1]), reason, 1, now_ms))
    touched = [stretch_of(gap) for gap in made]
    for gap in known:
        if common([stretch_of(gap)], touched):
            made += [_cut(gap, piece) for piece in common(without([stretch_of(gap)], touched), rest)]
    return sorted(made, key=lambda gap: gap.first_open_time)


def unanswered(symbol: str, missing: Sequence[Range], known: Sequence[Gap], reason: str, now_ms: int) -> list[Gap]:
    """Gaps to record while the exchange cannot be asked; those known already are left out."""
    told = [stretch_of(gap) for gap in known if is_answer(gap)]
    made = []
    for piece in without(missing, told):
        earlier = [gap for gap in known if not is_answer(gap) and common([stretch_of(gap)], [piece])]
        if not any(stretch_of(gap) == piece and gap.reason == reason for gap in earlier):
            tries = 1 + max((gap.tries for gap in earlier), default=0)
            made.append(_cut(_gap(symbol, piece, reason, tries, now_ms), piece, next_try_ms=now_ms + MINUTE_MS))
    return made


def _leads_to(gap: Gap, piece: Range, reason: str) -> bool:
    return gap.tries == 1 and gap.reason == reason and stretch_of(gap)[1] + MINUTE_MS == piece[0]


def _gap(symbol: str, stretch: Range, reason: str, tries: int, now_ms: int) -> Gap:
    wait = RETRIES[tries - 1] if tries <= len(RETRIES) else None
    return Gap(
        symbol=symbol,
        first_open_time=from_ms(stretch[0]),
        last_open_time=from_ms(stretch[1]),
        reason=reason[:300],
        tries=tries,
        next_try_at=None if wait is None else from_ms(now_ms) + wait,
    )


def _cut(gap: Gap, piece: Range, next_try_ms: int | None = None) -> Gap:
    changed = {"first_open_time": from_ms(piece[0]), "last_open_time": from_ms(piece[1])}
    return gap.model_copy(update=changed if next_try_ms is None else {**changed, "next_try_at": from_ms(next_try_ms)})
