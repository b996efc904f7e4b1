"""What a dump is made of, for those who write it and those who read it: the manifest, and cells that no spreadsheet takes for formulas."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.messages import Count, Sha256, Symbol, UtcTime

MANIFEST = "manifest.json"
BARS_PREFIX = "bars-"
"""`bars-BTC-USDT.csv`: the symbol stands in the name."""
SENTIMENT = "sentiment.csv"
FORMULAS = frozenset("=+-@\t\r'")
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


def guarded(text: str) -> str:
    """Text for a cell: where a spreadsheet would run it, a ' stands before it; lines become spaces."""
    flat = text.replace("\r\n", " ").replace("\n", " ").replace("\0", " ")
    return f"'{flat}" if flat[:1] in FORMULAS else flat


def unguarded(cell: str) -> str:
    """The text that was guarded."""
    return cell[1:] if cell[:1] == "'" else cell


def decimal_text(number: float | None) -> str:
    """The shortest decimal that is this float, never with an exponent; empty for None."""
    if number is None:
        return ""
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


class Column(BaseModel):
    """One column of a table."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: Literal["integer", "number", "time", "text"]
    """time: RFC 3339, UTC. An empty cell: not known."""
    meaning: str = ""


class TableFile(BaseModel):
    """One file of a dump."""

    model_config = ConfigDict(frozen=True)

    name: FileName
    table: str
    rows: Count
    bytes: Count
    sha256: Sha256
    columns: tuple[Column, ...]


class DumpGap(BaseModel):
    """Minutes of the day that have no bar."""

    model_config = ConfigDict(frozen=True)

    symbol: Symbol
    first_open_time: UtcTime
    last_open_time: UtcTime
    reason: str


class DumpManifest(BaseModel):
    """What stands in manifest.json, which is written last: a folder without it is not finished."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    day: date
    revision: Annotated[int, Field(ge=1)] = 1
    """2 and more: the day was dumped again, because bars came later."""
    made_at: UtcTime
    hub: str
    """Version."""
    files: Annotated[tuple[TableFile, ...], Field(max_length=5_000)]
    gaps: tuple[DumpGap, ...]

    @property
    def minutes_missing(self) -> int:
        """In all gaps."""
        return sum(int((gap.last_open_time - gap.first_open_time).total_seconds()) // 60 + 1 for gap in self.gaps)
