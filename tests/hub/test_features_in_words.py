"""docs/features.md says what a model sees."""

import re
from pathlib import Path

import numpy as np

from hub.market.features import FEATURES, LOOK_BACK, Surroundings, feature_columns
from tests.markets import market

PAGE = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def test_the_page_has_every_feature_once_and_in_order() -> None:
    """A feature nobody can look up is a feature nobody can question."""
    assert tuple(name for row in TABLE for name in re.findall(r"`(\w+)`", row[0])) == FEATURES
    assert all(len(row) == 4 and row[1] for row in TABLE)


def test_a_feature_is_made_of_as_many_bars_as_the_page_says() -> None:
    """Computed from just so many it is the same to the bit, and from one less it is not."""
    bars = market(LOOK_BACK, 8)
    around = Surroundings(market(LOOK_BACK, 9).close, bars.close / 1000, bars.volume)
    whole = feature_columns(bars, around)
    for names, _, needed, _ in TABLE:
        enough, short = (slice(LOOK_BACK - int(needed) + less, None) for less in (0, 1))
        from_enough, from_less = (feature_columns(bars.part(seen), around.part(seen)) for seen in (enough, short))
        for name in re.findall(r"`(\w+)`", names):
            assert from_enough[name][-1] == whole[name][-1], name
            assert not from_less[name].size or from_less[name][-1] != whole[name][-1], name
    assert max(int(row[2]) for row in TABLE) == LOOK_BACK
    assert all(np.isfinite(column[-1]) for column in whole.values())
