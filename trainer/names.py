"""What a file's name says: whose bars it holds, and of which market."""

import re
from pathlib import Path
from typing import Literal

Market = Literal["spot", "perp"]
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "BTC", "ETH", "BNB")
"""Quote assets by which a name such as BTCUSDT is cut in two; longer ones before those they end with."""
_ENDINGS = re.compile(r"(\.csv|\.gz|\.zip)+$", re.IGNORECASE)
_JOINED = re.compile(rf"(?<![A-Za-z0-9])([A-Z0-9]{{2,20}}?)({'|'.join(QUOTES)})(?![A-Za-z0-9])")
_APART = re.compile(rf"(?<![A-Za-z0-9])(?=[0-9]*[A-Z])([A-Z0-9]{{1,20}})[-_]({'|'.join(QUOTES)})(?![A-Za-z0-9])")
_PERPETUAL = re.compile(r"(?<![a-z0-9])(perp|perpetual|usdm|um|futures|swap)(?![a-z0-9])", re.IGNORECASE)
_SPOT = re.compile(r"(?<![a-z0-9])spot(?![a-z0-9])", re.IGNORECASE)
_BINANCE_FOLDER = re.compile(r"(?:^|/)(?:futures/(?:um|cm)|spot)/(?:daily|monthly)/")


def symbols_in(name: str) -> set[str]:
    """Every symbol that a file's name spells as BTCUSDT, BTC-USDT or BTC_USDT."""
    stem = _ENDINGS.sub("", name)
    apart = set(_APART.findall(stem))
    joined = {(base, quote) for base, quote in _JOINED.findall(_APART.sub("/", stem)) if f"{base}{quote}" not in QUOTES}
    return {f"{base}-{quote}" for base, quote in apart | joined}


def market_of(file: Path) -> Market | None:
    """The market that the name says, or the folders in which Binance publishes its dumps; None where they say nothing."""
    folder = _BINANCE_FOLDER.search(file.as_posix())
    if _PERPETUAL.search(file.name) or (folder and "futures" in folder[0]):
        return "perp"
    return "spot" if _SPOT.search(file.name) or folder else None
