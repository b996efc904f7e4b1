"""`hub grafana push` and what can go wrong with it: in words, with an exit code, and never with the token."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.grafana.pushing import ALERTS, TOKEN, push
from tests.grafana.server import EVERYTHING, FakeGrafana


@pytest.mark.parametrize("missing", sorted(EVERYTHING - {"folders:write", "datasources:write"}))
def test_a_token_that_may_not_do_it_is_told_what_is_needed(tmp_path: Path, grafana: FakeGrafana, missing: str) -> None:
    """By the permission's own name."""
    grafana.tokens = {TOKEN: EVERYTHING - {missing}}
    ran = push(tmp_path, grafana, **ALERTS)
    assert ran.returncode == 1
    assert f"the token may not do this: {missing} is needed; give its service account the role Admin" in ran.stderr


def refused(folder: Path, grafana: FakeGrafana, **how: Any) -> tuple[int, str]:
    ran = push(folder, grafana, **how)
    assert "Traceback" not in ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr
    return ran.returncode, ran.stderr.strip()


def test_a_wrong_token_and_none_are_told_apart(tmp_path: Path, grafana: FakeGrafana) -> None:
    """A missing secret is the configuration's fault, and has its place; a refused one is not."""
    code, words = refused(tmp_path, grafana, token="glsa_old")
    assert (code, "does not know this token" in words, "Service accounts" in words) == (1, True, True)
    code, words = refused(tmp_path, grafana, token=None)
    assert code == 3
    assert words.startswith("configuration: config.yaml:1: grafana.token: is needed")
    code, words = refused(tmp_path, grafana, token="glsa\nadmin")
    assert (code, "letters in it" in words, "glsa" in words) == (1, True, False)


def test_a_grafana_that_is_down_is_a_dependency_that_is_down(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Nobody listens; or it answers with 5xx, in its own way or in a proxy's."""
    silent = replace(grafana, url="http://127.0.0.1:1")
    code, words = refused(tmp_path, silent)
    assert (code, words) == (
        4,
        "error: http://127.0.0.1:1 does not answer (Connection refused); start Grafana, or set grafana.url",
    )
    for body in (b'{"message": "database is locked"}', b"<html>no message from upstream</html>", b""):
        grafana.misbehave = lambda _verb, path, body=body: (503, {}, body) if "folders" in path else None
        assert refused(tmp_path, grafana)[0] == 4


def test_what_is_no_grafana_is_said(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Some other web server, with and without such a page."""
    bodies = ((200, b"<html>router</html>"), (200, b'{"status":"ok"}'), (200, b""), (200, b"[]"), (404, b"<html>message: none</html>"))
    for status, body in bodies:
        grafana.misbehave = lambda _verb, _path, status=status, body=body: (status, {}, body)
        code, words = refused(tmp_path, grafana)
        assert code == 1
        assert "is not a Grafana; set grafana.url" in words


def test_a_wrong_path_is_said(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Grafana itself answers 404 there."""
    code, words = refused(tmp_path, replace(grafana, url=f"{grafana.url}/nowhere"))
    assert (code, "is the path in grafana.url right?" in words) == (1, True)


def test_a_redirect_is_not_followed_with_the_token(tmp_path: Path, grafana: FakeGrafana) -> None:
    """A POST would become a GET on the way."""
    grafana.misbehave = lambda _verb, _path: (301, {"Location": "https://grafana.example/api/health"}, b"")
    code, words = refused(tmp_path, grafana)
    assert code == 1
    assert "redirects to https://grafana.example/api/health; set grafana.url" in words
    assert len(grafana.asked) == 1


def test_a_grafana_too_old_is_said_with_both_versions(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Before anything is changed."""
    grafana.version = "9.0.7"
    code, words = refused(tmp_path, grafana)
    assert (code, words) == (1, f"error: {grafana.url} is Grafana 9.0.7; alert rules and service accounts need 9.1 or newer")
    assert grafana.changes() == []


@pytest.mark.parametrize("version", [None, "13.1.0-preview", "11.6.0+security-01"])
def test_a_version_that_is_hidden_or_odd_is_no_obstacle(tmp_path: Path, grafana: FakeGrafana, version: str | None) -> None:
    """Grafana can be told to keep its version to itself."""
    grafana.version = version
    assert push(tmp_path, grafana, **ALERTS).returncode == 0


def test_alerting_that_is_switched_off_is_said(tmp_path: Path, grafana: FakeGrafana) -> None:
    """The boards are there by then."""
    grafana.alerting = False
    code, words = refused(tmp_path, grafana)
    assert (code, "alerting is switched off in this Grafana; set [unified_alerting]" in words) == (1, True)
    assert len(grafana.boards) == 5
