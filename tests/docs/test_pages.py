"""What docs/dashboard.md, docs/benchmarks.md, mosquitto/README.md and docs/operations.md say is so."""

import json
import re
from pathlib import Path

import yaml

from hub.runtime.mqtt.broker_setup import ROLES
from hub.settings import BackupSettings
from plugins.dashboard.settings import DashboardSettings
from plugins.dashboard.site import VIEWS
from plugins.dashboard.visitors import LASTS, TRIES
from tests.hubs import ROOT

DASHBOARD = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_dashboards_page_names_every_view_and_every_setting(tmp_path: Path) -> None:
    assert re.findall(r"^\| (\w+) \| ", DASHBOARD, re.MULTILINE)[1:] == list(VIEWS.values())
    [block] = re.findall(r"```yaml\n(.*?)```", DASHBOARD, re.DOTALL)
    (tmp_path / "dashboard.password").write_text("twelve letters", encoding="utf-8")
    (tmp_path / "dashboard.password").chmod(0o600)
    settings = DashboardSettings.model_validate(yaml.safe_load(block)["plugins"]["dashboard"], context={"folder": str(tmp_path)})
    assert not settings.loopback
    assert settings.password is not None
    assert TRIES == 5
    assert "Five tries a minute" in DASHBOARD
    assert f"a visit lasts {LASTS.days} days" in DASHBOARD
    assert (DashboardSettings().host, DashboardSettings().port) == ("127.0.0.1", 8787)


def test_every_image_and_page_that_is_linked_is_there() -> None:
    """In the README and in docs/."""
    for file in [
        ROOT / "README.md",
        ROOT / "mosquitto" / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "adr").glob("*.md"),
    ]:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8")):
            if not link.startswith(("http://", "https://", "mailto:")):
                assert (file.parent / link).exists(), f"{file.name}: {link}"


def test_the_brokers_page_names_every_role() -> None:
    text = (ROOT / "mosquitto" / "README.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROLES


def test_the_nightly_backup_is_as_it_is_told() -> None:
    settings = BackupSettings()
    assert f"Every night at {settings.at} UTC" in OPERATIONS
    assert f"keeps the last {['none', 'one', 'two', 'three'][settings.keep]}" in OPERATIONS


def test_every_fault_of_the_campaign_stands_on_its_page() -> None:
    """In its order; so often at least as it is said, none lost."""
    from tests.campaign.faults import FAULTS
    from tests.campaign.test_campaign import LONG

    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| ", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _, _ in rows] == [fault.name for fault in FAULTS]
    assert all(int(times) == LONG[name] and lost == "0" for name, times, lost in rows)


def test_the_page_of_benchmarks_is_the_run_on_record_and_no_target_is_missed_without_a_word() -> None:
    from bench.record import PAGE, RECORD, page

    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(record)
    assert [row["name"] for row in record["rows"] if row["met"] is False and not row["note"]] == []
