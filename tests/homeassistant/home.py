"""A real Home Assistant in a folder of Debian 13, with its MQTT integration set up, driven over its own API."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.brokers import free_port

DEBIAN = Path(os.environ.get("TICKERML_HOMEASSISTANT", Path(__file__).parents[2] / ".homeassistant" / "debian"))
CLIENT = "http://127.0.0.1/"
USER = {"client_id": CLIENT, "name": "Test", "username": "test", "password": "test-test", "language": "en"}


class Home:
    """One that can be started, stopped and started again."""

    def __init__(self, name: str, broker_port: int) -> None:
        self.port = free_port()
        self.folder = DEBIAN / "homes" / name
        self._inside = f"/homes/{name}"
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / ".storage").mkdir(parents=True)
        http = f"http: {{server_port: {self.port}, server_host: 127.0.0.1}}"
        (self.folder / "configuration.yaml").write_text(
            f"homeassistant: {{name: Test, time_zone: UTC, unit_system: metric, country: DE, currency: EUR}}\n{http}\napi:\nonboarding:\n"
            "logger: {default: warning}\n"
        )
        entry = {
            "created_at": "2025-01-01T00:00:00+00:00",
            "modified_at": "2025-01-01T00:00:00+00:00",
            "data": {"broker": "127.0.0.1", "port": broker_port},
            "options": {},
            "disabled_by": None,
            "discovery_keys": {},
            "domain": "mqtt",
            "entry_id": "01JTICKERML000000000000000",
            "version": 1,
            "minor_version": 2,
            "pref_disable_new_entities": False,
            "pref_disable_polling": False,
            "source": "user",
            "subentries": [],
            "title": "mqtt",
            "unique_id": None,
        }
        stored = {"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": [entry]}}
        (self.folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))

    def start(self) -> None:
        """Until it answers and lets us in."""
        with (self.folder / "log").open("ab") as log:
            command = ["chroot", str(DEBIAN), "/ha/bin/hass", "--skip-pip", "--config", self._inside]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.until(self._answers, 120)
        if "authorization" not in self._http.headers:
            code = self._http.post("/api/onboarding/users", json=USER).raise_for_status().json()["auth_code"]
            form = {"grant_type": "authorization_code", "code": code, "client_id": CLIENT}
            token = self._http.post("/auth/token", data=form).raise_for_status().json()["access_token"]
            self._http.headers["authorization"] = f"Bearer {token}"
        self.until(lambda: self.get("/api/config").get("state") == "RUNNING", 120)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def states(self) -> dict[str, dict[str, Any]]:
        """Ours, by entity id."""
        return {state["entity_id"]: state for state in self.get("/api/states") if "tickerml" in state["entity_id"]}

    def says(self, template: str) -> str:
        return self._http.post("/api/template", json={"template": template}).raise_for_status().text

    def call(self, service: str, **data: Any) -> None:
        self._http.post(f"/api/services/{service}", json=data).raise_for_status()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def until(self, wanted: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := wanted()):
            assert time.monotonic() < end, self.log()[-3000:]
            time.sleep(0.3)
        return found

    def _answers(self) -> bool:
        try:
            return self._http.get("/api/onboarding").status_code in {200, 401, 404}
        except httpx.HTTPError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop()
        self._http.close()
        shutil.rmtree(self.folder, ignore_errors=True)
