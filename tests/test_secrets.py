"""A canary in every secret of the configuration: nothing that leaves the hub may sing."""

import json
import tarfile
from pathlib import Path

import httpx

from tests.brokers import Mosquitto, Witness, free_port
from tests.hubs import drop_in, hub, log_of, running, states, status_until, stop, write_values

BROKER, TOKEN, FILE, ENVIRONMENT, LISTED, PAGE = (f"canary-{number}-ä\"'\\%" for number in range(6))
PLUGIN = """
import logging, sys, warnings
from pydantic import SecretStr
from hub import Alert, Bar, Check, PermanentError, PluginSettings, Sink, Transform, hookimpl

class Settings(PluginSettings):
    token: SecretStr
    key: SecretStr | None = None
    environment: SecretStr | None = None
    urls: tuple[SecretStr, ...] = ()

@hookimpl
def register_settings():
    return Settings

def secrets_of(hub):
    settings = hub.settings_for(Settings)
    return " ".join(each.get_secret_value() for each in (settings.token, settings.key, settings.environment, *settings.urls))

@hookimpl
def register_transforms(hub):
    told = secrets_of(hub)
    print("printed", told)
    hub.log.info("logged", what=told, settings=hub.settings_for(Settings))
    logging.getLogger("library").error("library %s", told)
    warnings.warn("warned " + told)

    async def bug(bar):
        print("printed late", told, file=sys.stdout)
        hub.log.warning(told, **{told: told})
        raise ValueError(f"https://service/?token={told}")
        yield

    async def gone(bar):
        raise PermanentError(f"refused {told}")
        yield

    return [Transform(name, work, consumes=(Bar,), produces=(Alert,)) for name, work in (("bug", bug), ("gone", gone))]

@hookimpl
def register_requests(hub):
    async def answer(request):
        raise ValueError(secrets_of(hub))
    async def refusal(request):
        raise PermanentError(secrets_of(hub))
    return {"NAME/answer": answer, "NAME/refusal": refusal}

@hookimpl
def register_checks(hub):
    async def look():
        return secrets_of(hub)
    async def look_again():
        raise RuntimeError(secrets_of(hub))
    return [Check("NAME one", look), Check("NAME two", look_again)]
"""


def test_no_secret_is_heard_outside(tmp_path: Path) -> None:
    """Not in the log, not on MQTT, not in a command's output, not in a traceback; not even from plugins that shout it."""
    for name in ("apart", "inside"):
        drop_in(tmp_path, name, PLUGIN.replace("NAME", name))
    (tmp_path / "key").write_text(FILE)
    (tmp_path / "key").chmod(0o600)
    env = {f"TICKERML__PLUGINS__{name}__ENVIRONMENT": ENVIRONMENT for name in ("APART", "INSIDE")}
    port = free_port()
    section = {"token": TOKEN, "key_file": "key", "urls": [LISTED]}
    with Mosquitto(tmp_path, users={"hub": BROKER}) as broker, Witness(broker.port, username="hub", password=BROKER) as witness:
        write_values(
            tmp_path,
            mqtt={"port": broker.port, "username": "hub", "password": BROKER},
            plugins={
                "collector": {"source": "simulated", "backfill": "30m"},
                "dashboard": {"port": port, "password": PAGE},
                "apart": section,
                "inside": section | {"isolated": False},
            },
        )
        (tmp_path / "config.yaml").chmod(0o600)
        shown = []
        with running(tmp_path, env=env) as process:
            wanted = {"collector": "running", "dashboard": "running", "apart": "failed", "inside": "failed"}
            status = status_until(tmp_path, lambda shown: states(shown) == wanted and shown["broker"]["connected"])
            assert "refused [secret]" in str(status)
            for verb in ("apart/answer", "apart/refusal", "inside/answer", "inside/refusal", "health", "doctor", "log"):
                witness.say(f"tickerml/hub/request/{verb}", b"{}")
            for command in (["status"], ["status", "--json"], ["doctor"], ["doctor", "--json"], ["plugins", "list", "--json"], ["graph"]):
                answer = hub(tmp_path, *command, env=env)
                shown.append(answer.stdout + answer.stderr)
            status_until(tmp_path, lambda _: sum("/response/" in topic for topic, _, _ in witness.heard) == 7)
            for view in ("/", "/accuracy", "/data", "/models", "/system", "/system/doctor"):
                page = httpx.get(f"http://127.0.0.1:{port}{view}", trust_env=False, timeout=40)
                assert page.status_code == 200
                shown.append(page.text)
            assert "printed late [secret]" in "".join(shown), "the page shows the log"
            backup = hub(tmp_path, "backup", "b.tgz", env=env)
            assert backup.returncode == 0, backup.stderr
            with tarfile.open(tmp_path / "b.tgz") as archive:
                texts = set(archive.getnames()) - {"tickerml.db"}
                shown += [archive.extractfile(name).read().decode("utf-8") for name in texts]  # type: ignore[union-attr]
            shown.append(backup.stdout + backup.stderr)
            assert stop(process) == 0
    responses = {topic: json.loads(payload) for topic, payload, _ in witness.heard if "/response/" in topic}
    assert "[secret]" in responses["tickerml/hub/response/apart/refusal"]["error"]
    logged = log_of(tmp_path)
    for words in ("printed late", '"event": "logged"', "library [secret]", "warned [secret]", "Traceback", "token=[secret]"):
        assert words in logged, words
    everything = "\n".join([logged, *shown, *(payload.decode(errors="replace") for _, payload, _ in witness.heard), str(responses)])
    assert "canary" not in everything, everything[max(0, everything.index("canary") - 300) : everything.index("canary") + 100]


def test_no_secret_is_told_where_the_configuration_is_refused(tmp_path: Path) -> None:
    """The message is what people paste into a forum."""
    drop_in(tmp_path, "apart", PLUGIN.replace("NAME", "apart"))
    write_values(tmp_path, mqtt={"password": [BROKER], "prot": 1}, plugins={"apart": {"token": {"x": TOKEN}, "urls": LISTED, "tok": 1}})
    (tmp_path / "config.yaml").chmod(0o600)
    for command in (["run"], ["doctor"], ["status"], ["bars", "gaps"], ["plugins", "list"]):
        answer = hub(tmp_path, *command, env={"TICKERML__PLUGINS__APART__KEY": f"[{FILE}"})
        assert answer.returncode in {3, 5}
        assert "canary" not in answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
