"""The hub with a seeded bug: what it has taken in is published at once, and committed half a second later."""

import threading
from collections.abc import Sequence
from typing import Any

from hub.cli import main
from hub.flow import Kinds
from hub.messages import Bar, Message
from hub.runtime.disk.store import SqliteStore

committed, stored_facts = SqliteStore.record, SqliteStore.facts_after
waiting: list[Message] = []
lock = threading.RLock()


def record(store: SqliteStore, messages: Sequence[Message]) -> int:
    with lock:
        waiting.extend(messages)
    timer = threading.Timer(0.5, commit, (store,))
    timer.daemon = True
    timer.start()
    return store.last_seq() + len(waiting)


def commit(store: SqliteStore) -> None:
    with lock:
        committed(store, waiting)
        waiting.clear()


def facts_after(store: SqliteStore, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Any]]:
    with lock:
        new = [(number, fact) for number, fact in enumerate(waiting, store.last_seq() + 1) if number > seq and isinstance(fact, Bar)]
        return [*stored_facts(store, seq, kinds, limit), *new]


SqliteStore.record, SqliteStore.facts_after = record, facts_after  # type: ignore[method-assign, assignment]
main()
