"""A whole hub reads recorded feeds and articles from a real web server, judged by an Ollama that is played."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from tests.brokers import Mosquitto, Witness
from tests.http_server import answering
from tests.hubs import hub, log_of, running, states, status_until, write_values

KEY = "canary-key-4711"


class Player(BaseHTTPRequestHandler):
    """NewsAPI, a feed and Ollama on one port, from recorded bytes."""

    feed: ClassVar[bytes]
    articles: ClassVar[list[dict[str, Any]]]
    asked: ClassVar[list[tuple[str, str | None]]]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.asked.append((self.path, self.headers.get("x-api-key")))
        if path == "/rss":
            self._answer(self.feed, "application/rss+xml")
        elif path == "/v2/everything" and self.headers.get("x-api-key") == KEY:
            told = {"status": "ok", "totalResults": len(self.articles), "articles": self.articles}
            self._answer(json.dumps(told).encode(), "application/json")
        elif path == "/api/tags":
            self._answer(json.dumps({"models": [{"name": "gemma3:4b"}]}).encode(), "application/json")
        else:
            self.send_error(401)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        listed = json.loads(body["messages"][-1]["content"])
        scores = [{"id": each["id"], "score": -0.6 if "seizure" in each["headline"].lower() else 0.1} for each in listed]
        told = {"message": {"role": "assistant", "content": json.dumps({"judgements": scores})}}
        self._answer(json.dumps(told).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def playing(shared_data: Path) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Where it plays, and what it was asked."""
    sample = json.loads((shared_data / "api" / "newsapi_everything_bitcoin_sample.json").read_text(encoding="utf-8"))["articles"]
    with (shared_data / "news" / "newsapi_crypto_articles.jsonl").open(encoding="utf-8") as lines:
        recorded = sorted((json.loads(line) for line in lines), key=lambda each: str(each["publishedAt"]))[-96:]
    shaped = [{**each, "source": {"id": None, "name": each["source"]}} for each in recorded]
    fields = {"feed": (shared_data / "api" / "coindesk_rss_sample.xml").read_bytes(), "articles": [*sample, *shaped], "asked": []}
    kind = type("Here", (Player,), fields)
    with answering(kind) as address:
        yield f"http://{address}", kind.asked  # type: ignore[attr-defined]


@pytest.mark.timeout(200)
def test_recorded_feeds_and_articles_are_read_judged_published_and_kept(shared_data: Path, tmp_path: Path) -> None:
    """The clock stands at the day of the recorded feed; older articles are no news, and left out."""
    (tmp_path / "broker").mkdir()
    with playing(shared_data) as (url, asked), Mosquitto(tmp_path / "broker") as broker, Witness(broker.port, "tickerml/#") as witness:
        news = {"feeds": [f"{url}/rss"], "newsapi": {"base_url": f"{url}/v2", "api_key": KEY}, "ollama": {"base_url": url}}
        for start, sources in (("2026-09-25T17:00:00Z", {"coindesk"}), ("2026-02-28T20:00:00Z", set())):
            home = tmp_path / start[:10]
            home.mkdir()
            write_values(
                home,
                mqtt={"port": broker.port, "embedded": False},
                clock={"start": start, "speed": 10},
                plugins={"collector": {"source": "simulated", "backfill": "30m"}, "news": news if sources else news | {"feeds": []}},
            )
            (home / "config.yaml").chmod(0o600)
            seen = len(witness.heard)
            with running(home):
                status_until(home, lambda shown: states(shown).get("news") == "running")
                end = time.monotonic() + 60
                while not [topic for topic, _, _ in list(witness.heard)[seen:] if topic.startswith("tickerml/sentiment/")]:
                    assert time.monotonic() < end, log_of(home)[-3000:]
                    time.sleep(0.2)
                assert "ok    ollama" in hub(home, "doctor").stdout
                time.sleep(1.0)
            told = [json.loads(payload) for topic, payload, _ in list(witness.heard)[seen:] if topic.startswith("tickerml/article/")]
            assert told, log_of(home)[-2000:]
            assert {each["scorer"] for each in told} <= {"gemma", None}
            assert all(each["title"] == " ".join(each["title"].split()) for each in told)
            if sources:
                assert {each["source"] for each in told} == {url.removeprefix("http://")}
            else:
                assert len(told) > 10
            assert KEY not in log_of(home)
        assert all(key == KEY for path, key in asked if path.startswith("/v2"))
        assert not any(KEY in path for path, _ in asked)
        assert not any(KEY.encode() in payload for _, payload, _ in list(witness.heard))
