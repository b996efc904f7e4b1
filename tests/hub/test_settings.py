"""config.yaml, .env and the environment: what is taken from where, and how every mistake is told."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator

from hub.configuration import Configuration, load_configuration
from hub.errors import SettingsError
from hub.settings import Duration, HubSettings, LocalPath, PluginSettings, SettingsModel, SymbolName, WebAddress

CANARY = "canary-7311"


class ServiceSettings(SettingsModel):
    address: WebAddress = "http://localhost:8086"
    token: SecretStr | None = None


class ExampleSettings(PluginSettings):
    every: Duration = TypeAdapter(Duration).validate_python("15m")
    service: ServiceSettings = ServiceSettings()
    credential: Annotated[SecretStr, Field(min_length=3)] | None = None
    targets: tuple[SecretStr, ...] = ()
    limit: int = 5
    share: float = 0.5
    note: str = ""
    quick: bool = False
    file: LocalPath | None = None

    @field_validator("note")
    @classmethod
    def _no_shouting(cls, note: str) -> str:
        if note.isupper():
            raise ValueError("do not shout")
        return note


Load = Callable[..., Configuration]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes the files, mode 0600, and loads them."""

    def write(name: str, text: str | bytes | None, mode: int) -> None:
        if text is not None:
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
            (tmp_path / name).chmod(mode)

    def load(
        text: str | bytes | None = None, env: Mapping[str, str] | None = None, dotenv: str | bytes | None = None, mode: int = 0o600
    ) -> Configuration:
        (tmp_path / "config.yaml").unlink(missing_ok=True)
        write("config.yaml", "" if text is None else text, mode)
        write(".env", dotenv, mode)
        return load_configuration(tmp_path / "config.yaml", env or {})

    return load


def problems(configuration: Configuration) -> list[str]:
    """The problems, with the folder left out."""
    return [problem.replace(f"{configuration.folder}/", "") for problem in configuration.problems]


def example(configuration: Configuration) -> ExampleSettings | None:
    """The section `plugins.x`."""
    return configuration.section(("plugins", "x"), configuration.sections.get("x", {}), ExampleSettings)


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hub run` in an empty folder is a hub that runs."""
    monkeypatch.chdir(tmp_path)
    configuration = load_configuration(None, {})
    configuration.raise_problems()
    assert configuration.settings.symbols == ("BTC-USDT", "ETH-USDT")
    assert configuration.sections == {"collector": {}, "dashboard": {}, "inference": {}, "news": {}, "scorecard": {}}
    assert (configuration.settings.mqtt.host, configuration.settings.mqtt.port) == ("localhost", 1883)


def test_a_file_asked_for_by_name_must_be_there(tmp_path: Path) -> None:
    """A typing error in -c must not start a hub with other settings."""
    with pytest.raises(SettingsError, match=r"nothing.yaml: no such file; `hub init` writes one"):
        load_configuration(tmp_path / "nothing.yaml", {})


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "mqtt:\n", "log:\nmqtt:\n", "\ufeffmqtt: {}\n", "mqtt: {}\r\n"])
def test_an_empty_file_and_an_empty_section_are_the_defaults(load: Load, text: str) -> None:
    """All lines of a section commented out is how people leave it alone."""
    configuration = load(text)
    configuration.raise_problems()
    assert configuration.settings.mqtt.port == 1883


def test_an_empty_plugin_section_lets_the_plugin_run(load: Load) -> None:
    """`scorecard:` is as good as `scorecard: {}`; and `plugins:` without any is a hub without any."""
    assert load("plugins:\n  x:\n").sections == {"x": {}}
    configuration = load("plugins:\n")
    configuration.raise_problems()
    assert configuration.sections == {}
    assert configuration.settings.plugins == {}


def test_every_problem_is_told_at_once_with_its_place(load: Load) -> None:
    """Ten mistakes are one round, not ten."""
    configuration = load(
        "symbols: [btc, ETH/USDT, ETH/USDT]\nmqtt:\n  hots: x\n  port: 99999\n  password_file: /nothing/there\n  tls: maybe\n"
        "log: {level: loud}\nmqqt: {}\nplugins:\n  Bad Name: {}\n  y: 5\n  x:\n    every: often\n    limit: many\n    note: HEY\n"
        "    service: {adress: x, token_file: /nothing}\n"
    )
    example(configuration)
    assert problems(configuration) == [
        "config.yaml:1: symbols.0: 'btc' will not do: a symbol is base and quote asset in capitals, such as BTC/USDT",
        "config.yaml:4: mqtt.port: 99999 will not do: input should be less than or equal to 65535",
        "config.yaml:5: mqtt.password_file: cannot read /nothing/there: No such file or directory",
        "config.yaml:6: mqtt.tls: 'maybe' will not do: must be true or false",
        "config.yaml:3: mqtt.hots: unknown key; did you mean 'host'?",
        "config.yaml:7: log.level: 'loud' will not do: input should be 'debug', 'info', 'warning' or 'error'",
        "config.yaml:10: plugins.Bad Name: 'Bad Name' will not do: string should match pattern '^[a-z][a-z0-9_]{0,39}$'",
        "config.yaml:11: plugins.y: 5 will not do: must be a section of keys and values",
        "config.yaml:8: mqqt: unknown key; did you mean 'mqtt'?",
        "config.yaml:13: plugins.x.every: 'often' will not do: a duration is a whole number with a unit: 90s, 15m, 24h or 7d",
        "config.yaml:16: plugins.x.service.token_file: cannot read /nothing: No such file or directory",
        "config.yaml:16: plugins.x.service.adress: unknown key; did you mean 'address'?",
        "config.yaml:14: plugins.x.limit: 'many' will not do: must be a whole number",
        "config.yaml:15: plugins.x.note: 'HEY' will not do: do not shout",
    ]
    with pytest.raises(SettingsError) as refused:
        configuration.raise_problems()
    assert refused.value.exit_code == 3
    assert len(refused.value.problems) == 14


def test_environment_over_dotenv_over_file_over_defaults(load: Load) -> None:
    """The order of the contract."""
    text, dotenv = "mqtt: {host: file, port: 1, root: file}\n", "TICKERML__MQTT__HOST=dotenv\nexport TICKERML__MQTT__PORT=2\n"
    mqtt = load(text, {"TICKERML__MQTT__HOST": "environment"}, dotenv).settings.mqtt
    assert (mqtt.host, mqtt.port, mqtt.root, mqtt.tls) == ("environment", 2, "file", False)


def test_a_problem_names_the_variable_or_the_line_it_came_from(load: Load) -> None:
    """A wrong value in .env must not send its user to config.yaml."""
    configuration = load("mqtt: {port: 1}\n", {"TICKERML__MQTT__TLS": "maybe"}, "# broker\n\nTICKERML__MQTT__PORT=many\nTICKERML__HOTS=1\n")
    assert problems(configuration) == [
        ".env:3: TICKERML__MQTT__PORT: mqtt.port: 'many' will not do: must be a whole number",
        "environment: TICKERML__MQTT__TLS: mqtt.tls: 'maybe' will not do: must be true or false",
        f".env:4: TICKERML__HOTS: hots: unknown key; known here: {', '.join(HubSettings.model_fields)}",
    ]


def test_variables_hold_lists_sections_and_null(load: Load) -> None:
    """Everything in the file can be said in the environment."""
    configuration = load(
        "mqtt: {username: me}\n",
        {
            "TICKERML__SYMBOLS": "[SOL/USDT, XRP/USDT]",
            "TICKERML__MQTT__USERNAME": "null",
            "TICKERML__PLUGINS__X": "{limit: 7, service: {address: 'http://db:8086/'}}",
            "TICKERML__PLUGINS__X__QUICK": "true",
        },
    )
    section = example(configuration)
    configuration.raise_problems()
    assert section is not None
    assert configuration.settings.symbols == ("SOL-USDT", "XRP-USDT")
    assert configuration.settings.mqtt.username is None
    assert (section.limit, section.service.address, section.quick) == (7, "http://db:8086", True)


def test_a_plugin_named_in_the_environment_runs_beside_the_default_one(load: Load) -> None:
    """The environment goes over the defaults; it does not take them away."""
    default = {"collector": {}, "dashboard": {}, "inference": {}, "news": {}, "scorecard": {}}
    assert load("", {"TICKERML__PLUGINS__NEWS__EVERY": "5m"}).sections == {**default, "news": {"every": "5m"}}
    assert load("plugins: {}\n", {"TICKERML__PLUGINS__NEWS__EVERY": "5m"}).sections == {"news": {"every": "5m"}}


def test_a_variable_that_is_not_ours_is_left_alone(load: Load) -> None:
    """Other programs share .env."""
    configuration = load("", {"TICKERMLX": "1", "PATH": "[", "tickerml__mqtt__port": "x"}, "A=1\nA=2\nCOMPOSE=x\n")
    configuration.raise_problems()


def test_a_secret_is_read_from_its_file(load: Load, tmp_path: Path) -> None:
    """Docker and systemd hand secrets over in files; a relative one lies beside config.yaml."""
    file = tmp_path / "broker-password"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o400)
    configuration = load("mqtt: {password_file: broker-password}\n", mode=0o644)
    configuration.raise_problems()
    assert configuration.settings.mqtt.password is not None
    assert configuration.settings.mqtt.password.get_secret_value() == CANARY


def test_a_secret_file_that_will_not_do_says_why(load: Load, tmp_path: Path) -> None:
    """Each with its fix, and never with what stands in it."""
    for name, content, mode in (
        ("loose", CANARY, 0o644),
        ("empty", " \n", 0o600),
        ("bytes", b"\xff\xfe", 0o600),
        ("huge", "x" * 70_000, 0o600),
    ):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / name).chmod(mode)
    told = {
        "loose": f"{tmp_path}/loose can be read by others (mode 0644); run: chmod 600 {tmp_path}/loose",
        "empty": f"{tmp_path}/empty is empty",
        "bytes": f"{tmp_path}/bytes is not UTF-8 text",
        "huge": f"{tmp_path}/huge is too large for a secret: 70000 bytes",
        "absent": f"cannot read {tmp_path}/absent: No such file or directory",
        ".": f"{tmp_path} is no regular file",
        "/dev/zero": "/dev/zero is no regular file",
        "~nobody-here/x": "must be the path of a file or folder on this machine",
    }
    for file, reason in told.items():
        configuration = load(f"mqtt:\n  username: me\n  password_file: {file}\n")
        assert configuration.problems == [f"{tmp_path}/config.yaml:3: mqtt.password_file: {reason}"]


def test_a_secret_and_its_file_in_one_place_are_one_too_many(load: Load, tmp_path: Path) -> None:
    """Which of them counts must not be a matter of luck."""
    (tmp_path / "f").touch(0o600)
    configuration = load(f"mqtt: {{password: {CANARY}, password_file: f}}\n")
    assert problems(configuration) == ["config.yaml:1: mqtt.password_file: is given twice: as password and as password_file; remove one"]


def test_a_secret_in_the_environment_goes_over_its_file_and_the_other_way_round(load: Load, tmp_path: Path) -> None:
    """Precedence counts for the secret, however it is given."""
    (tmp_path / "f").write_text("from a file")
    (tmp_path / "f").chmod(0o600)
    for text, variable, value, expected in (
        ("mqtt: {password_file: f}", "TICKERML__MQTT__PASSWORD", "from a variable", "from a variable"),
        ("mqtt: {password: from yaml}", "TICKERML__MQTT__PASSWORD_FILE", "f", "from a file"),
    ):
        configuration = load(text, {variable: value})
        configuration.raise_problems()
        assert configuration.settings.mqtt.password == SecretStr(expected)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"mqtt:\n  password: {CANARY}\n", "mqtt.password"),
        (f"plugins: {{x: {{service: {{token: {CANARY}}}}}}}\n", "plugins.x.service.token"),
        (f"plugins: {{x: {{targets: [{CANARY}]}}}}\n", "plugins.x.targets.0"),
    ],
)
def test_a_secret_in_a_file_that_others_can_read_is_refused(load: Load, text: str, key: str) -> None:
    """The fix is in the message, the secret is not."""
    configuration = load(text, mode=0o640)
    example(configuration)
    [problem] = problems(configuration)
    assert f"{key}: a secret in a file that others can read (mode 0640); run: chmod 600" in problem
    assert CANARY not in problem
    configuration = load(text)
    example(configuration)
    assert problems(configuration) == []


def test_a_secret_in_a_loose_dotenv_is_refused_too(load: Load) -> None:
    """However it is written there."""
    for line in (f"TICKERML__MQTT__PASSWORD={CANARY}", f"TICKERML__MQTT={{password: {CANARY}}}"):
        [problem] = problems(load("", dotenv=line, mode=0o644))
        assert problem.startswith(".env:1: TICKERML__MQTT")
        assert "chmod 600" in problem


def test_a_loose_file_without_secrets_is_fine(load: Load) -> None:
    """Most configurations hold none, and are shown around."""
    load("mqtt: {host: x, username: y}\n", mode=0o644).raise_problems()


@pytest.mark.parametrize(
    "text",
    [
        f"mqtt: {{password: [{CANARY}]}}",
        f"mqtt: {{password: {{a: {CANARY}}}}}",
        f"mqtt: {{password: *{CANARY}}}",
        f"mqtt: {{password: &{CANARY} &{CANARY} x}}",
        f"mqtt:\n  password: !{CANARY}\n",
        f"mqtt: {{password: !!{CANARY} x}}",
        f"mqtt:\n  password: {CANARY}: x\n",
        f'mqtt: {{password: "{CANARY}\\q"}}',
        f"plugins: {{x: {{credential: [{CANARY}]}}}}",
        f"plugins: {{x: {{service: {CANARY}}}}}",
        f"plugins: {{x: {{targets: {CANARY}}}}}",
        f"plugins: {{x: {{targets: [[{CANARY}]]}}}}",
        f"plugins: {{x: {{credential_file: a, credential: {CANARY}}}}}",
    ],
)
def test_a_mistake_around_a_secret_never_shows_it(load: Load, text: str) -> None:
    """An error message is pasted into forums; so is a repr."""
    configuration = load(text)
    example(configuration)
    assert configuration.problems
    assert CANARY not in "\n".join(configuration.problems) + repr(configuration)


def test_no_representation_shows_a_secret(load: Load) -> None:
    """Tracebacks and debuggers print them."""
    configuration = load(f"mqtt: {{password: {CANARY}}}\nplugins: {{x: {{credential: {CANARY}, targets: [{CANARY}]}}}}\n")
    section = example(configuration)
    configuration.raise_problems()
    assert CANARY not in repr(configuration) + str(configuration) + repr(configuration.settings) + repr(section) + str(section)
    assert CANARY in configuration.secrets


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("mqtt: {host: x\n", 2, "not YAML: "),
        ("a:\n\tb: 1\n", 2, "not YAML: found character"),
        ("mqtt:\n  password: *x\n", 2, "not YAML: text that begins with * or & must stand in quotes"),
        ("mqtt:\n  password: !x y\n", 2, "not YAML: text that begins with ! must stand in quotes"),
        ("a: !!python/object/apply:os.system [echo]\n", 1, "not YAML: text that begins with ! must stand in quotes"),
        ("a: !!binary aGk=\n", 1, "not YAML: text that begins with !"),
        ("mqtt:\n  host: x\n  host: y\n", 3, "mqtt.host: written twice; first in line 2"),
        ("- a\n", 1, "must hold keys and values"),
        ("just words\n", 1, "must hold keys and values"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML: found another document"),
        ("? [a, b]\n: c\n", 1, "not YAML: found unhashable key"),
        (f"mqtt:\n  port: {'9' * 5000}\n", 2, "not YAML: found a number that cannot be read"),
        ("a: b\n\x07", 2, "not YAML: holds a control character"),
        (b"a: b\nc: \xff\n", 2, "is not UTF-8 text"),
        ('a: b\n"\\ud800": c\n', 2, "holds half of a character"),
        ("a: &a [*a]\n", 1, "is nested too deeply"),
        (
            "\n".join(f"l{n}: &l{n} [{', '.join(['x' if n == 0 else f'*l{n - 1}'] * 9)}]" for n in range(9)),
            1,
            "holds more than 50000 values",
        ),
    ],
)
def test_a_text_that_is_no_configuration_is_told_with_its_line(load: Load, text: str | bytes, line: int, words: str) -> None:
    """Every error of YAML's own, in a line that an editor can jump to."""
    [problem, *_] = problems(load(text))
    assert problem.startswith(f"config.yaml:{line}: {words}")


@pytest.mark.parametrize("text", ["[" * 3000, "a: " + "[" * 60 + "]" * 60, "a: " + "{a: " * 3000])
def test_a_text_that_is_nested_without_end_is_refused(load: Load, text: str) -> None:
    """Python's own limit must not be the hub's."""
    assert any("is nested too deeply" in problem for problem in problems(load(text)))


def test_a_file_that_is_huge_or_cannot_be_read_is_told(load: Load, tmp_path: Path) -> None:
    """The wrong file behind -c: an image, a folder, a name that is too long."""
    assert "config.yaml: is larger than 256 KiB" in problems(load("# " + "x" * 300_000))
    assert load_configuration(tmp_path, {}).problems == [f"{tmp_path}: cannot be read: Is a directory"]
    name = tmp_path / ("x" * 300)
    assert load_configuration(name, {}).problems == [f"{name}: cannot be read: File name too long"]


def test_yaml_is_only_a_way_to_write_json(load: Load) -> None:
    """YAML 1.1 makes 750 of 12:30, a date of 2025-05-20 and False of no; none of it was meant."""
    values = load(
        "plugins: {x: {a: 12:30, b: 2025-05-20, c: no, d: 0x1f, e: 007, f: 1_000, g: 1e3, h: -5, i: 1.5, j: ~, k: true}}"
    ).sections["x"]
    assert values == {
        "a": "12:30",
        "b": "2025-05-20",
        "c": "no",
        "d": "0x1f",
        "e": "007",
        "f": "1_000",
        "g": 1000.0,
        "h": -5,
        "i": 1.5,
        "j": None,
        "k": True,
    }
    merged = load("plugins:\n  x: &base {limit: 1, note: a}\n  y: {<<: *base, limit: 2}\n")
    merged.raise_problems()
    assert merged.sections["y"] == {"limit": 2, "note": "a"}


def test_dotenv_is_taken_as_it_stands(load: Load) -> None:
    """A password with a dollar in it is not a formula."""
    configuration = load("", dotenv="TICKERML__MQTT__PASSWORD='a${HOME}b$c'  # ours\nTICKERML__MQTT__HOST = \"h\"\n")
    configuration.raise_problems()
    assert configuration.settings.mqtt.password == SecretStr("a${HOME}b$c")
    assert configuration.settings.mqtt.host == "h"


def test_dotenv_has_lines_too(load: Load) -> None:
    """A line that says nothing, one that says it twice, bytes that are no text."""
    told = problems(load("", dotenv="\n\nTICKERML__MQTT__HOST=a\n'oops\nTICKERML__MQTT__HOST=b\n"))
    assert told == [".env:4: is not NAME=value", ".env:5: TICKERML__MQTT__HOST: written twice; first in line 3"]
    assert problems(load("", dotenv=b"A=1\nB=\xff\n")) == [".env:2: is not UTF-8 text: invalid start byte"]


def test_paths_start_at_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    """`hub -c /etc/tickerml/config.yaml` means the same from everywhere."""
    configuration = load("data_dir: d\nmqtt: {ca_file: ca.pem}\nplugins: {x: {file: bars.csv}}\n")
    section = example(configuration)
    assert section is not None
    assert (configuration.data_dir, configuration.plugin_dir) == (tmp_path / "d", tmp_path / "custom_plugins")
    assert (configuration.settings.mqtt.ca_file, section.file) == (tmp_path / "ca.pem", tmp_path / "bars.csv")
    assert load("data_dir: /var/lib/tickerml\n").data_dir == Path("/var/lib/tickerml")
    assert load("data_dir: ~/x\n").data_dir == Path("~/x").expanduser()


@pytest.mark.parametrize("path", ["~nobody-here/x", '"a\\0b"'])
def test_a_path_that_no_system_takes_is_told(load: Load, path: str) -> None:
    """Python raises different errors for these, later."""
    assert "data_dir: " in problems(load(f"data_dir: {path}\n"))[0]


def test_a_key_with_strange_letters_is_shown_on_one_line(load: Load) -> None:
    """A log is read line by line, and colours belong to the terminal."""
    told = problems(load('"a\\nb": 1\n"\\u202e": 2\n"\\e[31m": 3\n' + f"{'k' * 500}: 4\n"))
    assert len(told) == 4
    for problem in told:
        assert problem.isprintable()
        assert len(problem) < 300


@pytest.mark.parametrize("written", ["90s", "15m", "24h", "7d", "0m"])
def test_a_duration_is_a_number_with_a_unit(written: str) -> None:
    """As in the contract."""
    assert (
        TypeAdapter(Duration).validate_python(written).total_seconds()
        == int(written[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[written[-1]]
    )


@pytest.mark.parametrize("written", ["", "15", 15, "15 m", "-1m", "1.5h", "1w", "m", None, True, "٣d", "9999999d"])
def test_anything_else_is_no_duration(written: Any) -> None:
    """15 what?"""
    with pytest.raises(ValidationError, match="a whole number with a unit"):
        TypeAdapter(Duration).validate_python(written)


@pytest.mark.parametrize(
    "written", ["btc/usdt", "BTCUSDT", "BTC/USDT/X", "BTC/", "../USDT", "BTC USDT", 5, None, "BTC/USDT\n", "A" * 21 + "/B"]
)
def test_anything_but_two_assets_is_no_symbol(written: Any) -> None:
    """Symbols become topics and file names."""
    with pytest.raises(ValidationError, match="such as BTC/USDT"):
        TypeAdapter(SymbolName).validate_python(written)


@pytest.mark.parametrize("written", ["ftp://x", "http://", "http://user:pw@host", "http://h?q", "http://h#f", "http://a b", "//h", 5])
def test_anything_but_a_plain_web_address_is_refused(written: Any) -> None:
    """A password in an address would end in logs."""
    with pytest.raises(ValidationError):
        TypeAdapter(WebAddress).validate_python(written)


SCRAPS = st.sampled_from(
    [
        *(
            "symbols",
            "mqtt",
            "plugins",
            "x",
            "host",
            "port",
            "password",
            "password_file",
            "log",
            "clock",
            "start",
            "speed",
            "level",
            "data_dir",
        ),
        *(
            "a",
            "",
            "~",
            "null",
            "true",
            "1",
            "-1",
            "1e400",
            ".nan",
            ".inf",
            "9" * 30,
            "12:30",
            "2025-05-20",
            "BTC/USDT",
            "\ud800",
            "\0",
            "é",
        ),
        *(
            "credential",
            "targets",
            "service",
            "token",
            "token_file",
            "isolated",
            "<<",
            "=",
            "*a",
            "&a",
            "!!str",
            "!x",
            "/dev/zero",
            "~root",
            ".",
        ),
    ]
)
VALUES = st.recursive(
    SCRAPS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCRAPS, inner, max_size=4),
    max_leaves=12,
)
SIGNS = [*"ab01 \n\t:-?[]{}&*!|>'\"%@`#,<=~.\\/_", "symbols", "mqtt", "plugins: ", "\n  ", "é", "\x07"]
YAML_SIGNS = st.lists(st.sampled_from(SIGNS), max_size=60).map("".join)
HOSTILE = settings(max_examples=2500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(load: Load, text: str | bytes, env: Mapping[str, str] | None = None, dotenv: str | bytes | None = None) -> None:
    """Whatever was given, it is a configuration or a list of problems that can be shown."""
    configuration = load(text, env, dotenv)
    section = example(configuration)
    assert configuration.data_dir.name is not None
    assert configuration.plugin_dir.name is not None
    assert section is not None or configuration.problems
    for problem in configuration.problems:
        assert problem
        assert problem.isprintable()
        assert len(problem) < 1000
        problem.encode()
    with pytest.raises(SettingsError) if configuration.problems else nullcontext():
        configuration.raise_problems()


@HOSTILE
@given(values=VALUES)
def test_no_value_makes_a_traceback(load: Load, values: Any) -> None:
    """2,500 documents of the right words in the wrong places."""
    import yaml

    check(load, yaml.safe_dump(values, allow_unicode=False))


@HOSTILE
@given(text=YAML_SIGNS)
def test_no_text_makes_a_traceback(load: Load, text: str) -> None:
    """2,500 texts of YAML's own signs."""
    check(load, text)


@HOSTILE
@given(content=st.binary(max_size=60), dotenv=st.binary(max_size=60))
def test_no_bytes_make_a_traceback(load: Load, content: bytes, dotenv: bytes) -> None:
    """2,500 files of anything."""
    check(load, content, {}, dotenv)


NAMES = st.lists(SCRAPS.map(str.upper), max_size=4).map(lambda parts: "TICKERML__" + "__".join(parts))


@HOSTILE
@given(
    env=st.dictionaries(NAMES, SCRAPS | YAML_SIGNS | st.text(max_size=10), max_size=4),
    dotenv=YAML_SIGNS.map(lambda text: f"TICKERML__MQTT__{text}"),
)
def test_no_variable_makes_a_traceback(load: Load, env: Mapping[str, str], dotenv: str) -> None:
    """2,500 environments."""
    check(load, "mqtt: {host: x}\n", env, dotenv)
