"""JSON in the shape of lm-evaluation-harness' results, and the Hub's `.eval_results` YAML."""

from __future__ import annotations

from typing import Any

import yaml

from groundbench._version import __version__
from groundbench.export.metrics import Metric, forms, metrics, task_name
from groundbench.results.run import Result


def to_lm_eval(result: Result, *, date: float) -> dict[str, Any]:
    """Return the dictionary that `lm_eval.simple_evaluate` would return: one task for each form, one for a ladder's
    score.

    No standard error is reported of a result, so `_stderr` keys are left out; the ends of the 95 % interval stand
    beside each value as `_ci_low` and `_ci_high`.
    """
    found = metrics(result)
    results: dict[str, dict[str, Any]] = {}
    direction: dict[str, dict[str, bool]] = {}
    for form, _, _ in forms(result):
        task = task_name(result, form)
        results[task] = {"alias": task}
        direction[task] = {}
        for m in (m for m in found if m.form == form):
            _write(results[task], direction[task], m)
    kept = [(form, n) for form, _, n in forms(result) if len(results[task_name(result, form)]) > 1]
    tasks = [task_name(result, form) for form, _ in kept]
    bed = result.testbed
    configs: dict[str, Any] = {
        task_name(result, f): {"task": task_name(result, f), "metadata": _metadata(result, f)} for f, _ in kept
    }
    for m in (m for m in found if m.id == "ladder_score"):
        task = f"groundbench_{bed.name}"
        tasks.append(task)
        results[task], direction[task] = {"alias": task, "forms": m.form}, {}
        _write(results[task], direction[task], m)
        configs[task] = {"task": task, "metadata": {"version": bed.version, "testbed": bed.name, "hash": bed.hash}}
    return {
        "results": {t: results[t] for t in tasks},
        "group_subtasks": {t: [] for t in tasks},
        "configs": configs,
        "versions": dict.fromkeys(tasks, bed.version),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {t: direction[t] for t in tasks},
        "n-samples": {task_name(result, f): {"original": n, "effective": n} for f, n in kept if n is not None},
        "config": {
            "model": "groundbench",
            "model_args": {"pretrained": result.model.name, "dtype": result.model.dtype},
            "model_num_parameters": result.model.parameters,
            "model_dtype": result.model.dtype,
            "model_sha": result.model.fingerprint,
            "model_family": result.model.family,
            "model_architecture": result.model.architecture,
            "device": result.environment.device,
        },
        "git_hash": result.environment.git,
        "date": date,
        "transformers_version": result.environment.versions.get("transformers"),
        "groundbench_version": result.environment.versions.get("groundbench", __version__),
        "model_name": result.model.name,
    }


def _write(values: dict[str, Any], direction: dict[str, bool], m: Metric) -> None:
    """Write a number, the ends of its interval, and which direction is better, as lm-eval does."""
    values[f"{m.id},none"] = m.value
    for end, value in (("low", m.low), ("high", m.high)):
        if value is not None:
            values[f"{m.id}_ci_{end},none"] = value
    if m.better:
        direction[m.id] = m.better == "higher"


def _metadata(result: Result, form: str) -> dict[str, Any]:
    """Return what `groundbench.integrations.lm_eval.convert` needs to read the task back."""
    bed = result.testbed
    nouns = next(n for name, n, _ in forms(result) if name == form)
    return {"version": bed.version, "testbed": bed.name, "env_form": form, "hash": bed.hash, "n_nouns": nouns}


def to_hub(result: Result, *, dataset: str, date: str | None = None, source: str | None = None) -> str:
    """Return the Hub's `.eval_results/*.yaml`: the grounding gain of every form, in nats.

    Args:
        dataset: the id of the benchmark's dataset on the Hub, `ORG/NAME`.
        date: ISO 8601; `source`: an address where the run can be seen.
    """
    entries = []
    for m in (m for m in metrics(result) if m.id == "grounding_gain"):
        notes = f"nats; {result.testbed.name} {result.testbed.version} ({result.testbed.hash}), shown as {m.form}"
        if m.low is not None and m.high is not None:
            notes += f"; 95% interval {m.low:.3f} to {m.high:.3f}"
        entry: dict[str, Any] = {"dataset": {"id": dataset, "task_id": m.form}, "value": round(m.value, 4)}
        if date is not None:
            entry["date"] = date
        if source is not None:
            entry["source"] = {"url": source}
        entries.append({**entry, "notes": notes})
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
