"""The flow as Mermaid text, from what the plugins declare."""

from collections.abc import Sequence
from typing import Any

from hub.flow import Sink
from hub.runtime.hosting.lineup import Member
from hub.topics import topic_for


def mermaid(members: Sequence[Member]) -> str:
    """Plugins' flows as boxes, topics as rounded boxes; durable sinks read the store."""
    lines = ["flowchart LR", "  store[(store)]"]
    heard, made = dict[str, str](), set[str]()
    for member in members:
        for flow in member.declared.flows:
            box = f"{member.name}.{flow.name}" if flow.name != member.name else member.name
            node = box.replace(".", "_")
            lines.append(f'  {node}["{box}"]')
            for kind in getattr(flow, "consumes", ()):
                if isinstance(flow, Sink) and flow.durable:
                    lines.append(f"  store --> {node}")
                else:
                    heard.setdefault(kind.__name__, f'  {kind.__name__}(["{topic_for(kind).template}"])')
                    lines.append(f"  {kind.__name__} --> {node}")
            for kind in getattr(flow, "produces", ()):
                lines += [f"  {node} --> store", f'  store --> {kind.__name__}(["{topic_for(kind).template}"])']
                made.add(kind.__name__)
    lines += [line for name, line in heard.items() if name not in made]  # from elsewhere
    return "\n".join(dict.fromkeys(lines))


def flow_rows(members: Sequence[Member]) -> list[dict[str, Any]]:
    """The same as data: one row a flow."""
    return [
        {
            "plugin": member.name,
            "flow": flow.name,
            "shape": type(flow).__name__.lower(),
            "consumes": [kind.__name__ for kind in getattr(flow, "consumes", ())],
            "produces": [kind.__name__ for kind in getattr(flow, "produces", ())],
        }
        for member in members
        for flow in member.declared.flows
    ]
