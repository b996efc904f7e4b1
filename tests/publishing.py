"""A trainer's folder for tests: its commands as a user types them, and runs that need no training."""

import subprocess
import sys
from pathlib import Path

from tests.hubs import ENVIRONMENT
from tests.offers import golden_of
from trainer.run import Run


def exported(home: Path, name: str, content: bytes, plain: bytes | None = None) -> Run:
    """runs/NAME as `trainer export` leaves it, as far as publishing needs it."""
    run = Run.named(name, home / "runs")
    run.folder.mkdir(parents=True)
    run.model.write_bytes(content)
    run.write("export.json", {"golden": golden_of(plain or content).model_dump(mode="json")})
    return run


def trainer(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *words]
    return subprocess.run(command, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)
