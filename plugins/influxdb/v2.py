"""InfluxDB 2.x and 3 Core by influxdb-client: the only home of that library, imported only where v2 is spoken.

Writes are synchronous, in a thread. Its batching API is not used: it drops points after its retries, and what is left at exit.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from influxdb_client import BucketRetentionRules, InfluxDBClient, WriteService
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from hub import Hub, TransientError
from plugins.influxdb.answers import PAUSE_S, BucketMissing, MayNot, NoSuchApi, NotLetIn, PointsRefused, refusal
from plugins.influxdb.database import Found
from plugins.influxdb.settings import InfluxSettings


class Database2:
    """A `Database` that speaks v2."""

    def __init__(self, hub: Hub, settings: InfluxSettings) -> None:
        self._hub = hub
        self._settings = settings
        token = settings.token.get_secret_value() if settings.token else None
        self._client = InfluxDBClient(settings.url, token, org=settings.org, timeout=int(settings.timeout.total_seconds() * 1000))
        self._buckets = self._client.buckets_api()
        self._writes = WriteService(self._client.api_client)

    async def write(self, bucket: str, lines: Sequence[str]) -> None:
        body = "\n".join(lines).encode("utf-8", "replace")
        settings = {"precision": "ns", "content_type": "text/plain; charset=utf-8"}
        answer = await self._call(lambda: self._writes.post_write_with_http_info(self._settings.org or "", bucket, body, **settings))
        if answer and answer[1] != 204:
            raise TransientError(f"{self._settings.url} answered with HTTP {answer[1]}, which is not how InfluxDB says that all is stored")

    async def look(self, bucket: str) -> Found | None:
        try:
            found: Found | None = await self._call(lambda: self._found(bucket))
        except BucketMissing:
            return None
        except (NoSuchApi, MayNot):  # 3 Core makes buckets when they are written to; a token may see none
            return Found(bucket, known=False)
        return found

    def _found(self, bucket: str) -> Found | None:
        known = self._buckets.find_buckets(name=bucket, org=self._settings.org).buckets
        found = next((each for each in known if each.name == bucket), None)
        if found is None:
            return None
        seconds = next((rule.every_seconds for rule in found.retention_rules or []), 0)
        return Found(bucket, timedelta(seconds=seconds) if seconds else None, handle=found)

    async def make(self, bucket: str, keep: timedelta | None) -> None:
        wish = {"bucket_name": bucket, "org": self._settings.org, "retention_rules": _rules(keep)}
        try:
            if not self._settings.org:
                raise MayNot("plugins.influxdb.org is not set")
            await self._call(lambda: self._buckets.create_bucket(**wish))
        except (NotLetIn, MayNot, NoSuchApi, BucketMissing, PointsRefused) as error:
            org = self._settings.org or "ORG"
            command = f"influx bucket create --name {bucket} --org {org} --retention {_seconds(keep)}s"
            raise MayNot(f"bucket {bucket} is not seen, and cannot be made: {error}; type: {command}", retry_after=PAUSE_S) from error

    async def change(self, found: Found, keep: timedelta | None) -> None:
        found.handle.retention_rules = _rules(keep)
        try:
            await self._call(lambda: self._buckets.update_bucket(found.handle))
        except (NotLetIn, MayNot, PointsRefused) as error:
            raise MayNot(f"{error}; type: influx bucket update --id {found.handle.id} --retention {_seconds(keep)}s") from error

    async def _call(self, call: Callable[[], Any]) -> Any:
        """Run a call of the library in a thread, and translate what it raises; None where a refusal is none to us."""
        url = self._settings.url
        try:
            return await asyncio.to_thread(call)
        except ApiException as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            body = error.body if isinstance(error.body, bytes) else str(error.body or error.reason or "").encode()
            if translated := refusal(error.status or 0, headers, body, self._settings, self._hub.clock.now()):
                raise translated from error
            return None
        except InfluxDBError as error:
            raise TransientError(f"{url}: {error.message}; check plugins.influxdb.org and token", retry_after=PAUSE_S) from error
        except HTTPError as error:
            raise TransientError(f"{url} cannot be reached: {error}") from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # the library trusts what it reads
            raise TransientError(f"{url} answered with something that is not InfluxDB's: {error}") from error


def _seconds(keep: timedelta | None) -> int:
    return int(keep.total_seconds()) if keep else 0


def _rules(keep: timedelta | None) -> list[BucketRetentionRules]:
    return [BucketRetentionRules(type="expire", every_seconds=_seconds(keep))]
