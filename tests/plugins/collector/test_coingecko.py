"""The stand-in: one call for all symbols, a price and nothing that it cannot know."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.errors import TransientError
from hub.market.interval import to_ms
from hub.testing import START, FakeHub
from plugins.collector.coingecko import CoinGecko
from plugins.collector.exchange_time import ExchangeTime
from plugins.collector.settings import CoinGeckoSettings

T = to_ms(START)
ANSWER: dict[str, Any] = {"bitcoin": {"usd": 105_573.5, "last_updated_at": T // 1000}, "ethereum": {"usd": 2528}}


class Gecko:
    """CoinGecko with one answer; remembers the requests."""

    def __init__(self, folder: Path, answer: httpx.Response, **settings: Any) -> None:
        self.asked: list[httpx.Request] = []
        self.hub = FakeHub(transport=httpx.MockTransport(lambda request: self.asked.append(request) or answer), data_dir=folder)  # type: ignore[func-returns-value]
        time = ExchangeTime(self.hub.clock, self.hub.log)
        time.note(T + 5_000)
        self.source = CoinGecko(self.hub, CoinGeckoSettings.model_validate(settings), time)


def priced(answer: Any = ANSWER) -> httpx.Response:
    return httpx.Response(200, json=answer)


async def test_one_call_gives_a_bar_for_each_symbol_of_the_minute_just_closed(tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, priced())
    bars = await gecko.source.bars(["BTC-USDT", "ETH-USDT"])
    assert [(bar.symbol, bar.open, bar.high, bar.low, bar.close) for bar in bars] == [
        ("BTC-USDT", *[105_573.5] * 4),
        ("ETH-USDT", *[2528.0] * 4),
    ]
    assert {(bar.volume, bar.trades, bar.quality, bar.source, to_ms(bar.open_time)) for bar in bars} == {
        (None, None, "fallback", "coingecko", T - 60_000)
    }
    [request] = gecko.asked
    assert (request.url.path, request.url.params["ids"], request.url.params["vs_currencies"]) == (
        "/api/v3/simple/price",
        "bitcoin,ethereum",
        "usd",
    )


@pytest.mark.parametrize(
    "coin",
    [{}, {"usd": None}, {"usd": 0}, {"eur": 5}, {"usd": 105_000.0, "last_updated_at": T // 1000 - 3600}],
)
async def test_no_price_or_an_old_one_is_no_bar(coin: dict[str, Any], tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, priced(ANSWER | {"bitcoin": coin}))
    assert [bar.symbol for bar in await gecko.source.bars(["BTC-USDT", "ETH-USDT"])] == ["ETH-USDT"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'{"bitcoin": 5}', b'{"bitcoin": {"usd": "5"}}', b'{"bitcoin": {"usd": -5}}', b'{"bitcoin": {"usd": NaN}}'],
)
async def test_a_foreign_answer_is_an_error_in_words(body: bytes, tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, httpx.Response(200, content=body))
    with pytest.raises(TransientError, match="not a list of prices"):
        await gecko.source.bars(["BTC-USDT"])


async def test_a_429_is_obeyed(tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, httpx.Response(429, headers={"retry-after": "90"}))
    for _ in range(5):
        with pytest.raises(TransientError):
            await gecko.source.bars(["BTC-USDT"])
    assert len(gecko.asked) == 1


async def test_the_key_travels_in_a_header_only(tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, httpx.Response(401), api_key="CANARY")
    with pytest.raises(TransientError, match=r"is coingecko\.api_key right") as caught:
        await gecko.source.bars(["BTC-USDT"])
    [request] = gecko.asked
    assert request.headers["x-cg-demo-api-key"] == "CANARY"
    assert "CANARY" not in str(request.url) + str(caught.value) + json.dumps(gecko.hub.logged.entries) + repr(gecko.source.__dict__)


async def test_a_coin_of_ones_own_can_be_named(tmp_path: Path) -> None:
    gecko = Gecko(tmp_path, priced({"my-coin": {"eur": 2.5}}), ids={"MINE": "my-coin"})
    assert not gecko.source.knows("OTHER-EUR")
    assert not gecko.source.knows("MINE-XYZ")
    [bar] = await gecko.source.bars(["MINE-EUR", "OTHER-EUR"])
    assert bar.close == 2.5
