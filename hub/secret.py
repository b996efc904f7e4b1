"""Secrets of the configuration: which fields hold them, and the files they may stand in instead."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

LARGEST_BYTES = 65_536
_SECRETS = (SecretStr, SecretBytes)


@dataclass(frozen=True)
class NoSecret:
    """Stands in the place of a secret that cannot be had, so that the field's own check tells it beside all other problems."""

    key: str
    reason: str


def secret_fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields of `model` that are one secret each: those have a twin `<name>_file`."""
    for name, info in model.model_fields.items():
        if any(kind in _SECRETS for kind in _alternatives(info.annotation)):
            yield name


def holds_secret(annotation: Any, inside: tuple[Any, ...] = ()) -> bool:
    """Whether a value of this type has a secret anywhere inside. `inside`: models that are being looked into already."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = () if annotation in inside else annotation.model_fields.values()
        return any(holds_secret(info.annotation, (*inside, annotation)) for info in fields)
    return annotation in _SECRETS or any(holds_secret(part, inside) for part in get_args(annotation))


def secrets_in(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where in validated settings secrets stand, and what they are."""
    if isinstance(value, SecretStr):
        yield where, value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield where, value.get_secret_value().decode(errors="replace")
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name), (*where, name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from secrets_in(inner, (*where, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from secrets_in(inner, (*where, index))


def read_secret(file: Path) -> str:
    """The file's text without the space around it. ValueError, with the fix, where it cannot be used or others can read it."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{file} is no regular file")
        if (mode := stat.S_IMODE(status.st_mode)) & 0o077:
            raise ValueError(f"{file} can be read by others (mode {mode:04o}); run: chmod 600 {file}")
        if status.st_size > LARGEST_BYTES:
            raise ValueError(f"{file} is too large for a secret: {status.st_size} bytes")
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    if not text:
        raise ValueError(f"{file} is empty")
    return text


def _alternatives(annotation: Any) -> Iterator[Any]:
    """`annotation` itself, or what it is made of where it is `Annotated` or a union; not what a list or a dict holds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
