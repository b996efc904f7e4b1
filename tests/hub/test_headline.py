"""How headlines are cleaned and judged, where no language model is."""

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.headline.gemma import checked, judgement
from hub.headline.injection import speaks_to_a_machine
from hub.headline.judge import LABELS, Judge
from hub.headline.lexicon import opinion
from hub.headline.plain_text import LONGEST, is_same_story, plain_text, story_of
from hub.headline.words import stem, words
from tests.plugins.news.injections import INJECTIONS

JUDGE = Judge()
with (Path(__file__).parent / "headlines.csv").open(encoding="utf-8") as stream:
    OURS = [(row["label"], row["text"]) for row in csv.DictReader(stream)]


def label(text: str) -> str:
    return JUDGE.judge([text])[0].label


def f1(told: list[tuple[str, str]]) -> float:
    """Macro-F1 of (right label, label given)."""
    found = []
    for each in LABELS:
        right = sum(one == other == each for one, other in told)
        found.append(2 * right / max(1, sum(one == each for one, _ in told) + sum(other == each for _, other in told)))
    return sum(found) / len(found)


def test_headlines_that_were_never_tuned_on_are_judged_as_a_person_would() -> None:
    """Every second of a list that was written before the lexicon; the weights alone reach .75 of it, VADER .56."""
    assert f1([(right, label(text)) for right, text in OURS[1::2]]) >= 0.88


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Bitcoin plunges 8%", "negative"),
        ("Hack drains $200M from bridge", "negative"),
        ("Stablecoin depegs", "negative"),
        ("No evidence of hack, exchange says", "positive"),
        ("Regulator drops lawsuit against exchange", "positive"),
        ("Bitcoin does not recover", "negative"),
        ("Bitcoin ETF outflows surge", "negative"),
        ("Bitcoin ETF inflows surge", "positive"),
        ("Ethereum fees fall sharply", "positive"),
        ("Bitcoin +7% on the day", "positive"),
        ("Bitcoin -7% on the day", "negative"),
        ("Bitcoin trades sideways", "neutral"),
        ("What is a blockchain?", "neutral"),
        ("", "neutral"),
        ("\u00bfQu\u00e9 es bitcoin?", "neutral"),
    ],
)
def test_the_little_grammar_turns_words_round(text: str, right: str) -> None:
    assert label(text) == right


def test_the_forms_of_a_word_are_one() -> None:
    for forms in ("plunge plunges plunged plunging", "rally rallies rallied rallying", "drop drops dropped dropping", "loss losses"):
        assert len({stem(word) for word in forms.split()}) == 1, forms


def test_words_keep_signs_percentages_and_negation() -> None:
    assert words("BTC isn\u2019t down, it\u2019s +7.5% at $1,000 \u2014 \u201cETF\u201d-driven") == [
        *("btc", "is", "n't", "down", "it", "+7.5%", "at", "$1,000", "etf", "driven")
    ]


@given(st.text(max_size=400))
def test_any_text_has_a_score_that_can_be(text: str) -> None:
    [found] = JUDGE.judge([text])
    assert -1.0 <= found.score <= 1.0
    assert math.isfinite(found.score)
    assert found.label in LABELS
    assert found.label != "positive" or found.score > 0
    assert found.label != "negative" or found.score < 0
    assert -1.0 <= opinion(text).score <= 1.0


@given(st.lists(st.sampled_from([text for _, text in OURS]), max_size=5))
def test_each_headline_is_judged_by_itself(texts: list[str]) -> None:
    assert JUDGE.judge(texts) == [JUDGE.judge([text])[0] for text in texts]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=500))
def test_plain_text_is_one_short_visible_line_and_clean_already(raw: str) -> None:
    """N2: cleaned twice is cleaned once."""
    found = plain_text(raw)
    assert len(found) <= LONGEST
    assert not any(not letter.isprintable() for letter in found)
    assert found == " ".join(found.split())


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<b>Bitcoin</b> &amp; ether<script>alert(1)</script>", "Bitcoin & ether"),
        ("&lt;img src=x onerror=alert(1)&gt;Bitcoin", "Bitcoin"),
        ("Bit\u200bcoin\u202e up\x1b[31m red\x07", "Bitcoin up red"),
        ("\ud800Bitcoin\udfff", "Bitcoin"),
        ("\uff22\uff34\uff23 \u2460", "BTC 1"),
        ("a\r\n\tb\u2028c", "a b c"),
        ("5 < 6 and 7 > 2", "5 < 6 and 7 > 2"),
        ("\x1b]0;title\x07Bitcoin", "Bitcoin"),
    ],
)
def test_markup_and_hidden_signs_are_taken_out(raw: str, clean: str) -> None:
    assert plain_text(raw) == clean


def test_a_megabyte_of_title_is_cut() -> None:
    assert len(plain_text("x" * 1_000_000)) == LONGEST
    assert len(plain_text("<" * 1_000_000)) <= LONGEST


def test_two_tellings_of_one_story_are_one() -> None:
    one, two = story_of("Bitcoin surges past $100,000 to record high"), story_of("BITCOIN Surges Past $100,000 to a Record High!")
    assert is_same_story(one, two)
    assert not is_same_story(one, story_of("Bitcoin slides below $90,000"))


def test_orders_to_a_machine_are_no_headlines() -> None:
    missed = [text for text in INJECTIONS if not speaks_to_a_machine(text, words(text))]
    assert missed == []
    assert all(found.score == 0.0 for found in JUDGE.judge(INJECTIONS))


def test_headlines_are_no_orders_to_a_machine() -> None:
    assert [text for _, text in OURS if speaks_to_a_machine(text, words(text))] == []


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_language_models_influence_is_bounded_by_the_lexicon(said: float, lexicon: float) -> None:
    found, at_odds = checked(judgement(said, "gemma"), judgement(lexicon, "lexicon"))
    assert abs(found.score) <= max(0.5, abs(round(said, 4)) if said * lexicon > 0 else 0.5)
    assert not at_odds or found.score == 0.0
