"""The pictures of the documentation, taken of a demo that has run for a while: `python -m tests.dashboard.screenshots docs/images`."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.brokers import free_port, wait_for_port
from tests.browsers import chromium, watched
from tests.hubs import ENVIRONMENT, HUB, write_values

RUNS_S = 75
PICTURES = (
    ("overview", "/", {"width": 1280, "height": 830}, "dark"),
    ("accuracy", "/accuracy", {"width": 1280, "height": 880}, "light"),
    ("phone", "/", {"width": 390, "height": 844}, "light"),
)


def main(folder: Path) -> None:
    """Ten minutes of the market every second, for a minute and a quarter."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        plugins = {
            "collector": {"source": "simulated", "backfill": "26h"},
            "inference": {"patience": "4m"},
            "scorecard": {"window": "1d"},
            "news": {"simulated": True, "ollama": {"enabled": False}},
            "alerts": {"rules": [{"when": "forecast", "confidence": 0.55, "unproven": True}]},
            "dashboard": {"port": port},
        }
        write_values(home, data_dir="data", plugins=plugins)
        command = [*HUB, "-c", "config.yaml", "demo", "--speed", "600"]
        with subprocess.Popen(command, cwd=home, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as hub:
            try:
                wait_for_port(port, 60)
                time.sleep(RUNS_S)
                with chromium() as browser:
                    for picture, path, size, scheme in PICTURES:
                        seen = watched(browser, f"http://127.0.0.1:{port}", color_scheme=scheme, locale="en-GB", **size)
                        seen.open(path).wait_for_timeout(1500)
                        seen.page.screenshot(path=str(folder / f"page-{picture}.png"))
            finally:
                hub.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
