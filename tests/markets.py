"""Markets made by chance, as columns: quiet ones, and ones in which everything happens that can happen to a bar."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hub.market.features import BarColumns, Surroundings
from hub.market.interval import MINUTE_MS
from hub.market.trailing import Column

FIRST_MS = 1_710_028_740_000  # 2024-03-09T23:59Z: a day before the clocks change in New York


def market(rows: int, seed: int = 0, price: float = 100.0) -> BarColumns:
    """A market that trades every minute: fat tails, prices on a grid of a hundred-thousandth, buyers on either side."""
    chance = np.random.default_rng(seed)
    return _bars(chance.standard_t(4, rows) * 4e-4, chance, price)


def troubled_market(rows: int, seed: int, price: float = 100.0) -> BarColumns:
    """The same with jumps by half, stretches of any length where nothing moves or is traded, and volumes that are not known."""
    chance = np.random.default_rng(seed)
    moves = chance.standard_t(4, rows) * 10.0 ** chance.uniform(-6, -2.5)
    for _ in range(chance.integers(4)):
        moves[chance.integers(rows)] = chance.choice((np.log(1.5), np.log(0.5)))
    still = _stretches(rows, chance)
    moves[still] = 0.0
    bars = _bars(moves, chance, price)
    quiet, fallback, untold = still | _stretches(rows, chance), _stretches(rows, chance, 100), _stretches(rows, chance)
    volume = np.where(fallback, np.nan, np.where(quiet, 0.0, bars.volume))
    calm = replace(bars, volume=volume, taker_buy_volume=np.where(untold | fallback, np.nan, np.minimum(bars.taker_buy_volume, volume)))
    return replace(calm, **{name: np.where(still, bars.open, getattr(bars, name)) for name in ("high", "low", "close")})


def surroundings(rows: int, seed: int) -> Surroundings:
    """Another symbol with holes, and news that come and go."""
    chance = np.random.default_rng(seed + 1)
    other = np.where(_stretches(rows, chance, 200), np.nan, market(rows, seed + 1, 2_000.0).close)
    silent = _stretches(rows, chance)
    mood, count = np.repeat(chance.uniform(-1, 1, rows // 60 + 1), 60)[:rows], np.repeat(chance.integers(0, 50, rows // 60 + 1), 60)[:rows]
    return Surroundings(other, np.where(silent, np.nan, mood), np.where(silent, np.nan, count.astype(np.float64)))


def _bars(moves: Column, chance: np.random.Generator, price: float) -> BarColumns:
    tick = 10.0 ** (np.floor(np.log10(price)) - 5)
    close = np.maximum(np.round(price * np.exp(np.cumsum(moves)) / tick), 1.0) * tick
    opened = np.concatenate((close[:1], close[:-1]))
    reach = np.round(np.abs(chance.normal(0, 2e-4, (2, len(moves)))) * close / tick) * tick
    high, low = np.maximum(opened, close) + reach[0], np.minimum(opened, close) - reach[1]
    volume = np.round(chance.exponential(3.0, len(moves)), 5)
    times = FIRST_MS + MINUTE_MS * np.arange(len(moves))
    return BarColumns(times, opened, high, np.maximum(low, np.minimum(tick, close)), close, volume, volume * chance.random(len(moves)))


def _stretches(rows: int, chance: np.random.Generator, longest: int = 600) -> NDArray[np.bool_]:
    """Some stretches of the rows."""
    inside = np.zeros(rows, bool)
    for _ in range(chance.integers(4)):
        first = chance.integers(rows)
        inside[first : first + chance.integers(1, longest)] = True
    return inside
