"""Asks a database of known vulnerabilities about every locked package, and fails where one is known; without a database it says so.

audit.py PIP_AUDIT LOCK_FILE...
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

DATABASES = ("pypi", "osv")


def asked(pip_audit: str, database: str, lock: str) -> list[dict[str, Any]] | None:
    """What the database says of each package; None where it cannot be had."""
    command = [pip_audit, "--disable-pip", "--require-hashes", "-r", lock, "-s", database, "-f", "json", "--timeout", "10"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        packages: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except (ValueError, LookupError, OSError, subprocess.TimeoutExpired):
        return None
    return packages if any("skip_reason" not in package for package in packages) else None


def main(pip_audit: str, locks: Sequence[str]) -> int:
    """0: nothing is known, or nobody could be asked. 1: something is."""
    known = 0
    for lock in locks:
        packages = next((found for database in DATABASES if (found := asked(pip_audit, database, lock)) is not None), None)
        if packages is None:
            print(f"{lock}: not audited: no database of vulnerabilities can be had here")
            continue
        bad = [package for package in packages if package.get("vulns")]
        for package in bad:
            for hole in package["vulns"]:
                mended = ", ".join(hole["fix_versions"]) or "no version yet"
                print(f"{lock}: {package['name']} {package['version']}: {hole['id']}; mended in {mended}")
        skipped = sum("skip_reason" in package for package in packages)
        print(f"{lock}: {len(packages)} packages, {len(bad)} with known vulnerabilities, {skipped} unknown to the database")
        known += len(bad)
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
