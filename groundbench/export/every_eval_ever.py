"""every-eval-ever 0.3: one aggregate JSON document for a result (schema eval.schema.json, draft 7)."""

from __future__ import annotations

from typing import Any

from groundbench._version import __version__
from groundbench.export.metrics import Metric, metrics, task_name
from groundbench.results.run import Result

SCHEMA_VERSION = "0.3.0"
PAPER = "https://arxiv.org/abs/2510.13796"
DESCRIPTIONS = {
    "grounding_gain": "Mean rise of a noun's surprisal when another noun was shown instead of its own.",
    "same_category_gain": "The same against nouns of one category only.",
    "matched_surprisal": "Mean surprisal of a noun's word after its own noun was shown.",
    "copy_corrected_gain": "Gain with a definition shown over gain with the word itself shown.",
    "ladder_score": "Mean over the forms other than the word of their gain over the word's, within categories.",
}


def to_every_eval_ever(result: Result, *, retrieved: int, organization: str, relationship: str) -> dict[str, Any]:
    """Return the document; numbers that only describe (head counts and the like) are its details.

    Args:
        retrieved: when the record is made, in seconds of Unix time.
        organization: who ran the evaluation.
        relationship: theirs to the model: first_party, third_party, collaborative or other.
    """
    ranked = [m for m in metrics(result) if m.better]
    model = result.model
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"groundbench_{result.testbed.name}/{model.name}/{retrieved}",
        "retrieved_timestamp": str(retrieved),
        "source_metadata": {
            "source_name": "groundbench",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
        },
        "eval_library": {
            "name": "groundbench",
            "version": result.environment.versions.get("groundbench", __version__),
            "additional_details": {"commit": result.environment.git or "unknown"},
        },
        "model_info": {
            "name": model.name,
            "id": model.name,
            "additional_details": _strings(
                {
                    "deployment_type": "self_deployed",
                    "model_availability": "unknown",
                    "family": model.family,
                    "architecture": model.architecture,
                    "parameters": model.parameters,
                    "dtype": model.dtype,
                    "fingerprint": model.fingerprint,
                    "step": model.step,
                }
            ),
        },
        "evaluation_results": [_entry(result, m) for m in ranked],
    }


def _entry(result: Result, metric: Metric) -> dict[str, Any]:
    bed = result.testbed
    details: dict[str, Any] = {"score": metric.value}
    if metric.low is not None and metric.high is not None:
        details["uncertainty"] = {
            "confidence_interval": {
                "lower": metric.low,
                "upper": metric.high,
                "confidence_level": 0.95,
                "method": metric.method,
            },
            **({} if metric.n is None else {"num_samples": metric.n}),
        }
    described = {m.id: m.value for m in metrics(result) if m.better is None and m.form == metric.form}
    details["details"] = _strings({**described, "p_cluster": metric.p})
    return {
        "evaluation_result_id": f"{task_name(result, metric.form)}.{metric.id}",
        "evaluation_name": task_name(result, metric.form),
        "source_data": {
            "dataset_name": f"groundbench {bed.name}",
            "source_type": "other",
            "additional_details": _strings(
                {
                    "version": bed.version,
                    "hash": bed.hash,
                    "frames": bed.frames,
                    "env_form": metric.form,
                    "paper": PAPER,
                }
            ),
        },
        "metric_config": {
            "evaluation_description": DESCRIPTIONS[metric.id],
            "metric_id": f"groundbench.{metric.id}",
            "metric_name": metric.name,
            "metric_kind": metric.id,
            "metric_unit": metric.unit,
            "lower_is_better": metric.better == "lower",
            "score_type": "continuous",
            "min_score": 0 if metric.better == "lower" else "-Infinity",
            "max_score": "Infinity",
        },
        "score_details": details,
    }


def _strings(values: dict[str, Any]) -> dict[str, str]:
    """Return the known values as strings: the schema takes no other."""
    return {k: str(v) for k, v in values.items() if v is not None}
