"""Two hosts on one machine: network namespaces with a cable between them."""

import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

IP = shutil.which("ip") or "/usr/sbin/ip"


def _ip(*words: str) -> None:
    subprocess.run([IP, *words], check=True, capture_output=True)


@functools.cache
def can_have_namespaces() -> bool:
    """Whether this machine lets us have some: root may, unless a container forbids it."""
    if os.geteuid() or not os.access(IP, os.X_OK):
        return False
    name = f"tk{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Host:
    """A namespace with one address; `inside` puts a command into it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def inside(self, command: Sequence[str]) -> list[str]:
        return [IP, "netns", "exec", self.name, *command]


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Connected by a cable, and by nothing else."""
    mark = secrets.token_hex(3)
    hosts = Host(f"tka{mark}", "10.97.0.1"), Host(f"tkb{mark}", "10.97.0.2")
    made: list[Host] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            made.append(host)
            _ip("-n", host.name, "link", "set", "lo", "up")
        _ip("link", "add", f"va{mark}", "netns", hosts[0].name, "type", "veth", "peer", "name", f"vb{mark}", "netns", hosts[1].name)
        for host, end in zip(hosts, ("va", "vb"), strict=True):
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", f"{end}{mark}")
            _ip("-n", host.name, "link", "set", f"{end}{mark}", "up")
        yield hosts
    finally:
        for host in made:
            subprocess.run([IP, "netns", "del", host.name], check=False, capture_output=True)
