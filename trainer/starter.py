"""The model that comes with the hub: where its file is."""

from importlib.resources import files
from pathlib import Path

from hub.errors import HubError

STARTER = "starter"


def starter_file() -> Path:
    """HubError where this installation has none."""
    file = Path(str(files("plugins"))) / "inference" / "starter.onnx"
    if not file.exists():
        raise HubError(f"{file}: the starter model is missing from this installation; install tickerml again")
    return file
