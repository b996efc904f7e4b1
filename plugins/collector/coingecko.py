"""A last price a minute from CoinGecko, while the exchange does not answer. It has no minute bars; a price is better than nothing."""

import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hub.ban import Ban, wait_asked
from hub.download import Answer, download, host_of
from hub.errors import TransientError
from hub.flow import Hub
from hub.market.interval import from_ms
from hub.messages import Bar
from plugins.collector.exchange_time import ExchangeTime, newest_closed
from plugins.collector.settings import CoinGeckoSettings

SOURCE = "coingecko"
STALE_S = 600
"""A price older than this says nothing about the minute that has just closed."""
IDS = {
    "AAVE": "aave",
    "ADA": "cardano",
    "ALGO": "algorand",
    "APT": "aptos",
    "ARB": "arbitrum",
    "ATOM": "cosmos",
    "AVAX": "avalanche-2",
    "BCH": "bitcoin-cash",
    "BNB": "binancecoin",
    "BTC": "bitcoin",
    "DAI": "dai",
    "DOGE": "dogecoin",
    "DOT": "polkadot",
    "ETC": "ethereum-classic",
    "ETH": "ethereum",
    "FIL": "filecoin",
    "HBAR": "hedera-hashgraph",
    "ICP": "internet-computer",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "MKR": "maker",
    "NEAR": "near",
    "OP": "optimism",
    "PEPE": "pepe",
    "SHIB": "shiba-inu",
    "SOL": "solana",
    "SUI": "sui",
    "TON": "the-open-network",
    "TRX": "tron",
    "UNI": "uniswap",
    "USDC": "usd-coin",
    "VET": "vechain",
    "XLM": "stellar",
    "XMR": "monero",
    "XRP": "ripple",
    "ZEC": "zcash",
}
VERSUS = {"USD": "usd", "USDT": "usd", "USDC": "usd", "FDUSD": "usd", "EUR": "eur", "GBP": "gbp", "BTC": "btc", "ETH": "eth", "BNB": "bnb"}
"""Quote asset to CoinGecko's currency; a stablecoin is taken for its dollar."""


class _Price(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0)] | None]

    last_updated_at: int | None = None


_PRICES = TypeAdapter(dict[str, _Price])


class CoinGecko:
    """The stand-in for an exchange that does not answer."""

    def __init__(self, hub: Hub, settings: CoinGeckoSettings, time: ExchangeTime) -> None:
        self.host = host_of(settings.base_url)
        self._hub = hub
        self._settings = settings
        self._time = time
        self._ids = IDS | settings.ids
        self._ban = Ban(hub.data_dir / f"ban-{re.sub(r'[^A-Za-z0-9.-]', '_', self.host)}.json", hub.clock)

    def knows(self, symbol: str) -> bool:
        """Whether CoinGecko can be asked for this symbol."""
        base, quote = symbol.split("-")
        return base in self._ids and quote in VERSUS

    async def bars(self, symbols: Sequence[str]) -> list[Bar]:
        """One fallback bar for each known symbol, of the minute that has just closed. One call. TransientError in words."""
        known = [symbol for symbol in symbols if self.knows(symbol)]
        if not known:
            return []
        answer = await self._get(known)
        if not self._time.known and "date" in answer.headers:
            self._time.note(int(parsedate_to_datetime(answer.headers["date"]).timestamp() * 1000))
        try:
            prices = _PRICES.validate_json(answer.body)
        except ValidationError as error:
            raise TransientError(f"{self.host}: the answer is not a list of prices") from error
        return [bar for symbol in known if (bar := self._bar(symbol, prices)) is not None]

    def _bar(self, symbol: str, prices: dict[str, _Price]) -> Bar | None:
        base, quote = symbol.split("-")
        found = prices.get(self._ids[base])
        price = (found.__pydantic_extra__ or {}).get(VERSUS[quote]) if found else None
        now_ms = self._time.now_ms()
        if found is None or not price or (found.last_updated_at is not None and now_ms / 1000 - found.last_updated_at > STALE_S):
            return None
        return Bar(
            symbol=symbol,
            open_time=from_ms(newest_closed(now_ms)),
            open=price,
            high=price,
            low=price,
            close=price,
            volume=None,
            source=SOURCE,
            quality="fallback",
        )

    async def _get(self, symbols: Sequence[str]) -> Answer:
        if (wait := self._ban.remaining()) > 0:
            raise TransientError(f"{self.host} asked us to stay away for another {wait:.0f} s", retry_after=wait)
        ids = sorted({self._ids[symbol.split("-")[0]] for symbol in symbols})
        versus = sorted({VERSUS[symbol.split("-")[1]] for symbol in symbols})
        params = {"ids": ",".join(ids), "vs_currencies": ",".join(versus), "include_last_updated_at": "true", "precision": "full"}
        answer = await download(self._hub.http, f"{self._settings.base_url}/simple/price", params, self._key())
        if answer.status in {418, 429}:
            wait = wait_asked(answer.headers, self._hub.clock.now().timestamp())
            self._ban.begin(wait)
            raise TransientError(f"{self.host} had too many requests ({answer.status}): nothing is asked of it for {wait:.0f} s")
        if answer.status in {401, 403}:
            raise TransientError(f"{self.host} refuses us ({answer.status}); is coingecko.api_key right?")
        if answer.status != 200:
            raise TransientError(f"{self.host} answers {answer.status}")
        return answer

    def _key(self) -> dict[str, str]:
        if self._settings.api_key is None:
            return {}
        name = "x-cg-pro-api-key" if self.host.startswith("pro-") else "x-cg-demo-api-key"
        return {name: self._settings.api_key.get_secret_value()}
