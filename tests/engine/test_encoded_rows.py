"""Rows kept as numbers are the rows that were added; equal ones are found; a context costs little memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import yaml
from helpers.tiny_models import tiny, word_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded, ImageGrid
from groundbench.engine.contexts import build_contexts, of_pairs
from groundbench.engine.encoded_rows import EncodedRows, Selection, read_column
from groundbench.engine.scoring import score
from groundbench.registry import load_testbed

PLAIN = st.builds(
    Encoded,
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple),
    st.lists(st.sampled_from([(0, 1), (1, 2), (1, 3)]), max_size=2).map(tuple),
)
PICTURE = st.builds(
    lambda ids, handle: Encoded(
        tuple(ids), images=(handle,), boxes=(None,), image_spans=((0, 1),), grids=(ImageGrid(0, 1, 1),)
    ),
    st.lists(st.integers(0, 1), min_size=1, max_size=2),
    st.sampled_from(["cat.png", "dog.png"]),
)
ROWS = st.lists(st.one_of(PLAIN, PICTURE), max_size=30)


@given(ROWS, st.integers(0, 30))
def test_rows_are_those_that_were_added(rows: list[Encoded], cut: int) -> None:
    kept = EncodedRows(rows[:cut])
    kept.extend(rows[cut:])
    assert list(kept) == rows
    assert [kept[i] for i in range(-len(rows), 0)] == rows
    assert kept[1:-1] == rows[1:-1]
    assert read_column(kept, EncodedRows.lengths).tolist() == [len(row) for row in rows]
    assert read_column(kept, EncodedRows.with_images).tolist() == [bool(row.images) for row in rows]


@given(ROWS)
def test_equal_rows_have_a_number_in_common_and_others_have_not(rows: list[Encoded]) -> None:
    for kept in (EncodedRows(rows), rows):
        numbers = read_column(kept, EncodedRows.first_equal).tolist()
        assert [[a == b for b in rows] for a in rows] == [[m == n for n in numbers] for m in numbers]


@given(ROWS.filter(bool), st.data())
def test_a_selection_of_a_selection_holds_what_it_names(rows: list[Encoded], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
    again = data.draw(st.lists(st.integers(0, len(index) - 1), max_size=9))
    chosen = Selection(Selection(EncodedRows(rows), np.array(index)), np.array(again, dtype=np.int64))
    expected = [rows[index[k]] for k in again]
    assert list(chosen) == expected
    assert chosen[:2] == expected[:2]
    assert read_column(chosen, EncodedRows.lengths).tolist() == [len(row) for row in expected]
    assert read_column(chosen, EncodedRows.with_images).tolist() == [bool(row.images) for row in expected]
    numbers = read_column(chosen, EncodedRows.first_equal).tolist()
    assert [[a == b for b in expected] for a in expected] == [[m == n for n in numbers] for m in numbers]


MOST_BYTES = 400
"""A context's: its tokens, its place in tables and plans, and its surprisals; as Python objects it was 6,600."""


def retained(folder: Path, frames: int) -> tuple[int, int]:
    """Contexts of a testbed with so many frames, and the bytes that they and their table hold."""
    nouns = [{"word": f"w{k}", "category": "things", "article": "a", "plural": f"w{k}"} for k in range(10, 30)]
    bed = {
        "name": "many",
        "version": "1",
        "natural_language": False,
        "frame_kind": "shared",
        "nouns": nouns,
        "forms": {"word": {"description": "the word itself", "template": "{noun}"}},
        "frames": {f"f{f}": f"w1 w{f % 50} {{env}} w{f // 50} w4" for f in range(frames)},
    }
    (folder / "bed.yaml").write_text(yaml.safe_dump(bed))
    testbed = load_testbed(str(folder / "bed.yaml"))
    adapter = HFCausal(tiny("llama"), word_tokenizer(), name="tiny")
    build_contexts(adapter, testbed, testbed.form("word"), nouns=["w10", "w11"])  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        contexts = build_contexts(adapter, testbed, testbed.form("word"), mismatches=2)
        adapter.encoder._joins.clear()  # bounded: see the test of the tokenizer
        table = score(adapter, contexts)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(table.surprisal) == 3 * len(contexts)
    return len(contexts), held


def test_a_context_costs_few_bytes(tmp_path: Path) -> None:
    (few, less), (many, more) = (retained(tmp_path, frames) for frames in (60, 360))
    assert (more - less) / (many - few) < MOST_BYTES


def test_a_pair_shares_its_targets_with_others(tmp_path: Path) -> None:
    retained(tmp_path, 2)
    testbed = load_testbed(str(tmp_path / "bed.yaml"))
    contexts = build_contexts(HFCausal(tiny("llama"), word_tokenizer(), name="tiny"), testbed, testbed.form("word"))
    pairs = of_pairs(contexts, np.array([0, 20, 0]), np.array([3, 3, 4]))
    assert pairs.targets(0) is pairs.targets(1)
    assert pairs.targets(2).nouns == (4,)
