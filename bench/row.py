"""One line of the table: what we measured, what stands beside it, and what was promised."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure. Its target is a ratio to the yardstick, or a bound on the figure itself; without a target it only informs."""

    name: str
    ours: float
    unit: str
    yardstick: float | None = None
    beside: str = ""
    """What the yardstick is."""
    ratio: float | None = None
    """Median of the rounds' own ratios, so that noise that hits one round hits both of its sides."""
    at_least: float | None = None
    """Smallest ratio that was promised."""
    at_most: float | None = None
    """Largest figure that was promised."""
    note: str = ""

    @property
    def target(self) -> str:
        """The promise, in words."""
        if self.at_least is not None:
            return f"ratio >= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g} {self.unit}"

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        if self.at_least is not None:
            return self.ratio is not None and self.ratio >= self.at_least
        return None if self.at_most is None else self.ours <= self.at_most

    @property
    def reached(self) -> float | None:
        """How much of the promise: 1 is just kept, 2 is twice as good, 0.5 half as good; None where there is none."""
        if self.at_least is not None:
            return 0.0 if self.ratio is None else self.ratio / self.at_least
        return None if self.at_most is None else self.at_most / max(self.ours, 1e-12)


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[tuple[float, ...]]:
    """Every measure once a round, in turn: a busy moment of the machine is shared."""
    return [tuple(measure() for measure in measures) for _ in range(rounds)]


def side_by_side(name: str, unit: str, beside: str, rounds: Sequence[Sequence[float]], at_least: float, note: str = "") -> Row:
    """A row from rounds of (ours, yardstick), both rates."""
    ours, yardstick = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(mine / other for mine, other in rounds)
    return Row(name, ours, unit, yardstick, beside, ratio, at_least=at_least, note=note)
