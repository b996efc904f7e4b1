"""What a file's name is taken to say."""

from pathlib import Path

import pytest

from trainer.names import market_of, symbols_in


@pytest.mark.parametrize(
    ("name", "symbols"),
    [
        ("BTCUSDT-1m-2026-03.zip", {"BTC-USDT"}),
        ("binance_spot_ETHUSDT_1m_20210326_20210520.csv.gz", {"ETH-USDT"}),
        ("bars-BTC-USDT-2025-05-20.csv", {"BTC-USDT"}),
        ("BTC_USDT-1m.csv", {"BTC-USDT"}),
        ("20210520_BTC_USDT.csv", {"BTC-USDT"}),
        ("ETHBTC.csv", {"ETH-BTC"}),
        ("BTCFDUSD-1m-2025-01.zip", {"BTC-FDUSD"}),
        ("USDCUSDT.csv", {"USDC-USDT"}),
        ("1000SHIBUSDT.csv", {"1000SHIB-USDT"}),
        ("BTCUSDT_ETHUSDT.csv", {"BTC-USDT", "ETH-USDT"}),
        ("gaps.csv", set()),
        ("BUSD.csv", set()),
        ("btcusdt.csv", set()),
        ("USDT.csv", set()),
    ],
)
def test_a_symbol_is_read_from_the_name(name: str, symbols: set[str]) -> None:
    assert symbols_in(name) == symbols


@pytest.mark.parametrize(
    ("path", "market"),
    [
        ("binance_usdm_perp_BTCUSDT_1m.csv.gz", "perp"),
        ("BTCUSDT-um-1m.csv", "perp"),
        ("BTCUSD_PERP-1m-2024-01.zip", "perp"),
        ("data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-03.zip", "perp"),
        ("data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-03.zip", "spot"),
        ("binance_spot_BTCUSDT_1m.csv.gz", "spot"),
        ("home/um/BTCUSDT-1m-2025-03.zip", None),
        ("SUMUSDT.csv", None),
    ],
)
def test_a_perpetual_future_is_known_by_its_name_or_by_binances_folders(path: str, market: str | None) -> None:
    """Binance's own dumps of both markets have the same file names."""
    assert market_of(Path(path)) == market
