"""The heads that carry the gain in a run with the measure `causal`, watched in a screening beside the detected ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_results import fake_causal, fake_result

from groundbench import Screener, screen
from groundbench.adapters.huggingface import HFCausal
from groundbench.api.errors import BadInputError
from groundbench.api.question import Question
from groundbench.engine.provenance import model_record
from groundbench.report.pages import render_card
from groundbench.results.causal import CausalRecord, HeadScore
from groundbench.screening.screen import ScreenOptions

Questions = tuple[Question, ...]


def causal_of(adapter: HFCausal, carriers: tuple[tuple[int, int], ...]) -> CausalRecord:
    """A form in which these heads have the largest contrast."""
    heads = adapter.info.head_index
    scores = tuple(HeadScore(layer=a, head=b, contrast=1.0 if (a, b) in carriers else 0.01) for a, b in heads)
    made = fake_causal("token", recovered=0.9)
    (headline,) = made.interchange
    headline = headline.model_copy(update={"k": len(carriers), "heads": ()})
    return made.model_copy(update={"scores": scores, "n_heads": len(heads), "interchange": (headline,)})


def measured(adapter: HFCausal, folder: Path, *carriers: tuple[int, int]) -> Path:
    """A run directory of this model in which these heads carry the gain; none: of no measure causal."""
    causal = (causal_of(adapter, carriers),) if carriers else ()
    result = fake_result(0).model_copy(update={"model": model_record(adapter.info), "causal": causal})
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "result.json")
    return folder


def test_the_carriers_of_a_run_tell_what_the_same_heads_tell_when_detected(
    planted: HFCausal, naming: Questions, tmp_path: Path
) -> None:
    run = measured(planted, tmp_path / "run", (2, 1))
    card = screen(planted, naming, ScreenOptions(carriers=run), out=tmp_path / "card")
    assert card.carriers is not None
    assert card.carriers.heads == ((2, 1),)
    assert card.carriers.selection == "contrast"
    for name in ("share", "attention", "support"):
        detected, carried = card.signal(f"heads-{name}"), card.signal(f"carriers-{name}")
        assert detected is not None
        assert carried is not None
        assert carried.auroc == detected.auroc
    assert "Carriers watched (layer.head): 2.1" in render_card(card)
    live = Screener.load(tmp_path / "card", planted)
    q = naming[1]
    answers = [
        live.risk(q.prompt, q.choices[0], signals=(s,), candidates=q.choices) for s in ("heads-share", "carriers-share")
    ]
    assert answers[0].signals[0].value == answers[1].signals[0].value


def test_other_heads_tell_something_else(planted: HFCausal, naming: Questions, tmp_path: Path) -> None:
    run = measured(planted, tmp_path, (1, 0), (2, 3))
    card = screen(planted, naming, ScreenOptions(carriers=run, signals=("heads", "carriers")))
    detected, carried = card.signal("heads-support"), card.signal("carriers-support")
    assert detected is not None
    assert carried is not None
    assert detected.auroc != carried.auroc


def test_carriers_are_watched_in_given_answers_of_a_users_file(planted: HFCausal, tmp_path: Path) -> None:
    words = [f"{w}:<LAN>" for w in ("dog", "cup")]
    records = [
        {
            "id": f"r{i}",
            "prompt": f"<CHI> sees:<ENV> the:<ENV> {shown}:<ENV> <MOT> is:<LAN> that:<LAN> your:<LAN>",
            "evidence": f"{shown}:<ENV>",
            "answer": words[i % 2],
            "label": "supported" if words[i % 2].startswith(shown) else "unsupported",
            "group": f"g{i}",
        }
        for i in range(40)
        for shown in (("dog", "cup")[i // 2 % 2],)
    ]
    path = tmp_path / "my.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    run = measured(planted, tmp_path / "run", (2, 1))
    options = ScreenOptions(carriers=run, signals=("carriers", "length"))
    card = screen(planted, [str(path)], options, out=tmp_path / "card")
    assert [s.name for s in card.signals] == ["length", *(f"carriers-{n}" for n in ("share", "attention", "support"))]
    support = card.signal("carriers-support")
    assert support is not None
    assert support.auroc is not None
    assert np.isclose(support.auroc.value or 0.0, 1.0)


def test_what_cannot_name_carriers_is_refused_before_anything_is_asked(
    planted: HFCausal, naming: Questions, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="expected --carriers RUN"):
        screen(planted, naming, ScreenOptions(signals=("carriers-share",)))
    with pytest.raises(BadInputError, match="expected a run with --measure causal"):
        ScreenOptions(carriers=measured(planted, tmp_path / "plain"))
    other = planted.untrained(0)
    assert isinstance(other, HFCausal)
    of_another = ScreenOptions(carriers=measured(other, tmp_path / "other", (2, 1)))
    with pytest.raises(BadInputError, match="expected those of the model that is screened"):
        screen(planted, naming, of_another)
    with pytest.raises(BadInputError, match="nothing"):
        ScreenOptions(carriers=tmp_path / "nothing")
