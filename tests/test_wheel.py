"""Who installs the wheel has no checkout: templates, scripts and boards come with it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.hubs import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_file_beside_the_modules_is_in_it(unpacked: Path) -> None:
    wanted = [
        file for name in ("hub", "plugins") for file in (ROOT / name).rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}
    ]
    assert len(wanted) > 20
    assert [str(file) for file in wanted if not (unpacked / file.relative_to(ROOT)).is_file()] == []


def test_it_makes_a_brokers_files_and_pages_without_a_checkout(unpacked: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": str(unpacked)}
    made = subprocess.run(
        [sys.executable, "-P", "-m", "hub", "broker", "setup"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert "user trainer" in (tmp_path / "broker" / "acl").read_text(encoding="utf-8")
    looked = (
        "import hub, plugins.dashboard.assets as a, plugins.dashboard.rendering as r; print(hub.__file__);"
        "print(all(a.asset(n) for n in ('page.css', 'page.js', a.CHARTS)), r.environment().get_template('overview.html').name)"
    )
    told = subprocess.run(
        [sys.executable, "-P", "-c", looked], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines() == [str(unpacked / "hub" / "__init__.py"), "True overview.html"]


def test_grafanas_files_are_in_it_and_their_generator_is_not(unpacked: Path, tmp_path: Path) -> None:
    """It needs more than a hub has."""
    assert not (unpacked / "grafana").exists()
    say = "from hub.runtime.grafana_push import files; print(*sorted(str(f.relative_to(files())) for f in files().rglob('*.*')), sep='\\n')"
    site = os.environ | {"PYTHONPATH": str(unpacked)}
    shown = subprocess.run([sys.executable, "-c", say], cwd=tmp_path, env=site, capture_output=True, text=True, timeout=60, check=True)
    files = [
        str(file.relative_to(ROOT / "grafana"))
        for folder in ("dashboards", "provisioning")
        for file in (ROOT / "grafana" / folder).rglob("*.*")
    ]
    assert shown.stdout.splitlines() == sorted(files), shown.stderr
