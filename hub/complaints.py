"""What pydantic says is wrong, in words for the user; a secret's value is never among them."""

import difflib
import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from hub.secret import NoSecret, holds_secret, secret_fields

KeyPath = tuple[str | int, ...]
"""The keys from the top of a document down to one place in it."""
LONGEST = 80
_WORDS = {
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be a section of keys and values",
    "model_type": "must be a section of keys and values",
    "string_type": "must be text: put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
"""Where pydantic's own words speak of Python."""


def explain(error: ValidationError, model: type[BaseModel]) -> list[tuple[KeyPath, str]]:
    """For each of pydantic's complaints about a section of `model` the key, and in words what would be right."""
    found: list[tuple[KeyPath, str]] = []
    for item in error.errors(include_url=False):
        where = tuple(part for part in item["loc"] if part != "[key]")
        given = item["input"]
        if isinstance(given, NoSecret):
            found.append(((*where[:-1], given.key), given.reason))
        elif item["type"] == "extra_forbidden":
            found.append((where, _unknown_key(str(where[-1]), _model_at(model, where[:-1]))))
        elif item["type"] == "missing":
            found.append((where, "is needed, and is missing"))
        else:
            text = _WORDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
            text = text[:1].lower() + text[1:]
            shown = isinstance(given, str | int | float) and not _is_secret(model, where)
            found.append((where, f"{shortened(without_password(repr(given)))} will not do: {text}" if shown else text))
    return found


def shortened(text: str, longest: int = LONGEST) -> str:
    """`text`, cut in the middle where it is long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-longest // 4 :]}"


def without_password(text: str) -> str:
    """`text` without what stands before the @ of an address."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def printable(text: str) -> str:
    """`text` on one line: what would move the cursor or cannot be written is shown as an escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _unknown_key(key: str, model: type[BaseModel] | None) -> str:
    if model is None:
        return "unknown key"
    known = [*model.model_fields, *(f"{name}_file" for name in secret_fields(model))]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key; did you mean {close[0]!r}?" if close else f"unknown key; known here: {', '.join(known) or 'none'}"


def _is_secret(model: type[BaseModel], where: KeyPath) -> bool:
    for length in range(len(where), 0, -1):
        owner = _model_at(model, where[: length - 1])
        if owner is not None and (info := owner.model_fields.get(str(where[length - 1]))) is not None:
            return holds_secret(info.annotation)
    return False


def _model_at(model: type[BaseModel], where: KeyPath) -> type[BaseModel] | None:
    for part in where:
        info = model.model_fields.get(str(part))
        kinds: list[Any] = [] if info is None else [info.annotation, *get_args(info.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return None
        model = inner
    return model
