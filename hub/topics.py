"""Which message stands on which topic: the only place that knows how topics are spelt."""

import re
from dataclasses import dataclass
from functools import cached_property

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

MAX_PAYLOAD_BYTES = 262_144
"""Larger messages are neither sent nor read; brokers cut connections for less."""

HUB_STATE = "hub/state"
"""Plain `online` or `offline`, retained; the last will."""
HEARTBEAT = "hub/ping"
"""The hub's messages to itself: what comes back proves that the way there and back is alive."""
DOCTOR_BEAT = b"doctor "
"""How `hub doctor` begins what it says there: it is no other hub."""


@dataclass(frozen=True)
class Topic:
    """A family of topics under the root, one per value of the message's fields named in braces."""

    kind: type[Message]
    template: str
    retained: bool

    def of(self, message: Message) -> str:
        """The topic of this message, below the root."""
        return self.template.format_map(dict(message))

    @cached_property
    def filter(self) -> str:
        """What to subscribe to, below the root, to receive the whole family."""
        return re.sub(r"\{\w+\}m?", "+", self.template)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the topics of this family, below the root."""
        return re.compile(
            "".join(r"[^/+#]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", self.template))
        )


TOPICS: tuple[Topic, ...] = (
    Topic(Bar, "bar/{symbol}/{interval}", retained=True),
    Topic(Gap, "gap/{symbol}", retained=False),
    Topic(Sentiment, "sentiment/{asset}", retained=True),
    Topic(Article, "article/{asset}", retained=False),
    Topic(Forecast, "forecast/{symbol}/{horizon_minutes}m", retained=True),
    Topic(Score, "score/{symbol}/{horizon_minutes}m", retained=True),
    Topic(Alert, "alert/{symbol}", retained=False),
    Topic(Dump, "dump", retained=False),
    Topic(ModelManifest, "model/manifest", retained=True),
    Topic(ModelWant, "model/want", retained=False),
    Topic(ModelChunk, "model/chunk/{sha256}/{index}", retained=False),
    Topic(ModelState, "model/state", retained=True),
    Topic(PluginState, "plugin/{name}/state", retained=True),
    Topic(HubInfo, "hub/info", retained=True),
    Topic(HubHealth, "hub/health", retained=True),
)
OFFERED = (ModelManifest, ModelChunk)
"""What trainers alone say: with a hub's password nobody can offer a model."""
_BY_KIND = {topic.kind: topic for topic in TOPICS}


def topic_for(kind: type[Message]) -> Topic:
    """The family that messages of this kind stand on. KeyError if the kind has none."""
    return _BY_KIND[kind]


def topic_of(message: Message) -> str:
    """The topic of a message, below the root."""
    return topic_for(type(message)).of(message)


def place_of(message: Message) -> str:
    """Where a fact is kept on disk: its topic, or beside it what a shadow made, so that the newest of a topic is the live model's."""
    topic = topic_of(message)
    return f"{topic}/shadow" if is_shadow(message) else topic


def place(kind: type[Message], role: str = "live", **fields: object) -> str:
    """Where facts of this kind are kept whose topics have these fields."""
    topic = topic_for(kind).template.format_map(fields)
    return topic if role == "live" else f"{topic}/{role}"


def is_shadow(message: Message) -> bool:
    """Whether it is of a model that is only being proven: such facts are recorded and never published."""
    return getattr(message, "role", "live") == "shadow"


def kind_of(topic: str) -> type[Message] | None:
    """The kind of message that stands on `topic` (below the root), or None where it is not one of ours."""
    return next((family.kind for family in TOPICS if family.pattern.fullmatch(topic)), None)


def encode(message: Message) -> bytes:
    """The message as it stands on the wire: one JSON object, UTF-8; a chunk is its bytes."""
    return message.data if isinstance(message, ModelChunk) else message.model_dump_json().encode()


def decode(topic: str, payload: bytes) -> Message:
    """The message on `topic` (below the root). Raises ValueError, in words, for a payload that is not what the topic promises."""
    kind = kind_of(topic)
    if kind is None:
        raise ValueError(f"no message is defined for topic {topic!r}")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"payload of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}")
    if kind is ModelChunk:
        sha256, index = topic.split("/")[-2:]
        message: Message = ModelChunk(sha256=sha256, index=int(index) if index.isdecimal() and index.isascii() else -1, data=payload)
    else:
        message = kind.model_validate_json(payload, strict=True)
    if topic_of(message) != topic:
        raise ValueError(f"the payload belongs on {topic_of(message)!r}, not on {topic!r}")
    return message
