"""Templates, and how numbers and times are written in them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hub import __version__
from plugins.dashboard import assets

DASH = "\u2013"


def environment() -> Environment:
    """Everything is escaped; a name that a template does not get is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"version": __version__, "asset": assets.address}
    made.filters |= {
        "price": price,
        "percent": percent,
        "number": number,
        "time": time,
        "data": data,
        "size": size,
    }
    return made


def price(value: float | None) -> str:
    """With as many digits as its size makes sense of."""
    if value is None:
        return DASH
    return f"{value:,.2f}" if value >= 10 else f"{value:,.4f}" if value >= 0.1 else f"{value:.4g}"


def percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """A share of 1."""
    return DASH if value is None else f"{value:{'+' if signed else ''}.{digits}%}"


def number(value: float | None, digits: int = 3) -> str:
    return DASH if value is None else f"{value:,.{digits}f}"


def size(value: float | None) -> str:
    """Bytes, in words."""
    if value is None:
        return DASH
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def time(value: str | float | datetime | None) -> Markup:
    """UTC, which the page's script turns into the viewer's own time; UTC stays to be seen when pointed at."""
    if value is None:
        return escape(DASH)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return Markup("<span>{}</span>").format(value)
    at = value if isinstance(value, datetime) else datetime.fromtimestamp(value / 1000, UTC)
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S}", f"{at:%Y-%m-%d %H:%M}"
    )


def data(value: Any) -> Markup:
    """JSON inside a script element that is no script: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(text)  # noqa: S704 - escaped just now
