"""The machine under the hub, as Linux tells of it: power and heat of a Raspberry Pi, memory, the clock, the file system of data_dir."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hub.runtime.disk.ballast import MIB
from hub.runtime.doctor.finding import Finding, remark

ROOT = Path("/")
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
"""Bits: 0 under-voltage now, 1 and 2 slowed down now, 16 under-voltage since the start of the machine."""
UNDER_VOLTAGE, SLOWED, WAS_UNDER_VOLTAGE = 0x1, 0x6, 0x10000
HOT_C = 80.0
"""From here on a Raspberry Pi slows itself down."""
LITTLE_MEMORY_BYTES = 100 * MIB
SHARES = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone"}
IN_MEMORY = {"tmpfs", "ramfs"}
WITHOUT_OWNERS = {"vfat", "exfat", "msdos", "fuseblk", "ntfs", "ntfs3"}
FEWEST_FILES = 1_000


def look_at_machine(data_dir: Path, root: Path | None = None) -> list[Finding]:
    """What is not well, and a line where all is; nothing is said of what this machine does not tell. `root`: in place of /."""
    root = ROOT if root is None else root
    troubles = [*_power(root), *_heat(root), *_memory(root), *_clock(root), *_file_system(data_dir, root)]
    return troubles or [Finding("machine", True, "power, heat, memory and file system are well", needed=False)]


def _power(root: Path) -> Iterator[Finding]:
    with suppress(OSError, ValueError):
        bits = int((root / THROTTLED).read_text(encoding="ascii").strip(), 16)
        if bits & (UNDER_VOLTAGE | WAS_UNDER_VOLTAGE):
            when = "now" if bits & UNDER_VOLTAGE else "since it was switched on"
            yield remark("power", f"the machine had too little voltage {when}, which spoils SD cards: take the power supply made for it")
        elif bits & SLOWED:
            yield remark("power", "the machine has slowed itself down: give it air, and the power supply made for it")


def _heat(root: Path) -> Iterator[Finding]:
    found = []
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        with suppress(OSError, ValueError):
            if "cpu" in (zone / "type").read_text(encoding="ascii"):
                found.append(int((zone / "temp").read_text(encoding="ascii")) / 1000)
    if found and max(found) >= HOT_C:
        yield remark("heat", f"the processor has {max(found):.0f} degrees and slows itself down: give it air, or a fan")


def _memory(root: Path) -> Iterator[Finding]:
    with suppress(OSError, ValueError, LookupError):
        lines = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
        if free < LITTLE_MEMORY_BYTES:
            yield remark(
                "memory", f"only {free // MIB} MiB are left: end other programs, or leave plugins out (the dashboard takes 70 MiB)"
            )


def _clock(root: Path) -> Iterator[Finding]:
    keeper = root / "run/systemd/timesync"
    if keeper.is_dir() and not (keeper / "synchronized").exists():
        yield remark("time", "the clock has not been set by the network since the start: timedatectl set-ntp true; is port 123 (UDP) open?")


def _file_system(data_dir: Path, root: Path) -> Iterator[Finding]:
    kind = _kind_of(data_dir.absolute(), root)
    if kind in SHARES:
        text = f"{data_dir} lies on a network share ({kind}), where SQLite cannot lock its files: set data_dir to a disk of this machine"
        yield Finding("file system", False, text)
    elif kind in IN_MEMORY:
        yield remark("file system", f"{data_dir} lies in memory ({kind}) and is gone when the machine stops: set data_dir to a disk")
    elif kind in WITHOUT_OWNERS:
        yield remark("file system", f"{data_dir} lies on {kind}, which knows no owners: others may read it; ext4 would keep it private")
    with suppress(OSError):
        room = os.statvfs(_there(data_dir))
        if room.f_files and room.f_favail < FEWEST_FILES:
            yield Finding("file system", False, f"the disk of {data_dir} takes only {room.f_favail} more files (inodes): remove small ones")


def _kind_of(folder: Path, root: Path) -> str | None:
    """The type of the file system that the folder lies on: that of the longest mount point above it."""
    found, longest = None, -1
    with suppress(OSError):
        for line in (root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            _, point, kind = line.split(" ")[:3]
            where = Path(point.replace("\\040", " "))
            if folder.is_relative_to(where) and len(where.parts) >= longest:
                found, longest = kind, len(where.parts)
    return found


def _there(folder: Path) -> Path:
    """The nearest folder that exists."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())
