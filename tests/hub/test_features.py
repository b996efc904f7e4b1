"""What a model sees: never the future, always the same row, and nothing that depends on the price level."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.market.features import (
    FEATURE_HASH,
    FEATURES,
    FORMULAS,
    LIMIT,
    LOOK_BACK,
    OTHER_SPANS,
    PIECE,
    BarColumns,
    Surroundings,
    feature_columns,
    feature_hash,
    feature_matrix,
)
from hub.market.interval import MINUTE_MS
from hub.market.trailing import Column
from tests.features_by_hand import features_by_hand
from tests.markets import market, surroundings, troubled_market

ROWS = LOOK_BACK + 260
Columns = Callable[[BarColumns, Surroundings], dict[str, Column]]
seeds = st.integers(0, 2**32 - 1)
rows_after_warm_up = st.integers(LOOK_BACK - 1, ROWS - 1)
prices = st.floats(-6, 6).map(lambda exponent: 10.0**exponent)


def _spliced(bars: BarColumns, other: BarColumns, row: int) -> BarColumns:
    """The bars until `row`, and from there on another market's, at the same minutes."""
    columns = (np.concatenate((getattr(bars, each.name)[:row], getattr(other, each.name)[row:])) for each in fields(bars))
    return replace(BarColumns(*columns), open_time=bars.open_time)


def _looks_ahead(made_by: Columns, seed: int, row: int, price: float = 100.0) -> set[str]:
    """Names of columns that know, before `row`, what comes from `row` on: whether it comes at all, or comes otherwise."""
    bars, around = troubled_market(ROWS, seed, price), surroundings(ROWS, seed)
    other = troubled_market(ROWS, seed + 1, price * 3)
    news = surroundings(ROWS, seed + 2)
    elsewhere = Surroundings(
        *(np.concatenate((getattr(around, each.name)[:row], getattr(news, each.name)[row:])) for each in fields(around))
    )
    seen = made_by(bars.part(slice(0, row)), around.part(slice(0, row)))
    whole, otherwise = made_by(bars, around), made_by(_spliced(bars, other, row), elsewhere)
    return {
        name
        for name, column in seen.items()
        if not (np.array_equal(column, whole[name][:row], equal_nan=True) and np.array_equal(column, otherwise[name][:row], equal_nan=True))
    }


@settings(max_examples=60, deadline=None)
@given(seed=seeds, row=rows_after_warm_up, price=prices)
def test_no_feature_knows_what_comes_later(seed: int, row: int, price: float) -> None:
    """To the bit: features of a prefix are the prefix of the features, and changing any later bar changes nothing before it."""
    assert _looks_ahead(feature_columns, seed, row, price) == set()


def _of_the_whole_day(bars: BarColumns) -> Column:
    return (bars.close - bars.close.mean()) / bars.close.std()


CHEATS: dict[str, Callable[[BarColumns], Column]] = {
    "the next close": lambda bars: np.append(bars.close[1:], bars.close[-1]),
    "the next minute's volume": lambda bars: np.append(bars.volume[1:], 0.0),
    "a mean with the row in its middle": lambda bars: np.convolve(bars.close, np.ones(3) / 3, "same"),
    "scaled by the whole stretch": _of_the_whole_day,
    "filled from behind": lambda bars: bars.taker_buy_volume[::-1].copy(),
    "how much is still to come": lambda bars: np.arange(len(bars.close), 0.0, -1.0),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_feature_that_cheats_is_caught(cheat: str) -> None:
    """The canary: were the test above blind, this one would say so."""

    def cheating(bars: BarColumns, around: Surroundings) -> dict[str, Column]:
        return feature_columns(bars, around) | {cheat: CHEATS[cheat](bars)}

    assert _looks_ahead(cheating, 1, ROWS - 100) == {cheat}


@settings(max_examples=60, deadline=None)
@given(seed=seeds, row=rows_after_warm_up, price=prices)
def test_a_row_from_just_its_look_back_is_the_row_from_all_of_history(seed: int, row: int, price: float) -> None:
    """To the bit: this is the hub's newest row beside the trainer's."""
    bars, around = troubled_market(ROWS, seed, price), surroundings(ROWS, seed)
    seen = slice(row - LOOK_BACK + 1, row + 1)
    live, batch = feature_columns(bars.part(seen), around.part(seen)), feature_columns(bars, around)
    assert {name: column[-1] for name, column in live.items()} == {name: column[row] for name, column in batch.items()}
    np.testing.assert_array_equal(feature_matrix(bars.part(seen), around.part(seen))[-1], feature_matrix(bars, around)[row])


def test_three_hundred_thousand_minutes_do_not_drift() -> None:
    """Seven months: the last row, and rows at the seams of the pieces it is computed in, from their look-back alone."""
    rows = 300_000
    bars, around = troubled_market(rows, 5), surroundings(rows, 5)
    whole = feature_matrix(bars, around)
    seams = [LOOK_BACK - 1 + count * PIECE + beside for count in (1, 2, 17) for beside in (-1, 0, 1)]
    for row in (LOOK_BACK - 1, *seams, rows - 1):
        seen = slice(row - LOOK_BACK + 1, row + 1)
        np.testing.assert_array_equal(feature_matrix(bars.part(seen), around.part(seen))[-1], whole[row])
    assert np.isfinite(whole[LOOK_BACK - 1 :]).all()


@settings(max_examples=40, deadline=None)
@given(seed=seeds, price=prices)
@example(seed=61, price=1.0)
def test_a_row_is_what_its_words_say(seed: int, price: float) -> None:
    """Against a second, slow version in plain Python; to 1e-9, relative where a feature is large."""
    bars, around = troubled_market(LOOK_BACK, seed, price), surroundings(LOOK_BACK, seed)
    found = {name: column[-1] for name, column in feature_columns(bars, around).items()}
    assert found == pytest.approx(features_by_hand(bars, around), rel=1e-9, abs=1e-9)


def test_the_look_back_is_needed_and_is_enough() -> None:
    """One bar less, and the day's return is not known; the bar before it changes nothing."""
    bars, around = market(LOOK_BACK, 3), surroundings(LOOK_BACK, 3)
    short = feature_columns(bars.part(slice(1, None)), around.part(slice(1, None)))
    assert {name for name, column in short.items() if not np.isfinite(column[-1])} == {"return_1440", "volatility_1440"}


@settings(max_examples=40, deadline=None)
@given(seed=seeds, price=prices)
def test_rows_are_unknown_during_the_warm_up_and_known_after_it(seed: int, price: float) -> None:
    """Whatever is missing: trades, prices that move, volumes, the other symbol, news. And none lies beyond the limit."""
    rows = feature_matrix(troubled_market(ROWS, seed, price), surroundings(ROWS, seed))
    assert rows.dtype == np.float32
    assert rows.shape == (ROWS, len(FEATURES))
    assert np.isnan(rows[: LOOK_BACK - 1]).all()
    assert (np.abs(rows[LOOK_BACK - 1 :]) <= LIMIT).all()


@pytest.mark.parametrize("rows", [0, 1, LOOK_BACK - 1])
def test_a_stretch_shorter_than_the_warm_up_has_no_row(rows: int) -> None:
    """The hub after its first start."""
    found = feature_matrix(market(rows))
    assert found.shape == (rows, len(FEATURES))
    assert np.isnan(found).all()


def test_a_market_that_stands_still_lies_in_the_middle_of_everything() -> None:
    """No trade for two days: no move, no direction, no position; not at its low, and not oversold."""
    still = np.full(ROWS, 7.3)
    bars = replace(market(ROWS), open=still, high=still, low=still, close=still, volume=np.zeros(ROWS), taker_buy_volume=np.zeros(ROWS))
    last = dict(zip(FEATURES, feature_matrix(bars)[-1], strict=True))
    moved = {name: value for name, value in last.items() if value and not name.endswith(("_sin", "_cos"))}
    assert set(moved) == {"volatility_60"}
    assert moved["volatility_60"] == pytest.approx(np.log(2e-5 / 5e-4))


def test_what_is_not_known_counts_as_nothing() -> None:
    """No other symbol, no news, no volume, no taker volume: all their features are 0, as in training."""
    unknown = np.full(ROWS, np.nan)
    bars = replace(market(ROWS, 4), volume=unknown, taker_buy_volume=unknown)
    with_nothing, without = feature_columns(bars, Surroundings(unknown, unknown, unknown)), feature_columns(bars)
    for name, column in with_nothing.items():
        np.testing.assert_array_equal(column, without[name])
        if name.startswith(("other", "sentiment", "articles", "volume", "flow", "taker", "vwap")):
            assert (column[LOOK_BACK - 1 :] == 0.0).all(), name


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 0.0, -1.0])
def test_one_unknown_close_of_the_other_symbol_blanks_an_hour_and_no_more(unknown: float) -> None:
    """The volatility of its last hour needs 61 closes; a hole must not blank a day, and nothing before it."""
    other = market(ROWS, 6).close.copy()
    other[LOOK_BACK + 20] = unknown
    found = feature_matrix(market(ROWS, 5), Surroundings(other_close=other))[:, [FEATURES.index(f"other_{span}") for span in OTHER_SPANS]]
    blank = np.flatnonzero((found[LOOK_BACK - 1 :] == 0.0).all(axis=1)) + LOOK_BACK - 1
    assert blank.tolist() == list(range(LOOK_BACK + 20, LOOK_BACK + 20 + 61))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, price=st.floats(-3, 3), factor=st.floats(-3, 3))
def test_the_price_level_changes_nothing_but_rounding(seed: int, price: float, factor: float) -> None:
    """A model trained at 20,000 serves at 100,000; prices round at 1e-16 of themselves, the least volatility is 2e-5: 1e-9 is left."""
    bars, times = troubled_market(ROWS, seed, 10.0**price), 10.0**factor
    dearer = replace(bars, **{name: getattr(bars, name) * times for name in ("open", "high", "low", "close")})
    other = feature_columns(dearer)
    for name, column in feature_columns(bars).items():
        np.testing.assert_allclose(other[name][LOOK_BACK - 1 :], column[LOOK_BACK - 1 :], rtol=1e-8, atol=1e-8, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, factor=st.floats(-30, 30))
def test_the_unit_of_volume_changes_nothing_but_rounding(seed: int, factor: float) -> None:
    """Bitcoins, or billions of a small coin."""
    bars, times = troubled_market(ROWS, seed), 10.0**factor
    more = replace(bars, volume=bars.volume * times, taker_buy_volume=bars.taker_buy_volume * times)
    other = feature_columns(more)
    for name, column in feature_columns(bars).items():
        np.testing.assert_allclose(other[name][LOOK_BACK - 1 :], column[LOOK_BACK - 1 :], rtol=1e-9, atol=1e-9, err_msg=name)


def test_more_bought_than_was_traded_is_bounded() -> None:
    """A source that counts wrongly, also where it says that nothing was traded."""
    bars = market(ROWS, 7)
    rows = feature_matrix(replace(bars, volume=np.where(np.arange(ROWS) % 2, bars.volume, 0.0), taker_buy_volume=bars.volume * 1e300))
    assert (np.abs(rows[LOOK_BACK - 1 :, [FEATURES.index("taker_5"), FEATURES.index("taker_60")]]) <= 1.0).all()


@pytest.mark.parametrize("missing", [1, LOOK_BACK - 1, ROWS - 2])
def test_a_gap_is_refused(missing: int) -> None:
    """A feature across a gap would call two days one minute."""
    bars = market(ROWS)
    kept = np.arange(ROWS) != missing
    with pytest.raises(ValueError, match="not one a minute: features never cross a gap, pass each stretch alone"):
        feature_matrix(BarColumns(*(getattr(bars, each.name)[kept] for each in fields(bars))))


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("price", [0.0, -1.0, np.nan, np.inf])
def test_a_price_that_is_none_is_refused(column: str, price: float) -> None:
    """It would be in every row of the next day."""
    bars = market(ROWS)
    spoilt = getattr(bars, column).copy()
    spoilt[100] = price
    with pytest.raises(ValueError, match=f"among the {column} prices is one that is not a positive number"):
        feature_matrix(replace(bars, **{column: spoilt}))


def test_an_impossible_bar_is_refused() -> None:
    """A range below zero has no logarithm."""
    bars = market(ROWS)
    for upside_down in (replace(bars, high=bars.low, low=bars.high), replace(bars, low=bars.high), replace(bars, high=bars.low)):
        with pytest.raises(ValueError, match="open and close must lie between low and high"):
            feature_matrix(upside_down)


def test_a_volume_below_zero_is_refused() -> None:
    """Nor has that."""
    bars = market(ROWS)
    with pytest.raises(ValueError, match="among the volumes is one below 0"):
        feature_matrix(replace(bars, volume=bars.volume - 1.0))


def test_the_hash_is_of_the_names_their_order_and_the_formulas() -> None:
    """A model must never be fed rows it was not trained on."""
    assert feature_hash(FEATURES, FORMULAS) == FEATURE_HASH
    others = [(FEATURES, FORMULAS + 1), (FEATURES[::-1], FORMULAS), (FEATURES[1:], FORMULAS), (("returns", *FEATURES[1:]), FORMULAS)]
    assert len({FEATURE_HASH, *(feature_hash(*other) for other in others)}) == 5
    assert len(set(FEATURES)) == len(FEATURES)


def _one_certain_market() -> tuple[BarColumns, Surroundings]:
    """Made of sines, so that no library's dice decide it."""
    minute = np.arange(LOOK_BACK + 2.0)
    close = 100.0 * np.exp(0.02 * np.sin(minute / 97) + 0.003 * np.sin(minute * 1.7) + 0.001 * np.cos(minute**2))
    opened = np.append(close[0], close[:-1])
    volume = 5.0 + 3.0 * np.sin(minute / 11) + np.cos(minute**2)
    bars = BarColumns(
        1_710_028_740_000 + MINUTE_MS * minute.astype(np.int64),
        opened,
        np.maximum(opened, close) * (1.0002 + 0.0001 * np.sin(minute * 3)),
        np.minimum(opened, close) * (0.9997 + 0.0001 * np.sin(minute * 5)),
        close,
        volume,
        volume * (0.5 + 0.3 * np.cos(minute * 2.3)),
    )
    return bars, Surroundings(
        50.0 * np.exp(0.01 * np.sin(minute / 31) + 0.002 * np.sin(minute * 2.1)), np.sin(minute), 3.0 + np.cos(minute)
    )


GOLDEN_FORMULAS = 2
GOLDEN = """
-1.33989 -0.720521 -0.161553 -0.977868 -0.301268 -0.361591 -0.406016 -0.377669 -0.180016 0.408387 0.380272 -0.0421042 0.105928
-0.0404792 -0.0126186 0.0856168 0.120543 1.77777 -0.884085 -0.0401624 0.923693 -0.901619 -0.937862 0.278948 0.525531 -0.113403 -0.285578
-0.216099 -0.865944 -0.356722 -0.342936 -0.236084 -0.0091136 -0.258684 -0.015823 -0.964337 -0.991037 0.0848492 -0.468595 0.141076
-0.0328316 -0.000273663 0 1 0 1 0 1 -0.433884 -0.900969 0.948466 0.381524 -0.312084 0.0584515 0.912994 1.48341
0.120256 -0.871932 -0.524785 -0.314666 -0.599198 -0.089749 -0.186365 -0.22297 -0.201921 0.394549 0.333443 -0.0801573 0.0856752 -0.289656
-0.0330729 0.0953676 0.130315 1.76777 0.364604 -0.186526 0.285004 -0.791082 -0.86773 0.301416 0.540316 -0.102017 -0.338398 -0.242234
-0.696518 -0.316742 -0.248153 -0.219125 -0.00307016 -0.243079 -0.0106738 -0.65723 -0.925796 0.0771497 0.0274621 0.0438675 -0.00776178
0.00456234 0.104528 0.994522 0.00872654 0.999962 0.00436331 0.99999 -0.434445 -0.900698 -1.4463 -0.348623 -0.332328 0.00251883 0.83659
1.239
1.68725 1.2761 0.278995 0.683659 0.017567 -0.0532335 -0.0521048 -0.0288614 0.138195 0.412341 0.362599 -0.042073 0.169667 0.0232878
-0.0410616 0.073738 0.106552 1.79164 0.909841 -0.0190388 1.04724 0.624036 0.0282118 0.625139 0.753333 0.0488976 -0.228844 -0.234031
0.450684 -0.35802 0.289374 0.00487679 0.103952 -0.0178843 0.0961655 -0.379963 -0.868514 0.0717633 0.632397 -0.00374573 -0.013427
0.000861986 0.207912 0.978148 0.0174524 0.999848 0.00872654 0.999962 -0.435007 -0.900427 0.208341 -0.686448 -0.314523 0.035396
-0.00897188 1.09863
"""


def test_the_rows_are_those_of_these_formulas() -> None:
    """Whoever changes a formula without counting FORMULAS up feeds every model what it was not trained on."""
    rows = feature_matrix(*_one_certain_market())[-3:]
    golden = np.array(GOLDEN.split(), np.float32).reshape(-1, len(FEATURES)) if FORMULAS == GOLDEN_FORMULAS else np.empty(0)
    as_text = "\n".join(" ".join(f"{value:.6g}" for value in row) for row in rows)
    assert golden.size, f"FORMULAS is {FORMULAS}, the golden rows are of {GOLDEN_FORMULAS}: store these instead\n{as_text}"
    changed = {name for name, same in zip(FEATURES, np.isclose(rows, golden, rtol=1e-5, atol=1e-6).all(axis=0), strict=True) if not same}
    assert not changed, f"the formulas of {sorted(changed)} have changed: count FORMULAS up, and store the new rows here"
