"""How one plugin is doing: the worst of its flows, told to the world whenever it changes."""

from collections.abc import Callable
from typing import Any

from hub.clock import Clock
from hub.messages import PluginState
from hub.runtime.discretion import blotted
from hub.runtime.hosting.backlog import Lag
from hub.runtime.words import told

_BADNESS = ("stopped", "running", "stale", "retrying", "failed")


class PluginWatch:
    """The state of one plugin, announced in the order in which it changes."""

    def __init__(self, name: str, clock: Clock, announce: Callable[[PluginState], None]) -> None:
        self.name = name
        self.restarts = 0
        """How often one of its flows failed and was started again."""
        self._clock = clock
        self._announce = announce
        self._flows: dict[str, tuple[str, str | None]] = {}
        self.lags: dict[str, Lag] = {}
        """Of each durable sink, as last measured."""
        self.state = PluginState(name=name, state="stopped", since=clock.now())

    def state_of(self, flow: str) -> str | None:
        """How one of its flows is doing."""
        return self._flows.get(flow, (None, None))[0]

    def report(self, flow: str, state: str, error: str | None = None, lag: Lag | None = None) -> None:
        """One of its flows is now in this state."""
        self._flows[flow] = (state, None if error is None else blotted(told(error)))
        if lag is not None:
            self.lags[flow] = lag
        worst, reason = max(self._flows.values(), key=lambda entry: (_BADNESS.index(entry[0]), entry[1] is not None))
        now: dict[str, Any] = {"state": worst, "error": reason, "restarts": self.restarts, "lag": None, "lag_s": None}
        if self.lags:
            now["lag"] = sum(each.facts for each in self.lags.values())
            now["lag_s"] = round(max(each.seconds for each in self.lags.values()), 1)
        if now != self.state.model_dump(include=set(now)):
            since = self.state.since if worst == self.state.state else self._clock.now()
            self.state = PluginState.model_validate({"name": self.name, "since": since, **now})
            self._announce(self.state)
