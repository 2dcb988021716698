"""The risk of one live answer, from its own prompt and evidence: cheap enough to run beside generation."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, Readable
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, ImageSource, Prompt, Segment, TextSegment
from groundbench.engine.contexts import of_prompts
from groundbench.engine.scoring import surprisals
from groundbench.measures.heads.saliency import SaliencyItem, SaliencyOptions, measure_saliency
from groundbench.registry import open_model
from groundbench.results.risk_card import IsotonicFit, LogisticFit, RiskCard
from groundbench.screening.answer_reading import GivenAnswer, read_answer
from groundbench.screening.answer_signals import FUNCTIONS, Watched, aggregate
from groundbench.screening.answering import Answers
from groundbench.screening.calibration import predict
from groundbench.screening.generation_watch import GenerationWatch
from groundbench.screening.given_answers import wanted_for
from groundbench.screening.heads import Head, activity, given_heads, mask_of
from groundbench.screening.induction import induction_heads
from groundbench.screening.lens_entropy import lens_entropies, middle_layers
from groundbench.screening.prompt_length import encode_fitting, require_possible_length
from groundbench.screening.signals import Signal, behaviour, choose, of_heads

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+(:[\w./-]+)?)?")
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


@dataclass(frozen=True)
class _Live:
    """One answer, the first of `choices`, and the prompts it is judged by."""

    prompt: Prompt
    without: Prompt | None
    mismatched: tuple[Prompt, ...]
    choices: tuple[str, ...]


class Screener:
    """Scores single answers of one model with the heads and calibrations of its risk card.

    Args:
        model: an adapter, or what `groundbench.open_model` opens.
        heads: (layer from 1, head from 0) whose activity is watched.
        carriers: the same of heads that carry the gain (a card's `carriers`), for the signals of that name.
        calibration: by signal, the fit that turns it into a risk (a card's `CalibrationRecord.fit`).
        order: signals from the best predictor of errors on; by default those of `calibration`, in its order.
    """

    def __init__(
        self,
        model: Adapter | str,
        *,
        heads: Sequence[Head] = (),
        carriers: Sequence[Head] = (),
        calibration: Mapping[str, Fit] | None = None,
        order: Sequence[str] = (),
        **load: Any,
    ) -> None:
        self.adapter = open_model(model, **load) if isinstance(model, str) else model
        self.heads = given_heads(self.adapter.info, heads).heads if heads else ()
        self.carriers = given_heads(self.adapter.info, carriers).heads if carriers else ()
        self.calibration = dict(calibration or {})
        self.order = tuple(order) or tuple(self.calibration)
        self._induction: npt.NDArray[np.bool_] | None = None
        self._lock = threading.RLock()
        """A model's hooks serve one pass at a time: threads wait for each other."""

    @classmethod
    def load(cls, folder: str | Path, model: Adapter | str | None = None, **load: Any) -> Screener:
        """Return the screener of a card: a screening's directory or its card.json.

        Args:
            model: the model; by default what the card says that it was opened from.
            load: options of loading; by default those that the card names.

        Raises:
            BadInputError: there is no card, it does not say what its model was opened from or that is gone, or the
                model is not the one that was screened.
        """
        card = RiskCard.load(Path(folder))
        if model is None:
            model = _model_of(card, folder)
            load = {**(card.opened.options if card.opened is not None else {}), **load}
        measured = sorted(
            (s for s in card.signals if s.calibration), key=lambda s: -(0.5 if s.auroc_fit is None else s.auroc_fit)
        )
        made = cls(
            model,
            heads=() if card.heads is None else card.heads.heads,
            carriers=() if card.carriers is None else card.carriers.heads,
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
        """Return the risk that `answer` is wrong.

        Args:
            prompt: what stands before the answer.
            evidence: the part of the prompt that the answer should rest on: its text, which must stand there once, its
                span in characters, or an image, which then stands before the prompt. Not for a `Prompt`, which has it.
            signals: names or families (signals of whole answers, such as perplexity, are measured by
                `risk_of_answer`); heads cost one forward and one backward pass through the last position, gain
                one forward pass and one for each comparison, probability and entropy one.
            without: for gain and contrast, the prompt without evidence.
            mismatched: for gain, the prompt with other evidence.
            candidates: for probability, entropy and contrast, the other answers that it might have been.

        Raises:
            BadInputError: the evidence is not in the prompt, or a signal lacks what it needs.
        """
        chosen = choose(tuple(signals))
        if any(s.needs == "answer" for s in chosen):
            return self.risk_of_answer(prompt, answer, evidence=evidence, signals=signals)
        shown = prompt if isinstance(prompt, Prompt) else with_evidence(prompt, evidence)
        live = _Live(
            shown,
            None if without is None else _plain(without),
            tuple(_plain(p) for p in mismatched),
            (answer, *(c for c in dict.fromkeys(candidates) if c != answer)),
        )
        self._require(chosen, live)
        with self._lock:
            values = self._values({s.family for s in chosen}, live)
        found = tuple(self._signal_risk(s, values[s.name]) for s in chosen if s.name in values)
        ranked = sorted(found, key=lambda s: self.order.index(s.name) if s.name in self.order else len(self.order))
        return AnswerRisk(ranked[0].risk, ranked[0].name, found)

    def risk_of_answer(
        self,
        prompt: str | Prompt,
        answer: str,
        *,
        evidence: Evidence | None = None,
        other: str | None = None,
        signals: Sequence[str] = (),
    ) -> AnswerRisk:
        """Compute the risk that a long answer is not supported, by the signals of given answers.

        Args:
            prompt: as for `risk`; the prompt without evidence is the same with nothing in its place.
            evidence: as for `risk`.
            other: another text of evidence to compare with; without it the signals that need one are left out.
            signals: names or families; by default every one that needs no fitting.

        Raises:
            BadInputError: the evidence is not in the prompt, prompt and answer do not fit the model, or no signal could
                be measured.
        """
        shown = prompt if isinstance(prompt, Prompt) else with_evidence(prompt, evidence)
        given = self._given_answer(shown, answer, other)
        chosen = [s for s in choose(tuple(signals), records=True) if s.name in FUNCTIONS]
        with self._lock:
            reading = read_answer(self.adapter, given, wanted_for(chosen))
            info = self.adapter.info
            detected, carriers = mask_of(info, self.heads), mask_of(info, self.carriers)
            watched = Watched(info, detected, self._induction_heads(chosen), carriers)
        found = []
        for signal in chosen:
            values = FUNCTIONS[signal.name](reading, watched)
            value = float("nan") if values is None else aggregate(values)[0]
            if not np.isnan(value):
                found.append(self._signal_risk(signal, value))
        if not found:
            raise BadInputError(f"none of {', '.join(s.name for s in chosen)} could be measured for this answer")
        ranked = sorted(found, key=lambda s: self.order.index(s.name) if s.name in self.order else len(self.order))
        return AnswerRisk(ranked[0].risk, ranked[0].name, tuple(found))

    def risk_many(self, answers: Sequence[tuple[str, str, str]], *, signals: Sequence[str] = ()) -> list[AnswerRisk]:
        """Return the risks of several (prompt, evidence, answer), in their order; each is compared with the evidence of
        another one, nearest in length, where there is one.

        Raises:
            BadInputError: names the number of the answer that cannot be read, from 0.
        """
        evidence = [e for _, e, _ in answers]
        found = []
        for i, (prompt, own, answer) in enumerate(answers):
            others = [e for e in evidence if e != own]
            other = min(others, key=lambda e: (abs(len(e) - len(own)), e)) if others else None
            try:
                found.append(self.risk_of_answer(prompt, answer, evidence=own, other=other, signals=signals))
            except BadInputError as error:
                raise BadInputError(f"answer {i}: {error}") from None
        return found

    def watch(
        self,
        prompt: str | Prompt,
        *,
        evidence: Evidence | None = None,
        other: str | None = None,
        signals: Sequence[str] = (),
        every: int = 8,
        stop_above: float | None = None,
    ) -> GenerationWatch:
        """Return a callback for `model.generate(..., stopping_criteria=[watch])`, which never touches its logits.

        Args:
            prompt: as for `risk_of_answer`.
            evidence: as for `risk_of_answer`.
            other: as for `risk_of_answer`.
            signals: as for `risk_of_answer`.
            every: the answer so far is measured each time so many tokens were added.
            stop_above: stop where the risk of the answer so far is larger; None: never.

        Raises:
            BadInputError: `every` is below 1, or the model's tokens cannot be read as text.
        """

        def judge_answer(answer: str) -> AnswerRisk:
            return self.risk_of_answer(prompt, answer, evidence=evidence, other=other, signals=signals)

        if not isinstance(self.adapter, Readable):
            raise BadInputError(f"{self.adapter.info.name}: its adapter does not show tokens as text")
        return GenerationWatch(judge_answer, self.adapter, every, stop_above)

    def _given_answer(self, shown: Prompt, answer: str, other: str | None) -> GivenAnswer:
        require_possible_length(self.adapter, shown)
        (target,) = self.adapter.encode_targets([answer], shown)
        row = encode_fitting(self.adapter, shown, len(target))
        lent = None if other is None else _in_its_place(shown, EnvSegment(other))
        return GivenAnswer(
            "the answer", row, target, self._encode_prompt(_in_its_place(shown, None)), self._encode_prompt(lent)
        )

    def _encode_prompt(self, prompt: Prompt | None) -> Encoded | None:
        return self.adapter.encode([prompt])[0] if prompt is not None and prompt.segments else None

    def _induction_heads(self, chosen: Sequence[Signal]) -> npt.NDArray[np.bool_]:
        if not any(s.name == "sink" for s in chosen):
            return np.zeros(self.adapter.info.n_heads, dtype=bool)
        if self._induction is None:
            self._induction = induction_heads(self.adapter)
        return self._induction

    def _require(self, chosen: Sequence[Signal], live: _Live) -> None:
        alone = "candidates=, the other answers it might have been"
        lacks = {
            "heads": None if self.heads else "heads: load a card with detected heads, or give heads=",
            "carriers": None if self.carriers else "carriers: load a card that has them, or give carriers=",
            "without": None if live.without is not None else "without=, the prompt without its evidence",
            "mismatched": None if live.mismatched else "mismatched=, the prompt with other evidence",
            "candidates": alone if len(live.choices) < 2 else None,
        }
        lacking = {s: lacks.get(s.needs) or (lacks["candidates"] if s.name == "contrast" else None) for s in chosen}
        for signal, missing in lacking.items():
            together = [s for s in chosen if s.family == signal.family]
            if missing is not None and all(lacking[s] for s in together):  # gain: one comparison is enough
                raise BadInputError(f"the signal {signal.name!r} needs {missing}")

    def _values(self, families: set[str], live: _Live) -> dict[str, float]:
        found: dict[str, float] = {}
        if families & {"gain", "probability", "entropy", "contrast"}:
            found |= {n: float(v[0]) for n, v in behaviour(self._answers(live), np.array([0])).items()}
        if families & {"heads", "carriers", "lens"}:
            (row,) = self.adapter.encode([live.prompt])
            if families & {"heads", "carriers"}:
                (target,) = self.adapter.encode_targets(live.choices[:1], live.prompt)
                item = SaliencyItem(row, target, label="the live answer")
                saliency = measure_saliency(self.adapter, [item], SaliencyOptions(attention=True))
                for family, watched in (("heads", self.heads), ("carriers", self.carriers)):
                    if family in families:
                        told = of_heads(activity(saliency, watched), "heads" if family == "heads" else "carriers")
                        found |= {n: float(v[0]) for n, v in told.items()}
            if "lens" in families:
                layers = middle_layers(self.adapter.info)
                found["lens-entropy"] = float(lens_entropies(self.adapter, [row], layers)[0])
        return {n: v for n, v in found.items() if not np.isnan(v)}

    def _answers(self, live: _Live) -> Answers:
        """Return surprisals of the answer and its candidates after every prompt: one forward pass for each."""
        prompts = [live.prompt, *([live.without] if live.without else []), *live.mismatched]
        targets = [tuple(self.adapter.encode_targets(live.choices, p)) for p in prompts]
        contexts = of_prompts(prompts, self.adapter.encode(prompts), targets, [p.text for p in prompts])
        by_context = surprisals(self.adapter, contexts)
        rows = np.array([by_context[int(i)] for i in contexts.unique], dtype=np.float64)
        blank = rows[1:2] if live.without else np.full((1, rows.shape[1]), np.nan)
        return Answers((), rows[:1], blank, rows[None, len(rows) - len(live.mismatched) :])

    def _signal_risk(self, signal: Signal, value: float) -> SignalRisk:
        fit = self.calibration.get(signal.name)
        risk = None if fit is None else float(predict(fit, np.array([value]))[0])
        return SignalRisk(signal.name, value, risk, signal.cost)


def _in_its_place(prompt: Prompt, evidence: EnvSegment | None) -> Prompt:
    """Return the prompt with other evidence, or none, in the place of its own."""
    at = [i for i, s in enumerate(prompt.segments) if isinstance(s, EnvSegment | ImageSegment)]
    kept = [s for i, s in enumerate(prompt.segments) if i not in at]
    if evidence is not None and at:
        kept.insert(at[0], evidence)
    return replace(prompt, segments=tuple(kept))


def with_evidence(prompt: str, evidence: Evidence | None) -> Prompt:
    """Return a prompt whose evidence is marked. Raises BadInputError where the evidence is not in it, or not once."""
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


def _model_of(card: RiskCard, folder: str | Path) -> str:
    """Return what a card's model is opened from. A file's or folder's bare name is never asked of a hub.

    Raises:
        BadInputError: the card does not say it, or what it names is no longer there.
    """
    name = card.opened.model if card.opened is not None else card.model.name
    give = "give the model: Screener.load(DIR, MODEL)"
    if card.opened is None and not HUB_ID.fullmatch(name):
        raise BadInputError(f"{folder}: the card does not say what {card.model.name} was opened from; {give}")
    if Path(name).is_absolute() and not Path(name).exists():
        raise BadInputError(f"{folder}: {card.model.name} was opened from {name}, which is not there; {give}")
    return name
