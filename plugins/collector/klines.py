"""Binance's rows ("klines") into bars: strict, pure, and quick, for everything later rests on it.

A page is checked in one go; only where that fails is it looked at row by row, so that one bad row costs itself and no other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import ge
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema, from_json

from hub.market.interval import INTERVAL, MINUTE_MS, epoch_ms, from_ms, open_time_ms
from hub.messages import Bar, Count


class _Digits:
    """Numbers come as strings of digits: no sign, no exponent, no `nan`, no `1_000`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        digits = core_schema.str_schema(pattern=r"^[0-9]{1,15}(\.[0-9]{1,30})?$", strict=True)
        return core_schema.chain_schema([digits, core_schema.float_schema(strict=False)])


Number = Annotated[float, _Digits]
Row = tuple[int, Number, Number, Number, Number, Number, int, Number | None, Count | None, Number | None, Number | None, Any]
"""Open time, open, high, low, close, volume, close time, quote volume, trades, taker's base and quote volume, unused."""
COLUMNS = ("open time", "open", "high", "low", "close", "volume", "close time", "quote volume", "trades", "taker base", "taker quote", "")

_Plain = Annotated[float, Field(strict=False, ge=0, lt=1e15)]
_PlainRow = tuple[int, _Plain, _Plain, _Plain, _Plain, _Plain, int, _Plain, Count, _Plain, Any, Any]
_PLAIN_ROWS = TypeAdapter(list[_PlainRow], config=ConfigDict(strict=True, cache_strings="none"))  # no two numbers are alike
_PLAIN_BYTES = b'0123456789.,"[]'
_ROWS = TypeAdapter(list[Row], config=ConfigDict(strict=True, cache_strings="none"))
_ROW = TypeAdapter(Row, config=ConfigDict(strict=True))
_MINUTE = timedelta(minutes=1)
_SHOWN = 200


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be a bar."""

    open_time: int | None
    """Of the minute it stood for (ms), where that much could be read."""
    reason: str
    raw: str
    """The row as it came, shortened."""


@dataclass(frozen=True)
class Page:
    """What one answer held: closed bars, ascending, one a minute; and what was refused."""

    bars: list[Bar] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def read_rows(body: bytes) -> list[Row]:
    """All rows of an answer, as strict as they come. ValueError where one of them is not right.

    Where nothing but digits, points, quotes and brackets stands, no number can be anything but digits: that is seen at once, and
    saves looking at each.
    """
    if body.translate(None, _PLAIN_BYTES):
        return _ROWS.validate_json(body)
    return _PLAIN_ROWS.validate_json(body)  # type: ignore[return-value]


def parse(body: bytes, symbol: str, source: str, server_ms: int) -> Page:
    """The bars in an answer that was asked for at `server_ms` of the server's time, the minute still running left out.

    ValueError where the answer is no list of rows at all.
    """
    try:
        return Page(_bars(read_rows(body), symbol, source, server_ms))
    except ValueError:
        return _row_by_row(_list_in(body), symbol, source, server_ms)


def first_open_time(body: bytes) -> int | None:
    """Open time (ms) of an answer's first row, None where it has none. ValueError where the answer is no list of rows."""
    rows = _list_in(body)
    if not rows:
        return None
    stamp = rows[0][0] if isinstance(rows[0], list) and rows[0] else None
    if type(stamp) is not int:
        raise ValueError("the first row has no open time")
    return epoch_ms(stamp)


def _bars(rows: Iterable[Row], symbol: str, source: str, server_ms: int) -> list[Bar]:
    """Every closed row's bar; ValueError where one cannot be. With the strict row, that is all a Bar would check."""
    closed_before = server_ms - 1_000
    expected: int | None = None
    opened = from_ms(0)
    minutes: list[int] = []
    found: list[dict[str, Any]] = []
    for stamp, open_, high, low, close, volume, close_stamp, quote_volume, trades, taker, _, _ in rows:
        opened, minute = (opened + _MINUTE, stamp) if stamp == expected else _opening(stamp, server_ms)
        expected = minute + MINUTE_MS
        if close_stamp != expected - 1 and epoch_ms(close_stamp) != expected - 1:
            raise ValueError(f"close time {close_stamp} is not the end of the minute that opened at {stamp}")
        if expected - 1 >= closed_before:
            continue
        if not (0 < low <= open_ <= high and low <= close <= high):
            raise ValueError("impossible bar: open and close must lie between low and high, and all be positive")
        minutes.append(minute)
        found.append(
            {
                "symbol": symbol,
                "interval": INTERVAL,
                "open_time": opened,
                "open": open_,
                "high": high,
                "low": low,
                "close": close,
                "volume": volume,
                "quote_volume": quote_volume,
                "trades": trades,
                "source": source,
                "quality": "exact",
                "taker_buy_volume": taker,
            }
        )
    if any(map(ge, minutes, minutes[1:])):
        found = [fields for _, fields in sorted(dict(zip(minutes, found, strict=True)).items())]
    return Bar.trusted(found)


def _opening(stamp: int, server_ms: int) -> tuple[datetime, int]:
    minute = open_time_ms(stamp, server_ms)
    return from_ms(minute), minute


def _row_by_row(rows: list[Any], symbol: str, source: str, server_ms: int) -> Page:
    good: list[Row] = []
    rejected: list[Rejected] = []
    for raw in rows:
        try:
            row = _ROW.validate_python(tuple(raw) if isinstance(raw, list) else raw)
            _bars([row], symbol, source, server_ms)
            good.append(row)
        except ValueError as error:
            rejected.append(Rejected(_minute_of(raw, server_ms), _in_words(error), repr(raw)[:_SHOWN]))
    return Page(_bars(good, symbol, source, server_ms), rejected)


def _list_in(body: bytes) -> list[Any]:
    rows = from_json(body)
    if not isinstance(rows, list):
        raise ValueError("the answer is not a list of rows")  # noqa: TRY004 - callers know one error for a bad answer
    return rows


def _minute_of(raw: Any, server_ms: int) -> int | None:
    try:
        return open_time_ms(raw[0], server_ms) if isinstance(raw, list) and type(raw[0]) is int else None
    except (ValueError, IndexError):
        return None


def _in_words(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    place = first["loc"][0] if first["loc"] else ""
    name = COLUMNS[place] if isinstance(place, int) and place < len(COLUMNS) else str(place)
    text = first["msg"].removeprefix("Value error, ")
    return f"{name}: {text}" if name else text
