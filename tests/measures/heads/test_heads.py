"""Detection and counting on saliency made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundbench.api.adapter import Mixer
from groundbench.api.errors import BadInputError
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import (
    HeadRule,
    all_head_records,
    describe_heads,
    detect_heads,
    headline_rule,
    shares,
    standard_rules,
)

MIXERS = (Mixer(1, "attention", 2, 8), Mixer(3, "ssd", 1, 8))


def made(edge, *, row_sum=None, null=None, total=None, gathered=None, span=1, length=10, nouns=None) -> HeadSaliency:
    edge = np.asarray(edge, np.float32)
    items, heads = edge.shape

    def array(value, fill):
        return np.full((items, heads), fill, np.float32) if value is None else np.asarray(value, np.float32)

    sums, ones = array(row_sum, 1.0), np.ones((items, 2), np.float32)
    return HeadSaliency(
        mixers=MIXERS,
        nouns=tuple(nouns or [f"n{i}" for i in range(items)]),
        frames=tuple("fg"[i % 2] for i in range(items)),
        length=np.full(items, length, np.int32),
        span=np.full((items, 2), span, np.int32),
        surprisal=np.zeros(items, np.float32),
        edge=edge,
        null_edge=array(null, 0.1),
        row_sum=sums,
        row_offdiagonal=sums * 0.5,
        signed_edge=edge,
        signed_row=sums,
        layer_edge=ones,
        layer_row=ones,
        total_sum=None if total is None else array(total, 1.0),
        total_offdiagonal=None if total is None else array(total, 1.0) * 0.5,
        gathered=None if gathered is None else array(gathered, 0.0),
        null_gathered=None if gathered is None else array(None, np.nan),
    )


def test_a_head_is_detected_from_the_threshold_on():
    s = made([[0.29, 0.30, 0.31]])
    assert detect_heads(s, HeadRule(threshold=np.float32(0.30))).tolist() == [[False, True, True]]
    assert detect_heads(s, HeadRule(diagonal=False)).tolist() == [[True, True, True]]  # half of the row is on itself


def test_heads_without_any_saliency_are_not_detected_and_have_no_share():
    s = made([[0.0, 0.9, 0.9]], row_sum=[[0.0, 1.0, 1.0]])
    assert detect_heads(s, HeadRule()).tolist() == [[False, True, True]]
    assert np.isnan(shares(s, HeadRule()).share[0, 0])
    assert [(h.layer, h.head) for h in describe_heads(s, HeadRule()).by_head] == [(1, 1), (3, 0)]


def test_the_magnitude_list_asks_for_lift_and_for_a_part_of_the_model():
    rule = HeadRule(ranking="magnitude")
    tiny = made([[0.9, 0.0009, 0.9]], row_sum=[[1.0, 0.001, 1.0]])
    assert detect_heads(tiny, rule).tolist() == [[True, False, True]]
    long = made([[0.4, 0.9, 0.59]], span=3)  # expected by length alone: 0.3
    assert detect_heads(long, rule).tolist() == [[False, True, False]]
    assert shares(long, rule).lift[0] == pytest.approx([4 / 3, 3.0, 0.59 / 0.3])
    assert headline_rule(tiny).ranking == "share"
    assert headline_rule(long).ranking == "magnitude"


def test_counts_layers_and_intervals():
    s = made([[0.9, 0.9, 0.9], [0.9, 0.1, 0.1], [0.1, 0.1, 0.9], [0.1, 0.1, 0.1]], nouns=["a", "a", "b", "b"])
    record = describe_heads(s, HeadRule(), untrained=made([[0.5, 0.1, 0.1]]))
    assert record.mean_count == pytest.approx(1.25)  # 3, 1 | 1, 0
    assert record.ci_low < record.mean_count < record.ci_high
    assert record.mean_layer == pytest.approx((1 + 1 + 3 + 1 + 3) / 5)
    assert record.untrained_count == 1.0
    assert record.null_count == 0.0
    assert [h.rate for h in record.by_head] == [0.5, 0.25, 0.5]
    assert [t.mean_count for t in record.stability] == pytest.approx([3.0, 1.25, 1.25, 1.25, 1.25])


def test_the_null_count_leaves_out_prompts_without_room():
    s = made([[0.5] * 3] * 3, null=[[0.9, 0.9, 0.1], [np.nan] * 3, [0.1, 0.1, 0.1]])
    assert describe_heads(s, HeadRule()).null_count == 1.0
    assert describe_heads(made([[0.5] * 3], null=[[np.nan] * 3]), HeadRule()).null_count is None


def test_nothing_detected_is_a_count_of_zero_and_no_layer():
    record = describe_heads(made([[0.1, 0.1, 0.1]] * 2), HeadRule())
    assert (record.mean_count, record.mean_layer, record.untrained_count) == (0.0, None, None)


def test_gather_heads_need_the_total():
    with pytest.raises(BadInputError, match="gather heads need the denominator 'total'"):
        HeadRule("gather", "row")
    with pytest.raises(BadInputError, match="only the prediction rows were measured"):
        detect_heads(made([[0.5] * 3]), HeadRule("gather", "total"))
    with pytest.raises(BadInputError, match="denominator 'total' was not measured"):
        detect_heads(made([[0.5] * 3]), HeadRule(denominator="total"))
    s = made([[0.5] * 3], total=[[1.0, 2.0, 4.0]], gathered=[[0.5, 0.5, 0.5]])
    assert detect_heads(s, HeadRule("gather", "total")).tolist() == [[True, False, False]]
    assert describe_heads(s, HeadRule("gather", "total")).null_count is None


def test_every_definition_is_described_once_the_headline_first():
    rows_only = made([[0.5] * 3])
    full = made([[0.5] * 3], total=[[1.0] * 3], gathered=[[0.5] * 3])
    assert len(set(standard_rules(rows_only))) == len(standard_rules(rows_only)) == 5
    assert len(set(standard_rules(full))) == len(standard_rules(full)) == 13
    first, *_ = all_head_records(full, untrained=full)
    assert (first.kind, first.denominator, first.selection, first.diagonal) == ("aggregate", "row", "share", True)


def test_saliency_is_selected_joined_saved_and_read(tmp_path: Path):
    s = made([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], total=[[1.0] * 3] * 2, gathered=[[0.5] * 3] * 2)
    back = HeadSaliency.concat([s.select([1]), s.select([0])]).select([1, 0])
    assert back.nouns == s.nouns
    np.testing.assert_array_equal(back.edge, s.edge)
    s.save(tmp_path / "s.npz")
    again = HeadSaliency.load(tmp_path / "s.npz")
    assert again.mixers == s.mixers
    assert again.layer_total is None
    np.testing.assert_array_equal(again.null_gathered, s.null_gathered)
    assert again.head_layer.tolist() == [1, 1, 3]
    assert again.head_number.tolist() == [0, 1, 0]
    (tmp_path / "broken.npz").write_bytes(b"no")
    with pytest.raises(BadInputError, match=r"broken\.npz: not a saliency file"):
        HeadSaliency.load(tmp_path / "broken.npz")
    assert len(replace(s, nouns=("x", "y"))) == 2
