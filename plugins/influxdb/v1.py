"""InfluxDB 1.x over its own HTTP API: /write and /query. Debian's and Raspberry Pi OS's own package speaks nothing else."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx

from hub import Hub, TransientError
from plugins.influxdb.answers import MOST_OF_A_BODY, PAUSE_S, MayNot, refusal
from plugins.influxdb.database import Found
from plugins.influxdb.settings import InfluxSettings

_UNITS = {"h": 3600, "m": 60, "s": 1}
_DAY = 86_400


class Database1:
    """A `Database` that speaks v1."""

    def __init__(self, hub: Hub, settings: InfluxSettings) -> None:
        self._hub = hub
        self._settings = settings
        password = settings.password.get_secret_value() if settings.password else ""
        self._auth = httpx.BasicAuth(settings.username, password) if settings.username else None
        patience = settings.timeout.total_seconds()
        self._timeout = httpx.Timeout(patience, connect=min(5.0, patience))

    async def write(self, bucket: str, lines: Sequence[str]) -> None:
        body = "\n".join(lines).encode("utf-8", "replace")
        status, headers, answer = await self._post("/write", params={"db": bucket, "precision": "ns"}, content=body)
        if status != 204 and (error := self._refusal(status, headers, answer)):
            raise error

    async def look(self, bucket: str) -> Found | None:
        if [bucket] not in await self._query("SHOW DATABASES"):
            return None
        try:
            rows = await self._query(f'SHOW RETENTION POLICIES ON "{bucket}"')
        except MayNot:
            return Found(bucket, known=False)
        found = next(((row[0], row[1]) for row in rows if row[-1] is True), None)
        return Found(bucket, _duration(found[1]), handle=found[0]) if found else Found(bucket, known=False)

    async def make(self, bucket: str, keep: timedelta | None) -> None:
        await self._execute(bucket, f'CREATE DATABASE "{bucket}" WITH {_keeping(keep)}')

    async def change(self, found: Found, keep: timedelta | None) -> None:
        await self._execute(found.name, f'ALTER RETENTION POLICY "{found.handle}" ON "{found.name}" {_keeping(keep)} DEFAULT')

    async def _execute(self, bucket: str, statement: str) -> None:
        try:
            await self._query(statement)
        except MayNot as error:
            grant = f'GRANT ALL ON "{bucket}" TO "{self._settings.username}"'
            typed = f"curl -u ADMIN {self._settings.url}/query --data-urlencode 'q={statement}; {grant}'"
            raise MayNot(f"{error}; type, with the name of InfluxDB's administrator: {typed}", retry_after=PAUSE_S) from error

    async def _query(self, statement: str) -> list[Any]:
        """The rows that a statement answers with. MayNot where this user may not ask it."""
        status, headers, body = await self._post("/query", data={"q": statement})
        if status != 200:
            raise self._refusal(status, headers, body) or TransientError(f"{self._settings.url}/query answered with HTTP {status}")
        try:
            result = json.loads(body)["results"][0]
            rows = [row for series in result.get("series", []) for row in series.get("values", [])]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TransientError(f"{self._settings.url}/query answered with something that is not InfluxDB's") from error
        if "error" in result:
            raise TransientError(f"{self._settings.url} refused {statement!r}: {result['error']}")
        return rows

    def _refusal(self, status: int, headers: httpx.Headers, body: bytes) -> Exception | None:
        return refusal(status, headers, body, self._settings, self._hub.clock.now())

    async def _post(self, path: str, **what: Any) -> tuple[int, httpx.Headers, bytes]:
        url = self._settings.url
        try:
            async with self._hub.http.stream("POST", url + path, auth=self._auth, timeout=self._timeout, **what) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST_OF_A_BODY:
                        break
                return answer.status_code, answer.headers, body
        except httpx.TimeoutException as error:
            raise TransientError(f"{url} did not answer in time ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransientError(f"{url} cannot be reached: {str(error) or type(error).__name__}") from error


def _keeping(keep: timedelta | None) -> str:
    """With the shard that InfluxDB chooses by itself for a new policy: it does not for an altered one, and refuses a shorter time then."""
    if keep is None:
        return "DURATION INF REPLICATION 1 SHARD DURATION 168h"
    seconds = int(keep.total_seconds())
    shard = 168 if seconds >= 180 * _DAY else 24 if seconds >= 2 * _DAY else 1
    return f"DURATION {seconds}s REPLICATION 1 SHARD DURATION {shard}h"


def _duration(text: str) -> timedelta | None:
    """Of a duration as Go writes it, such as 168h0m0s; 0s is for ever."""
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))
    return timedelta(seconds=seconds) if seconds else None
