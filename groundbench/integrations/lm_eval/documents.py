"""The documents of our tasks: what lm-eval's `custom_dataset` calls, with a task's metadata for arguments.

A portable document is one context c_n(u): frame n with the noun u shown. Its requests are all V nouns, so that
contexts are shared between candidates and each costs a backend one forward pass. The gain of a document is

    d(n, u) = sum over v != u of w(u, v) s(v | c_n(u))  -  s(u | c_n(u)),    w(u, v) = 1 / m(v),

m(v) the number of nouns that are a mismatch of v: V - 1, less those the testbed takes for synonyms (their w is 0).
Its mean over all documents is G (protocol §5) exactly, since both sum over the same pairs (u, v):

    1/(NV) sum over n, u of d(n, u) = 1/(NV) sum over n, v of [1/m(v) sum over u of s(v | c_n(u)) - s(v | c_n(v))] = G.

A single document is no item: the frequency of its nouns is part of d(n, u) and cancels in the mean only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Frame, Noun, Testbed
from groundbench.evaluation.form_contexts import limited_nouns
from groundbench.evaluation.options import Options
from groundbench.registry import load_testbed


@dataclass(frozen=True)
class Selected:
    """One form of a testbed and the nouns that take part."""

    testbed: Testbed
    form: EnvForm
    nouns: tuple[Noun, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames of the form."""
        return self.testbed.frames(self.form)


def select(
    testbed: str, env_form: str, hash: str | None = None, limit_nouns: int | None = None, noun_seed: int = 0
) -> Selected:
    """Return the form and nouns that a task's metadata name.

    Args:
        testbed: the name of an installed testbed, or a YAML file.
        hash: the testbed's hash when the task file was written; not checked where a task file names none.
        limit_nouns: only this many nouns, drawn by `noun_seed`: the same as `groundbench run --limit --seed`.

    Raises:
        BadInputError: an unknown testbed or form, another hash, a limit that is no number from 2 up, or a form that
            lm-eval cannot be asked about.
    """
    bed = load_testbed(testbed)
    form = bed.form(env_form)
    if hash is not None and bed.digest() != hash:
        raise BadInputError(
            f"the testbed {testbed!r} has the hash {bed.digest()}, but lm-eval's task file was written for {hash}"
        )
    if bed.frame_kind != "shared" or form.modality != "text":
        raise BadInputError(
            f"testbed {testbed!r}, form {env_form!r}: frames {bed.frame_kind}, modality {form.modality}; lm-eval's "
            "tasks need shared frames and text"
        )
    for name, value in (("limit_nouns", limit_nouns), ("noun_seed", noun_seed)):
        if value is not None and not isinstance(value, int):
            raise BadInputError(f"--metadata {name}={value!r}: expected a whole number")
    chosen = limited_nouns(bed, form, Options(limit=limit_nouns, seed=noun_seed))
    return Selected(bed, form, tuple(n for n in bed.nouns_of(form) if chosen is None or n.word in chosen))


def contexts(
    *,
    testbed: str,
    env_form: str,
    hash: str | None = None,
    limit_nouns: int | None = None,
    noun_seed: int = 0,
    **_others: Any,
) -> dict[str, Any]:
    """Return the portable documents, {"test": Dataset}, frame by frame; arguments as `select` takes them.

    lm-eval passes the model's arguments along with a task's metadata; what is not ours is left alone.
    """
    return test_split(_portable_rows(select(testbed, env_form, hash, limit_nouns, noun_seed)))


def ladder_contexts(
    *, testbed: str, hash: str | None = None, limit_nouns: int | None = None, noun_seed: int = 0, **_others: Any
) -> dict[str, Any]:
    """Return the portable documents of every text form of a ladder, each with the name of its form.

    One task holds them all because the ladder score is a number of all forms together.
    """
    bed = load_testbed(testbed)
    rows = []
    for form in bed.forms:
        if form.modality == "text":
            chosen = select(testbed, form.name, hash, limit_nouns, noun_seed)
            rows += [row | {"form": form.name} for row in _portable_rows(chosen)]
    return test_split(rows)


def _portable_rows(chosen: Selected) -> list[dict[str, Any]]:
    words = [chosen.testbed.target_in(n, chosen.form) for n in chosen.nouns]
    weights, alike = mismatch_weights(chosen)
    rows = []
    for frame in chosen.frames:
        for i, noun in enumerate(chosen.nouns):
            prompt = chosen.testbed.prompt(frame, noun, chosen.form)
            row = {"context": prompt.text, "choices": [prompt.join + w for w in words], "gold": i}
            row |= {"frame": frame.id, "shown": noun.word, "category": noun.category, "weights": weights[i].tolist()}
            rows.append(row | {"same_category_weights": alike[i].tolist() if alike[:, i].any() else []})
    return rows


def mismatch_weights(chosen: Selected) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return [u, v] w(u, v) over all mismatches, and over v's own category; a column sums to 1, or is 0."""
    words = [n.word for n in chosen.nouns]
    none = chosen.testbed.excluded_pairs(chosen.form)
    mismatch = np.array([[u != v and (u, v) not in none for v in words] for u in words])
    category = np.array([n.category for n in chosen.nouns])
    alike = mismatch & (category[:, None] == category)
    whole, own = (m / np.maximum(m.sum(0), 1) for m in (mismatch, alike))
    return whole, own


def items(
    *,
    testbed: str,
    env_form: str,
    hash: str | None = None,
    limit_nouns: int | None = None,
    noun_seed: int = 0,
    draws: int | None = None,
    **_others: Any,
) -> dict[str, Any]:
    """Return the documents of a full task: one for each item (noun, frame) with what the probe must know.

    Args:
        draws: control draws of the ablation; by default as many as `groundbench run` makes.
    """
    chosen = select(testbed, env_form, hash, limit_nouns, noun_seed)
    if draws is not None and (not isinstance(draws, int) or draws < 1):
        raise BadInputError(f"--metadata draws={draws!r}: expected a whole number from 1 up")
    what = {"testbed": testbed, "env_form": env_form, "limit_nouns": limit_nouns, "seed": noun_seed, "draws": draws}
    return test_split(
        [
            {
                "context": chosen.testbed.prompt(frame, noun, chosen.form).text,
                "target": chosen.testbed.target_in(noun, chosen.form),
                "frame": frame.id,
                "noun": noun.word,
                **what,
            }
            for frame in chosen.frames
            for noun in chosen.nouns
        ]
    )


def test_split(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as the split `test` of a dataset of lm-eval."""
    from datasets import Dataset  # lm-eval refuses a plain list

    return {"test": Dataset.from_list(rows)}
