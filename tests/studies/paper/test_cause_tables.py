"""The tables of cause say what was planted: which layers come first by which ranking, and where cut edges cost most."""

from __future__ import annotations

from helpers.planted_runs import planted

from groundbench.studies.paper.cause_tables import carriers_table, first_layer_mean, knockout_table


def test_the_last_measured_checkpoint_of_each_seed_has_its_row() -> None:
    table = carriers_table([planted(few=(None, 0.2, 0.5, None)), planted("blind", few=(None,) * 4)])
    assert [row[:3] for row in table.rows] == [("gpt2", str(s), "2\u2009000") for s in "abc"]
    (row, *_) = table.rows
    shown = dict(zip(table.head, row, strict=True))
    assert shown["Heads"] == "10 of 270"
    assert shown["Recovered"] == "0.48 [0.43, 0.53]"
    assert shown["Random heads"] == "0.01"
    assert shown["Mean layer, by contrast"] == "29.9"  # nine heads of layer 30, one of layer 29


def test_a_ranking_without_enough_heads_has_no_layer() -> None:
    record = planted().trajectories[0].points[-1].result.causal[0]
    assert first_layer_mean(record, "contrast", 9) == 30
    assert first_layer_mean(record, "contrast", len(record.scores) + 1) is None


def test_the_window_that_costs_most_is_named() -> None:
    rows = knockout_table([planted(seeds=1)]).rows
    assert rows == (("gpt2", "a", "4\u2009000", "prediction position from ENV", "23-30 of 8", "0.77 [0.72, 0.82]"),)
