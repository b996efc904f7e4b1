"""The configuration: config.yaml, .env and the environment, merged, checked as a whole, every problem with its place.

Precedence: environment over .env over config.yaml over defaults. `TICKERML__MQTT__HOST` sets `mqtt.host`; any secret can
also be given as `<key>_file`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hub.complaints import KeyPath, explain, printable, shortened
from hub.config_files import ENV_PREFIX, Written, read_dotenv, read_yaml, understand
from hub.errors import SettingsError
from hub.secret import secrets_in
from hub.settings import HubSettings

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass
class Configuration:
    """The merged configuration, and where each key of it was written."""

    folder: Path
    """Relative paths start here: the folder of config.yaml."""
    values: dict[str, Any] = field(repr=False)
    places: dict[tuple[str, ...], str] = field(repr=False)
    problems: list[str]
    settings: HubSettings = field(default_factory=HubSettings)
    source: str = "defaults"
    file: Path | None = None
    """The file that was asked for by name."""
    changed_ns: int | None = None
    """When that file was last written; None where there is none."""
    loose_files: dict[str, int] = field(default_factory=dict)
    """Files that others than their owner may read, with their mode; no secret may stand in them."""
    secrets: set[str] = field(default_factory=set, repr=False)
    """Every secret of the sections that have been checked."""

    @property
    def config_file(self) -> Path:
        """Where it stands, or would."""
        return self.file or self.folder / "config.yaml"

    @property
    def data_dir(self) -> Path:
        return self.folder / self.settings.data_dir

    @property
    def plugin_dir(self) -> Path:
        return self.folder / self.settings.plugin_dir

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """The plugins' sections as written, also where the rest of the file has problems."""
        if "plugins" not in self.values:
            return self.settings.plugins
        written = self.values["plugins"]
        bodies = written.items() if isinstance(written, dict) else ()
        return {str(name): {} if body is None else body for name, body in bodies if body is None or isinstance(body, dict)}

    def ensure_section(self, name: str) -> None:
        """A plugin that has no section has an empty one from now on, for a command that needs it."""
        if name not in self.sections and isinstance(self.values.get("plugins") or {}, dict):
            self.values["plugins"] = {**self.sections, name: {}}

    @property
    def context(self) -> dict[str, Any]:
        """What the models need to know besides the values."""
        return {"folder": str(self.folder.absolute())}

    def place_of(self, path: KeyPath) -> str:
        """File and line of a key, or of the nearest thing around it that has one."""
        keys = tuple(map(str, path))
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.places:
                return self.places[keys[:length]]
        return self.source

    def problem(self, path: KeyPath, text: str) -> str:
        """One line for the user: place, key, what is wrong and what would be right."""
        key = ".".join(shortened(str(part)) for part in path) or "configuration"
        return printable(f"{self.place_of(path)}: {key}: {text}")

    def section(self, path: KeyPath, values: Any, model: type[ModelT]) -> ModelT | None:
        """`values` as `model`; problems are noted and None is returned where they do not fit."""
        try:
            section = model.model_validate(values, context=self.context)
        except ValidationError as error:
            self.note(path, explain(error, model))
            return None
        found = list(secrets_in(section))
        self.secrets |= {secret for _, secret in found}
        self.note_secrets(path, (where for where, _ in found))
        return section

    def note(self, path: KeyPath, found: Iterable[tuple[KeyPath, str]]) -> None:
        """Take in the problems found in the section at `path`."""
        self.problems += [self.problem(path + where, text) for where, text in found]

    def note_secrets(self, path: KeyPath, found: Iterable[KeyPath]) -> None:
        """Take in where secrets stand in the section at `path`: a file that others can read is a problem."""
        for here in (path + where for where in found):
            if (secret := _at(self.values, here)) is None:
                continue  # it stands in a file of its own
            self.secrets.add(str(secret))
            for file, mode in self.loose_files.items():
                if self.place_of(here).startswith(f"{file}:"):
                    text = f"a secret in a file that others can read (mode {mode:04o}); run: chmod 600 {file}"
                    self.problems.append(self.problem(here, text))

    def raise_problems(self) -> None:
        """SettingsError with all that was found, unless all is well."""
        if self.problems:
            raise SettingsError(list(dict.fromkeys(self.problems)))


def load_configuration(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Configuration:
    """Read and merge the configuration; the problems found are in the result, so that plugins can add theirs before it is refused.

    `path`: the file; None means `./config.yaml`, or only the defaults where that does not exist. SettingsError if a file that
    was asked for by name is missing.
    """
    file = path or Path("config.yaml")
    configuration = Configuration(folder=file.parent, values={}, places={}, problems=[], file=path)
    try:
        written = read_yaml(file)
    except FileNotFoundError:
        if path is not None:
            raise SettingsError(f"{printable(str(path))}: no such file; `hub init` writes one") from None
    else:
        configuration.source, configuration.changed_ns = str(file), written.changed_ns
        _take_yaml(configuration, file, written)
    dotenv = file.parent / ".env"
    try:
        written = read_dotenv(dotenv)
    except FileNotFoundError:
        pass
    else:
        _note_file(configuration, dotenv, written)
        _merge(configuration, written.values, {key: f"{dotenv}:{line}" for (key,), line in written.lines.items()})
    environ = os.environ if environ is None else environ
    _merge(configuration, environ, dict.fromkeys(environ, "environment"))
    if (settings := configuration.section((), configuration.values, HubSettings)) is not None:
        configuration.settings = settings
    return configuration


def _at(values: Any, path: KeyPath) -> Any:
    try:
        for part in path:
            values = values[part]
    except (KeyError, IndexError, TypeError):
        return None
    return values


def _note_file(configuration: Configuration, file: Path, written: Written) -> None:
    if written.mode & 0o077:
        configuration.loose_files[str(file)] = written.mode
    configuration.problems += [printable(f"{file}:{line}: {text}" if line else f"{file}: {text}") for line, text in written.problems]


def _take_yaml(configuration: Configuration, file: Path, written: Written) -> None:
    _note_file(configuration, file, written)
    configuration.places = {path: f"{file}:{line}" for path, line in written.lines.items()}
    if isinstance(written.values, dict):
        configuration.values = written.values


def _merge(configuration: Configuration, variables: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Set the keys that the variables name. What the file said about a key or its `_file` twin no longer counts."""
    ours: set[tuple[str, ...]] = set()
    for variable in sorted(name for name in variables if name.startswith(ENV_PREFIX)):
        path = tuple(variable.removeprefix(ENV_PREFIX).lower().split("__"))
        section = configuration.values
        if path[0] == "plugins" and section.get("plugins") is None:
            section["plugins"] = HubSettings().plugins if "plugins" not in section else {}
        for part in path[:-1]:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        twin = (*path[:-1], path[-1].removesuffix("_file") if path[-1].endswith("_file") else f"{path[-1]}_file")
        for replaced in {path, twin} - ours:
            section.pop(replaced[-1], None)
            for known in [known for known in configuration.places if known[: len(replaced)] == replaced]:
                del configuration.places[known]
        section[path[-1]] = _value(variables[variable])
        configuration.places[path] = f"{places[variable]}: {variable}"
        ours.add(path)


def _value(text: str) -> Any:
    """Lists and mappings are written as YAML; `null` is none; anything else is taken as it stands."""
    if text == "null":
        return None
    if text.startswith(("[", "{")):
        written = Written()
        understand(text, written)
        return text if written.problems else written.values
    return text
