"""A risk card as plain sentences: what was found, never more than it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.results.text.numbers import NOT_MEASURED, count, number, percent, percent_interval, with_interval

if TYPE_CHECKING:
    from groundbench.results.risk_card import Comparison, Estimated, RiskCard, StrengthenRecord


def headline(card: RiskCard) -> str:
    """Return the card in one sentence."""
    e = card.errors[0]
    if e.error.value is None:
        return " ".join(
            (f"{count(e.error.n)} given answers without labels: a ranking by risk, no error rate.", *of_what(card))
        )
    told = percent_interval(e.error.low, e.error.high)
    ends = f" (95\u202f% interval {told})" if told else ""
    if e.chance is None:
        said = f"{percent(e.error.value, 1)} of {count(e.error.n)} given answers are labelled wrong{ends}."
        return " ".join((said, *of_what(card)))
    constant = f", the best constant answer in {percent(e.constant, 1)}" if e.constant is not None else ""
    chance = f"guessing would err in {percent(e.chance, 1)}{constant}"
    said = f"It errs in {percent(e.error.value, 1)} of {count(e.error.n)} questions{ends}; {chance}."
    return " ".join((said, *of_what(card)))


def in_plain_words(card: RiskCard) -> tuple[tuple[str, str], ...]:
    """List the questions a reader has first, with answers: what was asked, how often wrong, what to use."""
    r, q = card.records, card.questions
    mode = "B" if r is None else r.mode
    asked = {
        "A": f"{count(q.n)} questions with candidates, on {count(q.n_groups)} groups of evidence",
        "B": f"{count(q.n)} given answers with labels, on {count(q.n_groups)} groups of evidence",
        "C": f"{count(q.n)} given answers without labels, on {count(q.n_groups)} groups of evidence",
    }[mode]
    found = [("What was asked?", f"{asked}; read by {card.model.name}.")]
    found.append(("How often is it wrong?", _error_sentence(card)))
    found.append(("Which signal tells?", _which_signal(card)))
    passed = card.verdict.passed
    verdict = "No policy was given, so nothing was required." if passed is None else verdict_sentence(card)
    return (*found, ("What is the verdict?", verdict))


def _error_sentence(card: RiskCard) -> str:
    e = card.errors[0]
    if e.error.value is None:
        return "Unknown: no answer has a label. The answers are ranked by risk."
    low, high = percent(e.error.low, 1), percent(e.error.high, 1)
    ends = f" (between {low} and {high})" if low and high else ""
    beside = "" if e.chance is None else f"; guessing would be wrong in {percent(e.chance, 1)}"
    return f"{percent(e.error.value, 1)} of the answers are wrong{ends}{beside}."


def _which_signal(card: RiskCard) -> str:
    """Return the signal to use, against what costs nothing."""
    p = card.predictors
    best = None if p.best is None else card.signal(p.best)
    if best is None or best.auroc_test is None or best.auroc_test.value is None:
        ranked = card.protocol.get("ranked by")
        return f"None could be judged; the ranking is by {ranked}." if ranked else "None could be judged."
    value = percent(best.auroc_test.value, 1)
    if p.best not in p.above_chance:
        return f"None is surely better than chance; {best.name} comes closest (right about {value} of pairs)."
    plain = card.signal("length")
    beside = ""
    if plain is not None and plain.auroc is not None and plain.auroc.value is not None:
        beside = f"; counting the answer's tokens ranks {percent(plain.auroc.value, 1)} of pairs rightly"
    return f"{best.name}: of a wrong and a right answer it gives the wrong one more risk in {value} of pairs{beside}."


def of_what(card: RiskCard) -> list[str]:
    """Say that the card is of a sample, or that questions could not be asked; nothing where all were."""
    q = card.questions
    found = []
    if q.drawn_from is not None:
        drawn = q.n if q.limit is None else q.limit
        found.append(f"This is a card of a sample: {count(drawn)} of {count(q.drawn_from)} questions were drawn.")
    if q.unasked.n:
        every = q.n + q.unasked.n
        share = percent(q.unasked.n / every, 1)
        found.append(f"{count(q.unasked.n)} of {count(every)} questions ({share}) could not be asked of this model.")
    return found


def verdict_sentence(card: RiskCard) -> str:
    """Pass or fail, and what failed."""
    failed = [c.name for c in card.verdict.checks if not c.passed]
    n = len(card.verdict.checks)
    said = f"Fail: {len(failed)} of {n} {'requirement' if n == 1 else 'requirements'} not met: {', '.join(failed)}."
    if not failed:
        said = f"Pass: {'the requirement is' if n == 1 else f'all {n} requirements are'} met."
    return " ".join((said, *of_what(card)))


def above_chance(card: RiskCard) -> str:
    """Say which signals predict errors at all, and which does best."""
    p = card.predictors
    known = [s for s in card.signals if s.auroc is not None and s.auroc.value is not None]
    if not known:
        rate = card.errors[0].error.value
        one = {0.0: "all answers are right", 1.0: "all answers are wrong"}.get(-1.0 if rate is None else rate)
        return f"No signal could be judged: {one or 'none was measured of right and of wrong answers'}."
    n = len(known)
    if p.above_chance:
        text = f"{len(p.above_chance)} of {n} signals are better than chance: {', '.join(p.above_chance)}."
    else:
        text = f"None of {n} signals is better than chance at telling wrong answers from right ones."
    if len(card.questions.kinds) > 1:
        text += f" Within kinds of question: {', '.join(p.above_within) or 'none'}."
    best = None if p.best is None else card.signal(p.best)
    if not p.above_chance:
        return f"{text} Best predictor: none."
    if best is None or best.auroc_test is None or best.auroc_test.value is None:
        return text
    value = with_interval(best.auroc_test.value, best.auroc_test.low, best.auroc_test.high)
    return f"{text} The best on the fit split is {best.name}: AUROC {value} on the test split."


def comparison_sentence(c: Comparison) -> str:
    """Say whether one signal beats another, over all questions and within kinds."""
    names = f"{c.one} against {c.other}, the best baseline, on the test split"
    return f"{names}: {_gap(c.gap)}; within kinds: {_gap(c.within)}."


def _gap(gap: Estimated) -> str:
    text = with_interval(gap.value, gap.low, gap.high, 3)
    if text is None:
        return "not measured"
    if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high:
        return f"no difference that can be told from none (AUROC {text} apart)"
    return f"{'better' if gap.low > 0 else 'worse'} (AUROC {text} apart)"


def control_sentence(s: StrengthenRecord) -> str:
    """Say what strengthening did, against random heads."""
    change = with_interval(s.change.value, s.change.low, s.change.high, 3)
    told = s.change.low is not None and s.change.high is not None and not s.change.low <= 0 <= s.change.high
    which = "the head" if s.n_heads == 1 else f"the {s.n_heads} heads"
    body = (
        f"Multiplying {which} by {number(s.factor)} changes the share of wrong answers by {change or NOT_MEASURED} "
        f"(from {number(s.before.value, 3) or NOT_MEASURED} to {number(s.after.value, 3) or NOT_MEASURED})"
    )
    chance = "" if told else ", which cannot be told from none"
    rank = "" if s.p_rank is None else f"; rank among {len(s.random)} draws of other heads: p = {number(s.p_rank, 3)}"
    return f"{body}{chance}{rank}."
