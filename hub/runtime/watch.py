"""How one plugin is doing: the worst of its flows, told to the world whenever it changes."""

from collections.abc import Callable

from hub.clock import Clock
from hub.messages import PluginState
from hub.runtime.discretion import blotted
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
        self.state = PluginState(name=name, state="stopped", since=clock.now())

    def state_of(self, flow: str) -> str | None:
        """How one of its flows is doing."""
        return self._flows.get(flow, (None, None))[0]

    def report(self, flow: str, state: str, error: str | None = None) -> None:
        """One of its flows is now in this state."""
        self._flows[flow] = (state, None if error is None else blotted(told(error)))
        worst, reason = max(self._flows.values(), key=lambda entry: _BADNESS.index(entry[0]))
        if (worst, reason, self.restarts) != (self.state.state, self.state.error, self.state.restarts):
            since = self.state.since if worst == self.state.state else self._clock.now()
            self.state = PluginState.model_validate(
                {"name": self.name, "state": worst, "since": since, "error": reason, "restarts": self.restarts}
            )
            self._announce(self.state)
