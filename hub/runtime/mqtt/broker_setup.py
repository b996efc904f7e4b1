"""`hub broker setup`: users, passwords, ACL, certificates and configuration of a Mosquitto, from the templates in mosquitto/."""

import getpass
import pwd
import secrets
import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import pbkdf2_hmac
from pathlib import Path

from hub.errors import HubError
from hub.runtime.mqtt.certificates import authority, certify
from hub.topics import HEARTBEAT, HUB_STATE, OFFERED, TOPICS
from hub.whole_file import write_whole

CHECKOUT = Path(__file__).parents[3] / "mosquitto"
INSTALLED = Path(__file__).parents[3] / "tickerml_mosquitto"
"""Where a wheel puts them, beside the packages."""
ROLES = ("hub", "trainer", "homeassistant", "reader")
FOLDER = Path("/etc/mosquitto/tickerml")
"""Where the broker finds what is made here."""
SOCKET = Path("/run/tickerml/mqtt.sock")
"""By which this machine's programs reach the broker. Debian's own /run/mosquitto lets in nobody but the broker's user."""
FOLDER_OF_SOCKET = "# For tmpfiles.d: made at every start of the machine.\nd {} 0750 mosquitto mosquitto\n"
ROUNDS = 1_000
"""Of PBKDF2: the passwords are 160 random bits, and a Pi hashes at every login."""


@dataclass(frozen=True)
class Wanted:
    """What the broker should be like."""

    names: tuple[str, ...]
    """By which others in the house reach this machine: in the certificate."""
    root: str = "tickerml"
    discovery: str = "homeassistant"
    folder: Path = FOLDER
    socket: Path = SOCKET
    port: int = 1883
    tls_port: int = 8883


def own_names() -> tuple[str, ...]:
    """This machine's names and addresses, as far as it knows them itself."""
    host = socket.gethostname()
    found = [host, f"{host.split('.')[0]}.local", "localhost", "127.0.0.1", "::1"]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: only the way there is looked up
            found.append(probe.getsockname()[0])
    except OSError:
        pass  # no network yet: its addresses are then given by hand
    return tuple(dict.fromkeys(found))


def set_up(out: Path, wanted: Wanted, now: datetime, renew: Sequence[str] = ()) -> list[str]:
    """Write everything to `out`; passwords and certificates that are there stay, unless their role is in `renew`.

    Returns what was done, in lines. HubError where it cannot be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        return list(_set_up(out, wanted, now, renew))
    except OSError as error:
        raise HubError(f"{error.filename or out}: {error.strerror}") from error
    except ValueError as error:
        raise HubError(f"{error}; move it away, and a new authority is made (the others in the house then need its ca.crt)") from error


def _set_up(out: Path, wanted: Wanted, now: datetime, renew: Sequence[str]) -> Iterator[str]:
    for role in ROLES:
        file = out / f"{role}.password"
        if role in renew or not file.exists():
            write_whole(file, f"{secrets.token_urlsafe(20)}\n", private=True)
            yield f"password  {role:<14} {file}"
    passwords = {role: (out / f"{role}.password").read_text(encoding="utf-8").strip() for role in ROLES}
    if not all(passwords.values()):
        raise HubError(f"{out}: a password is empty; remove that file, and another is made")
    write_whole(out / "passwords", "".join(f"{role}:{hashed(password)}\n" for role, password in passwords.items()), private=True)
    issuer = authority(out / "ca.crt", out / "ca.key", now)
    if certify(out / "server.crt", out / "server.key", wanted.names, issuer, now):
        yield f"certified {', '.join(wanted.names)}"
    for name, made in (
        ("acl", acl(wanted)),
        ("tickerml.conf", configuration(wanted)),
        (
            "run.conf",
            FOLDER_OF_SOCKET.format(wanted.socket.parent),
        ),
    ):
        write_whole(out / name, made)
        yield f"written   {out / name}"


def configuration(wanted: Wanted) -> str:
    """Mosquitto's, for its conf.d."""
    return _filled(
        "mosquitto.conf", folder=str(wanted.folder), socket=str(wanted.socket), port=str(wanted.port), tls_port=str(wanted.tls_port)
    )


def acl(wanted: Wanted) -> str:
    """Who may do what, from the topics that the hub knows."""
    says = [topic.template for topic in TOPICS if topic.kind not in OFFERED]
    filters = sorted({f"{wanted.root}/{_filter(template)}" for template in (*says, HUB_STATE, HEARTBEAT, "hub/response/#")})
    lines = "\n".join(f"topic write {each}" for each in filters)
    return _filled("acl", root=wanted.root, discovery=wanted.discovery, hub_says=lines)


def hashed(password: str, salt: bytes | None = None) -> str:
    """As mosquitto_passwd writes it: `$7$rounds$salt$hash`, PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12) if salt is None else salt
    digest = pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"$7${ROUNDS}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def next_steps(out: Path, wanted: Wanted) -> str:
    """What to type then."""
    files = "acl,passwords,server.crt,server.key"
    user = hubs_user()
    elsewhere = f"host: {wanted.names[0]}, port: {wanted.tls_port}, embedded: false, tls: true, ca_file: ca.crt"
    return f"""\
Give them to the broker (Debian, Raspberry Pi OS; `sudo apt install mosquitto` first):

  sudo install -d -o root -g mosquitto -m 0750 {wanted.folder}
  sudo install -o root -g mosquitto -m 0640 {out}/{{{files}}} {wanted.folder}/
  sudo install -m 0644 {out}/tickerml.conf /etc/mosquitto/conf.d/
  sudo install -m 0644 {out}/run.conf /etc/tmpfiles.d/tickerml.conf && sudo systemd-tmpfiles --create tickerml.conf
  sudo usermod -aG mosquitto {user}
  sudo systemctl restart mosquitto

The hub's config.yaml:

  mqtt: {{host: {wanted.socket}, embedded: false, username: hub, password_file: {out}/hub.password}}

Elsewhere in the house, with a copy of {out}/ca.crt and of the role's password (trainer, homeassistant, reader):

  mqtt: {{{elsewhere}, username: trainer, password_file: trainer.password}}

{out}/ca.key signs certificates: keep it here, or better elsewhere. Then: hub doctor"""


def hubs_user() -> str:
    """Who runs the hub here: the service's own user, where `make install` has made one."""
    with suppress(KeyError):
        return pwd.getpwnam("tickerml").pw_name
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return "USER"


def _filter(template: str) -> str:
    """Wildcards only where a topic has values."""
    return "/".join("+" if "{" in part else part for part in template.split("/"))


def _filled(name: str, **values: str) -> str:
    folder = CHECKOUT if CHECKOUT.is_dir() else INSTALLED
    text = (folder / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
