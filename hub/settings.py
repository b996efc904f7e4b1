"""The sections of the configuration, and what a plugin's own section is made of."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from hub.messages import SYMBOL_PATTERN
from hub.secret import NoSecret, read_secret, secret_fields

MOST_SYMBOLS = 2000
LONGEST_SOCKET_PATH = 107
"""Linux keeps it in 108 bytes."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a whole number with a unit: 90s, 15m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _symbol(value: Any) -> str:
    name = value.replace("/", "-") if isinstance(value, str) else ""
    if not re.fullmatch(SYMBOL_PATTERN, name):
        raise ValueError("a symbol is base and quote asset in capitals, such as BTC/USDT")
    return name


def _some_each_once(symbols: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(symbols) <= MOST_SYMBOLS:
        raise ValueError(f"from 1 to {MOST_SYMBOLS} symbols, such as [BTC/USDT]; here are {len(symbols)}")
    if twice := sorted({symbol.replace("-", "/") for symbol in symbols if symbols.count(symbol) > 1}):
        raise ValueError(f"each symbol once; named more often: {', '.join(twice)}")
    return symbols


def _web_address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ValueError("must be a web address such as https://host or http://host:port/path, without user, password, query or fragment")
    return value.rstrip("/")


def _local_path(value: Path, info: ValidationInfo) -> Path:
    try:
        os.fsencode(value)
        path = value.expanduser()
    except (ValueError, RuntimeError) as error:
        raise ValueError("must be the path of a file or folder on this machine") from error
    if "\0" in str(path):
        raise ValueError("must be the path of a file or folder on this machine")
    return Path((info.context or {}).get("folder", "")) / path


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""`90s`, `15m`, `24h` or `7d` in the file."""
SymbolName = Annotated[str, BeforeValidator(_symbol)]
"""`BTC/USDT` in the file, `BTC-USDT` in the program."""
WebAddress = Annotated[str, AfterValidator(_web_address)]
"""An http or https address without a trailing slash."""
LocalPath = Annotated[Path, AfterValidator(_local_path)]
"""A file or folder; where it is relative, seen from the folder of config.yaml."""


class SettingsModel(BaseModel):
    """A section of the configuration: unknown keys are errors, every secret has a twin `<key>_file`, and an empty section is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, section: Any, info: ValidationInfo) -> Any:
        if not isinstance(section, dict):
            return section
        section = {key: value for key, value in section.items() if value is not None or not cls._is_section(key)}
        for name in secret_fields(cls):
            key = f"{name}_file"
            if (file := section.pop(key, None)) is None:
                continue
            if section.get(name) is not None:
                section[name] = NoSecret(key, f"is given twice: as {name} and as {key}; remove one")
                continue
            try:
                section[name] = read_secret(_local_path(Path(str(file)), info))
            except ValueError as error:
                section[name] = NoSecret(key, str(error))
        return section

    @classmethod
    def _is_section(cls, key: Any) -> bool:
        info = cls.model_fields.get(key)
        kinds = [] if info is None else [info.annotation]
        return any(isinstance(kind, type) and issubclass(kind, SettingsModel) for kind in kinds)


class PluginSettings(SettingsModel):
    """Base of every plugin's section."""

    isolated: bool | None = None
    """Run in a process of its own, where a crash or a busy loop hurts nobody else.

    Default: yes, unless it came with the hub; of those, only the dashboard does.
    """


class MqttSettings(SettingsModel):
    """Where the broker is, and who we are to it."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "localhost"
    """Its name or address; what begins with `/` is the path of its unix socket, and the port then says nothing."""
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    embedded: bool = True
    """Start a broker on host:port, unless one already listens there."""
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: LocalPath | None = None
    """Certificate authority to trust instead of the system's."""
    root: Annotated[str, Field(pattern=r"^[^+#/\s\x00]+(/[^+#/\s\x00]+)*$", max_length=100)] = "tickerml"
    """First part of every topic."""
    client_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Default: `<root>-hub`. Two hubs with one id throw each other out."""

    @property
    def on_socket(self) -> bool:
        """Whether the way there is a unix socket."""
        return self.host.startswith("/")

    @property
    def address(self) -> str:
        """Where the broker is, in words."""
        return self.host if self.on_socket else f"{self.host}:{self.port}"

    @model_validator(mode="after")
    def _socket_is_plain(self) -> Self:
        if self.on_socket and len(os.fsencode(self.host)) > LONGEST_SOCKET_PATH:
            raise ValueError(f"host: the path of a unix socket has {LONGEST_SOCKET_PATH} bytes at most")
        if self.on_socket and self.tls:
            raise ValueError("tls: a unix socket never leaves this machine and has no TLS; remove tls")
        return self


class ClockSettings(SettingsModel):
    """A time of the hub's own, to replay the past or to hurry; leave it out to live in the present."""

    start: AwareDatetime | None = None
    """The hub's time when it starts (default: the present)."""
    speed: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """How many of the hub's seconds pass in one of ours."""


class LogSettings(SettingsModel):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    """auto: text on a terminal, otherwise one JSON object a line."""


class GrafanaSettings(SettingsModel):
    """Where `hub grafana push` brings boards and alert rules."""

    url: WebAddress = "http://localhost:3000"
    token: SecretStr | None = None
    """Of a service account with the role Admin."""
    folder: Annotated[str, Field(min_length=1, max_length=100)] = "TickerML"
    influxdb_url: WebAddress | None = None
    """How Grafana itself reaches InfluxDB, where that is not plugins.influxdb.url."""


class BackupSettings(SettingsModel):
    """One archive a night of everything (`hub backup` makes one by hand)."""

    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = "03:17"
    """UTC; null: none."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 3
    folder: LocalPath | None = None
    """Default: backups in data_dir. Better on another disk."""


LEAST_RETENTION = timedelta(days=8)
"""A daily dump looks a week back."""


class RetentionSettings(SettingsModel):
    """How long facts stay in the store; null: for ever, as bars do. What a forwarder has yet to take stays in any case."""

    forecasts: Annotated[Duration, Field(ge=timedelta(days=30))] | None = None
    """The ledger reaches back as far."""
    scores: Annotated[Duration, Field(ge=LEAST_RETENTION)] | None = timedelta(days=90)
    """They can be worked out again from forecasts and bars."""
    articles: Annotated[Duration, Field(ge=LEAST_RETENTION)] | None = timedelta(days=365)


class HubSettings(SettingsModel):
    """The whole file, but for what stands inside the plugins' sections."""

    symbols: Annotated[tuple[SymbolName, ...], AfterValidator(_some_each_once)] = ("BTC-USDT", "ETH-USDT")
    data_dir: LocalPath = Path("data")
    plugin_dir: LocalPath = Path("custom_plugins")
    mqtt: MqttSettings = MqttSettings()
    clock: ClockSettings | None = None
    log: LogSettings = LogSettings()
    backup: BackupSettings = BackupSettings()
    retention: RetentionSettings = RetentionSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    plugins: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], dict[str, Any]] = Field(
        default_factory=lambda: dict[str, dict[str, Any]](collector={}, dashboard={}, inference={}, news={}, scorecard={}),
        repr=False,  # written as it is, secrets too
    )
    """A plugin runs if, and only if, its section is here."""

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, section: Any) -> Any:
        """`scorecard:` with nothing after it is an empty section, not a null one; `plugins:` with nothing after it is no plugin."""
        if isinstance(section, dict) and "plugins" in section and isinstance(section["plugins"] or {}, dict):
            bodies = section["plugins"] or {}
            section = {**section, "plugins": {name: {} if body is None else body for name, body in bodies.items()}}
        return section
