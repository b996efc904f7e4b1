"""A real sshd on a free port of the loopback, with keys of its own, that serves sftp to whoever runs the tests."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers import free_port, wait_for_port

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def make_key(file: Path) -> Path:
    """An Ed25519 pair without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


class Sshd:
    """`url(folder)` is where it serves a folder; `key` lets in, and `known_hosts` knows it."""

    def __init__(self, folder: Path, *, wrapped: Callable[[Sequence[str]], list[str]] = list) -> None:
        """`wrapped`: the command in something, such as a mount of its own."""
        self.port = free_port()
        self.key = make_key(folder / "key")
        self.host_key = make_key(folder / "host")
        self.known_hosts = folder / "known_hosts"
        self._folder = folder
        self._wrapped = wrapped
        self.know(self.host_key)
        (folder / "authorized").write_text((folder / "key.pub").read_text())
        (folder / "authorized").chmod(0o600)

    def know(self, key: Path) -> None:
        """known_hosts has this key for it from now on."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key.with_suffix('.pub').read_text()}")

    def url(self, folder: Path) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.host_key,
            "AuthorizedKeysFile": self._folder / "authorized",
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "yes",
            "Subsystem": "sftp internal-sftp",
        }
        (self._folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        command = self._wrapped([SSHD, "-D", "-e", "-f", str(self._folder / "sshd_config")])
        with (self._folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log)
        wait_for_port(self.port)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)
