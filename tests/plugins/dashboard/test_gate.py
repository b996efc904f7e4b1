"""Who may see the page, who may change something, and what becomes of those who try what they should not."""

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.errors import HubError, PermanentError, TransientError
from hub.testing import FakeClock, FakeDesk, FakeHub, MemoryStore
from plugins import dashboard
from plugins.dashboard.examination import look
from plugins.dashboard.live import Pages
from plugins.dashboard.password import Password
from plugins.dashboard.server import serve
from plugins.dashboard.settings import DashboardSettings
from plugins.dashboard.visitors import LASTS, Visitors
from tests.brokers import Authority, free_port
from tests.days import a_day
from tests.pages import hung_up, opened
from tests.plugins.dashboard.serving import Served, served

VIEWS = ("/", "/accuracy", "/data", "/news", "/models", "/system", "/system/doctor", "/sign-in")
CHANGES = ("/models/promote", "/models/rollback", "/system/restart", "/sign-out")


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore(a_day(300))


@pytest.fixture
async def page(tmp_path: Path, store: MemoryStore) -> AsyncIterator[Served]:
    async with served(tmp_path, store) as made:
        yield made


async def test_every_view_is_seen_here_and_none_elsewhere_without_the_password(tmp_path: Path, store: MemoryStore) -> None:
    for folder, host, seen in (("here", "127.0.0.1", 200), ("away", "0.0.0.0", 303)):
        (tmp_path / folder).mkdir()
        async with served(tmp_path / folder, store, host=host) as made:
            for view in VIEWS[:-1]:
                answer = await made.http.get(view)
                assert answer.status_code == seen, view
                assert seen == 200 or answer.headers["location"].startswith("/sign-in?then=/")
            assert (await made.http.get("/sign-in")).status_code == 200
            assert (await made.http.get("/static/page.css")).status_code == 200
            assert (await made.sign_in()).status_code == 303
            assert [(await made.http.get(view)).status_code for view in VIEWS] == [200] * len(VIEWS)


async def test_what_comes_through_a_proxy_is_from_elsewhere(page: Served) -> None:
    """A page on the loopback behind a proxy is open to whoever the proxy lets in."""
    for name in ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"):
        assert (await page.http.get("/", headers={name: "10.0.0.1"})).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "", "127.0.0.1.evil.example", "[::1].evil.example", "localhost.evil.example"]
)
async def test_a_name_that_is_not_ours_is_not_answered(page: Served, host: str) -> None:
    """A foreign name that leads here is how a foreign page would read ours (DNS rebinding)."""
    for path in ("/", "/static/page.css", "/system"):
        answer = await page.http.get(path, headers={"host": host})
        assert answer.status_code in {400, 421}, path
        assert "BTC" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "192.168.1.9", "[::1]:8787", "Station.Example.org", "localhost."])
async def test_addresses_and_names_of_ours_are_answered(tmp_path: Path, store: MemoryStore, host: str) -> None:
    async with served(tmp_path, store, hosts=["station.example.org"]) as made:
        assert (await made.http.get("/", headers={"host": host})).status_code == 200


async def test_nothing_changes_without_sign_in_token_and_a_page_of_ours(page: Served) -> None:
    """Neither somebody passing by, nor a foreign page in the browser of somebody who has signed in."""
    for path in CHANGES:
        assert (await page.http.post(path, data={"token": ""})).status_code == 403, path
        assert (await page.http.get(path)).status_code == 405, path
    await page.sign_in()
    token = await page.token()
    assert len(token) >= 24
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = await page.http.post("/models/promote", data={"token": token}, headers=headers)
        assert answer.status_code == 403, headers
    for data in ({"token": ""}, {"token": "x"}, {"token": token[:-1]}):
        assert (await page.http.post("/models/promote", data=data)).status_code == 403
    assert (await page.http.post("/models/promote", json={"token": token})).status_code == 415
    assert {verb for verb, _ in page.desk.asked} <= {"health", "log"}
    ours = {"origin": f"http://127.0.0.1:{page.port}", "sec-fetch-site": "same-origin"}
    assert (await page.http.post("/models/promote", data={"token": token}, headers=ours)).status_code == 303
    assert (await page.http.post("/system/restart", data={"token": token, "name": "news"}, headers=ours)).status_code == 303
    assert [asked for asked in page.desk.asked if "/" in asked[0]] == [("model/promote", {}), ("plugin/restart", {"name": "news"})]


async def test_a_refusal_of_the_hub_is_shown_in_its_words(page: Served) -> None:
    await page.sign_in()
    page.desk.answers["model/promote"] = HubError("there is no model in <shadow>")
    answer = await page.http.post("/models/promote", data={"token": await page.token()})
    assert answer.status_code == 409
    assert "there is no model in &lt;shadow&gt;" in answer.text


async def test_five_tries_a_minute_and_the_right_one_is_too_late_then(page: Served) -> None:
    right = page.password
    assert [(await page.sign_in(f"wrong {number}")).status_code for number in range(5)] == [403] * 5
    late = await page.sign_in(right)
    assert late.status_code == 429
    assert "wait a minute" in late.text
    assert not late.cookies


async def test_the_cookie_is_kept_from_scripts_and_foreign_pages(page: Served) -> None:
    cookie = (await page.sign_in()).headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/", f"max-age={int(LASTS.total_seconds())}"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert "secure" not in cookie, "there is no https here"
    assert (await page.http.post("/sign-out", data={"token": await page.token()})).status_code == 303
    assert (await page.http.post("/models/promote", data={"token": "x"})).status_code == 403


async def test_by_https_the_cookie_stays_there_and_the_doctor_looks_there(tmp_path: Path, store: MemoryStore) -> None:
    """With a certificate of the house's own, whatever its names are."""
    now = datetime.now(UTC)
    cert, key = Authority(tmp_path).certificate("page", now - timedelta(days=1), now + timedelta(days=9), host="station.lan")
    told = {"certificate_file": str(cert), "key_file": str(key)}
    async with served(tmp_path, store, **told) as made:
        section = made.hub.settings_for(DashboardSettings)
        assert section.address == f"https://127.0.0.1:{made.port}"
        assert (await look(made.hub, section)).startswith(f"{section.address} answers; its first password stands in ")
        async with httpx.AsyncClient(base_url=section.address, verify=False, trust_env=False) as http:
            assert (await http.get("/")).status_code == 200
            assert "; secure" in (await http.post("/sign-in", data={"password": made.password})).headers["set-cookie"].lower()
        with pytest.raises(httpx.HTTPError):
            await made.http.get("/")
    with pytest.raises(TransientError, match="does not answer"):
        await look(made.hub, section)
    with pytest.raises(ValueError, match="belong together"):
        DashboardSettings(certificate_file=cert)
    key.write_text("nonsense")
    with pytest.raises(PermanentError, match=r"page.pem with .*page.key cannot be used"):
        await serve(FakeHub(data_dir=tmp_path), DashboardSettings(port=free_port(), **told), FakeDesk(), Pages())


def test_what_is_not_installed_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub alone does without it: the plugin is red, and the others go on."""
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None if name == "starlette" else find_spec(name))
    with pytest.raises(PermanentError, match=r"needs starlette: pip install 'tickerml\[dashboard\]'"):
        dashboard.register_services(FakeHub())


async def test_sign_in_leads_nowhere_else(page: Served) -> None:
    for then in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = await page.http.post(
            "/sign-in",
            params={"then": then},
            data={"password": page.password if page.hub.data_dir.joinpath("first-password").exists() else ""},
        )
        assert answer.headers.get("location", "/") == "/"


async def test_every_answer_has_a_policy_without_inline_script(page: Served) -> None:
    for path in (*VIEWS, "/nothing", "/static/page.js", "/static/../settings.py"):
        answer = await page.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        if answer.headers["content-type"].startswith("text/html"):
            assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", answer.text), path
            assert not re.search(r"\son\w+=", answer.text.replace("onerror=alert(2)", "")), path
            assert "http://" not in re.sub(r"http://www\.w3\.org\S+", "", answer.text), path


async def test_foreign_text_is_text(page: Served) -> None:
    """Headlines, alerts, states and log lines are written by others."""
    for path in ("/", "/news", "/system"):
        text = (await page.http.get(path)).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "javascript:" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "&lt;b&gt;away&lt;/b&gt;" in (await page.http.get("/system")).text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/..%2fsettings.py",
        "/static/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/static/page.css%00",
        "/dumps/../../etc/passwd",
    ],
)
async def test_only_files_of_the_page_can_be_had(page: Served, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode(errors="replace")
    await hung_up(writer)
    assert answer.startswith("HTTP/1.1 404"), answer[:60]
    assert "DashboardSettings" not in answer


async def test_a_store_that_cannot_be_read_is_said_and_no_crash(tmp_path: Path) -> None:
    class Broken(MemoryStore):
        def newest_bar(self, *_: Any, **__: Any) -> Any:
            raise TransientError("tickerml.db: disk image is malformed")

        newest = newest_first = oldest_open_time = newest_bar

    async with served(tmp_path, Broken()) as made:
        for view in ("/", "/accuracy", "/data", "/news", "/models"):
            answer = await made.http.get(view)
            assert (answer.status_code, "malformed" in answer.text) == (503, True), view
        assert (await made.http.get("/system")).status_code == 200


async def test_a_hub_that_does_not_answer_is_said(page: Served) -> None:
    page.desk.answers.clear()
    for view in VIEWS:
        assert (await page.http.get(view)).status_code == 200
    assert "The hub did not answer" in (await page.http.get("/system")).text


async def test_many_pages_at_once_are_one_question_to_the_hub(page: Served) -> None:
    """The doctor looks at broker, exchange and database: a hundred reloads must not make it do so a hundred times."""
    answers = await asyncio.gather(*(page.http.get(path) for path in ("/system", "/system/doctor") for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= [verb for verb, _ in page.desk.asked].count("doctor") <= 2
    assert [verb for verb, _ in page.desk.asked].count("health") <= 8


async def test_a_store_with_nothing_says_that_it_begins(tmp_path: Path) -> None:
    async with served(tmp_path) as made:
        text = (await made.http.get("/")).text
        assert "The station has just started" in text
        assert "&lt;b&gt;away&lt;/b&gt;" in text, "what the plugins do is shown"
        for view in VIEWS:
            assert (await made.http.get(view)).status_code == 200


async def test_files_with_secrets_are_its_owners_alone(page: Served) -> None:
    first = page.password
    await page.sign_in()
    files = {file.name: file for file in page.hub.data_dir.iterdir()}
    assert set(files) == {"password.scrypt", "visitors.json"}, "the first password goes when somebody knows it"
    for file in files.values():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert first not in file.read_text(encoding="utf-8")
    assert page.http.cookies.jar
    assert next(iter(page.http.cookies.jar)).value not in files["visitors.json"].read_text(encoding="utf-8")
    assert not [entry for entry in page.hub.logged.entries if first in json.dumps(entry, default=str)]


async def test_a_visit_lasts_over_a_restart_and_ends_with_the_password(tmp_path: Path, store: MemoryStore) -> None:
    async with served(tmp_path, store, host="0.0.0.0") as made:
        await made.sign_in()
        key = next(iter(made.http.cookies.jar)).value
    async with served(tmp_path, store, host="0.0.0.0") as again:
        cookie = {"cookie": f"tickerml_{again.port}={key}"}
        assert (await again.http.get("/", headers=cookie)).status_code == 200
        Password(tmp_path, None).change("another password")
        assert (await again.http.get("/", headers=cookie)).status_code == 303
        assert (await again.sign_in("another password")).status_code == 303


async def test_a_visit_ends_after_thirty_days(tmp_path: Path) -> None:
    clock = FakeClock()
    visitors = Visitors(tmp_path, Password(tmp_path, "given by hand"), clock)
    key = visitors.welcome()
    assert visitors.known(key) is not None
    clock.jump(LASTS)
    assert visitors.known(key) is None


async def test_a_password_of_the_configuration_makes_none(tmp_path: Path, store: MemoryStore) -> None:
    async with served(tmp_path, store, password="correct horse battery") as made:
        assert (await made.sign_in("correct horse battery")).status_code == 303
        assert not list(made.hub.data_dir.glob("*password*"))


async def test_a_taken_port_is_said_with_the_key(page: Served) -> None:
    with pytest.raises(TransientError, match=rf"127.0.0.1:{page.port} is taken by another program; set plugins.dashboard.port"):
        await serve(page.hub, page.hub.settings_for(DashboardSettings), page.desk, page.pages)


async def test_slow_and_silent_callers_are_hung_up_on_and_hold_up_nobody(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that say half a request, and ten that send a form for ever."""
    monkeypatch.setattr("plugins.dashboard.server.PATIENCE_S", 1.0)
    slow = [await asyncio.open_connection("127.0.0.1", page.port) for _ in range(110)]
    for number, (_, writer) in enumerate(slow):
        writer.write(
            b"GET / HTTP/1.1\r\nHost: local"
            if number < 100
            else b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\npass"
        )
    assert (await page.http.get("/")).status_code == 200
    ends = await asyncio.wait_for(asyncio.gather(*(_end(reader) for reader, _ in slow)), 20)
    assert len(ends) == 110
    assert (await page.http.get("/")).status_code == 200
    for _, writer in slow:
        await hung_up(writer)


async def test_a_live_line_stays(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nothing to say for hours, and is not hung up on for that."""
    monkeypatch.setattr("plugins.dashboard.server.PATIENCE_S", 0.3)
    async with opened(page.port, 3) as pages:
        await asyncio.sleep(1.0)
        await page.pages.write(a_day(1))
        await asyncio.sleep(0.3)
        assert page.pages.open == 3
    assert pages.told >= 3
    await asyncio.sleep(0.3)
    assert page.pages.open == 0


async def test_a_live_line_is_for_those_who_may_see_and_for_our_own_pages(tmp_path: Path, store: MemoryStore) -> None:
    """Another page of the same browser must not listen in."""
    for host, headers, words in (
        ("127.0.0.1", {"Origin": "https://evil.example"}, b"403"),
        ("127.0.0.1", {"Host": "evil.example"}, b"403"),
        ("127.0.0.1", {"Origin": "http://localhost"}, b"101"),
        ("0.0.0.0", {"Origin": "http://localhost"}, b"\x11\x31sign in first"),
    ):
        async with served(tmp_path, store, host=host) as made:
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            told = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"} | headers
            lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            writer.write(f"GET /live HTTP/1.1\r\n{lines}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
            answer = b""
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    while chunk := await reader.read(1000):
                        answer += chunk
            await hung_up(writer)
            assert words in answer, (host, headers, answer)


async def _end(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a" * 20_000, "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&" * 500, "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"", ""),
    ],
)
async def test_a_form_that_is_none_is_refused(page: Served, body: bytes, kind: str) -> None:
    answer = await page.http.post("/sign-in", content=body, headers={"content-type": kind})
    assert answer.status_code in {400, 403, 413, 415}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.one_of(st.sampled_from([*VIEWS, *CHANGES, "/live", "/static/x"]), st.text(max_size=40).map(lambda text: "/" + text)),
    query=st.text(max_size=30),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    headers=st.dictionaries(
        st.sampled_from(["cookie", "origin", "content-type", "if-none-match", "upgrade", "range"]), st.text('abc;=,"/%:0', max_size=30)
    ),
    body=st.binary(max_size=60),
)
def test_nothing_that_is_asked_makes_a_bug(
    shared_page: Served, path: str, query: str, method: str, headers: dict[str, str], body: bytes
) -> None:
    """No 5xx but "busy", whatever is asked."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shared_page.port}", trust_env=False, timeout=20) as http, suppress(httpx.InvalidURL):
        answer = http.request(method, path, params={"symbol": query, "then": query}, headers=headers, content=body)
        assert answer.status_code < 500, (method, path, answer.text[:300])


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One page for many examples, in a thread of its own."""
    ready, done, loop = Event(), asyncio.Event(), asyncio.new_event_loop()
    kept: list[Served] = []

    async def run() -> None:
        async with served(tmp_path_factory.mktemp("page"), MemoryStore(a_day(60))) as made:
            kept.append(made)
            ready.set()
            await done.wait()

    thread = Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(30)
    yield kept[0]
    loop.call_soon_threadsafe(done.set)
    thread.join(20)
    loop.close()
