"""`hub plugins check`: the plugin checklist, as far as a machine can see it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from hub.errors import HubError
from hub.hookspecs import ENTRY_POINT_GROUP
from hub.kit.finding import Finding
from hub.kit.reading import read

TRIAL_S = 60
TESTS_S = 300


def check(path: Path) -> list[Finding]:
    """Every rule about a drop-in (file or folder) or a project with an entry point. HubError where there is no plugin."""
    main = _main_file(path)
    files = [main] if main.name != "__init__.py" else sorted(main.parent.rglob("*.py"))
    own = [file for file in files if not file.name.startswith(("test_", "conftest"))]
    return [*read(own), *_trial(main), _tests(path, main)]


def _main_file(path: Path) -> Path:
    if path.is_file() and path.suffix == ".py":
        return path
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    if (path / "pyproject.toml").is_file():
        return _of_project(path)
    raise HubError(
        f"{path}: is no plugin: a file NAME.py, a folder with __init__.py, or a project with an entry point of {ENTRY_POINT_GROUP}"
    )


def _of_project(path: Path) -> Path:
    try:
        told = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))
        targets = list(told["project"]["entry-points"][ENTRY_POINT_GROUP].values())
    except (OSError, ValueError, LookupError, AttributeError) as error:
        raise HubError(f'{path / "pyproject.toml"}: has no [project.entry-points."{ENTRY_POINT_GROUP}"]') from error
    inside = str(targets[0]).replace(".", "/")
    for place in (path, path / "src"):
        for file in (place / f"{inside}.py", place / inside / "__init__.py"):
            if file.is_file():
                return file
    raise HubError(f"{path}: its entry point names {targets[0]}, and there is no such module here")


def _trial(main: Path) -> list[Finding]:
    command = [sys.executable, "-P", "-m", "hub.kit.trial", str(main.resolve())]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_S, check=False)  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        return [
            Finding(
                "it loads, and its hooks are the hub's", False, f"it was not through within {TRIAL_S} s: does it wait, or loop, in a hook?"
            )
        ]
    found = [finding for line in tried.stdout.splitlines() if (finding := _told(line)) is not None]
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
        found.append(Finding("it does not end the process", False, last[:300]))
    return found


def _told(line: str) -> Finding | None:
    """What the trial says among whatever the plugin prints."""
    try:
        told = json.loads(line)
        return Finding(str(told["rule"]), bool(told["ok"]), str(told["text"]))
    except (ValueError, LookupError, TypeError):
        return None


def _tests(path: Path, main: Path) -> Finding:
    rule, name = "it has tests, and they pass without a network", main.stem if main.name != "__init__.py" else main.parent.name
    folder = path if path.is_dir() else path.parent
    own = folder.rglob("test_*.py") if path.is_dir() else folder.glob(f"test_{name}*.py")
    files = [file for file in own if not {".venv", "venv", "node_modules"} & set(file.parts)]
    if not files:
        return Finding(rule, False, f"no test_{name}.py beside it, and none below it")
    where = main.parent if main.name != "__init__.py" else main.parent.parent
    options = ["-q", "-p", "hub.kit.offline", "-p", "no:cacheprovider", "-o", f"pythonpath={where.resolve()}"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *map(str, files)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TESTS_S, check=False)  # noqa: S603 - its own tests
    except subprocess.TimeoutExpired:
        return Finding(rule, False, f"they were not through within {TESTS_S} s")
    if run.returncode and "No module named pytest" in run.stderr:
        return Finding(rule, False, "pytest is not installed here: pip install pytest")
    last = (run.stdout.strip().splitlines() or [run.stderr.strip()[-200:]])[-1]
    return Finding(rule, run.returncode == 0, "" if run.returncode == 0 else last)
