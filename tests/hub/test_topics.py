"""Which message stands on which topic."""

import pytest

from hub.messages import (
    Alert,
    Article,
    Bar,
    Dump,
    Forecast,
    Gap,
    HubHealth,
    HubInfo,
    Message,
    ModelChunk,
    ModelManifest,
    ModelState,
    ModelWant,
    PluginState,
    Score,
    Sentiment,
)
from hub.testing import START, bars
from hub.topics import TOPICS, decode, encode, kind_of, topic_of

EXAMPLES = {
    "bar/BTC-USDT/1m": Bar,
    "gap/BTC-USDT": Gap,
    "sentiment/BTC": Sentiment,
    "article/BTC": Article,
    "forecast/BTC-USDT/5m": Forecast,
    "score/BTC-USDT/30m": Score,
    "alert/BTC-USDT": Alert,
    "dump": Dump,
    "model/manifest": ModelManifest,
    "model/want": ModelWant,
    f"model/chunk/{'0' * 64}/12": ModelChunk,
    "model/state": ModelState,
    "plugin/collector/state": PluginState,
    "hub/info": HubInfo,
    "hub/health": HubHealth,
}


@pytest.mark.parametrize(("topic", "kind"), EXAMPLES.items())
def test_every_topic_of_the_contract_is_of_its_kind(topic: str, kind: type[Message]) -> None:
    """Subscribers from outside rely on these spellings."""
    assert kind_of(topic) is kind


def test_every_kind_has_exactly_one_family_of_topics() -> None:
    """A payload must not depend on who reads it."""
    assert {family.kind for family in TOPICS} == set(EXAMPLES.values())
    assert all(sum(family.pattern.fullmatch(topic) is not None for family in TOPICS) == 1 for topic in EXAMPLES)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "bar",
        "bar/BTC-USDT",
        "bar/BTC-USDT/1m/x",
        "bar//1m",
        "bar/+/1m",
        "bar/#",
        "/bar/X-Y/1m",
        "hub/state",
        "forecast/X-Y/m",
        "BAR/X-Y/1m",
        "bar/X-Y/1m\n",
    ],
)
def test_what_is_not_a_topic_of_ours_has_no_kind(topic: str) -> None:
    """Anything else on the broker is somebody else's business."""
    with pytest.raises(ValueError, match=r"no message is defined|belongs on"):
        decode(topic, encode(bars(1.0)[0]))


def test_a_filter_subscribes_to_its_whole_family_and_to_nothing_else() -> None:
    """What the hub subscribes to must match what it publishes."""
    filters = {family.kind: family.filter for family in TOPICS}
    assert filters[Bar] == "bar/+/+"
    assert filters[Forecast] == "forecast/+/+"
    assert filters[HubInfo] == "hub/info"


def test_a_message_on_a_foreign_topic_is_refused() -> None:
    """A bitcoin bar on the ether topic would be believed by everybody."""
    [bar] = bars(1.0)
    with pytest.raises(ValueError, match="belongs on 'bar/BTC-USDT/1m'"):
        decode("bar/ETH-USDT/1m", encode(bar))
    assert topic_of(bar) == "bar/BTC-USDT/1m"
    assert bar.open_time == START


def test_a_chunk_on_the_wire_is_nothing_but_its_bytes() -> None:
    chunk = ModelChunk(sha256="0" * 64, index=12, data=bytes(range(256)))
    assert encode(chunk) == chunk.data
    assert decode(topic_of(chunk), encode(chunk)) == chunk


@pytest.mark.parametrize(
    "ending", [f"{'0' * 64}/012", f"{'0' * 64}/-1", f"{'0' * 64}/x", f"{'0' * 63}/1", f"{'0' * 64}/4096", f"{'0' * 64}/\u0661"]
)
def test_a_chunk_on_a_topic_that_names_none_is_refused(ending: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(f"model/chunk/{ending}", b"x")
