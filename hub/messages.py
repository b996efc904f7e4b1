"""Every fact that travels: the whole vocabulary of the wire.

A message is something that has happened; it is immutable and serialises to one JSON object. Times are UTC, prices are numbers
in the quote asset. Unknown fields are ignored on reading, so that a newer hub can add some.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_PARTS = [vars(BaseModel)[part].__set__ for part in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")]
"""What pydantic's models are made of, beside their checks."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
SYMBOL_PATTERN = r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$"


def _in_words(at: Any) -> Any:
    """Read here, because pydantic would take a quoted number for seconds or milliseconds since 1970, by its magnitude."""
    if not isinstance(at, str):
        return at
    if _RFC_3339.fullmatch(at) is None:
        raise ValueError("a time is written as in RFC 3339: 2025-05-20T00:00:00Z")
    return datetime.fromisoformat(at.upper())


def _utc(at: datetime) -> datetime:
    try:
        return at if at.tzinfo is UTC else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time lies in the years 1 to 9999") from error


def _on_the_minute(at: datetime) -> datetime:
    if at.second or at.microsecond:
        raise ValueError("a bar opens on a whole minute")
    return at


UtcTime = Annotated[AwareDatetime, BeforeValidator(_in_words), AfterValidator(_utc)]
OpenTime = Annotated[UtcTime, AfterValidator(_on_the_minute)]
Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN)]
"""`BTC-USDT`: base asset, then quote asset."""
Asset = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$")]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Price = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Horizon = Annotated[int, Field(ge=1, le=1440)]
"""Minutes ahead."""


class Message(BaseModel):
    """A fact. Subclasses are the kinds of fact; their topics stand in `hub.topics`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @classmethod
    def trusted(cls, every: Sequence[dict[str, Any]]) -> list[Self]:
        """Messages of fields that are known to be right: all of them, in order. Nothing is checked, for checks take most of the time."""
        made = [cls.__new__(cls) for _ in every]
        contents: tuple[Iterable[Any], ...] = (every, repeat(set(cls.model_fields)), repeat(None), repeat(None))
        for put, values in zip(_PARTS, contents, strict=True):
            deque(map(put, made, values), maxlen=0)
        return made


class Bar(Message):
    """One closed minute of one symbol. When you receive it, it is on disk, and it comes once, in order."""

    symbol: Symbol
    interval: Literal["1m"] = "1m"
    open_time: OpenTime
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount | None
    """In the base asset; null where the source cannot know it (a fallback bar)."""
    quote_volume: Amount | None = None
    trades: Count | None = None
    source: Name
    quality: Literal["exact", "fallback"] = "exact"
    """`fallback`: only a last price, standing in until the exchange answers again; never trains a model."""
    taker_buy_volume: Amount | None = None
    """The part of `volume` that buyers took, in the base asset."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not (self.low <= self.open <= self.high and self.low <= self.close <= self.high):
            raise ValueError("impossible bar: open and close must lie between low and high")
        return self

    @property
    def close_time(self) -> datetime:
        """When the minute was over, and the bar could first be known."""
        return self.open_time + timedelta(minutes=1)


class Gap(Message):
    """A stretch of minutes that has no bars, and why. It is asked for again at `next_try_at`."""

    symbol: Symbol
    interval: Literal["1m"] = "1m"
    first_open_time: OpenTime
    last_open_time: OpenTime
    reason: Annotated[str, Field(min_length=1, max_length=300)]
    tries: Count = 1
    next_try_at: UtcTime | None = None

    @property
    def minutes(self) -> int:
        """How many bars are missing."""
        return int((self.last_open_time - self.first_open_time) / timedelta(minutes=1)) + 1

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.last_open_time < self.first_open_time:
            raise ValueError("a gap ends before it begins")
        return self


class ModelId(Message):
    """Which model made something."""

    name: Name
    version: str
    sha256: Sha256


class ModelManifest(Message):
    """A model is offered: a signed envelope, published by the trainer and retained. What stands in it is a `hub.offer.Offer`."""

    payload: Annotated[str, Field(max_length=16_384)]
    """Base64 of the offer's JSON, byte for byte as it was signed."""
    keyid: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    sig: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class ModelWant(Message):
    """The hub asks the trainer for some chunks of a model file."""

    sha256: Sha256
    chunks: Annotated[tuple[Annotated[int, Field(ge=0, lt=4096)], ...], Field(max_length=16)]


class ModelChunk(Message):
    """A piece of a model file; on the wire it is nothing but its bytes, and the topic says which."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    sha256: Sha256
    index: Annotated[int, Field(ge=0, lt=4096)]
    data: bytes = Field(repr=False)


class ServedModel(Message):
    """A model that the hub has on disk."""

    name: Name
    version: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Sha256
    since: UtcTime
    """When it came into the place where it is."""
    scores: dict[str, Any] | None = None
    """What its trainer found, by horizon."""


class ModelAnswer(Message):
    """What became of an offer, so far."""

    sha256: Sha256
    counter: Count
    status: Literal["staged", "shadow", "live", "rejected", "rolled_back"]
    reason: Annotated[str, Field(max_length=1000)]
    at: UtcTime
    model: Annotated[str, Field(max_length=130)] | None = None
    """Name and version, as far as they are known."""


class ModelState(Message):
    """Which models stand where. The newest of these facts on disk is what the hub goes by: a change of models is one transaction."""

    live: ServedModel | None = None
    """None: the starter model that came with the hub."""
    shadow: ServedModel | None = None
    previous: ServedModel | None = None
    answer: ModelAnswer | None = None
    """To the last offer."""
    floor: Count = 0
    """Offers with a counter up to this one are old."""
    refused: Annotated[tuple[Sha256, ...], Field(max_length=256)] = ()
    """Files that are not taken again, the newest last."""


class Forecast(Message):
    """What one model expects of one symbol, one horizon ahead."""

    symbol: Symbol
    horizon_minutes: Horizon
    open_time: OpenTime
    """Of the last bar that the model saw."""
    made_at: UtcTime
    target_time: UtcTime
    last_close: Price
    price: Price
    low: Price
    high: Price
    """`low` to `high` is the 80 % interval of the price."""
    p_up: Probability
    direction: Literal["up", "down"]
    confidence: Probability
    model: ModelId
    role: Literal["live", "shadow"] = "live"
    """`shadow`: made beside the live model, to be proven; nobody acts on it."""


class Score(Message):
    """How one model has done on one symbol and horizon, over a rolling window, beside the persistence baseline."""

    symbol: Symbol
    horizon_minutes: Horizon
    n: Count
    skill: float | None
    auc: Probability | None
    hit_rate: Probability | None
    brier: Probability | None
    coverage: Probability | None
    window: str
    model: ModelId
    last_outcome: float | None = None
    """Log return from the last bar seen to the horizon's end."""
    skill_low: float | None = None
    """Lower end of the skill's 90 % interval: above 0, the model beats "nothing changes" by more than chance."""
    error: Amount | None = None
    """Root mean square of what the price missed by, a log return."""
    baseline_error: Amount | None = None
    """The same of persistence, which says that nothing changes."""
    missing: Count = 0
    """Forecasts of the window whose outcome has no bar: they are in no other number."""
    role: Literal["live", "shadow"] = "live"
    scored_at: UtcTime | None = None
    """Filled in by the hub where a plugin leaves it out."""


class Sentiment(Message):
    """The mood of an hour's news about one asset."""

    asset: Asset
    hour: UtcTime
    score: Annotated[float, Field(ge=-1, le=1)]
    articles: Count
    scorer: Name


class Article(Message):
    """A headline, when it could be known, and how it was judged. Its text is untrusted."""

    asset: Asset
    title: Annotated[str, Field(min_length=1, max_length=1000)]
    url: Annotated[str, Field(max_length=2000)]
    source: Annotated[str, Field(max_length=200)]
    published_at: UtcTime | None
    collected_at: UtcTime
    score: Annotated[float, Field(ge=-1, le=1)] | None = None
    scorer: Name | None = None


class DumpedFile(Message):
    """One file of a dump."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    rows: Count
    bytes: Count
    sha256: Sha256
    url: Annotated[str, Field(max_length=2000)]


class Dump(Message):
    """A day is dumped, and its files are where they belong."""

    day: date
    files: Annotated[tuple[DumpedFile, ...], Field(max_length=5_000)]
    revision: Count = 1
    """2 and more: the day was dumped again, because bars came later."""
    minutes_missing: Count = 0


class Alert(Message):
    """Something worth telling a person."""

    symbol: Symbol
    source: Name
    text: Annotated[str, Field(min_length=1, max_length=1000)]
    severity: Literal["info", "warning", "critical"] = "info"
    forecast: Forecast | None = None
    raised_at: UtcTime | None = None
    """Filled in by the hub where a plugin leaves it out."""


class HubInfo(Message):
    """What this hub is."""

    version: str
    started_at: UtcTime
    symbols: tuple[Symbol, ...]
    plugins: tuple[Name, ...]


class PluginState(Message):
    """How one plugin is doing."""

    name: Name
    state: Literal["running", "retrying", "stale", "failed", "stopped"]
    since: UtcTime
    error: str | None = None
    restarts: Count = 0
    lag: Count | None = None
    """Facts on disk that its durable sinks have yet to deliver; null where it has none."""
    lag_s: Amount | None = None
    """For how long they have been behind; 0 when all is delivered."""


class HubHealth(Message):
    """How the hub itself is doing, told once a minute."""

    at: UtcTime
    memory_bytes: Count
    """Resident, of the hub's own process."""
    disk_free_bytes: Count
    store_bytes: Count
    wal_bytes: Count
    minutes_missing: Count
    """In the known gaps of all symbols."""
    mqtt_lag: Count
    """Facts on disk that are not yet published."""
    dropped: Count
    """Messages lost because their reader was too slow."""
    rejected: Count
    """Payloads that were not what their topic promises."""
    broker_connected: bool
    bars: Count
    """Taken in since the start."""


class Request(Message):
    """Somebody asks the hub for something, on `hub/request/<verb>`. All other fields are the verb's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    transaction: str | int | None = None


class Response(Message):
    """The hub's answer; `transaction` is the request's."""

    status: Literal["ok", "error"]
    data: Any = None
    error: str | None = None
    transaction: str | int | None = None
