"""lm-eval's results of our tasks as a `Result` of ours.

From the aggregates alone come means and counts; no interval, since lm-eval's standard errors take documents for
independent. With the logged samples, which hold every surprisal of a portable task, everything reported of a gain is
computed as `groundbench run` does. What was not measured is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.integrations.lm_eval.documents import select
from groundbench.measures.gain.ladder_score import ladder_score
from groundbench.measures.gain.measure import measure_gain
from groundbench.results.run import EnvironmentRecord, FormRecord, GainRecord, ModelRecord, Result, TestbedRecord

Samples = Mapping[str, Sequence[Mapping[str, Any]]]
METRICS = {
    "mean": "grounding_gain",
    "same_category": "same_category_gain",
    "matched": "matched_surprisal",
    "mismatched": "mismatched_surprisal",
}


def from_lm_eval(results: Mapping[str, Any], samples: Samples | None = None, *, source: str = "lm-eval") -> Result:
    """Return a result from what `lm_eval.simple_evaluate` returns, or what lm-eval writes to results_*.json.

    Args:
        samples: task -> logged samples; by default those in `results`, if any.
        source: the name of the results in messages.

    Raises:
        BadInputError: none of our tasks is among them, they are of several testbeds, the testbed is another than the
            installed one, or the model's size is not given.
    """
    samples = samples or results.get("samples") or {}
    ours = _tasks(results)
    if not ours:
        raise BadInputError(
            f"{source}: none of groundbench's tasks among {', '.join(results['results']) or 'no tasks'}"
        )
    beds = {(m["testbed"], m["version"], m["hash"]) for m in ours.values()}
    if len(beds) > 1:
        raise BadInputError(f"{source}: tasks of several testbeds ({', '.join(sorted(b[0] for b in beds))})")
    counts = {n: int(results["n-samples"][n]["effective"]) for n in ours}
    tables = {
        str(m["env_form"]): table_of(str(m["env_form"]), s)
        for n, m in ours.items()
        if (s := _portable_samples(samples, n))
    }
    forms = [_form(m, results["results"][n], counts[n], tables.get(str(m["env_form"]))) for n, m in ours.items()]
    (name, version, digest), head = beds.pop(), next(iter(ours))
    config = results.get("config", {})
    return Result(
        model=_model(config, results, source),
        testbed=TestbedRecord(
            name=str(name),
            version=str(version),
            hash=str(digest),
            frames="shared",
            env_form=forms[0].env_form,
            n_nouns=forms[0].n_nouns,
            n_items=counts[head],
        ),
        forms=tuple(forms),
        ladder_score=ladder_score(list(tables.values())),
        protocol={"harness": "lm-eval", "backend": str(config.get("model")), "limit": config.get("limit")}
        | {"documents": dict(counts), "units": "nats"},
        environment=EnvironmentRecord(
            versions={
                package: str(results[key])
                for package, key in (("lm_eval", "lm_eval_version"), ("transformers", "transformers_version"))
                if results.get(key) is not None
            },
            device=str(config.get("device") or "unknown"),
        ),
    )


def read_lm_eval(path: Path) -> Result:
    """Return the result of a results_*.json of lm-eval, with the samples_*.jsonl beside it.

    Raises:
        BadInputError: not such a file, or see `from_lm_eval`.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; expected a results_*.json of lm-eval") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(results, dict) or not {"results", "configs", "n-samples"} <= results.keys():
        raise BadInputError(f"{path}: not results of lm-eval; expected the fields results, configs and n-samples")
    stamp = path.stem.removeprefix("results_")
    samples = {}
    for task in results["configs"]:
        beside = path.with_name(f"samples_{task}_{stamp}.jsonl")
        if beside.is_file():
            samples[task] = [json.loads(line) for line in beside.read_text(encoding="utf-8").splitlines()]
    return from_lm_eval(results, samples, source=str(path))


def _tasks(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Map every measured task of ours to its metadata; the portable one where a form has a full one too."""
    of_form: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for task, metrics in results["results"].items():
        metadata = results["configs"].get(task, {}).get("metadata") or {}
        ours = {"testbed", "env_form", "hash", "version"} <= metadata.keys() and "grounding_gain,none" in metrics
        if ours and (metadata["env_form"] not in of_form or "acc,none" in metrics):
            of_form[metadata["env_form"]] = (task, metadata)
    return dict(of_form.values())


def _n_nouns(metadata: Mapping[str, Any]) -> int:
    """Count nouns took part: as written by our export, or by the installed testbed of that hash."""
    if "n_nouns" in metadata:
        return int(metadata["n_nouns"])
    known = {k: metadata[k] for k in ("testbed", "env_form", "hash", "limit_nouns", "noun_seed") if k in metadata}
    return len(select(**known).nouns)


def _form(
    metadata: Mapping[str, Any],
    metrics: Mapping[str, Any],
    n_items: int,
    table: SurprisalTable | None,
) -> FormRecord:
    form = str(metadata["env_form"])
    if table is not None:
        return FormRecord(env_form=form, n_nouns=len(table.nouns), n_items=n_items, gain=measure_gain(table))
    values = {field: _number(metrics.get(f"{name},none")) for field, name in METRICS.items()}
    ends = {
        f"{prefix}ci_{end}": _number(metrics.get(f"{name}_ci_{end},none"))
        for prefix, name in (("", "grounding_gain"), ("same_category_", "same_category_gain"))
        for end in ("low", "high")
    }
    return FormRecord(env_form=form, n_nouns=_n_nouns(metadata), n_items=n_items, gain=GainRecord(**values, **ends))


def _portable_samples(samples: Samples, task: str) -> Sequence[Mapping[str, Any]] | None:
    """Return a portable task's logged samples; None where there are none, or a full task's."""
    found = samples.get(task)
    return found if found and all("shown" in s["doc"] for s in found) else None


def table_of(form: str, samples: Iterable[Mapping[str, Any]]) -> SurprisalTable:
    """Return the surprisals in a portable task's logged samples."""
    rows = sorted(samples, key=lambda s: int(s["doc_id"]))
    docs = [s["doc"] for s in rows]
    shown = {int(d["gold"]): (d["shown"], d["category"]) for d in docs}
    width = len(docs[0]["choices"])
    frames = list(dict.fromkeys(d["frame"] for d in docs))
    surprisal = np.array([[-float(answer[0]) for answer in s["filtered_resps"]] for s in rows])
    env = np.array([int(d["gold"]) for d in docs])
    kept = np.array([d["weights"] for d in docs]) > 0
    kept[np.arange(len(docs)), env] = True
    row, target = kept.nonzero()
    names = [shown.get(i, (docs[0]["choices"][i].strip(), "")) for i in range(width)]
    return SurprisalTable(
        form=form,
        frame_kind="shared",
        nouns=tuple(n for n, _ in names),
        categories=tuple(c for _, c in names),
        frames=tuple(frames),
        frame_nouns=np.full(len(frames), -1),
        frame=np.array([frames.index(d["frame"]) for d in docs])[row],
        env=env[row],
        target=target.astype(np.int64),
        surprisal=surprisal[row, target],
    )


def _model(config: Mapping[str, Any], results: Mapping[str, Any], source: str) -> ModelRecord:
    parameters = config.get("model_num_parameters")
    if not isinstance(parameters, int) or parameters < 0:
        raise BadInputError(f"{source}: config.model_num_parameters is {parameters!r}; expected the model's size")
    args = config.get("model_args")
    named = args.get("pretrained") if isinstance(args, Mapping) else None
    return ModelRecord(
        name=str(results.get("model_name") or named or config.get("model")),
        family=str(config.get("model_family") or "unknown"),
        architecture=str(config.get("model_architecture") or "unknown"),
        parameters=parameters,
        dtype=str(config.get("model_dtype") or "unknown").removeprefix("torch."),
        fingerprint=str(config.get("model_sha") or "unknown"),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
