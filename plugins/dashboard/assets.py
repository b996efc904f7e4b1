"""Scripts and styles: our own few, and Chart.js as chartkick's wheel brings it; compressed once, kept by browsers until they change."""

import gzip
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

OURS = Path(__file__).parent / "static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
CHARTS = "Chart.bundle.js"
FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file as it is sent."""

    packed: bytes
    """With gzip."""
    kind: str
    mark: str
    """Of its content: part of the address that pages use."""


@lru_cache
def asset(name: str) -> Asset | None:
    """The file of that name, or None. Reads and compresses it once."""
    file = files().get(name)
    if file is None:
        return None
    content = file.read_bytes()
    return Asset(gzip.compress(content, 6, mtime=0), KINDS[file.suffix], sha256(content).hexdigest()[:12])


@lru_cache(maxsize=1)
def files() -> dict[str, Path]:
    """Everything that can be asked for: nothing else is ever opened."""
    found = {file.name: file for file in OURS.iterdir() if file.suffix in KINDS}
    chartkick = find_spec("chartkick")
    for folder in (chartkick and chartkick.submodule_search_locations) or ():
        found |= {file.name: file for file in Path(folder).glob(f"*/static/chartkick/{CHARTS}")}
    return found


def address(name: str) -> str:
    """Where pages find it; another address for every content."""
    found = asset(name)
    return f"/static/{name}" if found is None else f"/static/{name}?{found.mark}"


def answer(request: Request) -> Response:
    """The file; runs in a thread."""
    found = asset(request.path_params["name"])
    if found is None:
        return Response("there is no such file", 404, media_type="text/plain")
    headers = {
        "content-encoding": "gzip",
        "cache-control": FOR_EVER if request.url.query == found.mark else "no-cache",
        "etag": f'"{found.mark}"',
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.packed, headers=headers, media_type=found.kind)
