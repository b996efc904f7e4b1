"""What became of everything that was brought in: counted per file, per symbol and in all, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from hub.market.interval import Range, from_ms, minutes_in

SHOWN_REJECTS = 3
SHOWN_GAPS = 5
SHOWN_SOURCES = 20
LISTED_GAPS = 1000
"""Gaps that stand in the JSON one by one; all are counted."""


@dataclass
class Counts:
    """Each row is counted once, under one of these."""

    rows: int = 0
    kept: int = 0
    """Minutes that were not there before."""
    completed: int = 0
    """Minutes that were there, of which a number became known."""
    duplicates: int = 0
    """Minutes that were there, with the same values."""
    revisions: int = 0
    """Minutes that were there with other values; the newer word counts."""
    fallback: int = 0
    """Stand-ins for a bar; they train no model and are left out."""
    rejected: int = 0

    def add(self, other: "Counts") -> None:
        """Count in another's."""
        for name in self.as_dict():
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return {count.name: getattr(self, count.name) for count in fields(Counts)}


@dataclass
class Origin(Counts):
    """One file, or one exchange, that bars came from."""

    name: str = ""
    symbol: str | None = None
    kind: str | None = None
    unsorted: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason."""
    sources: Counter[str] = field(default_factory=Counter)
    gaps: list[Range] = field(default_factory=list)
    error: str | None = None
    """Why nothing of it was taken."""
    left_out: str | None = None
    """Why it was passed over, though nothing is wrong with it."""


@dataclass
class Intake:
    """All that one call brought in."""

    origins: list[Origin] = field(default_factory=list)
    gaps: dict[str, list[Range]] = field(default_factory=dict)
    """Per symbol what is still missing between the first and the last bar on disk."""

    @property
    def errors(self) -> list[str]:
        """Why files could not be used, or why there was nothing to use."""
        if self.origins and all(origin.left_out for origin in self.origins):
            return ["nothing was taken in: every file was left out"]
        return [origin.error for origin in self.origins if origin.error]

    @property
    def failed(self) -> int:
        """How many files could not be used."""
        return sum(origin.error is not None for origin in self.origins)

    @property
    def total(self) -> Counts:
        """Of all files."""
        total = Counts()
        for origin in self.origins:
            total.add(origin)
        return total

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "files": [_origin_dict(origin) for origin in self.origins],
            "symbols": {symbol: {"gaps": _gaps_dict(gaps)} for symbol, gaps in self.gaps.items()},
            "total": self.total.as_dict() | {"failed": self.failed},
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for origin in self.origins:
            yield from _origin_lines(origin)
        for symbol, gaps in self.gaps.items():
            yield f"{symbol} on disk: {_gap_words(gaps)}"
        yield f"total: {_count_words(self.total)}" + (f"; {self.failed} failed" if self.failed else "")


def _origin_dict(origin: Origin) -> dict[str, Any]:
    if origin.error or origin.left_out:
        return {"file": origin.name, "symbol": origin.symbol, "error": origin.error, "left_out": origin.left_out}
    return {
        "file": origin.name,
        "symbol": origin.symbol,
        "kind": origin.kind,
        **origin.as_dict(),
        "unsorted": origin.unsorted,
        "reasons": origin.reasons,
        "rejects": [{"line": line, "reason": reason} for line, reason in origin.rejects],
        "sources": dict(origin.sources.most_common(SHOWN_SOURCES)),
        "gaps": _gaps_dict(origin.gaps),
        "error": None,
        "left_out": None,
    }


def _gaps_dict(gaps: list[Range]) -> dict[str, Any]:
    listed = [{"first": _utc(first), "last": _utc(last), "minutes": minutes_in((first, last))} for first, last in gaps[:LISTED_GAPS]]
    return {"stretches": len(gaps), "minutes": sum(map(minutes_in, gaps)), "list": listed}


def _origin_lines(origin: Origin) -> Iterator[str]:
    if origin.error or origin.left_out:
        yield f"{origin.name}: {'failed' if origin.error else f'left out: {origin.left_out}'}"
        return
    order = f"; {origin.unsorted:,} rows were out of order" if origin.unsorted else ""
    yield f"{origin.name}: {origin.symbol}, {_count_words(origin)}{order}; {_gap_words(origin.gaps)}"
    for line, reason in origin.rejects[:SHOWN_REJECTS]:
        yield f"  line {line}: {reason}"
    if origin.rejected > SHOWN_REJECTS:
        yield "  rejected in all: " + ", ".join(f"{count:,} {reason}" for reason, count in origin.reasons.items())
    if origin.sources.get("simulated"):
        yield f"  {origin.sources['simulated']:,} of its bars are of a simulated exchange: good for practice, not for a model to trust"


def _count_words(counts: Counts) -> str:
    always = {"rows", "kept", "duplicates", "rejected"}
    return ", ".join(f"{count:,} {name}" for name, count in counts.as_dict().items() if count or name in always)


def _gap_words(gaps: list[Range]) -> str:
    if not gaps:
        return "no gaps"
    named = ", ".join(f"{from_ms(first):%Y-%m-%d %H:%M} to {from_ms(last):%Y-%m-%d %H:%M}" for first, last in gaps[:SHOWN_GAPS])
    count = f"{len(gaps):,} gap{'s' if len(gaps) > 1 else ''}"
    return f"{count}, {sum(map(minutes_in, gaps)):,} minutes ({named}{', ...' if len(gaps) > SHOWN_GAPS else ''})"


def _utc(ms: int) -> str:
    return f"{from_ms(ms):%Y-%m-%dT%H:%M:%SZ}"
