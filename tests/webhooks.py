"""A real HTTP server that takes notifications, as a home's own would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_server import answering


class Listener(BaseHTTPRequestHandler):
    """Takes notifications, unless told otherwise."""

    heard: list[dict[str, Any]]
    refuses = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if type(self).refuses > 0:
            type(self).refuses -= 1
            self.send_response(503)
        else:
            self.heard.append(json.loads(body))
            self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def listening(refuses: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a real HTTP server, and what it has heard."""
    kind = type("Here", (Listener,), {"heard": [], "refuses": refuses})
    with answering(kind) as address:
        yield f"json://{address}", kind.heard  # type: ignore[attr-defined]
