"""Errors and values of plugins in one line that can be written anywhere: even their own texts are not to be relied on."""

from pathlib import Path

from hub.complaints import printable, shortened

LONGEST = 1_000


class DescribedError(Exception):
    """A bug that was described where it rose, in another process; its text is the description."""


def told(text: str) -> str:
    """`text` as one printable line of at most a thousand letters: a command to type must not be cut."""
    return printable(shortened(" ".join(text.split()), LONGEST))


def describe(error: BaseException) -> str:
    """An error in one line, with the place in the plugin where it rose."""
    if isinstance(error, DescribedError):
        return told(_text_of(error))
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "importlib" not in code.co_filename:
            place = f" ({Path(code.co_filename).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return told(f"{type(error).__name__}: {_text_of(error)}{place}")


def reason_of(error: BaseException) -> str:
    """The text of known trouble, in one line."""
    return told(_text_of(error)) or type(error).__name__


def shown(value: object) -> str:
    """A foreign value, shortened."""
    try:
        return told(shortened(repr(value), 200))
    except Exception:  # noqa: BLE001 - a plugin's repr may raise anything
        return f"a {type(value).__name__} that cannot be shown"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a plugin's error may raise anything when it is asked for its text
        return "its text cannot be shown"
