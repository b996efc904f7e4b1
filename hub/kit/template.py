"""A plugin to begin with: small, typed, tested, and it runs."""

import keyword
import re
from pathlib import Path

from hub.errors import HubError

PLUGIN = '''"""Tells when a bar moves further than you want to know of. Write here what yours does, in one sentence."""

from collections.abc import AsyncIterator
from math import log

from hub import Alert, Bar, Hub, PluginSettings, Transform, hookimpl


class {class_name}Settings(PluginSettings):
    """What stands in this plugin's section of config.yaml."""

    threshold: float = 0.005
    """Move of a minute, as a part of the price, that is worth telling."""


@hookimpl
def register_settings() -> type[PluginSettings]:
    return {class_name}Settings


@hookimpl
def register_transforms(hub: Hub) -> list[Transform]:
    settings = hub.settings_for({class_name}Settings)

    async def tell(bar: Bar) -> AsyncIterator[Alert]:
        move = log(bar.close / bar.open)
        if abs(move) > settings.threshold:
            yield Alert(symbol=bar.symbol, source="{name}", text=f"{{bar.symbol}} moved {{move:+.2%}} in one minute")

    return [Transform("{name}", tell, consumes=(Bar,), produces=(Alert,))]
'''
TEST = '''"""No broker, no loop, no network."""

import {name}

from hub.testing import bars, replay


def test_a_large_move_is_told() -> None:
    [alert] = replay({name}, bars(100, 100.1, 102))
    assert "BTC-USDT moved +1.88% in one minute" in alert.text


def test_the_threshold_is_yours() -> None:
    assert replay({name}, bars(100, 102), settings={{"threshold": 0.05}}) == []
'''
PROJECT = """[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "tickerml-{dashed}"
version = "0.1.0"
description = "A plugin for TickerML"
requires-python = ">=3.11"
dependencies = ["tickerml"]

[project.entry-points."tickerml.plugins"]
{name} = "{name}"

[tool.hatch.build.targets.wheel]
include = ["{name}.py"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""
README = """# {name}

A plugin for TickerML.

    pip install -e .            # into the hub's own environment
    pytest
    hub plugins check .

and in config.yaml:

    plugins:
      {name}: {{}}
"""
TAKEN = frozenset({"hub", "plugins", "trainer", "test", "tests", "conftest"})


def new_plugin(name: str, folder: Path, *, drop_in: bool) -> list[Path]:
    """Write it: two files into `folder` (plugin_dir), or a project of its own in `folder`/NAME. HubError where there is one."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name) or name in TAKEN:
        raise HubError(f"{name!r} cannot be the name of a plugin: small letters, digits and _, and no word of Python's or the hub's")
    words = {"name": name, "dashed": name.replace("_", "-"), "class_name": "".join(part.title() for part in name.split("_"))}
    if drop_in:
        files = {folder / f"{name}.py": PLUGIN, folder / f"test_{name}.py": TEST}
    else:
        place = folder / name
        files = {
            place / "pyproject.toml": PROJECT,
            place / f"{name}.py": PLUGIN,
            place / "tests" / f"test_{name}.py": TEST,
            place / "README.md": README,
        }
    if there := [file for file in files if file.exists()]:
        raise HubError(f"{there[0]}: is there already; choose another name")
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(**words), encoding="utf-8")
    except OSError as error:
        raise HubError(f"{folder}: cannot be written: {error.strerror}") from error
    return list(files)
