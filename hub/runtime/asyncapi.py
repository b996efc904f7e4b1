"""The wire vocabulary for other programs: a JSON Schema of every payload, and an AsyncAPI document of all topics.

`python -m hub.runtime.asyncapi FOLDER` writes both, from `hub/messages.py`, `hub/topics.py` and what the verbs may be asked.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hub import __version__
from hub.messages import Message, ModelChunk, Request, Response
from hub.runtime.verbs import WANTED
from hub.topics import TOPICS, Topic

ROOT = "tickerml"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLUGIN_VERBS = ("model/list", "model/promote", "model/rollback", "forecast/now", "dump")
"""Answered by plugins that come with the hub, where they run."""
_WORDS = {
    "symbol": "BTC-USDT: base asset, then quote asset",
    "interval": "1m",
    "asset": "BTC",
    "horizon_minutes": "5, 10 or 30",
    "name": "of the plugin",
    "sha256": "of the model file",
    "index": "of the chunk, from 0",
}


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of a payload as the hub writes it."""
    told = kind.model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"{kind.__name__}.json", **told}


def schemas() -> dict[str, dict[str, Any]]:
    """By file name, in docs/schemas."""
    kinds: list[type[BaseModel]] = [topic.kind for topic in TOPICS if topic.kind is not ModelChunk]
    asked = [wanted for wanted in WANTED.values() if wanted is not None]
    kinds += [Request, Response, *asked]
    return {f"{kind.__name__}.json": schema_of(kind) for kind in kinds}


def asyncapi() -> dict[str, Any]:
    """Topics, payloads and verbs, as AsyncAPI 3.0."""
    channels = {topic.kind.__name__: _channel(topic) for topic in TOPICS}
    operations = {f"hear{name}": _operation("receive", name) for name in channels}
    for verb in [*WANTED, *PLUGIN_VERBS]:
        name = "".join(part.title() for part in verb.split("/"))
        wanted = WANTED.get(verb)
        channels[f"ask{name}"] = _verb(f"{ROOT}/hub/request/{verb}", (wanted or Request).__name__)
        channels[f"answer{name}"] = _verb(f"{ROOT}/hub/response/{verb}", "Response")
        operations[f"ask{name}"] = _operation("send", f"ask{name}") | {"reply": {"channel": {"$ref": f"#/channels/answer{name}"}}}
    channels["hubState"] = {
        "address": f"{ROOT}/hub/state",
        "description": "retained; the last will says offline",
        "messages": {"state": {"contentType": "text/plain", "payload": {"enum": ["online", "offline"]}}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "TickerML",
            "version": __version__,
            "description": f"QoS 1. `{ROOT}` stands for mqtt.root. A request may hold a `transaction`, which the answer repeats.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def files() -> dict[str, str]:
    """What `write` writes, by path below the folder."""
    told: dict[str, Any] = {f"schemas/{name}": schema for name, schema in schemas().items()}
    return {name: json.dumps(content, indent=1) + "\n" for name, content in (told | {"asyncapi.json": asyncapi()}).items()}


def _channel(topic: Topic) -> dict[str, Any]:
    fields = [part[part.index("{") + 1 : part.index("}")] for part in topic.template.split("/") if "{" in part]
    return {
        "address": f"{ROOT}/{topic.template}",
        "description": f"{(topic.kind.__doc__ or '').splitlines()[0]}{' Retained.' if topic.retained else ''}",
        **({"parameters": {field: {"description": _WORDS[field]} for field in fields}} if fields else {}),
        "messages": {topic.kind.__name__: _message(topic.kind)},
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    if kind is ModelChunk:
        return {"contentType": "application/octet-stream", "payload": {"type": "string", "format": "binary"}}
    return {"payload": {"$ref": f"schemas/{kind.__name__}.json"}}


def _verb(address: str, schema: str) -> dict[str, Any]:
    return {"address": address, "messages": {schema: {"payload": {"$ref": f"schemas/{schema}.json"}}}}


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def write(folder: Path) -> None:
    """Into docs/schemas and docs/asyncapi.json."""
    for name, text in files().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
