"""A market made by chance: any minute of any day, the same for the same seed, without remembering how one got there.

A day's level comes from noise of many periods (so that any day can be had at once); its minutes are a bridge from one level to the
next, with volatility that clusters, a daily rhythm, and jumps. A part that is common to all symbols makes them move together.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, exp, log, pi, sqrt, tanh
from random import Random

from hub.market.interval import MINUTE_MS

DAY_MS = 1440 * MINUTE_MS
COMMON = 0.85
"""Correlation of every symbol's minutes with the market's."""
DAILY_VOLATILITY = 0.025
MINUTE_VOLATILITY = 0.0006
PERIODS = tuple(2**power for power in range(9))
"""Days; noise of longer periods is stronger, as in a random walk."""
LEVELS = {"BTC": 100_000.0, "ETH": 3_000.0, "BNB": 650.0, "SOL": 160.0, "XRP": 2.2, "ADA": 0.7, "DOGE": 0.2, "LTC": 90.0, "LINK": 15.0}
QUOTE_A_MINUTE = 900_000.0
"""Typical volume of a minute, in the quote asset."""


@dataclass(frozen=True)
class _Day:
    """The market's part of one day."""

    moves: list[float]
    volatilities: list[float]


class MarketSimulation:
    """Rows of minutes as Binance would send them."""

    def __init__(self, seed: int, symbol: str) -> None:
        """`symbol`: `BTC-USDT`."""
        self._seed = seed
        self._symbol = symbol
        base = symbol.split("-", maxsplit=1)[0]
        self._level = LEVELS.get(base) or 10 ** Random(f"level:{symbol}").uniform(-0.5, 2.5)  # noqa: S311 - a game of chance
        self._block = lru_cache(maxsize=16)(self._make_block)

    def page(self, first: int, last: int, limit: int, *, newest: bool = False) -> bytes:
        """Up to `limit` rows that opened in [first, last], joined by commas: the oldest of them, or the newest."""
        first = -(-first // MINUTE_MS) * MINUTE_MS
        last = last // MINUTE_MS * MINUTE_MS
        if newest:
            first = max(first, last - (limit - 1) * MINUTE_MS)
        last = min(last, first + (limit - 1) * MINUTE_MS)
        rows: list[bytes] = []
        at = first
        while at <= last:
            day, within = divmod(at, DAY_MS)
            rows_left = (last - at) // MINUTE_MS + 1
            minute = within // MINUTE_MS
            rows += self._block(day)[minute : minute + rows_left]
            at = (day + 1) * DAY_MS
        return b",".join(rows)

    def _log_level(self, day: int) -> float:
        """Logarithm of the price when `day` begins."""
        common = _noise(f"{self._seed}:market", day)
        own = _noise(f"{self._seed}:{self._symbol}", day)
        return log(self._level) + DAILY_VOLATILITY * (COMMON * common + sqrt(1 - COMMON**2) * own)

    def _make_block(self, day: int) -> list[bytes]:
        random = Random(f"{self._seed}:{self._symbol}:{day}")  # noqa: S311 - a game of chance
        market = _market_day(self._seed, day)
        moves = [
            volatility * (COMMON * move + sqrt(1 - COMMON**2) * random.gauss(0, 1))
            for move, volatility in zip(market.moves, market.volatilities, strict=True)
        ]
        if random.random() < 0.15:
            moves[random.randrange(1440)] += random.choice((-1, 1)) * random.uniform(0.004, 0.02)
        begin, end = self._log_level(day), self._log_level(day + 1)
        drift = (end - begin - sum(moves)) / sum(volatility**2 for volatility in market.volatilities)
        opens, rows = begin, []
        for minute, (move, volatility) in enumerate(zip(moves, market.volatilities, strict=True)):
            closes = opens + move + drift * volatility**2
            rows.append(_row(day * DAY_MS + minute * MINUTE_MS, opens, closes, volatility, random))
            opens = closes
        return rows


def _row(time: int, opens: float, closes: float, volatility: float, random: Random) -> bytes:
    reach = (closes - opens) ** 2
    high = (opens + closes + sqrt(reach - 2 * volatility**2 * log(1 - random.random()))) / 2
    low = (opens + closes - sqrt(reach - 2 * volatility**2 * log(1 - random.random()))) / 2
    open_, close = exp(opens), exp(closes)
    lively = volatility / MINUTE_VOLATILITY
    quote_volume = QUOTE_A_MINUTE * lively * exp(random.gauss(0, 0.6)) * (0.6 + 0.5 * sqrt(reach) / volatility)
    volume = quote_volume / close
    taken = min(0.98, max(0.02, 0.5 + 0.25 * tanh((closes - opens) / volatility) + random.gauss(0, 0.08)))
    trades = 1 + int(quote_volume / 900)
    return (
        f'[{time},"{open_:.8f}","{max(exp(high), open_, close):.8f}","{min(exp(low), open_, close):.8f}","{close:.8f}","{volume:.8f}",'
        f'{time + MINUTE_MS - 1},"{quote_volume:.8f}",{trades},"{volume * taken:.8f}","{quote_volume * taken:.8f}","0"]'
    ).encode()


def _noise(key: str, day: int) -> float:
    """What a random walk of unit steps would be on `day`, bounded, and to be had without walking there."""
    total = 0.0
    for period in PERIODS:
        place, part = divmod(day, period)
        here, there = (Random(f"{key}:{period}:{place + step}").gauss(0, 1) for step in (0, 1))  # noqa: S311 - a game of chance
        total += sqrt(period / 2) * (here + (there - here) * part / period)
    return total


@lru_cache(maxsize=64)
def _market_day(seed: int, day: int) -> _Day:
    random = Random(f"{seed}:market:{day}")  # noqa: S311 - a game of chance
    mood, moves, volatilities = random.gauss(0, 0.35), [], []
    cluster = random.gauss(0, 0.4)
    for minute in range(1440):
        cluster = 0.985 * cluster + random.gauss(0, 0.07)
        rhythm = 1 + 0.35 * cos(2 * pi * (minute - 870) / 1440)
        volatilities.append(MINUTE_VOLATILITY * rhythm * exp(mood + cluster))
        moves.append(random.gauss(0, 1))
    return _Day(moves, volatilities)
