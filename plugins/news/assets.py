"""Which assets a headline is about: those it names; all of ours where it speaks of the whole market."""

import re
from collections.abc import Mapping, Sequence

NAMES: Mapping[str, tuple[str, ...]] = {
    "AAVE": ("aave",),
    "ADA": ("cardano",),
    "ALGO": ("algorand",),
    "APT": ("aptos",),
    "ARB": ("arbitrum",),
    "ATOM": ("cosmos hub",),
    "AVAX": ("avalanche",),
    "BCH": ("bitcoin cash",),
    "BNB": ("binance coin", "bnb chain"),
    "BTC": ("bitcoin", "bitcoins", "xbt", "satoshi", "satoshis"),
    "DOGE": ("dogecoin",),
    "DOT": ("polkadot",),
    "ETC": ("ethereum classic",),
    "ETH": ("ethereum", "ethereums", "ether", "vitalik"),
    "FIL": ("filecoin",),
    "HBAR": ("hedera",),
    "ICP": ("internet computer",),
    "LINK": ("chainlink",),
    "LTC": ("litecoin",),
    "NEAR": ("near protocol",),
    "PEPE": ("pepe",),
    "SHIB": ("shiba inu",),
    "SOL": ("solana",),
    "SUI": ("sui network",),
    "TON": ("toncoin",),
    "TRX": ("tron",),
    "UNI": ("uniswap",),
    "XLM": ("stellar",),
    "XMR": ("monero",),
    "XRP": ("ripple",),
    "ZEC": ("zcash",),
}
MARKET = re.compile(
    r"\b(?:crypto|cryptos|cryptocurrenc\w+|crypto-?assets?|digital (?:assets?|currenc\w+)|altcoins?|stablecoins?|defi|blockchains?"
    r"|tether|usdt|usdc|binance|coinbase|kraken|nfts?|web3|token(?:s|iz\w+|is\w+)?)\b",
    re.IGNORECASE,
)


class Assets:
    """Ours, and how headlines call them."""

    def __init__(self, symbols: Sequence[str], names: Mapping[str, Sequence[str]]) -> None:
        """`names`: further ones, by asset."""
        self.ours = tuple(dict.fromkeys(symbol.partition("-")[0] for symbol in symbols))
        known = {**NAMES, **{asset: () for asset in self.ours if asset not in NAMES}}
        self._patterns = {asset: _pattern(asset, (*usual, *names.get(asset, ()))) for asset, usual in known.items()}
        self._longer = [(asset, name) for asset, usual in NAMES.items() for name in usual if " " in name]

    def in_headline(self, title: str) -> tuple[str, ...]:
        """Our assets that it is about; none where it is about others, or about something else."""
        rest = title
        for asset, name in self._longer:  # "bitcoin cash" names no bitcoin
            if asset not in self.ours:
                rest = re.sub(rf"\b{name}\b", "", rest, flags=re.IGNORECASE)
        if named := tuple(asset for asset in self.ours if self._patterns[asset].search(rest)):
            return named
        others = any(pattern.search(title) for asset, pattern in self._patterns.items() if asset not in self.ours)
        return self.ours if MARKET.search(title) and not others else ()

    @property
    def words(self) -> list[str]:
        """What to search for: each asset's best name, and the field's."""
        return [*(NAMES.get(asset, (asset,))[0] for asset in self.ours[:15]), "crypto"]


def _pattern(asset: str, names: Sequence[str]) -> re.Pattern[str]:
    """Names in any letters; the ticker only in capitals, or behind a dollar sign."""
    spelt = "|".join(re.escape(name) for name in names)
    ticker = rf"(?<![A-Za-z0-9])\$?{re.escape(asset)}(?![A-Za-z0-9])"
    return re.compile(rf"(?i:\b(?:{spelt})\b)|{ticker}" if spelt else ticker)
