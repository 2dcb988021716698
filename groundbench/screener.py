"""The risk of one live answer, from its own prompt and evidence: cheap enough to stand beside generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groundbench.adapter import Adapter
from groundbench.errors import BadInputError
from groundbench.question import Question
from groundbench.registry import open_model
from groundbench.result_screening import IsotonicFit, LogisticFit, RiskCard
from groundbench.screening.activity import Head, activity, given_heads, watch
from groundbench.screening.asking import ask, read_questions
from groundbench.screening.calibration import predict
from groundbench.screening.lens_entropy import lens_entropies, middle_layers
from groundbench.screening.signals import Signal, behaviour, choose, of_heads
from groundbench.testbed import EnvSegment, ImageSegment, ImageSource, Prompt, Segment, TextSegment

Fit = IsotonicFit | LogisticFit
Evidence = str | tuple[int, int] | ImageSource


@dataclass(frozen=True)
class SignalRisk:
    """One signal of one answer.

    Attributes:
        value: the signal itself; it rises with the risk.
        risk: the chance that the answer is wrong, by the card's calibration; None without one.
        cost: what it took.
    """

    name: str
    value: float
    risk: float | None
    cost: str


@dataclass(frozen=True)
class AnswerRisk:
    """The risk of one answer: by the asked-for signal that predicts errors best; None where none is calibrated."""

    risk: float | None
    signal: str
    signals: tuple[SignalRisk, ...]


class Screener:
    """Scores single answers of one model with the heads and calibrations of its risk card.

    Args:
        model: an adapter, or what `groundbench.open_model` opens.
        heads: (layer from 1, head from 0) whose activity is watched.
        calibration: by signal, the fit that turns it into a risk (a card's `CalibrationRecord.fit`).
        order: signals from the best predictor of errors on; by default those of `calibration`, in its order.
    """

    def __init__(
        self,
        model: Adapter | str,
        *,
        heads: Sequence[Head] = (),
        calibration: Mapping[str, Fit] | None = None,
        order: Sequence[str] = (),
        **load: Any,
    ) -> None:
        self.adapter = open_model(model, **load) if isinstance(model, str) else model
        self.heads = given_heads(self.adapter.info, heads).heads if heads else ()
        self.calibration = dict(calibration or {})
        self.order = tuple(order) or tuple(self.calibration)

    @classmethod
    def load(cls, folder: str | Path, model: Adapter | str | None = None, **load: Any) -> Screener:
        """The screener of a card: a screening's directory or its card.json.

        Args:
            model: the model where the card's own name does not open it.

        Raises:
            BadInputError: there is no card, or the model is not the one that was screened.
        """
        card = RiskCard.load(Path(folder))
        measured = sorted(
            (s for s in card.signals if s.calibration), key=lambda s: -(0.5 if s.auroc_fit is None else s.auroc_fit)
        )
        made = cls(
            card.model.name if model is None else model,
            heads=() if card.heads is None else card.heads.heads,
            calibration={s.name: s.calibration[0].fit for s in measured},
            **load,
        )
        if made.adapter.info.fingerprint != card.model.fingerprint:
            raise BadInputError(
                f"{folder}: the card is of {card.model.name} with weights {card.model.fingerprint}, but the model has "
                f"weights {made.adapter.info.fingerprint}; screen it first"
            )
        return made

    def risk(
        self,
        prompt: str | Prompt,
        answer: str,
        *,
        evidence: Evidence | None = None,
        signals: Sequence[str] = ("heads",),
        without: str | Prompt | None = None,
        mismatched: Sequence[str | Prompt] = (),
        candidates: Sequence[str] = (),
    ) -> AnswerRisk:
        """The risk that `answer` is wrong.

        Args:
            prompt: what stands before the answer.
            evidence: the part of the prompt that the answer should rest on: its text, which must stand there once, its
                span in characters, or an image, which then stands before the prompt. Not for a `Prompt`, which has it.
            signals: names or families; heads cost one forward and one backward pass through the last position, gain
                one forward pass and one for each comparison, probability and entropy one.
            without, mismatched: for gain and contrast, the prompt without evidence and with other evidence.
            candidates: for probability, entropy and contrast, the other answers that it might have been.

        Raises:
            BadInputError: the evidence is not in the prompt, or a signal lacks what it needs.
        """
        chosen = choose(tuple(signals))
        question = self._question(prompt, answer, evidence, without, mismatched, candidates)
        self._require(chosen, question, candidates)
        values = self._values(chosen, question)
        found = tuple(self._scored(s, values[s.name]) for s in chosen if s.name in values)
        ranked = sorted(found, key=lambda s: self.order.index(s.name) if s.name in self.order else len(self.order))
        return AnswerRisk(ranked[0].risk, ranked[0].name, found)

    def _question(
        self,
        prompt: str | Prompt,
        answer: str,
        evidence: Evidence | None,
        without: str | Prompt | None,
        mismatched: Sequence[str | Prompt],
        candidates: Sequence[str],
    ) -> Question:
        shown = prompt if isinstance(prompt, Prompt) else with_evidence(prompt, evidence)
        others = tuple(c for c in dict.fromkeys(candidates) if c != answer) or (_another(answer),)
        return Question(
            id="live",
            kind="live",
            form="live",
            group="live",
            prompt=shown,
            without=None if without is None else _plain(without),
            mismatched=tuple(_plain(p) for p in mismatched),
            answers=(answer, *others),
            truth=0,
        )

    def _require(self, chosen: Sequence[Signal], question: Question, candidates: Sequence[str]) -> None:
        lacks = {
            "heads": None if self.heads else "heads: load a card with detected heads, or give heads=",
            "without": None if question.without is not None else "without=, the prompt without its evidence",
            "mismatched": None if question.mismatched else "mismatched=, the prompt with other evidence",
            "candidates": None if candidates else "candidates=, the other answers it might have been",
        }
        for signal in chosen:
            missing = lacks.get(signal.needs)
            if signal.name == "contrast" and missing is None:
                missing = lacks["candidates"]
            if missing is not None and not (signal.name == "gain-mismatched" and question.without is not None):
                raise BadInputError(f"the signal {signal.name!r} needs {missing}")

    def _values(self, chosen: Sequence[Signal], question: Question) -> dict[str, float]:
        families = {s.family for s in chosen}
        answering = bool(families & {"gain", "probability", "entropy", "contrast"})
        asked = read_questions(self.adapter, [question], others=answering)
        found: dict[str, float] = {}
        if answering:
            answers = ask(self.adapter, asked)
            found |= {n: float(v[0]) for n, v in behaviour(answers, np.array([0])).items()}
        if "heads" in families:
            first = np.array([0])
            saliency = watch(self.adapter, asked, first, first)
            found |= {n: float(v[0]) for n, v in of_heads(activity(saliency, self.heads)).items()}
        if "lens" in families:
            layers = middle_layers(self.adapter.info)
            found["lens-entropy"] = float(lens_entropies(self.adapter, [asked.row(0)], layers)[0])
        return {n: v for n, v in found.items() if not np.isnan(v)}

    def _scored(self, signal: Signal, value: float) -> SignalRisk:
        fit = self.calibration.get(signal.name)
        risk = None if fit is None else float(predict(fit, np.array([value]))[0])
        return SignalRisk(signal.name, value, risk, signal.cost)


def with_evidence(prompt: str, evidence: Evidence | None) -> Prompt:
    """A prompt whose evidence is marked. Raises BadInputError where the evidence is not in it, or not once."""
    if evidence is None:
        raise BadInputError("evidence is missing: expected a part of the prompt, its span in characters, or an image")
    if not isinstance(evidence, str | tuple):
        return Prompt("live", "", "image", (ImageSegment(evidence), TextSegment(prompt)))
    if isinstance(evidence, str):
        if not evidence or prompt.count(evidence) != 1:
            raise BadInputError(
                f"the evidence {evidence[:40]!r} stands {prompt.count(evidence) if evidence else 0} times in the "
                "prompt, expected once; give its span in characters instead"
            )
        start = prompt.index(evidence)
        evidence = (start, start + len(evidence))
    a, b = evidence
    if not 0 <= a < b <= len(prompt):
        raise BadInputError(f"the evidence's span is {evidence}; expected (start, end) within {len(prompt)} characters")
    parts: list[Segment] = [TextSegment(prompt[:a]), EnvSegment(prompt[a:b]), TextSegment(prompt[b:])]
    return Prompt("live", "", "text", tuple(p for p in parts if not (isinstance(p, TextSegment) and not p.text)))


def _plain(prompt: str | Prompt) -> Prompt:
    return prompt if isinstance(prompt, Prompt) else Prompt("live", "", "text", (TextSegment(prompt),))


def _another(answer: str) -> str:
    """A second candidate where none is given: a question has two; nothing that is returned depends on it."""
    return "no" if answer != "no" else "yes"
