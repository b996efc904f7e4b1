"""`trainer headlines`: learning from labelled headlines, and refusing what is none."""

import json
import random
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.headline.judge import Judge, Weights
from tests.publishing import trainer
from trainer.headlines import learn, read_labelled

MADE_UP = {"positive": "florb", "neutral": "quux", "negative": "zonk"}


def labelled(folder: Path, count: int = 120) -> Path:
    """A language of three words that the lexicon does not know."""
    chance = random.Random(1)
    rows = [f"{'bitcoin ' * chance.randint(1, 3)}{word} today,{label}" for label, word in MADE_UP.items() for _ in range(count // 3)]
    (folder / "labelled.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return folder / "labelled.csv"


def test_words_that_the_lexicon_does_not_know_are_learnt(tmp_path: Path) -> None:
    learnt = learn(read_labelled(labelled(tmp_path)))
    assert learnt.figures["lexicon and weights"]["macro_f1"] == 1.0
    assert learnt.figures["lexicon alone"]["macro_f1"] < 0.5
    judge = Judge(learnt.weights)
    assert [found.label for found in judge.judge([f"ether {word}" for word in MADE_UP.values()])] == list(MADE_UP)


def test_the_command_writes_the_same_weights_again(tmp_path: Path) -> None:
    labelled(tmp_path)
    for name in ("one.npz", "two.npz"):
        answer = trainer(tmp_path, "headlines", "labelled.csv", "--out", name, "--json")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["n"] == 120
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert Weights.load(tmp_path / "one.npz").text.any()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "columns text and label"),
        ("text,label\nx,good\n", "labelled.csv:2: label 'good'"),
        ("text,label\nx,positive\n", "at least 30"),
    ],
)
def test_what_is_no_labelled_file_is_refused_in_words(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "labelled.csv").write_text(content)
    with pytest.raises(HubError, match=words):
        read_labelled(tmp_path / "labelled.csv")
    with pytest.raises(HubError, match="cannot be read"):
        read_labelled(tmp_path / "nothing.csv")
