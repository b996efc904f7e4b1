"""The collector's section of config.yaml."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from hub.settings import Duration, LocalPath, PluginSettings, SettingsModel, SymbolName, WebAddress

CoinId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class BinanceUSSettings(SettingsModel):
    """Binance.US, for people in the United States."""

    base_url: WebAddress = "https://api.binance.us"
    """Where its REST API is."""


class BinanceSettings(SettingsModel):
    """Binance, where it is not blocked."""

    base_url: WebAddress = "https://api.binance.com"
    """Where its REST API is."""


class CoinGeckoSettings(SettingsModel):
    """The stand-in: a last price a minute, while the exchange does not answer."""

    base_url: WebAddress = "https://api.coingecko.com/api/v3"
    """Where its REST API is; `https://pro-api.coingecko.com/api/v3` with a paid key."""
    api_key: SecretStr | None = None
    """Not needed; a free one raises the number of calls a minute from about 5 to 30."""
    ids: dict[str, CoinId] = Field(default_factory=dict)
    """CoinGecko's id of a base asset that we do not know by ourselves, such as `{PEPE: pepe}`."""


class SimulatedSettings(SettingsModel):
    """An exchange inside the hub: a file of bars played again, or a market that chance makes."""

    file: LocalPath | tuple[LocalPath, ...] | dict[SymbolName, LocalPath] | None = None
    """CSV (or .csv.gz) of minute bars: one, several (the symbol from their names), or one per symbol. None: chance."""
    seed: int = 1
    """Another number, another market. The same number, the same market, in every run."""


class CollectorSettings(PluginSettings):
    """Where bars come from, and how far back."""

    source: Literal["binanceus", "binance", "simulated"] = "binanceus"
    """The exchange."""
    fallback: Literal["coingecko"] | None = "coingecko"
    """Who gives a last price a minute while the exchange does not answer. A simulated exchange has one only if it stands here."""
    backfill: Duration = timedelta(days=7)
    """How much of the past (s, m, h, d) an empty store is filled with. Of a simulated exchange's file: all, unless it stands here."""
    binanceus: BinanceUSSettings = BinanceUSSettings()
    binance: BinanceSettings = BinanceSettings()
    coingecko: CoinGeckoSettings = CoinGeckoSettings()
    simulated: SimulatedSettings = SimulatedSettings()
