"""What the broker must hold for us. It may forget everything; we do not."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from hub.messages import Bar, Forecast, Message, Sentiment
from hub.topics import TOPICS, decode, encode, topic_for, topic_of

_MOMENT = {Bar: "open_time", Forecast: "made_at", Sentiment: "hour"}
FACT_FILTERS = tuple(topic.filter for topic in TOPICS if topic.retained)
"""What to subscribe to, below the root, to see the facts that the broker holds."""


class Retained:
    """State that is announced anew at every connection, and the newest fact of every retained topic."""

    def __init__(self) -> None:
        self.announced: dict[str, bytes] = {}
        """By whole topic."""
        self._facts: dict[str, Message] = {}

    def remember(self, message: Message) -> None:
        """This fact is on the wire; the broker should hold it until the next one on its topic."""
        if topic_for(type(message)).retained:
            self._facts[topic_of(message)] = message

    def missing(self, held: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Topics (below the root) and payloads of the facts that a broker lacks which holds `held`, or of which it holds an older state."""
        for topic, ours in self._facts.items():
            if (payload := held.get(topic)) is None or _is_older(topic, payload, ours):
                yield topic, encode(ours)


def _is_older(topic: str, held: bytes, ours: Message) -> bool:
    try:
        theirs: Any = decode(topic, held)
    except ValueError:
        return True
    field = _MOMENT.get(type(ours))
    if field is None:
        return bool(theirs != ours)
    our_moment: datetime = getattr(ours, field)
    their_moment: datetime = getattr(theirs, field)
    return their_moment < our_moment or (their_moment == our_moment and theirs != ours and not isinstance(ours, Bar))
