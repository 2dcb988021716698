"""The measure `ablation`: detected heads are cut, and random ones beside them (protocol §11)."""

from __future__ import annotations

from dataclasses import replace

from groundbench.engine.subject import Subject, require_value
from groundbench.measures.ablation.crossfit import crossfit
from groundbench.measures.ablation.instance import instance
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import HeadRule, headline_rule
from groundbench.results.run import AblationRecord
from groundbench.util.progress import Progress


def measure(subject: Subject, options: AblationOptions, saliency: HeadSaliency) -> tuple[AblationRecord, ...]:
    """Cut heads under every selection and rule.

    Returns:
        Cross-fitted records (the headline: layer-matched), then those by `total`, then the paper's `instance`. In each
        selection, gather heads come last, if they are asked for.
    """
    records: list[AblationRecord] = []
    with Progress(f"{subject.adapter.info.name}: ablation of {subject.contexts.form.name} (passes)", 0) as bar:
        subject = replace(subject, advance=bar.advance)
        for selection in require_value(options.selections, "selections"):
            for rule in rules_of(options, saliency):
                if selection == "crossfit":
                    records += crossfit(subject, saliency, of_rule(options, rule))
                else:
                    records.append(instance(subject, saliency, replace(options, rule=rule)))
    return tuple(records)


def of_rule(options: AblationOptions, rule: HeadRule) -> AblationOptions:
    """Return a cross-fitted rule's options; every control for heads detected in the row, else the headline's."""
    controls = require_value(options.controls, "controls")
    return replace(options, rule=rule, controls=controls if rule.denominator == "row" else controls[:1])


def rules_of(options: AblationOptions, saliency: HeadSaliency) -> list[HeadRule]:
    """Return the definitions of heads that are cut, one after the other."""
    if options.rule is not None:
        return [options.rule]
    rules = [replace(headline_rule(saliency), denominator=d) for d in saliency.denominators]
    if options.gather and "total" in saliency.denominators:
        rules.append(HeadRule("gather", "total"))
    return rules
