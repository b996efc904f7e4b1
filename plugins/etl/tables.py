"""The tables of a day, row by row, from the facts on disk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import dropwhile, takewhile
from typing import Any

from hub import Article, Bar, Forecast, Hub, Score, Sentiment
from hub.dumps import BARS_PREFIX, SENTIMENT, Column, decimal_text, guarded
from hub.flow import MessageT
from hub.ledger import closes_of, entry_of, outcome_minute
from hub.market.interval import MINUTE_MS, to_ms

HOUR = timedelta(hours=1)
Row = tuple[str, ...]
WORDS = {
    "open_time_ms": "start of the minute, ms since 1970",
    "outcome": "log return from the last close seen to the close at target_time",
    "state": "scored, open, or missing: no bar came at target_time",
    "collected_at": "when it could first be known",
    "quality": "exact, or fallback: a stand-in that trains no model",
}


@dataclass(frozen=True)
class Table:
    """One file of a dump, to be written."""

    file: str
    name: str
    columns: tuple[Column, ...]
    rows: Callable[[], Iterator[Row]]


@dataclass(frozen=True)
class Day:
    """A day, UTC: its first moment, and the first one after it."""

    begin: datetime
    end: datetime

    @classmethod
    def of(cls, day: date) -> "Day":
        begin = datetime.combine(day, time(), UTC)
        return cls(begin, begin + timedelta(days=1))

    @property
    def minutes(self) -> tuple[int, int]:
        """Open times (ms) of its first and last bar."""
        return to_ms(self.begin), to_ms(self.end) - MINUTE_MS


def tables(hub: Hub, day: Day) -> list[Table]:
    """All of a day."""
    bars = [
        Table(f"{BARS_PREFIX}{symbol}.csv", "bars", _columns(BARS), lambda symbol=symbol: _bars(hub, symbol, day))  # type: ignore[misc]
        for symbol in hub.symbols
    ]
    return [
        *bars,
        Table("forecasts.csv", "forecasts", _columns(FORECASTS), lambda: _forecasts(hub, day)),
        Table("scores.csv", "scores", _columns(SCORES), lambda: _scores(hub, day)),
        Table(SENTIMENT, "sentiment", _columns(MOODS), lambda: _moods(hub, day)),
        Table("articles.csv", "articles", _columns(ARTICLES), lambda: _articles(hub, day)),
    ]


BARS = "open_time_ms:integer open high low close volume quote_volume trades:integer source:text quality:text taker_buy_volume"
FORECASTS = (
    "symbol:text horizon_minutes:integer open_time:time made_at:time target_time:time last_close price low high p_up direction:text"
    " confidence model:text version:text sha256:text role:text outcome state:text"
)
SCORES = (
    "symbol:text horizon_minutes:integer scored_at:time n:integer skill skill_low auc hit_rate brier coverage error baseline_error"
    " missing:integer window:text last_outcome model:text version:text sha256:text role:text"
)
MOODS = "asset:text hour:time score articles:integer scorer:text"
ARTICLES = "asset:text collected_at:time published_at:time title:text source:text url:text score scorer:text"


def _columns(told: str) -> tuple[Column, ...]:
    split = [each.partition(":") for each in told.split()]
    return tuple(Column(name=name, type=kind or "number", meaning=WORDS.get(name, "")) for name, _, kind in split)


def _bars(hub: Hub, symbol: str, day: Day) -> Iterator[Row]:
    for bar in hub.store.bars(symbol, *day.minutes):
        yield _bar(bar)


def _bar(bar: Bar) -> Row:
    numbers = map(decimal_text, (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume))
    return str(to_ms(bar.open_time)), *numbers, _whole(bar.trades), bar.source, bar.quality, decimal_text(bar.taker_buy_volume)


def _forecasts(hub: Hub, day: Day) -> Iterator[Row]:
    """Those whose time came on that day, so that each stands in one dump, with its outcome."""
    now = hub.clock.now()
    longest = timedelta(minutes=max((each.horizon_minutes for each in hub.store.newest(Forecast)), default=0))
    for newest in _places(hub, Forecast):
        where = {"symbol": newest.symbol, "horizon_minutes": newest.horizon_minutes}
        made = _told(hub, Forecast, newest.role, where, lambda each: each.target_time, day, longest + HOUR)
        closes = closes_of(hub.store, made)
        for forecast in made:
            entry = entry_of(forecast, closes.get(outcome_minute(forecast)), now)
            yield (
                *(
                    forecast.symbol,
                    str(forecast.horizon_minutes),
                    *map(_time, (forecast.open_time, forecast.made_at, forecast.target_time)),
                ),
                *map(decimal_text, (forecast.last_close, forecast.price, forecast.low, forecast.high, forecast.p_up)),
                *(forecast.direction, decimal_text(forecast.confidence), forecast.model.name, guarded(forecast.model.version)),
                *(forecast.model.sha256, forecast.role, decimal_text(entry.outcome), entry.state),
            )


def _scores(hub: Hub, day: Day) -> Iterator[Row]:
    for newest in _places(hub, Score):
        where = {"symbol": newest.symbol, "horizon_minutes": newest.horizon_minutes}
        for score in _told(hub, Score, newest.role, where, lambda each: each.scored_at or day.begin, day, HOUR):
            numbers = (
                score.skill,
                score.skill_low,
                score.auc,
                score.hit_rate,
                score.brier,
                score.coverage,
                score.error,
                score.baseline_error,
            )
            yield (
                *(score.symbol, str(score.horizon_minutes), _time(score.scored_at), str(score.n), *map(decimal_text, numbers)),
                *(str(score.missing), guarded(score.window), decimal_text(score.last_outcome)),
                *(score.model.name, guarded(score.model.version), score.model.sha256, score.role),
            )


def _moods(hub: Hub, day: Day) -> Iterator[Row]:
    """Of each hour its last word."""
    for newest in _places(hub, Sentiment):
        told = _told(hub, Sentiment, "live", {"asset": newest.asset}, lambda each: each.hour, day, HOUR)
        for mood in {each.hour: each for each in told}.values():
            yield mood.asset, _time(mood.hour), decimal_text(mood.score), str(mood.articles), mood.scorer


def _articles(hub: Hub, day: Day) -> Iterator[Row]:
    for newest in _places(hub, Article):
        for each in _told(hub, Article, "live", {"asset": newest.asset}, lambda each: each.collected_at, day, HOUR):
            texts = map(guarded, (each.title, each.source, each.url))
            yield each.asset, _time(each.collected_at), _time(each.published_at), *texts, decimal_text(each.score), each.scorer or ""


def _places(hub: Hub, kind: type[MessageT]) -> Sequence[MessageT]:
    """One fact of each place where facts of this kind stand, always in the same order."""
    return sorted(hub.store.newest(kind), key=_key)


def _key(message: Any) -> tuple[str, int, str, str]:
    told = dict(message)
    return str(told.get("symbol", "")), int(told.get("horizon_minutes", 0)), str(told.get("asset", "")), str(told.get("role", ""))


def _told(
    hub: Hub, kind: type[MessageT], role: str, where: dict[str, Any], moment: Callable[[Any], datetime], day: Day, slack: timedelta
) -> list[MessageT]:
    """The facts of one place and that day, in order of time. They are recorded nearly in that order: `slack` says how nearly."""
    backwards = hub.store.newest_first(kind, role, **where)
    later = dropwhile(lambda each: moment(each) >= day.end + slack, backwards)
    near = takewhile(lambda each: moment(each) >= day.begin - slack, later)
    return [each for each in reversed(list(near)) if day.begin <= moment(each) < day.end]


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")
