"""What the user writes, what `hub init` shows, what the documentation claims, and what is loaded for it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.configuration import load_configuration
from hub.runtime.scaffold import CONFIG
from plugins.influxdb.lines import LONG_BAR, MEASUREMENTS
from plugins.influxdb.settings import InfluxSettings

DOCS = (Path(__file__).parents[3] / "docs" / "influxdb.md").read_text(encoding="utf-8")


def problems(tmp_path: Path, **section: Any) -> list[str]:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"plugins": {"influxdb": section}}))
    (tmp_path / "config.yaml").chmod(0o600)
    configuration = load_configuration(tmp_path / "config.yaml", {})
    configuration.section(("plugins", "influxdb"), configuration.sections["influxdb"], InfluxSettings)
    return configuration.problems


def test_an_empty_section_is_enough() -> None:
    """Debian's InfluxDB beside the hub needs nothing else."""
    made = InfluxSettings()
    assert (made.url, made.bucket, made.long, made.retention) == ("http://localhost:8086", "tickerml", "tickerml_long", None)
    assert InfluxSettings(bucket="b", long_bucket="c").long == "c"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"retention": "30m"}, "retention: '30m' will not do: must be at least 1h"),
        ({"retention": "forever"}, "retention: 'forever' will not do: a duration is a whole number with a unit"),
        ({"timeout": "0s"}, "timeout: '0s' will not do: must be at least 1s"),
        ({"api": "v3"}, "api: 'v3' will not do"),
        ({"bucket": 'a"; DROP'}, "bucket: "),
        ({"tokken": "x"}, "unknown key; did you mean 'token'?"),
        ({"url": "http://u:canary@host:8086"}, "url: 'http://***@host:8086' will not do: must be a web address"),
    ],
)
def test_what_will_not_do_is_said_in_words(tmp_path: Path, section: dict[str, Any], words: str) -> None:
    """With file, line and key."""
    [problem] = problems(tmp_path, **section)
    assert words in problem
    assert "config.yaml:" in problem


def test_what_hub_init_shows_is_right() -> None:
    """Whoever takes the # away gets a section that works, with the defaults."""
    lines = CONFIG[CONFIG.index("  # influxdb:") :].splitlines()
    section = yaml.safe_load("\n".join(line.removeprefix("  # ") for line in lines))["influxdb"]
    assert InfluxSettings.model_validate(section) == InfluxSettings()


def test_the_documentation_shows_every_setting_with_its_default() -> None:
    """A page that lies is worse than none."""
    shown = yaml.safe_load(DOCS.split("```yaml\n")[1].split("```")[0])["plugins"]["influxdb"]
    assert InfluxSettings.model_validate(shown) == InfluxSettings()
    assert set(shown) == set(InfluxSettings.model_fields) - {"isolated"}


def test_the_documentation_shows_what_is_written() -> None:
    """The dashboards are built from this table."""
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in DOCS.splitlines() if line.startswith("| `")]
    shown = {row[0]: [set(filter(None, cell.split(", "))) for cell in row[1:5]] for row in rows}
    assert shown == {each.name: [set(each.tags), set(each.floats), set(each.ints), set(each.strings)] for each in MEASUREMENTS}
    assert set(LONG_BAR.ints) - set(MEASUREMENTS[0].ints) == {"minutes"}
    assert "one more integer, `minutes`" in DOCS


def test_the_client_of_v2_is_loaded_for_v2_only() -> None:
    """15 MB of memory that a Raspberry Pi with Debian's InfluxDB has better uses for."""
    loaded = "print([name for name in ('influxdb_client', 'reactivex', 'httpx') if name in sys.modules])"
    for modules, expected in (("plugins.influxdb", "[]"), ("plugins.influxdb.v1", "['httpx']")):
        command = [sys.executable, "-c", f"import sys, {modules}; {loaded}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
        assert shown.stdout.strip() == expected


def test_no_secret_is_shown() -> None:
    """Neither in a log nor in a problem."""
    made = InfluxSettings.model_validate({"token": "canary-1", "password": "canary-2"})
    assert "canary" not in repr(made)
