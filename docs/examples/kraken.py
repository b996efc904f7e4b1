"""Minute bars of Kraken, the last twelve hours and from then on, as a second exchange."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx

from hub import Bar, Hub, PermanentError, PluginSettings, Source, TransientError, hookimpl
from hub.market.interval import MINUTE_MS, from_ms, to_ms

NAMES = {"BTC": "XBT", "DOGE": "XDG"}


class KrakenSettings(PluginSettings):
    """What stands in this plugin's section of config.yaml."""

    base_url: str = "https://api.kraken.com/0/public"
    """Where its REST API is."""
    delay_s: float = 4.0
    """Seconds after the full minute at which it is asked."""


@hookimpl
def register_settings() -> type[PluginSettings]:
    return KrakenSettings


@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    settings = hub.settings_for(KrakenSettings)

    async def closed_bars() -> AsyncIterator[list[Bar]]:
        while True:
            now = to_ms(hub.clock.now())
            for symbol in hub.symbols:
                newest = hub.store.newest_bar(symbol)
                since = to_ms(newest.open_time) if newest else now - 720 * MINUTE_MS
                if since < now - 2 * MINUTE_MS and (bars := await _fetched(hub, settings, symbol, since, now)):
                    yield bars
            await hub.clock.sleep((MINUTE_MS - now % MINUTE_MS) / 1000 + settings.delay_s)

    return [Source("kraken", closed_bars, produces=(Bar,), stale_after=timedelta(minutes=5))]


async def _fetched(hub: Hub, settings: KrakenSettings, symbol: str, since: int, now: int) -> list[Bar]:
    base, _, quote = symbol.partition("-")
    asked: dict[str, Any] = {"pair": NAMES.get(base, base) + quote, "interval": 1, "since": since // 1000}
    try:
        told = (await hub.http.get(f"{settings.base_url}/OHLC", params=asked)).raise_for_status().json()
        if told["error"]:
            kind = PermanentError if "Unknown asset pair" in str(told["error"]) else TransientError
            raise kind(f"Kraken: {symbol}: {told['error'][0]}")
        rows = next(rows for name, rows in told["result"].items() if name != "last")
        bars = [_bar(symbol, row) for row in rows]
    except (httpx.HTTPError, ValueError, LookupError, TypeError, StopIteration) as error:
        raise TransientError(f"Kraken: {symbol}: {error or type(error).__name__}") from error
    return [bar for bar in bars if since < to_ms(bar.open_time) <= now - MINUTE_MS]  # the last row is the minute still running


def _bar(symbol: str, row: list[Any]) -> Bar:
    opened, first, high, low, last, average, volume, trades = row
    prices = {"open": float(first), "high": float(high), "low": float(low), "close": float(last)}
    traded = {"volume": float(volume), "quote_volume": float(volume) * float(average), "trades": int(trades)}
    return Bar(symbol=symbol, open_time=from_ms(int(opened) * 1000), source="kraken", **prices, **traded)
