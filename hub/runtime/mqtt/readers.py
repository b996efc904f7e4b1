"""Who in the hub listens to the broker: takes what arrives to everybody who wants it, and lets nothing bad through."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from hub.messages import Bar, Message
from hub.runtime.mqtt.refusal import payload_refused
from hub.runtime.mqtt.subscription import MESSAGES_HELD, MessageSubscription, Raw, Subscription
from hub.runtime.patience import Complaints
from hub.topics import decode, kind_of, topic_for


class Readers:
    """The subscriptions of one bus."""

    def __init__(self, root: str, complaints: Complaints, log: Any, on_close: Callable[[Subscription[Any]], None]) -> None:
        """`root`: with its slash. `on_close` is told of every subscription that has ended."""
        self.rejected = 0
        """Payloads that were not what their topic promises."""
        self._root = root
        self._complaints = complaints
        self._log = log
        self._on_close = on_close
        self._dropped = 0
        self._messages: list[MessageSubscription] = []
        self._raw: dict[Subscription[Raw], tuple[str, re.Pattern[str]]] = {}

    @property
    def dropped(self) -> int:
        """Items that were lost because their reader was too slow."""
        return self._dropped + sum(each.dropped for each in self._all())

    @property
    def filters(self) -> set[str]:
        """Every whole topic filter that somebody reads."""
        return {each for subscription in self._all() for each in subscription.filters}

    def add(self, kinds: Iterable[type[Message]]) -> MessageSubscription:
        """A reader of messages."""
        kinds = tuple(kinds)
        filters = (self._root + topic_for(kind).filter for kind in kinds)
        subscription = MessageSubscription(kinds, filters, MESSAGES_HELD, self._remove)
        self._messages.append(subscription)
        return subscription

    def add_raw(self, topic_filter: str, prefix: str, limit: int) -> Subscription[Raw]:
        """A reader of bytes; `prefix` is taken off the topics it gets."""
        whole = prefix + topic_filter
        subscription: Subscription[Raw] = Subscription((whole,), limit, self._remove)
        pattern = re.escape(whole).replace(r"\+", "[^/]*").replace(r"/\#", "(/.*)?").replace(r"\#", ".*")
        self._raw[subscription] = prefix, re.compile(pattern, re.DOTALL)
        return subscription

    def take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """What arrived on a whole topic goes to everybody who reads it."""
        for reader, (prefix, pattern) in self._raw.items():
            if pattern.fullmatch(topic) and reader.put(Raw(topic.removeprefix(prefix), payload, retained)) is not None:
                self._too_slow(f"messages for {reader.filters[0]!r}")
        if not payload or not topic.startswith(self._root):
            return
        topic = topic.removeprefix(self._root)
        kind = kind_of(topic)
        if readers := [reader for reader in self._messages if kind in reader.kinds]:
            try:
                message = decode(topic, payload)
            except ValueError as error:
                self.reject(topic, error)
                return
            for each in readers:
                gone = each.offer(topic, message)
                if isinstance(gone, Bar):  # as while the past is filled in
                    self._say_newest_only()
                elif gone is not None:
                    self._too_slow(f"messages of kind {type(gone).__name__}")

    def reject(self, topic: str, error: ValueError) -> None:
        """Count a payload that nobody gets to see, and say so once a minute for each topic."""
        self.rejected += 1
        if self._complaints.due(topic):
            self._log.warning(f"rejected a payload on topic {topic[:200]!r}: {payload_refused(error)}", rejected=self.rejected)

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._all():
            subscription.close()

    def _all(self) -> list[Subscription[Any]]:
        return [*self._messages, *self._raw]

    def _remove(self, subscription: Subscription[Any]) -> None:
        self._dropped += subscription.dropped
        if isinstance(subscription, MessageSubscription):
            self._messages.remove(subscription)
        else:
            del self._raw[subscription]
        self._on_close(subscription)

    def _say_newest_only(self) -> None:
        if self._complaints.due("bars"):
            self._log.info("bars come faster than a plugin takes them: it is given the newest, the others it finds on disk")

    def _too_slow(self, what: str) -> None:
        if self._complaints.due(what):
            self._log.warning(f"{what} are lost: their reader is too slow", dropped=self.dropped)
