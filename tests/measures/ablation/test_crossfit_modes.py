"""Cross-fitted ablation in every mode and at every valid place, on models whose heads are planted (protocol §11)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.planted import PLANTED, PlantedTestbed
from helpers.salient import Salient, cut
from helpers.tolerances import nats

from groundbench.adapters.huggingface import open_causal
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.measures.ablation.crossfit import crossfit
from groundbench.measures.ablation.head_edits import EditStyle
from groundbench.measures.heads.heads import HeadRule
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency
from groundbench.results.run import AblationRecord

BED = PlantedTestbed()
RULE = HeadRule(ranking="magnitude")
CUTTING = [
    EditStyle("zero", "all"),
    EditStyle("zero", "last"),
    EditStyle("mean", "all"),
    EditStyle("mean", "last"),
    EditStyle("resample", "last"),
    EditStyle("scale", "all", 0.0),
    EditStyle("scale", "last", 0.0),
]


@pytest.fixture(scope="module", params=sorted(PLANTED))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Salient:
    planted = PLANTED[request.param](tmp_path_factory.mktemp("planted") / request.param)
    adapter = open_causal(str(planted.folder))
    contexts = build_contexts(adapter, BED, BED.form("token"))
    saliency = measure_saliency(adapter, matched_items(contexts), SaliencyOptions(denominator="total"))
    return Salient(adapter, contexts, score(adapter, contexts), saliency=saliency)


def removed(subject: Salient, style: EditStyle) -> AblationRecord:
    (record,) = crossfit(subject, subject.saliency, cut(rule=RULE, edit=style, draws=2, controls=("uniform",)))
    return record


@pytest.mark.parametrize("style", CUTTING, ids=lambda s: f"{s.mode}-{s.positions}")
def test_every_mode_removes_the_gain_at_every_place_and_names_itself(subject: Salient, style: EditStyle) -> None:
    record = removed(subject, style)
    assert (record.mode, record.positions) == (style.mode, style.positions)
    assert record.n_heads == 1
    assert record.gain_original > 1
    if style.mode == "resample":  # another noun's output: its noun is expected instead, so the gain may turn round
        assert record.gain_ablated < 1e-3
    else:
        assert abs(record.gain_ablated) < 1e-3
    assert record.ablated > record.original + 1


@pytest.mark.parametrize("positions", ["all", "last"])
def test_the_factor_of_scale_grades_the_effect(subject: Salient, positions: Any) -> None:
    none, half, same, more = (removed(subject, EditStyle("scale", positions, f)).gain_ablated for f in (0, 0.5, 1, 1.5))
    assert none < half < same < more
    assert same == nats(removed(subject, EditStyle()).gain_original, subject.table.surprisal)
    assert none == pytest.approx(removed(subject, EditStyle("zero", positions)).gain_ablated, abs=1e-9)


def test_a_full_disk_leaves_no_unfinished_saliency(
    subject: Salient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        with pytest.raises(OSError, match="No space left"):
            subject.saliency.save(tmp_path / "s.npz")
    assert list(tmp_path.iterdir()) == []
    subject.saliency.save(tmp_path / "s.npz")
    assert type(subject.saliency).load(tmp_path / "s.npz").nouns == subject.saliency.nouns
