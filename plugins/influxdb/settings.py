"""The influxdb section of config.yaml."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from hub.settings import Duration, PluginSettings, WebAddress


def _at_least(least: timedelta, words: str) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if duration < least:
            raise ValueError(f"must be at least {words}")
        return duration

    return AfterValidator(check)


Retention = Annotated[Duration, _at_least(timedelta(hours=1), "1h: InfluxDB keeps nothing for a shorter time")]
Patience = Annotated[Duration, _at_least(timedelta(seconds=1), "1s")]
BucketName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class InfluxSettings(PluginSettings):
    """Which InfluxDB, who we are to it, and how long it keeps what."""

    url: WebAddress = "http://localhost:8086"
    """Where InfluxDB is."""
    api: Literal["auto", "v1", "v2"] = "auto"
    """v1: InfluxDB 1.x; v2: 2.x and 3 Core; auto asks it."""
    bucket: BucketName = "tickerml"
    """The bucket of v2, or the database of v1; made where it is absent."""
    long_bucket: BucketName | None = None
    """Hours and days are kept here for ever. Default: `<bucket>_long`."""
    retention: Retention | None = None
    """How long `bucket` keeps minutes and all else (h, d). null: for ever."""
    username: str | None = None
    """v1 only, where InfluxDB asks for a user."""
    password: SecretStr | None = None
    token: SecretStr | None = None
    """v2 only."""
    org: str | None = None
    """v2 only: the organization of InfluxDB 2.x."""
    timeout: Patience = timedelta(seconds=30)
    """How long one write may take."""

    @property
    def long(self) -> str:
        """The bucket that keeps hours and days."""
        return self.long_bucket or f"{self.bucket}_long"
