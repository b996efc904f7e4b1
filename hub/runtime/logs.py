"""What the hub writes to stderr: lines for people on a terminal, JSON objects for everything else; never a secret."""

import io
import logging
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout, suppress
from typing import Any

import structlog

from hub.runtime.discretion import blotted

KEPT_LINES = 300
LONGEST_LINE = 2_000
_recent: deque[dict[str, str]] = deque(maxlen=KEPT_LINES)
on_line: list[Callable[[dict[str, str]], None]] = []
"""Told of every line that is kept."""


def recent_lines(limit: int) -> list[dict[str, str]]:
    """The last lines that the hub and its guests have logged, the oldest first: at, level, text."""
    return list(_recent)[-limit:]


def keep_line(line: dict[str, str]) -> None:
    """Keep a line, of this process or of a guest's."""
    _recent.append({name: str(line.get(name, ""))[:LONGEST_LINE] for name in ("at", "level", "text")})
    for told in on_line:
        told(_recent[-1])


class _Stderr:
    """stderr that never fails its caller: a full disk behind it loses a line, not a bar."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class Printed(io.TextIOBase):
    """Stands in for stdout where that belongs to somebody else: each line that is printed is logged."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log.info("printed", text=line)
        return len(text)


def prints_logged() -> AbstractContextManager[Any]:
    """While plugins are at work in this process: what they print is logged, and stdout stays for data."""
    return redirect_stdout(Printed(structlog.get_logger()))


class _Forward(logging.Handler):
    """Lines of libraries, in the hub's own form."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(library=record.name)
        log.log(record.levelno, record.getMessage(), **({"exc_info": record.exc_info} if record.exc_info else {}))


def configure_logs(level: str, form: str = "auto") -> None:
    """Set up structlog, and the standard library's logging with it. `form`: auto, text or json."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    times = structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=True)
    tail: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, times, _keep, *tail, _discreet],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _keep(_logger: Any, _method: str, event: Any) -> Any:
    """Remember the line for whoever looks at the hub, without secrets and without its traceback."""
    known = {"timestamp", "level", "event", "exc_info"}
    values = " ".join(f"{key}={value}" for key, value in event.items() if key not in known)
    text = blotted(f"{event.get('event', '')} {values}".rstrip())
    keep_line({"at": str(event.get("timestamp", "")), "level": str(event.get("level", "")), "text": text})
    return event


def _discreet(_logger: Any, _method: str, line: Any) -> Any:
    return blotted(line)
