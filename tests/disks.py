"""Disks that fail: mounted in a namespace of the child's own, or by strace, which puts an error in the place of a system call."""

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

STRACE = shutil.which("strace")


@functools.cache
def can_mount() -> bool:
    """Whether this machine lets us have mounts of our own: root may, and others where user namespaces are allowed."""
    return subprocess.run(mounted(["true"], "mount -t tmpfs none /mnt"), capture_output=True, check=False).returncode == 0


@functools.cache
def can_inject() -> bool:
    """Whether strace is there and may look into its child."""
    return STRACE is not None and subprocess.run(injected(["true"], "fsync:error=EIO"), capture_output=True, check=False).returncode == 0


def mounted(command: Sequence[str], mounts: str) -> list[str]:
    """The command, after these lines of shell have mounted something that only it sees."""
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    return [*namespace, "sh", "-ec", f'{mounts}; exec "$@"', "sh", *command]


def beside(process: int, command: Sequence[str]) -> list[str]:
    """The command, where it sees the mounts of that process."""
    return ["nsenter", "--target", str(process), "--mount", *(["--user", "--preserve-credentials"] if os.geteuid() else []), *command]


def injected(command: Sequence[str], *faults: str) -> list[str]:
    """The command under strace with faults such as `fdatasync:error=EIO:when=5..7`."""
    calls = ",".join(fault.split(":")[0] for fault in faults)
    injections = [word for fault in faults for word in ("-e", f"inject={fault}")]
    return [STRACE or "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *injections, *command]


def not_permitted(command: Sequence[str], folder: Path) -> list[str]:
    """The command where `folder` may only be read; root, too, without its power to pass over permissions."""
    folder.chmod(0o555)
    return [*([] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]), *command]
