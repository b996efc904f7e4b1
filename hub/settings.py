"""The configuration: config.yaml, .env and the environment, merged, checked as a whole, every problem with its place.

Precedence: environment over .env over config.yaml over defaults. `TICKERML__MQTT__HOST` sets `mqtt.host`; any secret can
also be given as `<key>_file`.
"""

import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from hub.errors import SettingsError
from hub.messages import SYMBOL_PATTERN

ENV_PREFIX = "TICKERML__"
KeyPath = tuple[str | int, ...]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,6})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a whole number with a unit: 90s, 15m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _symbol(value: Any) -> str:
    name = value.replace("/", "-") if isinstance(value, str) else ""
    if not re.fullmatch(SYMBOL_PATTERN, name):
        raise ValueError("a symbol is base and quote asset in capitals, such as BTC/USDT")
    return name


def _web_address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ValueError("must be a web address such as https://host or http://host:port/path, without user, password, query or fragment")
    return value.rstrip("/")


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""`90s`, `15m`, `24h` or `7d` in the file."""
SymbolName = Annotated[str, BeforeValidator(_symbol)]
"""`BTC/USDT` in the file, `BTC-USDT` in the program."""
WebAddress = Annotated[str, AfterValidator(_web_address)]
"""An http or https address without a trailing slash."""


def secret_fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields of `model` that hold secrets."""
    for name, info in model.model_fields.items():
        if info.annotation is SecretStr or SecretStr in get_args(info.annotation):
            yield name


class SettingsModel(BaseModel):
    """A section of the configuration: unknown keys are errors, and every secret has a twin `<key>_file`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, section: Any) -> Any:
        if not isinstance(section, dict):
            return section
        section = dict(section)
        for name in secret_fields(cls):
            if (file := section.pop(f"{name}_file", None)) is not None:
                section[name] = _secret_from(Path(str(file)).expanduser(), f"{name}_file")
        return section


class PluginSettings(SettingsModel):
    """Base of every plugin's section."""

    isolated: bool | None = None
    """Run in a process of its own, where a crash or a busy loop hurts nobody else. Default: yes, unless it came with the hub."""


class MqttSettings(SettingsModel):
    """Where the broker is, and who we are to it."""

    host: Annotated[str, Field(min_length=1)] = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    embedded: bool = True
    """Start a broker on host:port, unless one already listens there."""
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: Path | None = None
    """Certificate authority to trust instead of the system's."""
    root: Annotated[str, Field(pattern=r"^[^+#/\s\x00]+(/[^+#/\s\x00]+)*$", max_length=100)] = "tickerml"
    """First part of every topic."""
    client_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Default: `<root>-hub`. Two hubs with one id throw each other out."""


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


class HubSettings(SettingsModel):
    """The whole file, but for what stands inside the plugins' sections."""

    symbols: Annotated[tuple[SymbolName, ...], Field(min_length=1, max_length=2000)] = ("BTC-USDT", "ETH-USDT")
    data_dir: Path = Path("data")
    plugin_dir: Path = Path("custom_plugins")
    mqtt: MqttSettings = MqttSettings()
    clock: ClockSettings | None = None
    log: LogSettings = LogSettings()
    plugins: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], dict[str, Any]] = Field(
        default_factory=lambda: dict[str, dict[str, Any]](collector={})
    )
    """A plugin runs if, and only if, its section is here."""

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, section: Any) -> Any:
        """`scorecard:` with nothing after it is an empty section, not a null one."""
        if isinstance(section, dict) and isinstance(section.get("plugins"), dict):
            section = {**section, "plugins": {name: {} if body is None else body for name, body in section["plugins"].items()}}
        return section


ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass
class Configuration:
    """The merged configuration, and where each key of it was written."""

    folder: Path
    """Relative paths start here: the folder of config.yaml."""
    values: dict[str, Any]
    places: dict[KeyPath, str]
    problems: list[str]
    settings: HubSettings = field(default_factory=HubSettings)
    source: str = "defaults"
    file: Path | None = None
    """The file that was asked for by name."""
    loose_files: dict[str, int] = field(default_factory=dict)
    """Files that others than their owner may read, with their mode; no secret may stand in them."""

    @property
    def data_dir(self) -> Path:
        return self.folder / self.settings.data_dir.expanduser()

    @property
    def plugin_dir(self) -> Path:
        return self.folder / self.settings.plugin_dir.expanduser()

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The plugins' sections as written, also where the rest of the file has problems."""
        written = self.values.get("plugins")
        if not isinstance(written, dict):
            return self.settings.plugins
        return {str(name): {} if body is None else body for name, body in written.items() if body is None or isinstance(body, dict)}

    def place_of(self, path: KeyPath) -> str:
        """File and line of a key, or of the nearest thing around it that has one."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.source

    def problem(self, path: KeyPath, text: str) -> str:
        """One line for the user: place, key, what is wrong and what would be right."""
        return f"{self.place_of(path)}: {'.'.join(map(str, path)) or 'configuration'}: {text}"

    def section(self, path: KeyPath, values: Any, model: type[ModelT]) -> ModelT | None:
        """`values` as `model`; problems are noted and None is returned where they do not fit."""
        try:
            section = model.model_validate(values)
        except ValidationError as error:
            self.problems += [self.problem(path + where, text) for where, text in explain(error, model)]
            return None
        self.problems += [self.problem(path + where, text) for where, text in self._exposed(path, section)]
        return section

    def raise_problems(self) -> None:
        """SettingsError with all that was found, unless all is well."""
        if self.problems:
            raise SettingsError(self.problems)

    def _exposed(self, path: KeyPath, section: BaseModel, below: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
        for name in type(section).model_fields:
            value, where = getattr(section, name), (*below, name)
            if isinstance(value, BaseModel):
                yield from self._exposed(path, value, where)
            elif isinstance(value, SecretStr):
                file = self.place_of(path + where).split(":")[0]
                if file in self.loose_files:
                    yield where, f"a secret in a file that others can read (mode {self.loose_files[file]:04o}); run: chmod 600 {file}"


def load_configuration(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Configuration:
    """Read and merge the configuration; the problems found are in the result, so that plugins can add theirs before it is refused.

    `path`: the file; None means `./config.yaml`, or only the defaults where that does not exist. SettingsError if a file that
    was asked for by name is missing.
    """
    file = path or Path("config.yaml")
    configuration = Configuration(folder=file.parent, values={}, places={}, problems=[], file=path)
    if file.exists():
        configuration.source = str(file)
        _merge_yaml(configuration, file)
    elif path is not None:
        raise SettingsError(f"{path}: no such file; `hub init` writes one")
    dotenv = file.parent / ".env"
    if dotenv.exists():
        _merge_variables(configuration, *_read_dotenv(configuration, dotenv))
    environ = os.environ if environ is None else environ
    _merge_variables(configuration, environ, dict.fromkeys(environ, "environment"))
    if (settings := configuration.section((), configuration.values, HubSettings)) is not None:
        configuration.settings = settings
    return configuration


def explain(error: ValidationError, model: type[BaseModel]) -> list[tuple[KeyPath, str]]:
    """For each of pydantic's complaints the key, and in words what would be right. Never shows a secret's value."""
    found = []
    for item in error.errors(include_url=False):
        where = tuple(part for part in item["loc"] if part != "[key]")
        if item["type"] == "extra_forbidden":
            found.append((where, _unknown_key(str(where[-1]), _model_at(model, where[:-1]))))
            continue
        text = item["msg"].removeprefix("Value error, ")
        text = text[:1].lower() + text[1:]
        if item["type"] == "missing":
            text = "is needed, and is missing"
        elif not any(str(part) in {"password", "api_key", "token", "secret"} for part in where) and isinstance(
            item["input"], str | int | float
        ):
            text = f"{_without_password(item['input'])!r} will not do: {text}"
        found.append((where, text))
    return found


def _without_password(value: str | float) -> str | float:
    return re.sub(r"//[^/@]*@", "//***@", value) if isinstance(value, str) else value


def _unknown_key(key: str, model: type[BaseModel] | None) -> str:
    if model is None:
        return "unknown key"
    known = [*model.model_fields, *(f"{name}_file" for name in secret_fields(model))]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown key; did you mean {close[0]!r}?" if close else f"unknown key; known here: {', '.join(known)}"


def _model_at(model: type[BaseModel], where: KeyPath) -> type[BaseModel] | None:
    for part in where:
        info = model.model_fields.get(str(part))
        kinds = [] if info is None else [info.annotation, *get_args(info.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return None
        model = inner
    return model


def _secret_from(file: Path, key: str) -> str:
    try:
        if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
            raise ValueError(f"{key}: {file} can be read by others (mode {mode:04o}); run: chmod 600 {file}")
        return file.read_text().strip()
    except OSError as error:
        raise ValueError(f"{key}: cannot read {file}: {error.strerror}") from error


def _note_mode(configuration: Configuration, file: Path) -> None:
    if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
        configuration.loose_files[str(file)] = mode


def _merge_yaml(configuration: Configuration, file: Path) -> None:
    try:
        _note_mode(configuration, file)
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except OSError as error:
        configuration.problems.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        configuration.problems.append(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        configuration.problems.append(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {what}")
    except RecursionError:
        configuration.problems.append(f"{file}: is nested too deeply")
    else:
        if values is None:
            return
        if not isinstance(values, dict):
            configuration.problems.append(f"{file}:1: must hold keys and values, such as `symbols: [BTC/USDT]`")
            return
        configuration.values = values
        _note_places(configuration, file, node, ())


def _note_places(configuration: Configuration, file: Path, node: Any, path: KeyPath) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            if here in configuration.places:
                configuration.problems.append(
                    f"{file}:{key.start_mark.line + 1}: {'.'.join(map(str, here))}: written twice; first at {configuration.places[here]}"
                )
            configuration.places[here] = f"{file}:{key.start_mark.line + 1}"
            _note_places(configuration, file, value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            configuration.places[(*path, index)] = f"{file}:{value.start_mark.line + 1}"
            _note_places(configuration, file, value, (*path, index))


def _read_dotenv(configuration: Configuration, file: Path) -> tuple[dict[str, str], dict[str, str]]:
    from dotenv import dotenv_values  # only where there is a .env

    try:
        _note_mode(configuration, file)
        values = {key: value or "" for key, value in dotenv_values(file).items()}
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        configuration.problems.append(f"{file}: cannot be read: {error}")
        return {}, {}
    line_of = {line.split("=")[0].removeprefix("export ").strip(): number for number, line in enumerate(lines, 1)}
    return values, {key: f"{file}:{line_of.get(key, 1)}" for key in values}


def _merge_variables(configuration: Configuration, variables: Mapping[str, str], places: Mapping[str, str]) -> None:
    for variable, text in variables.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        path = tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))
        section = configuration.values
        for part in path[:-1]:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        section[path[-1]] = _variable_value(text)
        configuration.places[path] = f"{places[variable]}: {variable}"


def _variable_value(text: str) -> Any:
    """Lists and mappings are written as YAML; `null` is none; anything else is taken as it stands."""
    if text == "null":
        return None
    if text.startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text
