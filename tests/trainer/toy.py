"""Markets made for tests: one that can be learnt, one that cannot."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hub.market.interval import MINUTE_MS, to_ms
from hub.testing import START
from trainer.dataset import Dataset, build_dataset
from trainer.series import Stretch
from trainer.spec import Spec

SMALL = Spec(
    kind="patch", d_model=16, heads=2, layers=1, feed_forward=32, epochs=2, batch=256, warm_up=5, averaging=0.9, folds=2, precision="fp32"
)
SYMBOLS = ("BTC-USDT", "ETH-USDT")


def stretch(symbol: str, minutes: int, *, pull: float = 0.0, mood: float = 0.0, seed: int = 1, first: int = to_ms(START)) -> Stretch:
    """`mood`: how far the logarithm of volatility swings, twice a day.

    `pull`: the part of the last five minutes' move that is taken back in the next minutes; 0 is a fair coin."""
    chance = np.random.default_rng((seed, SYMBOLS.index(symbol)))
    moves = chance.normal(0.0, 5e-4, minutes)
    moves *= np.exp(mood * np.sin(np.arange(minutes) * (2.0 * np.pi / 720.0)))
    logs = np.zeros(minutes)
    for at in range(6, minutes):
        logs[at] = logs[at - 1] + moves[at] - pull * (logs[at - 1] - logs[at - 6])
    close = 50_000.0 * np.exp(logs)
    opened = np.concatenate([close[:1], close[:-1]])
    wick = np.abs(chance.normal(0.0, 1e-4, (2, minutes))) * close
    volume = chance.exponential(10.0, minutes)
    nothing = np.full(minutes, np.nan)
    times = first + np.arange(minutes) * MINUTE_MS
    return Stretch(
        symbol,
        times,
        opened,
        np.maximum(opened, close) + wick[0],
        np.minimum(opened, close) - wick[1],
        close,
        volume,
        nothing,
        nothing,
        nothing,
    )


@lru_cache(maxsize=4)
def market(minutes: int = 16_000, pull: float = 0.15, mood: float = 0.0, symbols: Sequence[str] = SYMBOLS) -> Dataset:
    """Both symbols over the same minutes."""
    return build_dataset({symbol: [stretch(symbol, minutes, pull=pull, mood=mood)] for symbol in symbols}, SMALL.window)
