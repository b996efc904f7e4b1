"""The section `etl` of the configuration: when the past day is dumped, and where to."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from hub.remote import Login, problem_of
from hub.settings import Duration, LocalPath, PluginSettings


def _schedule(value: str) -> str:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        return value
    from cronsim import CronSim, CronSimError  # only where somebody says more than a time

    from hub.market.interval import from_ms

    try:
        CronSim(value, from_ms(0))
    except CronSimError as error:
        raise ValueError('must be a time of day such as "00:00", or a cron expression of five fields, UTC') from error
    return value


def _target(value: str) -> str:
    if (problem := problem_of(value)) is not None:
        raise ValueError(problem)
    return value


class EtlSettings(PluginSettings):
    """Daily dumps."""

    at: Annotated[str, AfterValidator(_schedule)] = "00:00"
    """UTC: a time of day, or a cron expression."""
    format: Literal["csv"] = "csv"
    """Of the tables."""
    target: Annotated[str, AfterValidator(_target)] | None = None
    """Where finished dumps are brought: sftp://user@host/folder, s3://bucket/folder, file:///folder; null: they stay here."""
    target_password: SecretStr | None = None
    """For sftp without a key."""
    target_key_file: LocalPath | None = None
    """For sftp; otherwise the keys of ~/.ssh."""
    known_hosts: LocalPath | None = None
    """Host keys that are known; otherwise ~/.ssh/known_hosts. A host that is not there is refused."""
    keep: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=30)
    """Older dumps are removed here, once they are delivered."""

    @field_validator("at", mode="before")
    @classmethod
    def _minutes(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ARG003
        """YAML reads a bare 00:00 as a number."""
        return f"{value // 60:02d}:{value % 60:02d}" if type(value) is int and 0 <= value < 1440 else value

    @property
    def login(self) -> Login:
        """How to be let in there."""
        password = self.target_password.get_secret_value() if self.target_password else None
        return Login(password, self.target_key_file, self.known_hosts)
