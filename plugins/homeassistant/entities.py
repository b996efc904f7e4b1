"""The one table of everything that Home Assistant gets to see: which entity, from which topic, by which template."""

from dataclasses import dataclass, field
from typing import Any, Literal

HORIZONS = (5, 10, 30)
RUNNING = "{{ 'online' if value_json.state == 'running' else 'offline' }}"
SEVERITIES = ["info", "warning", "critical"]
Of = Literal["hub", "plugin", "symbol", "horizon"]


@dataclass(frozen=True)
class Entity:
    """One row: made once for the hub, for each plugin, for each symbol, or for each symbol and horizon."""

    key: str
    name: str
    of: Of
    platform: str
    topic: str
    """Below the root; {symbol}, {asset}, {horizon} and {plugin} are filled in."""
    plugin: str | None
    """Whose running makes it available; None: the hub's own."""
    template: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Further keys of the discovery payload; {root} in a value is filled in."""


def diagnostic(**fields: Any) -> dict[str, Any]:
    return {"entity_category": "diagnostic", **fields}


PERCENT = {"unit_of_measurement": "%", "suggested_display_precision": 1}
PRICE = {"unit_of_measurement": "{quote}", "suggested_display_precision": 2, "icon": "mdi:currency-usd"}
ENTITIES: tuple[Entity, ...] = (
    Entity(
        "price",
        "Price",
        "symbol",
        "sensor",
        "bar/{symbol}/1m",
        "collector",
        "{{ value_json.close }}",
        PRICE | {"state_class": "measurement"},
    ),
    Entity(
        *("forecast_{horizon}m", "Forecast {horizon} min", "horizon", "sensor", "forecast/{symbol}/{horizon}m", "inference"),
        "{{ value_json.price }}",
        PRICE | {"json_attributes_topic": "{root}/forecast/{symbol}/{horizon}m", "icon": "mdi:crystal-ball"},
    ),
    Entity(
        *("direction_{horizon}m", "Direction {horizon} min", "horizon", "sensor", "forecast/{symbol}/{horizon}m", "inference"),
        "{{ value_json.direction }}",
        {"device_class": "enum", "options": ["up", "down"], "icon": "mdi:swap-vertical"},
    ),
    Entity(
        *("confidence_{horizon}m", "Confidence {horizon} min", "horizon", "sensor", "forecast/{symbol}/{horizon}m", "inference"),
        "{{ (value_json.confidence * 100) | round(1) }}",
        PERCENT | {"icon": "mdi:gauge"},
    ),
    Entity(
        *("change_{horizon}m", "Expected change {horizon} min", "horizon", "sensor", "forecast/{symbol}/{horizon}m", "inference"),
        "{{ ((value_json.price / value_json.last_close - 1) * 100) | round(4) }}",
        {"unit_of_measurement": "%", "suggested_display_precision": 3, "icon": "mdi:delta"},
    ),
    Entity(
        *("skill_{horizon}m", "Skill {horizon} min", "horizon", "sensor", "score/{symbol}/{horizon}m", "scorecard"),
        "{{ (value_json.skill * 100) | round(2) if value_json.skill is not none else none }}",
        diagnostic(
            unit_of_measurement="%",
            suggested_display_precision=2,
            icon="mdi:scoreboard",
            json_attributes_topic="{root}/score/{symbol}/{horizon}m",
        ),
    ),
    Entity(
        *("hit_rate_{horizon}m", "Hit rate {horizon} min", "horizon", "sensor", "score/{symbol}/{horizon}m", "scorecard"),
        "{{ (value_json.hit_rate * 100) | round(1) if value_json.hit_rate is not none else none }}",
        diagnostic(**PERCENT, icon="mdi:target"),
    ),
    Entity(
        *("sentiment", "Mood of the news", "symbol", "sensor", "sentiment/{asset}", "news", "{{ value_json.score }}"),
        {"suggested_display_precision": 2, "json_attributes_topic": "{root}/sentiment/{asset}", "icon": "mdi:newspaper"},
    ),
    Entity(
        *("alert", "Alert", "symbol", "event", "alert/{symbol}", "alerts"),
        "{{ dict(value_json, event_type=value_json.severity) | tojson }}",
        {"event_types": SEVERITIES, "icon": "mdi:bell"},
    ),
    *(
        Entity(
            *(f"alert_{severity}", severity, "symbol", "device_automation", "alert/{symbol}", None, "{{ value_json.severity }}"),
            {"automation_type": "trigger", "type": "alert", "subtype": severity, "payload": severity},
        )
        for severity in SEVERITIES
    ),
    Entity(
        *("model", "Model", "hub", "update", "model/state", "inference"),
        "{{ {'installed_version': value_json.live.name ~ ' ' ~ value_json.live.version if value_json.live else 'starter',"
        " 'latest_version': value_json.shadow.name ~ ' ' ~ value_json.shadow.version if value_json.shadow else"
        " (value_json.live.name ~ ' ' ~ value_json.live.version if value_json.live else 'starter'),"
        " 'title': 'Forecast model', 'in_progress': (value_json.answer.status == 'staged') if value_json.answer else false,"
        " 'release_summary': (value_json.answer.reason[:250]) if value_json.answer else ''} | tojson }}",
        {
            "command_topic": "{root}/hub/request/model/promote",
            "payload_install": '{"transaction": "homeassistant"}',
            "entity_category": "config",
            "icon": "mdi:brain",
        },
    ),
    Entity(
        "alert",
        "Alert",
        "hub",
        "event",
        "alert/HUB-ALL",
        "alerts",
        "{{ dict(value_json, event_type=value_json.severity) | tojson }}",
        {"event_types": SEVERITIES},
    ),
    Entity("version", "Version", "hub", "sensor", "hub/info", None, "{{ value_json.version }}", diagnostic(icon="mdi:tag")),
    Entity(
        *("minutes_missing", "Minutes missing", "hub", "sensor", "hub/health", None, "{{ value_json.minutes_missing }}"),
        diagnostic(unit_of_measurement="min", icon="mdi:calendar-remove"),
    ),
    Entity(
        *("disk_free", "Disk free", "hub", "sensor", "hub/health", None, "{{ value_json.disk_free_bytes }}"),
        diagnostic(unit_of_measurement="B", device_class="data_size", state_class="measurement"),
    ),
    Entity(
        *("memory", "Memory", "hub", "sensor", "hub/health", None, "{{ value_json.memory_bytes }}"),
        diagnostic(unit_of_measurement="B", device_class="data_size", state_class="measurement"),
    ),
    Entity(
        *("online", "Online", "hub", "binary_sensor", "hub/state", None),
        None,
        diagnostic(device_class="connectivity", payload_on="online", payload_off="offline", availability=[]),
    ),
    Entity(
        *("plugin_{plugin}", "{plugin} problem", "plugin", "binary_sensor", "plugin/{plugin}/state", None),
        "{{ 'OFF' if value_json.state == 'running' else 'ON' }}",
        diagnostic(device_class="problem", json_attributes_topic="{root}/plugin/{plugin}/state"),
    ),
)
