"""Tests on recorded data that is not part of this project. It lies beside the checkout, or where TICKERML_SHARED_DATA says."""

import os
import subprocess
from pathlib import Path

import pytest

VARIABLE = "TICKERML_SHARED_DATA"
HERE = Path(__file__).resolve().parent


def _main_checkout() -> Path:
    """The repository itself, also from one of its worktrees."""
    asked = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--path-format=absolute", "--git-common-dir"], capture_output=True, text=True, check=False
    )
    return Path(asked.stdout.strip()).parent if asked.returncode == 0 and asked.stdout.strip() else HERE.parents[1]


def _candidates() -> list[Path]:
    if given := os.environ.get(VARIABLE):
        return [Path(given)]
    return [_main_checkout().parent / "shared" / "data", HERE.parents[2] / "shared" / "data"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with market/ and api/."""
    candidates = _candidates()
    for folder in candidates:
        if folder.is_dir():
            return folder
    pytest.skip(f"no recorded data in {candidates[0]}: set {VARIABLE} to the folder that holds market/ and api/")
