"""Rules that can be seen in a plugin's text, without running it."""

import ast
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from hub.kit.finding import Finding

FOREIGN = {
    "paho": "the hub speaks MQTT: yield messages",
    "aiomqtt": "the hub speaks MQTT: yield messages",
    "sqlite3": "the hub keeps the facts: hub.store reads them",
    "threading": "the hub runs flows: asyncio.to_thread for what blocks",
    "multiprocessing": "the hub runs flows, and isolates them",
    "requests": "it blocks the hub: use hub.http",
    "urllib.request": "it blocks the hub: use hub.http",
}
BLOCKING = {
    ("time", "sleep"): "blocks the hub: await hub.clock.sleep(...)",
    ("time", "time"): "ask hub.clock.now()",
    ("datetime", "now"): "ask hub.clock.now()",
    ("datetime", "utcnow"): "ask hub.clock.now()",
    ("asyncio", "sleep"): "await hub.clock.sleep(...), so that a test can move the time",
    ("asyncio", "run"): "the hub runs the loop",
    ("os", "_exit"): "ends the hub",
    ("sys", "exit"): "ends the hub: raise PermanentError",
}
SECRET = re.compile(r"(?:^|_)(?:password|secret|token|api_key|key)$")


def read(files: Sequence[Path]) -> list[Finding]:
    """One finding a rule, of all files of a plugin together."""
    rules: dict[str, list[str]] = {
        "a docstring says what it does": [],
        "no client, thread or database of its own": [],
        "time, waiting and ends are the hub's": [],
        "errors are translated, and none is swallowed": [],
        "every setting has a comment with its unit": [],
        "secrets are SecretStr": [],
        "typed strictly": [],
    }
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            tree = ast.parse(text, str(file))
        except (OSError, SyntaxError, ValueError) as error:
            return [Finding("it can be read", False, f"{file}: {error}")]
        if not ast.get_docstring(tree):
            rules["a docstring says what it does"].append(f"{file.name}:1: no docstring")
        for rule, found in (
            ("no client, thread or database of its own", _foreign(tree)),
            ("time, waiting and ends are the hub's", _blocking(tree)),
            ("errors are translated, and none is swallowed", _errors(tree, _commented(file))),
            ("every setting has a comment with its unit", _settings(tree, _commented(file))),
            ("secrets are SecretStr", _secrets(tree)),
            ("typed strictly", _untyped(tree)),
        ):
            rules[rule] += [f"{file.name}:{line}: {words}" for line, words in found]
    return [Finding(rule, not found, "; ".join(found)) for rule, found in rules.items()]


Found = Iterator[tuple[int, str]]


def _foreign(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            for foreign, words in FOREIGN.items():
                if name == foreign or name.startswith(f"{foreign}."):
                    yield _line(node), f"{name}: {words}"
            if name.startswith("hub.runtime"):
                yield _line(node), f"{name}: is the hub's own; import from `hub`"


def _blocking(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name | ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else node.func.value.attr
            if (words := BLOCKING.get((owner, node.func.attr))) is not None:
                yield node.lineno, f"{owner}.{node.func.attr}: {words}"


def _errors(tree: ast.Module, commented: set[int]) -> Found:
    """A broad `except` with a comment that says why is let through."""
    caught = False
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = True
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            if broad and node.lineno not in commented and not any(isinstance(each, ast.Raise) for each in ast.walk(node)):
                yield node.lineno, "swallows whatever happens: catch what you expect, and raise TransientError or PermanentError from it"
    asked = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    calls = [
        func for func in asked if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Attribute) and func.value.attr == "http"
    ]
    if calls and not caught:
        yield calls[0].lineno, "hub.http may fail: catch httpx.HTTPError, and raise TransientError from it"


def _settings(tree: ast.Module, commented: set[int]) -> Found:
    for kind in _settings_classes(tree):
        for at, node in enumerate(kind.body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                after = kind.body[at + 1] if at + 1 < len(kind.body) else None
                told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
                if not told and node.lineno not in commented and node.lineno - 1 not in commented:
                    yield node.lineno, f"{node.target.id} has no comment"


def _secrets(tree: ast.Module) -> Found:
    for kind in _settings_classes(tree):
        for node in kind.body:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and SECRET.search(node.target.id)):
                continue
            if "SecretStr" not in (named := ast.unparse(node.annotation)):
                yield node.lineno, f"{node.target.id}: {named} would be shown in logs; make it SecretStr"


def _untyped(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [each.arg for each in arguments if each.annotation is None and each.arg not in {"self", "cls"}]
            if bare:
                yield node.lineno, f"{node.name}: {', '.join(bare)} without a type"
            if node.returns is None:
                yield node.lineno, f"{node.name}: no type of what it returns"


def _settings_classes(tree: ast.Module) -> list[ast.ClassDef]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [node for node in classes if any("Settings" in ast.unparse(base) for base in node.bases)]


def _commented(file: Path) -> set[int]:
    with tokenize.open(file) as stream:
        return {token.start[0] for token in tokenize.generate_tokens(stream.readline) if token.type == tokenize.COMMENT}


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))
