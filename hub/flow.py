"""The three shapes a plugin is made of, and the hub it is given.

A plugin declares flows; the hub runs them: it restarts what fails, records what a flow yields before anybody sees it, and
carries messages between flows over MQTT.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hub.clock import Clock
from hub.market.interval import Range
from hub.messages import Bar, Gap, Message, Request
from hub.settings import PluginSettings

if TYPE_CHECKING:
    import httpx

Kinds = tuple[type[Message], ...]
Progress = Callable[[int, int], None]
"""Is told how many of how many missing minutes have been asked for."""
SettingsT = TypeVar("SettingsT", bound=PluginSettings)
MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True)
class Source:
    """A stream brought in from outside.

    `stream()` yields messages, or batches of messages that are recorded together. When it is resumed, what it yielded is on
    disk. It is started again whenever it raises or ends early; so it begins by asking the store where it stands.
    """

    name: str
    stream: Callable[[], AsyncIterator[Message | Sequence[Message]]]
    produces: Kinds
    stale_after: timedelta | None = None
    """Nothing new for this long turns the plugin's state to stale."""
    backfill: Callable[[int, Progress], AsyncIterator[Message | Sequence[Message]]] | None = None
    """`backfill(days, progress)` yields what is missing of the last `days`, and ends; for `hub bars backfill`."""
    remark: Callable[[], str | None] | None = None
    """What is not well although it works, in words, or None; shown as the error of a running or stale plugin."""


@dataclass(frozen=True)
class Transform:
    """A function that turns one message into others. It hears live messages from the broker, as anybody can."""

    name: str
    apply: Callable[[Any], AsyncIterator[Message]]
    consumes: Kinds
    produces: Kinds
    deadline: timedelta = timedelta(seconds=30)
    """One message that takes longer is given up, and counted as an error."""
    spread: bool = False
    """Each message goes to one host of those that run this flow: for work that needs no memory of the messages before."""


@dataclass(frozen=True)
class Sink:
    """A place where messages end.

    A `durable` sink reads the store with its own cursor: it misses nothing, over restarts and outages, and sees a batch again
    unless `write` returned and the cursor was on disk. Any other sink hears live messages from the broker.
    """

    name: str
    write: Callable[[Sequence[Any]], Awaitable[None]]
    consumes: Kinds
    durable: bool = False
    batch: int = 500
    remark: Callable[[], str | None] | None = None
    """What is not well although it works, in words, or None; shown as the error of a running plugin."""


class Outside(Protocol):
    """The broker outside the hub's own topics, as far as one outlet may use it."""

    @property
    def root(self) -> str:
        """First part of the hub's own topics."""

    def announce(self, topic: str, payload: bytes) -> None:
        """Retained state below the outlet's prefix, stated anew at every connection; empty takes it back."""

    def hear(self, topic_filter: str) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Topic below the prefix, payload, and whether it was retained, of what arrives there."""

    def restate(self) -> None:
        """Have all that the broker holds for the hub published again: for somebody who has just begun to listen."""


@dataclass(frozen=True)
class Outlet:
    """A place on the broker that belongs to another program, such as Home Assistant's discovery.

    `run(outside)` works for ever; it is started again when it ends or raises. Only in the hub's own process.
    """

    name: str
    prefix: str
    """Topics below it are open to this outlet, and no others."""
    run: Callable[[Outside], Awaitable[None]]
    remark: Callable[[], str | None] | None = None
    """What is not well although it works, in words, or None."""


class Desk(Protocol):
    """Where the hub's verbs are asked for by a plugin, as anybody may ask over MQTT."""

    async def ask(self, verb: str, **values: object) -> Any:
        """The answer's data, JSON-able. HubError with the words of a refusal."""


@dataclass(frozen=True)
class Service:
    """Something that people or programs call from outside, such as a web page.

    `run(desk)` serves for ever; it is started again when it ends or raises.
    """

    name: str
    run: Callable[[Desk], Awaitable[None]]


Flow = Source | Transform | Sink | Outlet | Service


@dataclass(frozen=True)
class Check:
    """Something that `hub doctor` looks at."""

    name: str
    look: Callable[[], Awaitable[str]]
    """Returns what it found, in a line; raises HubError with what is wrong and how to mend it."""
    needed: bool = True
    """Whether the hub cannot do its work without; otherwise it is only shown."""


Answer = Callable[[Request], Awaitable[Any]]
"""Answers one verb of `hub/request/<verb>` with JSON-able data; raises HubError to refuse, in words."""


class Store(Protocol):
    """What a plugin may read of the facts on disk. Reads take milliseconds; long ones belong into `asyncio.to_thread`."""

    def bars(self, symbol: str, first: int, last: int) -> list[Bar]:
        """Bars whose open times (ms) lie in [first, last], ascending."""

    def newest_bar(self, symbol: str) -> Bar | None:
        """The bar with the greatest open time."""

    def oldest_open_time(self, symbol: str) -> int | None:
        """Open time (ms) of the symbol's first bar."""

    def missing(self, symbol: str, first: int, last: int) -> list[Range]:
        """Stretches of [first, last] (open times, ms) without a bar, known gaps included."""

    def fallback(self, symbol: str, first: int, last: int) -> list[Range]:
        """Stretches of [first, last] that hold only fallback bars."""

    def gaps(self, symbol: str | None = None) -> list[Gap]:
        """Known gaps with their reasons, of one symbol or of all, ascending."""

    def closes(self, symbol: str, first: int, last: int) -> list[tuple[int, float]]:
        """Open time (ms) and close of each exact bar in [first, last], ascending; quicker than whole bars."""

    def newest(self, kind: type[MessageT]) -> list[MessageT]:
        """The newest fact of each topic of this kind, and the newest that a shadow made of it."""

    def newest_first(self, kind: type[MessageT], role: str = "live", **fields: object) -> Iterator[MessageT]:
        """Facts of one topic, named by its fields, from the newest back; take as many as you need."""


class Hub(Protocol):
    """What a plugin is given."""

    @property
    def clock(self) -> Clock:
        """Ask it for the time; never the machine."""

    @property
    def store(self) -> Store:
        """The facts on disk, to read."""

    @property
    def http(self) -> "httpx.AsyncClient":
        """A client with sane limits: identity encoding, short timeouts, no redirects."""

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols this hub follows, as `BTC-USDT`."""

    @property
    def disk_is_tight(self) -> bool:
        """Whether the disk is nearly full: let go of what can be had again, and keep from writing what can wait."""

    @property
    def data_dir(self) -> Path:
        """A folder of this plugin's own; it exists."""

    @property
    def log(self) -> Any:
        """A structlog logger that carries the plugin's name."""

    def settings_for(self, model: type[SettingsT]) -> SettingsT:
        """This plugin's section of the configuration, validated."""
