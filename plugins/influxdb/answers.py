"""What InfluxDB's answer means: one table for both of its APIs."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from hub.errors import TransientError
from plugins.influxdb.settings import InfluxSettings

PAUSE_S = 60.0
"""Between two tries where only a person can help."""
LONGEST_WAIT_S = 3600.0
"""However long the server asks us to wait."""
MOST_OF_A_BODY = 65_536


class PointsRefused(Exception):
    """At least one of the points will never be taken, for this reason; the others may have been."""


class TooLarge(Exception):
    """The batch has more bytes than something on the way lets through."""


class BucketMissing(Exception):
    """The bucket (v1: database) is not there, in the server's words."""


class NotLetIn(TransientError):
    """InfluxDB does not know us: 401."""


class MayNot(TransientError):
    """InfluxDB knows us, and we may not: 403. The words say what to type where it is about a bucket."""


class NoSuchApi(TransientError):
    """What answers there does not have this part of InfluxDB's API."""


def refusal(  # noqa: PLR0911 - one for each meaning
    status: int, headers: Mapping[str, str], body: bytes, settings: InfluxSettings, now: datetime
) -> Exception | None:
    """What to raise for an answer that was not as wished; None where all is well nevertheless. `headers`: small letters, or httpx's."""
    reason, its_own = _reason(headers, body)
    place = settings.url
    match status:
        case 400 | 422 if "beyond retention policy" in reason:
            return None  # older than what is kept: as the user wishes
        case 400 | 422 if its_own:
            return PointsRefused(reason)
        case 401:
            return NotLetIn(f"{place} does not let us in: {reason}; {_credentials(settings)}", retry_after=PAUSE_S)
        case 403:
            whom = f"user {settings.username!r}" if settings.username else "the owner of plugins.influxdb.token"
            return MayNot(
                f"{place} lets us in, but: {reason}; let {whom} write to {settings.bucket} and {settings.long}", retry_after=PAUSE_S
            )
        case 404 if its_own and "not found" in reason:
            return BucketMissing(reason)
        case 404:
            return NoSuchApi(f"{place} has no such API ({reason}); set plugins.influxdb.api to auto, or url to where InfluxDB is")
        case 413:
            return TooLarge(reason)
        case 429 | 503:
            return TransientError(f"{place} is busy: HTTP {status}: {reason}", retry_after=_asked_to_wait(headers, now))
    return TransientError(f"{place} answered with HTTP {status}: {reason}")


def _reason(headers: Mapping[str, str], body: bytes) -> tuple[str, bool]:
    """The words of an answer, and whether they are InfluxDB's own and not a proxy's or a stranger's."""
    try:
        found = json.loads(body[:MOST_OF_A_BODY])
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        for key in ("message", "error"):
            if isinstance(found.get(key), str):
                return _plain(_first_of_v3(found) or found[key]), True
    if (header := headers.get("x-influxdb-error")) is not None:
        return _plain(header), True
    return _plain(body[:2_000].decode("utf-8", "replace")) or "no words", False


def _first_of_v3(found: Mapping[str, object]) -> str | None:
    """InfluxDB 3 says of each bad line why, beside a general word."""
    data = found.get("data")
    if isinstance(data, list) and data and isinstance(data[0], dict) and isinstance(data[0].get("error_message"), str):
        return str(data[0]["error_message"])
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>|[^\x20-\x7e\xa0-\uffff]", " ", text)).strip()[:300]


def _credentials(settings: InfluxSettings) -> str:
    if settings.username:
        return f"check plugins.influxdb.username ({settings.username!r}) and password"
    if settings.token:
        return "check plugins.influxdb.token"
    return "set plugins.influxdb.token, or username and password for InfluxDB 1.x"


def _asked_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, from a number or a date; the date is counted from the server's own time where it tells it."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return min(float(text), LONGEST_WAIT_S)
    until, then = _date(text), _date(headers.get("date", "")) or now
    return None if until is None else min(max((until - then).total_seconds(), 0.0), LONGEST_WAIT_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return found if found.tzinfo else None
