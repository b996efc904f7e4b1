"""The hub as its user meets it: a process, a folder, and plugins that do everything a plugin should not."""

from pathlib import Path

from tests.hubs import ROOT, hub, running, status_until, stop, write_config


def test_it_stops_cleanly_and_a_second_hub_is_refused(tmp_path: Path) -> None:
    """SIGTERM: done in five seconds, exit code 0. Two hubs in one folder would fight."""
    write_config(tmp_path)
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: bool(shown.get("running")))
        second = hub(tmp_path, "run")
        assert second.returncode == 1
        assert f"another hub (process {process.pid})" in second.stderr
        assert stop(process) == 0


def test_a_killed_hub_goes_on_where_it_was(tmp_path: Path) -> None:
    """Every minute of the simulated exchange is there after ten kills, once."""
    write_config(tmp_path)
    for _ in range(5):
        with running(tmp_path) as process:
            status_until(tmp_path, lambda shown: any(row["last_bar"] for row in shown["symbols"]))
            process.kill()
    gaps = hub(tmp_path, "bars", "gaps")
    assert (gaps.returncode, gaps.stdout) == (0, "none\n")
    exported = hub(tmp_path, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()
    assert exported[0] == "open_time_ms,open,high,low,close,volume,quote_volume,trades,source"
    times = [int(line.split(",")[0]) for line in exported[1:]]
    assert times == list(range(times[0], times[-1] + 1, 60_000))


def test_every_problem_of_the_configuration_is_told_at_once(tmp_path: Path) -> None:
    """File, line, key and what would be right; exit code 3 and no traceback."""
    (tmp_path / "config.yaml").write_text(
        "symbols: [btc]\nmqtt:\n  hots: x\n  port: 99999\nplugins:\n  colector: {}\n  collector:\n    sorce: binance\n", encoding="utf-8"
    )
    answer = hub(tmp_path, "run")
    assert answer.returncode == 3
    assert "Traceback" not in answer.stderr
    for words in (
        "config.yaml:1: symbols.0: 'btc'",
        "config.yaml:3: mqtt.hots: unknown key; did you mean 'host'?",
        "config.yaml:4: mqtt.port: 99999",
        "config.yaml:6: plugins.colector: no such plugin; did you mean 'collector'?",
        "config.yaml:8: plugins.collector.sorce: unknown key; did you mean 'source'?",
    ):
        assert words in answer.stderr


def test_a_secret_that_others_can_read_is_refused_and_never_shown(tmp_path: Path) -> None:
    """chmod 600 is the fix, and the message says so."""
    write_config(tmp_path, username="hub", password="canary-7311")
    (tmp_path / "config.yaml").chmod(0o644)
    answer = hub(tmp_path, "run", "--for", "1s")
    assert answer.returncode == 3
    assert "chmod 600" in answer.stderr
    assert "canary-7311" not in answer.stderr + answer.stdout


def test_the_demo_shows_bars_without_anything_prepared(tmp_path: Path) -> None:
    """What a newcomer sees first: the market as it goes on, not the hours before."""
    write_config(tmp_path)
    answer = hub(tmp_path, "-c", "config.yaml", "demo", "--speed", "120", "--for", "8s")
    assert answer.returncode == 0, answer.stderr
    assert sum(" bar " in line for line in answer.stdout.splitlines()) > 10


def test_help_and_a_wrong_word_are_quick_and_clear(tmp_path: Path) -> None:
    """Usage is exit code 2."""
    assert hub(tmp_path, "--help").returncode == 0
    assert hub(tmp_path, "rnu").returncode == 2
    assert hub(tmp_path, "run", "--for", "soon").returncode == 2
    assert hub(tmp_path, "status").returncode == 1


def test_the_readme_shows_the_real_flow(tmp_path: Path) -> None:
    """The picture is drawn from the code."""
    answer = hub(tmp_path, "graph")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() in (ROOT / "README.md").read_text(encoding="utf-8")
