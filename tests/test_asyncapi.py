"""The documents for other programs say what really stands on the wire."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hub.runtime.asyncapi import PLUGIN_VERBS, asyncapi, files, schemas
from hub.runtime.verbs import WANTED
from hub.topics import TOPICS, kind_of
from tests.brokers import Mosquitto, Witness
from tests.hubs import ROOT, log_of, running, write_values

DOCS = ROOT / "docs"
PLUGINS: dict[str, Any] = {
    "collector": {"source": "simulated", "backfill": "27h"},
    "inference": {"patience": "4m"},
    "scorecard": {"window": "1d"},
    "news": {"simulated": True, "ollama": {"enabled": False}},
    "alerts": {"rules": [{"when": "forecast", "confidence": 0.5, "unproven": True}]},
    "etl": {},
}


def test_they_are_what_the_code_makes_them() -> None:
    """`make schemas` writes them anew."""
    for name, text in files().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, name
    assert {file.name for file in (DOCS / "schemas").glob("*.json")} == set(schemas())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_each_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schemas()[name])


def test_every_reference_in_the_document_leads_somewhere() -> None:
    told = asyncapi()
    for reference in _references(told):
        if reference.startswith("#/"):
            _, kind, name = reference.split("/")
            assert name in told[kind]
        else:
            assert (DOCS / reference).is_file()
    assert {channel["address"] for channel in told["channels"].values()} >= {f"tickerml/{topic.template}" for topic in TOPICS}


def test_every_payload_of_a_running_hub_is_as_its_schema_says(tmp_path: Path) -> None:
    """All that was on the wire in a busy quarter of a minute, requests and answers included."""
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as broker, Witness(broker.port, "tickerml/#") as witness:
        write_values(tmp_path, mqtt={"port": broker.port, "embedded": False}, clock={"speed": 60}, plugins=PLUGINS)
        with running(tmp_path):
            wanted = {"Alert", "Article", "Bar", "Forecast", "HubHealth", "HubInfo", "ModelState", "PluginState", "Score", "Sentiment"}
            end = time.monotonic() + 90
            while not wanted <= _kinds(witness):
                assert time.monotonic() < end, (wanted - _kinds(witness), log_of(tmp_path)[-3000:])
                time.sleep(0.3)
            verbs = [*(verb for verb in WANTED if verb not in {"doctor", "backfill", "plugin/restart"}), *PLUGIN_VERBS]
            for verb in verbs:
                witness.shout(f"tickerml/hub/request/{verb}", json.dumps({"transaction": verb, "symbol": "BTC-USDT"}).encode(), 1)
            answers = [f"tickerml/hub/response/{verb}" for verb in verbs]
            while not all(witness.on(topic) for topic in answers):
                assert time.monotonic() < end + 60, [topic for topic in answers if not witness.on(topic)]
                time.sleep(0.3)
        told = schemas()
        for topic, payload, _ in list(witness.heard):
            below = topic.removeprefix("tickerml/")
            if (kind := kind_of(below)) is not None:
                Draft202012Validator(told[f"{kind.__name__}.json"]).validate(json.loads(payload))
            elif below.startswith("hub/response/"):
                answer = json.loads(payload)
                Draft202012Validator(told["Response.json"]).validate(answer)
                assert answer["transaction"] == below.removeprefix("hub/response/")
            else:
                assert below.startswith(("hub/request/", "hub/state", "hub/heartbeat", "hub/ping")), topic


def _kinds(witness: Witness) -> set[str]:
    kinds = (kind_of(topic.removeprefix("tickerml/")) for topic, _, _ in list(witness.heard))
    return {kind.__name__ for kind in kinds if kind is not None}


def _references(told: Any) -> list[str]:
    if isinstance(told, dict):
        here = [told["$ref"]] if isinstance(told.get("$ref"), str) else []
        return here + [each for value in told.values() for each in _references(value)]
    return [each for value in told for each in _references(value)] if isinstance(told, list) else []


def test_the_page_about_requests_has_every_verb_with_what_it_may_be_asked() -> None:
    page = (DOCS / "requests.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    assert set(rows) == {*WANTED, *PLUGIN_VERBS}
    for verb, wanted in WANTED.items():
        for field in wanted.model_fields if wanted else ():
            assert f"`{field}`" in rows[verb], (verb, field)
