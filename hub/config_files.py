"""What stands in config.yaml and .env: plain values, the line of each key, and everything that is wrong with the text.

YAML is read as a way to write JSON: no dates, no numbers to the base of 60 or 8, no tags. `12:30` is text, and so is `2025-05-20`.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import yaml

ENV_PREFIX = "TICKERML__"
LARGEST_BYTES = 262_144
DEEPEST = 40
MOST_VALUES = 50_000
_TAG = "tag:yaml.org,2002:"
_FLOAT = r"""
    [-+]? (\.[0-9]+ | [0-9]+\.[0-9]*) ([eE][-+]?[0-9]+)?
    | [-+]? [0-9]+ [eE] [-+]? [0-9]+
    | [-+]? \.(inf|Inf|INF) | \.(nan|NaN|NAN)
"""
_WRITTEN_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    "float": (_FLOAT, [*"-+.0123456789"]),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": (r"<<", ["<"]),
}


class _Plain(yaml.SafeLoader):
    """Only JSON's kinds of values."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - declared so by PyYAML
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def number(self, node: Any) -> int | float:
        """A whole number or another; ConstructorError for what only its tag calls a number."""
        try:
            whole = node.tag == f"{_TAG}int"
            return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        except (ValueError, IndexError) as error:
            raise yaml.constructor.ConstructorError(None, None, "found a number that cannot be read", node.start_mark) from error


for _name, (_pattern, _first) in _WRITTEN_PLAIN.items():
    _Plain.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$", re.VERBOSE), _first)
for _name in ("null", "bool", "str", "seq", "map"):
    _Plain.yaml_constructors[f"{_TAG}{_name}"] = yaml.SafeLoader.yaml_constructors[f"{_TAG}{_name}"]
for _name in ("int", "float"):
    _Plain.yaml_constructors[f"{_TAG}{_name}"] = _Plain.number
_Plain.yaml_constructors[None] = yaml.SafeLoader.construct_undefined


@dataclass
class Written:
    """What one file or variable says."""

    values: Any = None
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Of each key; the places in a list are keys too."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line (0: the whole file) and what is wrong there."""
    mode: int = 0o600
    """Who may read the file."""
    changed_ns: int | None = None
    """When the file was last written."""


def read_yaml(file: Path) -> Written:
    """The file's values. FileNotFoundError where there is none."""
    text, written = _read(file)
    if not written.problems:
        understand(text, written)
        if not written.problems and written.values is not None and not isinstance(written.values, dict):
            written.problems.append((1, "must hold keys and values, such as `symbols: [BTC/USDT]`"))
    return written


def read_dotenv(file: Path) -> Written:
    """The file's variables, as a dictionary of texts. FileNotFoundError where there is none."""
    text, written = _read(file)
    from dotenv.parser import parse_stream  # only where there is a .env

    written.values = {}
    for binding in parse_stream(StringIO(text)):
        body = binding.original.string.lstrip()
        line = binding.original.line + binding.original.string.removesuffix(body).count("\n")
        if binding.error:
            written.problems.append((line, "is not NAME=value"))
        elif binding.key is not None:
            if binding.key in written.values and binding.key.startswith(ENV_PREFIX):
                written.problems.append((line, f"{binding.key}: written twice; first in line {written.lines[binding.key,]}"))
            written.values[binding.key] = binding.value or ""
            written.lines[binding.key,] = line
    return written


def understand(text: str, written: Written) -> None:
    """Fill `written` from a YAML text."""
    try:
        loader = _Plain(text)
        node = loader.get_single_node()
        if node is None or (trouble := _unfit(node)) is None:
            _note_lines(written, node, ())
            written.values = loader.construct_document(node) if node is not None else None
        else:
            written.problems.append(trouble)
    except yaml.YAMLError as error:
        written.problems.append(_in_words(error, text))
    except RecursionError:
        written.problems.append((0, "is nested too deeply"))


def _read(file: Path) -> tuple[str, Written]:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            content = opened.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        return "", Written(problems=[(0, f"cannot be read: {error.strerror}")])
    written = Written(mode=stat.S_IMODE(status.st_mode), changed_ns=status.st_mtime_ns)
    if len(content) > LARGEST_BYTES:
        written.problems.append((0, f"is larger than {LARGEST_BYTES // 1024} KiB"))
    try:
        return content[:LARGEST_BYTES].decode("utf-8"), written
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        written.problems = written.problems or [(line, f"is not UTF-8 text: {error.reason}")]
        return "", written


def _unfit(node: Any) -> tuple[int, str] | None:
    """Why a document cannot be used, however correct: aliases can make a short text deep without end, or huge."""
    waiting, count = [(node, 1)], 0
    while waiting:
        inner, depth = waiting.pop()
        count += 1
        line = inner.start_mark.line + 1
        if depth > DEEPEST:
            return line, "is nested too deeply"
        if count > MOST_VALUES:
            return line, f"holds more than {MOST_VALUES} values, aliases written out"
        if isinstance(inner, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in inner.value for part in pair]
        elif isinstance(inner, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in inner.value]
        elif any("\ud800" <= letter <= "\udfff" for letter in inner.value):
            return line, "holds half of a character (\\ud800 to \\udfff)"
    return None


def _note_lines(written: Written, node: Any, path: tuple[str, ...]) -> None:
    for part, inner, line in _parts(node):
        here = (*path, part)
        if here in written.lines and isinstance(node, yaml.MappingNode):
            written.problems.append((line, f"{'.'.join(here)}: written twice; first in line {written.lines[here]}"))
        written.lines[here] = line
        _note_lines(written, inner, here)


def _parts(node: Any) -> Iterator[tuple[str, Any, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield str(key.value), value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), value, value.start_mark.line + 1


def _in_words(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line and the reason; what PyYAML quotes from the text stays away: it may be a password that begins with * or !."""
    if isinstance(error, yaml.reader.ReaderError):
        at = error.position if isinstance(error.position, int) else 0
        return text.count("\n", 0, at) + 1, "not YAML: holds a control character"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = str(getattr(error, "problem", None) or "cannot be understood").removeprefix("but ")
    if "alias" in what or "anchor" in what:
        what = "text that begins with * or & must stand in quotes"
    elif "tag" in what or "constructor" in what:
        what = "text that begins with ! must stand in quotes"
    return mark.line + 1 if mark else 1, f"not YAML: {what}"
