"""What an archive of a station is: a gzipped tar, manifest.json first, with size and sha256 of every other member."""

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

FORMAT = 1
MANIFEST, CONFIG = "manifest.json", "config.yaml"
KEPT = {
    "inference": ("models/*", "trusted/*.pub", "*.json"),
    "alerts": ("*.json",),
    "collector": ("*.json",),
    "etl": ("*.json",),
    "homeassistant": ("*.json",),
    "influxdb": ("*.json", "*.jsonl"),
    "news": ("*.json",),
}
"""What is taken of each plugin's folder. Passwords and visits of the page, and folders of strangers, are not: they may hold secrets."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,3}")
"""Of a member: a plain path that leads nowhere else."""


@dataclass(frozen=True)
class Part:
    """One file of an archive."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds."""

    made_at: str
    version: str
    parts: tuple[Part, ...]
    secrets_left_out: int
    format: int = FORMAT


def clear_up(folder: Path, pattern: str, before: float = inf) -> None:
    """Remove what a power cut has left; another backup may be at work in what is young."""
    for left in folder.glob(pattern):
        with suppress(OSError):
            if left.stat().st_mtime < before:
                shutil.rmtree(left, ignore_errors=True)
