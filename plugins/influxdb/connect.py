"""Which of its two ways an InfluxDB is to be spoken to, as the settings say or as it says itself."""

from typing import TYPE_CHECKING

from hub import Hub, TransientError
from plugins.influxdb.database import Database
from plugins.influxdb.settings import InfluxSettings

if TYPE_CHECKING:
    import httpx


async def connect(hub: Hub, settings: InfluxSettings) -> Database:
    """The API that the settings name or that the server speaks. TransientError while it does not answer."""
    api = settings.api if settings.api != "auto" else await _spoken(hub, settings)
    if api == "v1":
        from plugins.influxdb.v1 import Database1

        return Database1(hub, settings)
    from plugins.influxdb.v2 import Database2  # 15 MB of memory that v1 does not need

    return Database2(hub, settings)


async def _spoken(hub: Hub, settings: InfluxSettings) -> str:
    import httpx

    headers = {"authorization": f"Token {settings.token.get_secret_value()}"} if settings.token else {}
    try:
        answer = await hub.http.get(f"{settings.url}/ping", headers=headers, timeout=min(10.0, settings.timeout.total_seconds()))
    except httpx.HTTPError as error:
        raise TransientError(
            f"{settings.url} cannot be reached: {error or type(error).__name__}; start it, or set plugins.influxdb.url"
        ) from error
    if (version := _version(answer)) is not None:
        return "v1" if version.startswith("1.") else "v2"
    if answer.status_code in {401, 403} and settings.token:
        return "v2"  # 3 Core keeps its version to itself
    raise TransientError(
        f"{settings.url}/ping answered with HTTP {answer.status_code} and no word of InfluxDB; is plugins.influxdb.url right?"
        " (Behind a proxy that hides it, set plugins.influxdb.api to v1 or v2.)"
    )


def _version(answer: "httpx.Response") -> str | None:
    """As the header says; 3 Core says it in the body too."""
    text = answer.headers.get("x-influxdb-version")
    if text is None and answer.headers.get("content-type", "").startswith("application/json"):
        try:
            text = answer.json().get("version")
        except (ValueError, AttributeError):
            text = None
    return text.removeprefix("v") if isinstance(text, str) and text.removeprefix("v")[:1].isdigit() else None
