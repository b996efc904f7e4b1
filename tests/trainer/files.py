"""Files of bars for tests, their numbers made from the minute."""

import gzip
import zipfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, settings

from hub.market.interval import MINUTE_MS

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a busy machine is no reason to fail."""
T = 1_747_699_200_000
"""2025-05-20 00:00 UTC."""
NOW = 1_800_000_000_000
PLAIN = "open_time_ms,open,high,low,close,volume"
FULL = f"{PLAIN},quote_volume,trades,taker_buy_base,taker_buy_quote"
HUB = f"{PLAIN},quote_volume,trades,source"
DUMP = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"


def at(minute: int) -> int:
    """Open time of the `minute`th minute."""
    return T + minute * MINUTE_MS


def price(minute: int) -> float:
    return 100 + minute % 97 / 10


def plain(minute: int, *, scale: int = 1, **cells: object) -> str:
    """A row of a plain CSV; `scale` makes its time stamp one of microseconds."""
    middle = price(minute)
    row = {"time": at(minute) * scale, "open": middle, "high": middle + 1, "low": middle - 1, "close": middle + 0.5, "volume": 2.5}
    return ",".join(str(cell) for cell in (row | cells).values())


def dump(minute: int, *, scale: int = 1000, **cells: object) -> str:
    """A row of one of Binance's public dumps, as the exchange writes it."""
    middle = price(minute)
    row = {
        "time": at(minute) * scale,
        "open": f"{middle:.8f}",
        "high": f"{middle + 1:.8f}",
        "low": f"{middle - 1:.8f}",
        "close": f"{middle + 0.5:.8f}",
        "volume": "2.50000000",
        "close_time": at(minute + 1) * scale - 1,
        "quote_volume": "250.00000000",
        "trades": 7,
        "taker_base": "1.25000000",
        "taker_quote": "125.00000000",
        "ignore": 0,
    }
    return ",".join(str(cell) for cell in (row | cells).values())


def write(file: Path, lines: Iterable[str], *, newline: str = "\n") -> Path:
    """The lines as a file, packed as its name says."""
    text = "".join(f"{line}{newline}" for line in lines).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.name.endswith(".gz"):
        file.write_bytes(gzip.compress(text))
    elif file.name.endswith(".zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{file.stem}.csv", text)
    else:
        file.write_bytes(text)
    return file
