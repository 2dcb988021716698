"""What is drawn: R² of every model, heads of those that have some, and what cutting them did."""

from __future__ import annotations

from pathlib import Path

from planted_runs import planted

from groundbench.reproduction import page
from groundbench.reproduction.figures import write_figures

RUNS = (planted(), planted("lstm", "groundbench_lstm"))


def test_r2_of_an_lstm_is_drawn_and_tabled_and_its_heads_are_not(tmp_path: Path) -> None:
    write_figures(RUNS, tmp_path)
    drawn = {name: (tmp_path / f"all-{name}.svg").read_text() for name in ("r2", "heads")}
    assert [">lstm<" in text for text in drawn.values()] == [True, False]
    study = page.Study(RUNS, (), None, (), 0)
    models = {t.caption.split()[0]: {row[0] for row in t.rows} for t in study.evidence()}
    assert models["Adjusted"] == {"gpt2", "lstm"}
    assert "lstm" not in models["Aggregate"]
