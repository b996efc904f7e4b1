"""The class of an error says what happens next; nothing here is caught to be logged and forgotten."""

from collections.abc import Sequence


class HubError(Exception):
    """Known trouble: the message is for the user, no traceback is shown."""

    exit_code = 1


class TransientError(HubError):
    """Try again: the supervisor restarts the flow after a jittered, growing wait."""

    exit_code = 4

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that the other side asked us to wait; the wait is never shorter."""
        super().__init__(message)
        self.retry_after = retry_after


class Forgotten(TransientError):
    """Raised by a durable sink whose other side no longer has what it was sent: it begins again with the oldest fact."""


class PermanentError(HubError):
    """Trying again cannot help: the flow stops and its plugin is shown as failed, with this reason."""


class SettingsError(HubError):
    """The configuration is wrong: the hub refuses to start, and lists every problem at once."""

    exit_code = 3

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DependencyDown(HubError):
    """Something the command needs (broker, exchange, database) does not answer."""

    exit_code = 4


class CheckFailed(HubError):
    """The command did its work and the answer is no."""

    exit_code = 5
