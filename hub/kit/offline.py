"""For pytest (`-p hub.kit.offline`), and for trials: from here nobody outside this machine's own process can be reached."""

import socket
from typing import Any, NoReturn


def _refused(_socket: socket.socket, address: Any) -> NoReturn:
    raise OSError(101, f"a plugin's test must not need a network ({address})")


for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, _refused)
socket.getaddrinfo = lambda *arguments, **_named: _refused(None, arguments[0])  # type: ignore[arg-type]
