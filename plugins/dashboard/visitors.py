"""Who has signed in, and how often somebody has tried."""

import json
import secrets
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from hub.clock import Clock
from hub.errors import TransientError
from hub.whole_file import note_down
from plugins.dashboard.password import Password

LASTS = timedelta(days=30)
TRIES, TRIES_OF_ALL, WITHIN_S = 5, 50, 60.0
MOST_VISITORS = 200
MOST_ADDRESSES = 1_000


@dataclass(frozen=True)
class Visitor:
    """Somebody who has signed in."""

    until: float
    """Seconds since 1970."""
    token: str
    """Must come with everything that changes something: another page cannot know it."""
    mark: str
    """Of the password that was given."""


class Visitors:
    """Remembers over restarts who has signed in, by the hash of what their browser holds."""

    def __init__(self, folder: Path, password: Password, clock: Clock) -> None:
        """`clock`: the machine's own, whatever time the hub lives in."""
        self.password = password
        self._clock = clock
        self._file = folder / "visitors.json"
        self._visitors: dict[str, Visitor] = {}
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._tries_of_all: deque[float] = deque(maxlen=TRIES_OF_ALL)
        with suppress(OSError, ValueError, TypeError, AttributeError):  # then they sign in again
            told = json.loads(self._file.read_text(encoding="utf-8"))
            self._visitors = {key: Visitor(**visitor) for key, visitor in told.items()}

    def welcome(self) -> str:
        """A new visitor's key, for the cookie."""
        key, now = secrets.token_urlsafe(32), self._clock.now().timestamp()
        visitor = Visitor(now + LASTS.total_seconds(), secrets.token_urlsafe(24), self.password.mark)
        known = [(each, old) for each, old in self._visitors.items() if old.until > now][-MOST_VISITORS + 1 :]
        self._visitors = {**dict(known), _digest(key): visitor}
        self._keep()
        return key

    def known(self, key: str | None) -> Visitor | None:
        """Who holds this key."""
        visitor = self._visitors.get(_digest(key)) if key else None
        current = visitor is not None and visitor.until > self._clock.now().timestamp() and visitor.mark == self.password.mark
        return visitor if current else None

    def leave(self, key: str | None) -> None:
        """The key opens nothing any more."""
        if key and self._visitors.pop(_digest(key), None):
            self._keep()

    def may_try(self, address: str) -> bool:
        """Whether the password may be tried from there now; counts as a try. Five a minute, and fifty of all together."""
        now = self._clock.monotonic()
        tries = self._tries.setdefault(address, deque(maxlen=TRIES))
        self._tries.move_to_end(address)
        while len(self._tries) > MOST_ADDRESSES:
            self._tries.popitem(last=False)
        for each in (tries, self._tries_of_all):
            if len(each) == each.maxlen and now - each[0] < WITHIN_S:
                return False
        tries.append(now)
        self._tries_of_all.append(now)
        return True

    def _keep(self) -> None:
        with suppress(TransientError):  # on a full disk they sign in again after a restart
            note_down(self._file, json.dumps({key: asdict(visitor) for key, visitor in self._visitors.items()}), private=True)


def _digest(key: str) -> str:
    return sha256(key.encode(errors="replace")).hexdigest()
