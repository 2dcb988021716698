"""The noun inventory: complete, consistent, and in agreement with published CDI categories."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from groundbench.tasks.nouns import inventory, word_forms


def data_folder() -> Path:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("GROUNDBENCH_DATA", beside))


def test_inventory_has_the_hundred_nouns_in_order() -> None:
    words = [n.word for n in inventory()]
    assert len(words) == 100
    assert words == sorted(set(words))
    assert {"airplane", "cracker", "refrigerator", "window"} <= set(words)


def test_articles_follow_the_first_sound() -> None:
    for noun in inventory():
        assert noun.article == ("an" if noun.word[0] in "aeiou" else "a"), noun


def test_plurals_are_distinct_words() -> None:
    same = {n.word for n in inventory() if n.plural == n.word}
    assert same == {"sheep", "money"}
    assert len(word_forms()) == 200 - len(same)
    assert word_forms()["feet"] == "foot"


def test_categories_agree_with_the_cdi_table() -> None:
    table = data_folder() / "lexical" / "cdi_nouns_multilingual.tsv"
    if not table.exists():
        pytest.skip(f"no CDI table at {table}")
    with table.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    published: dict[str, set[str]] = {}
    for row in rows:
        for name in (row["definition"], row["definition"].split(" (")[0], row["uni_lemma"]):
            published.setdefault(name, set()).add(row["category"])
    wrong = {n.word: n.category for n in inventory() if n.category not in published.get(n.word, set())}
    assert wrong == {}
