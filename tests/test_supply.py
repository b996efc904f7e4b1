"""Every part that a Pi or a PC gets is locked with its hashes; no more of them than needed; and known holes stop a change."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hubs import ROOT

LINE = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+?)(?: ;.*?)? \\$", re.MULTILINE)
PC_ONLY = {"torch", "onnx", "lightgbm", "scikit-learn", "matplotlib", "pyarrow", "pandas", "scipy"}
PAGE_ONLY = {"starlette", "uvicorn", "jinja2", "wsproto", "chartkick"}


def locked(name: str) -> dict[str, str]:
    """Versions by name; every one of them with a hash."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", text) if block.strip()]
    found = {}
    for block in blocks:
        first = LINE.match(f"{block.splitlines()[0]}\n".replace("\r", ""))
        assert first, f"{name}: {block[:80]}"
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block)) >= 1, block[:80]
        found[first[1]] = first[2]
    return found


@pytest.mark.parametrize("name", ["run", "trainer", "dev", "supply"])
def test_every_requirement_is_one_version_with_hashes(name: str) -> None:
    assert len(locked(name)) > 20
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|index-url|git\+", text)


def test_what_is_tested_is_what_people_get() -> None:
    """And a Pi gets nothing that only a PC needs."""
    run, trainer, dev = locked("run"), locked("trainer"), locked("dev")
    assert {name: version for name, version in run.items() if dev.get(name) != version} == {}
    assert {name for name in trainer.keys() & dev.keys() if trainer[name] != dev[name]} == set()
    assert not run.keys() & PC_ONLY
    assert run.keys() >= PAGE_ONLY
    assert trainer.keys() >= PC_ONLY - {"pandas"}
    assert f"TORCH := {trainer['torch']}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def pip_audit(folder: Path, answers: dict[str, Any]) -> Path:
    """Speaks as pip-audit does: for each database what it says; nothing where it cannot be had."""
    file = folder / "pip-audit"
    file.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"answers = json.loads({json.dumps(json.dumps(answers))})\n"
        "said = answers.get(sys.argv[sys.argv.index('-s') + 1])\n"
        "print('' if said is None else json.dumps({'dependencies': said}))\n"
        "sys.exit(said is None or any(each.get('vulns') for each in said))\n"
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


FINE = {"name": "numpy", "version": "2.0", "vulns": []}
BAD = {"name": "idna", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "idna", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ({}, 0, "x.txt: not audited: no database of vulnerabilities can be had here"),
        ({"pypi": [UNKNOWN]}, 0, "x.txt: not audited"),
        ({"pypi": [FINE]}, 0, "x.txt: 1 packages, 0 with known vulnerabilities, 0 unknown to the database"),
        ({"osv": [FINE, UNKNOWN]}, 0, "x.txt: 2 packages, 0 with known vulnerabilities, 1 unknown to the database"),
        ({"pypi": [UNKNOWN], "osv": [FINE, BAD]}, 1, "x.txt: idna 1.0: PYSEC-1; mended in 1.1"),
    ],
)
def test_a_known_hole_stops_a_change_and_a_missing_database_does_not(
    tmp_path: Path, answers: dict[str, Any], code: int, words: str
) -> None:
    command = [sys.executable, ROOT / ".ci" / "audit.py", pip_audit(tmp_path, answers), "x.txt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stdout
