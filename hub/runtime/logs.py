"""What the hub writes to stderr: lines for people on a terminal, JSON objects for everything else."""

import logging
import sys
from typing import Any

import structlog


class _Stderr:
    """stderr that never fails its caller: a full disk behind it loses a line, not a bar."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            return


class _Forward(logging.Handler):
    """Lines of libraries, in the hub's own form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().bind(library=record.name).log(record.levelno, record.getMessage())


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
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, times, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)
