"""Why a broker cannot be reached or will not have us: in words, with what to do about it."""

import socket
import ssl
from datetime import datetime

from pydantic import ValidationError

from hub.settings import MqttSettings
from hub.topics import OFFERED, kind_of

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
_UNTRUSTED = {2, 18, 19, 20, 21}
BAD_LOGIN = {0x86, 0x87}
UNSUPPORTED_PROTOCOL = 0x84
TAKEN_OVER = 0x8E
SAID_OF_TOO_LARGE = {0x95, 0x82}
"""Packet too large; and protocol error, which is what paho makes of mosquitto's answer to a message over message_size_limit."""
NEVER_ACCEPTED = {0x90, 0x95, 0x99}
"""Reason codes of a PUBLISH that stay the same however often it is repeated: topic name, size, payload format."""

_TROUBLES: dict[type[OSError], str] = {
    ConnectionRefusedError: "refuses connections: start the broker, or check mqtt.host and mqtt.port",
    TimeoutError: "does not answer: check mqtt.host, mqtt.port and the firewall",
}
_SOCKET_TROUBLES: dict[type[OSError], str] = {
    FileNotFoundError: "is not there: start the broker, or correct mqtt.host (`listener 0 PATH` in mosquitto.conf says where it is)",
    PermissionError: "is not for this user: put it into the broker's group (sudo usermod -aG mosquitto USER), and start the hub again",
    ConnectionRefusedError: "was left behind by a broker that does not run: start it",
}


def who(settings: MqttSettings) -> str:
    """The user we log in as, in words."""
    return f"user {settings.username!r}" if settings.username else "a client without user name"


def about_tls(settings: MqttSettings) -> str:
    """What to look at where the broker hangs up at our first words."""
    if settings.tls:
        return "check mqtt.port (TLS is usually 8883) and whether the broker speaks TLS there; otherwise set mqtt.tls: false"
    return "check whether it expects TLS there (mqtt.tls)"


def unreachable(settings: MqttSettings, address: str, error: Exception, now: datetime) -> str:
    """Why there is no connection to the broker at `address`. `now`: what this machine's clock says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(settings, address, error, now)
    if isinstance(error, ssl.SSLError):
        return f"{address} does not speak TLS as we do ({error.reason or error}): check mqtt.port (TLS is usually 8883) and mqtt.tls"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the name {settings.host!r} of the broker is not known: check mqtt.host and this machine's DNS"
    if isinstance(error, ConnectionResetError):
        return f"{address} cut the connection: {about_tls(settings)}"
    troubles = _TROUBLES | (_SOCKET_TROUBLES if settings.on_socket else {})
    words = next((words for kind, words in troubles.items() if isinstance(error, kind)), f"cannot be reached: {error}")
    return f"{address} {words}"


def _certificate(settings: MqttSettings, address: str, error: ssl.SSLCertVerificationError, now: datetime) -> str:
    clock = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
    authority = f"the authority in {settings.ca_file}" if settings.ca_file else "an authority that this machine trusts"
    if error.verify_code == _EXPIRED:
        return f"the TLS certificate of {address} has expired ({clock}): renew the broker's certificate"
    if error.verify_code == _NOT_YET_VALID:
        return f"the TLS certificate of {address} is not valid yet; {clock}: set the clock, or wait until the certificate is valid"
    if error.verify_code in _UNTRUSTED:
        return f"the TLS certificate of {address} is not signed by {authority}: set mqtt.ca_file to the broker's own authority"
    if error.verify_code in {_OTHER_NAME, _OTHER_ADDRESS}:
        return f"the TLS certificate of {address} was made for another name than {settings.host!r}: set mqtt.host to the certificate's name"
    return f"the TLS certificate of {address} is refused: {error.verify_message}"


def login_refused(settings: MqttSettings, address: str, code: int, words: str) -> str:
    """Why the broker answered our login with reason code `code`."""
    if code in BAD_LOGIN:
        what = "wrong user name or password" if settings.username else "it wants a user name and password"
        return f"the broker on {address} refuses {who(settings)}: {what} ({words}); set mqtt.username and mqtt.password"
    return f"the broker on {address} refuses {who(settings)}: {words}"


def topic_refused(settings: MqttSettings, address: str, action: str, topic: str, words: str) -> str:
    """Why we may not `action` (publish on, subscribe to) `topic`."""
    role = "trainer" if kind_of(topic.removeprefix(f"{settings.root}/")) in OFFERED else "hub"
    fix = "allow it in the broker's ACL"
    if settings.username != role:
        fix += f"; that of `hub broker setup` gives that to the role {role}"
    return f"the broker on {address} does not let {who(settings)} {action} {topic!r} ({words}): {fix}"


def payload_refused(error: ValueError) -> str:
    """What is wrong with a payload, in one line that does not quote it."""
    if not isinstance(error, ValidationError):
        return str(error)[:300]
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{where + ': ' if where else ''}{first['msg']}{more}"[:300]
