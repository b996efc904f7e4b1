"""The programs that a user would take instead, each in a venv of its own: `make peers` installs them from the locks in this folder."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv-peers"


def program(peer: str, name: str) -> Path:
    """The program `name` of a peer. SystemExit where it is not installed."""
    file = FOLDER / peer / "bin" / name
    if not file.exists():
        raise SystemExit(f"{file}: not installed; type: make peers")
    return file
