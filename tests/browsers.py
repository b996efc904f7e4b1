"""A real browser for tests: Debian's Chromium, and a page whose troubles are noted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"


@dataclass
class Watched:
    """A page, and what went wrong on it: errors of scripts, refusals of the policy, and what it asked of anybody else."""

    page: Page
    base: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.troubles.append(message.text) if message.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def open(self, path: str) -> Page:
        """Go there, and wait until it stands."""
        self.page.goto(self.base + path)
        self.page.wait_for_load_state("load")
        return self.page

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", self.base.replace("http", "ws"))):
            self.troubles.append(f"asked {request.url}")

    def _dialog(self, dialog: Any) -> None:
        if dialog.type != "confirm":
            self.troubles.append(f"{dialog.type}: {dialog.message}")
        dialog.accept()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--enable-precise-memory-info"])
        try:
            yield browser
        finally:
            browser.close()


def watched(browser: Browser, base: str, *, width: int = 1280, height: int = 900, **context: Any) -> Watched:
    """A new page of a visitor of its own."""
    visitor = browser.new_context(viewport={"width": width, "height": height}, **context)
    return Watched(visitor.new_page(), base)
