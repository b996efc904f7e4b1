"""The judge of headlines on real ones."""

import csv
import json
from pathlib import Path

from hub.headline.injection import speaks_to_a_machine
from hub.headline.words import words
from plugins.news.assets import Assets
from trainer.headlines import learn, read_labelled

PAGE = (Path(__file__).parents[2] / "docs" / "sentiment.md").read_text(encoding="utf-8")


def test_on_headlines_that_were_not_learnt_from_the_shipped_way_beats_the_usual_one(shared_data: Path) -> None:
    """Five folds; TF-IDF with logistic regression reaches 0.61, VADER 0.42."""
    figures = learn(read_labelled(shared_data / "news" / "cryptolin_headlines.csv")).figures
    assert figures["lexicon and weights"]["macro_f1"] >= 0.61
    assert figures["lexicon alone"]["macro_f1"] >= 0.54
    for name in ("lexicon and weights", "weights alone", "lexicon alone"):
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| {name}")]
        assert row.split("|")[2:6] == [
            f" {figures[name][of]:.3f} ".replace("0.", ".") for of in ("macro_f1", "negative", "neutral", "positive")
        ]
    assert min(figures["lexicon and weights"][label] for label in ("negative", "neutral", "positive")) > 0.5


def test_real_headlines_are_hardly_ever_taken_for_orders_to_a_machine(shared_data: Path) -> None:
    with (shared_data / "news" / "cryptolin_headlines.csv").open(encoding="utf-8") as stream:
        titles = [row["text"] for row in csv.DictReader(stream)]
    with (shared_data / "news" / "newsapi_crypto_articles.jsonl").open(encoding="utf-8") as lines:
        titles += [json.loads(line)["title"] for line in lines]
    assert sum(speaks_to_a_machine(title, words(title)) for title in titles) <= len(titles) // 500


def test_of_real_articles_those_about_our_assets_are_kept(shared_data: Path) -> None:
    """The noise of a search (packages, gossip) names none of them."""
    assets = Assets(("BTC-USDT", "ETH-USDT"), {})
    with (shared_data / "news" / "newsapi_crypto_articles.jsonl").open(encoding="utf-8") as lines:
        articles = [json.loads(line) for line in lines]
    kept = [article for article in articles if assets.in_headline(article["title"])]
    assert 0.4 < len(kept) / len(articles) < 0.9
    left = [article["title"].lower() for article in articles if article not in kept]
    assert [title for title in left if "bitcoin" in title.split() and "bitcoin cash" not in title] == []
    assert sum(article["source"] == "Pypi.org" for article in kept) <= sum(article["source"] == "Pypi.org" for article in articles) // 2
