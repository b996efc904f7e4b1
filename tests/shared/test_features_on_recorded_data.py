"""Features of real bars: known after the warm-up, bounded, and the same from their look-back as from weeks of history."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hub.market.features import FEATURES, LIMIT, LOOK_BACK, BarColumns, Surroundings, feature_matrix

STRETCHES = ["20250301_20250401", "20210917_20211017", "20230316_20230501"]


def _stretches(shared_data: Path, stretch: str) -> list[tuple[BarColumns, Surroundings]]:
    """Bitcoin's longest runs without a gap, with Ether's closes beside them."""
    bitcoin, ether = (
        pd.read_csv(shared_data / "market" / f"binance_spot_{name}USDT_1m_{stretch}.csv.gz", index_col="open_time_ms")
        for name in ("BTC", "ETH")
    )
    run = (np.diff(bitcoin.index, prepend=bitcoin.index[0]) > 60_000).cumsum()
    found = []
    for _, part in bitcoin.groupby(run):
        columns = (part[name].to_numpy(np.float64) for name in ("open", "high", "low", "close", "volume"))
        bars = BarColumns(part.index.to_numpy(np.int64), *columns, np.full(len(part), np.nan))
        found.append((bars, Surroundings(ether["close"].reindex(part.index).to_numpy(np.float64))))
    return found


@pytest.mark.parametrize("stretch", STRETCHES)
def test_real_bars_have_whole_rows_that_live_and_training_share(shared_data: Path, stretch: str) -> None:
    """Among them a halt, and the 72 minutes after it that were served without a trade."""
    for bars, around in _stretches(shared_data, stretch):
        rows = feature_matrix(bars, around)
        known = rows[LOOK_BACK - 1 :]
        assert (np.abs(known) <= LIMIT).all()
        for row in np.linspace(LOOK_BACK - 1, len(rows) - 1, 40, dtype=int):
            seen = slice(row - LOOK_BACK + 1, row + 1)
            np.testing.assert_array_equal(feature_matrix(bars.part(seen), around.part(seen))[-1], rows[row])
        quiet = [name for name, spread in zip(FEATURES, known.std(axis=0), strict=True) if not spread]
        assert quiet == ["taker_5", "taker_60", "sentiment", "articles"]
        assert (np.abs(known) == LIMIT).mean() < 1e-3
