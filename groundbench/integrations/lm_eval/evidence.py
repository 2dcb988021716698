"""Documents of evidence: a public set's file, or a user's own, as lm-eval's documents (protocol §16).

The file is the user's: `--metadata file=PATH`. Nothing is downloaded and none of the rows is part of this package. A
text document is one record: its prompt, the same prompt without evidence and with another record's evidence, and what
may follow it. An image document is a question about an image, which lm-eval's backends can only generate an answer to.
"""

from __future__ import annotations

from typing import Any

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.api.testbed import ImageSource
from groundbench.integrations.lm_eval.documents import test_split
from groundbench.registry import load_record_file, public_set_source

IMAGE = "<image>"
"""The text in the place of the image in lm-eval's prompts."""
_IMAGES: dict[str, ImageSource] = {}
"""The images of the documents, by their content key: a document itself holds no bytes."""


def records(*, set: str | None = None, **metadata: Any) -> dict[str, Any]:
    """Return the text documents of a file, {"test": Dataset}.

    Args:
        set: the public set's name; None where the file's own fields tell what it is.
        metadata: `file` (or the set's name, for several tasks at once: `memotrap=a.csv nq-swap=b.jsonl`), and
            `template`, `max_evidence`, `keep_going`, `seed` as for `groundbench screen --questions`; what is not ours
            is left alone.

    Raises:
        BadInputError: no file is named, it cannot be read, or its answers have no labels.
    """
    found = _read(set, metadata)
    if found.mode == "C":
        raise BadInputError(
            f"{found.name}: holds answers without labels, which cannot be judged; `groundbench screen` ranks them"
        )
    if any(r.image is not None for r in found.records):
        raise BadInputError(f"{found.name}: asks about images, which this task of texts cannot show")
    return test_split([_document(found, r) for r in found.records])


def image_records(*, set: str | None = None, **metadata: Any) -> dict[str, Any]:
    """Return the image documents of a file, {"test": Dataset}; arguments and errors as `records`, and `images`, the
    folder of the images (by default beside the file)."""
    found = _read(set, metadata)
    rows = []
    for record in found.records:
        if record.image is None or not record.candidates:
            raise BadInputError(f"{record.where}: has no image with candidates, which this task asks about")
        _IMAGES[record.image.key] = record.image
        row = {**_about(record), "image": record.image.key, "prompt": f"{IMAGE}\n{record.prompt().text}"}
        rows.append(row | {"choices": list(record.candidates), "gold": record.truth})
    return test_split(rows)


def doc_images(doc: dict[str, Any]) -> list[Any]:
    """Return the images of a document, as lm-eval's `doc_to_image` wants them."""
    return [_IMAGES[doc["image"]].load()]


def _read(name: str | None, metadata: dict[str, Any]) -> RecordSet:
    file = metadata.get(name or "file") or metadata.get("file")
    if not file:
        where = "" if name is None else f"; its makers publish it at {public_set_source(name)}"
        raise BadInputError(
            f"this task reads a file of yours: pass --metadata file=PATH{where} (nothing is downloaded)"
        )
    wanted = {k: metadata.get(k) for k in ("template", "max_evidence", "images")}
    options: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None}
    if not isinstance(options.get("max_evidence", 1), int) or options.get("max_evidence", 1) < 1:
        raise BadInputError(f"--metadata max_evidence={options['max_evidence']!r}: expected a whole number from 1 up")
    seed = metadata.get("seed", 0)
    if not isinstance(seed, int):
        raise BadInputError(f"--metadata seed={seed!r}: expected a whole number")
    if "images" in options:
        from pathlib import Path

        options["images"] = Path(str(options["images"])).expanduser()
    going = bool(metadata.get("keep_going", False))
    return load_record_file(str(file), public_set=name, keep_going=going, seed=seed, **options)


def _about(record: EvidenceRecord) -> dict[str, Any]:
    return {"id": record.id, "kind": record.kind, "group": record.group, "where": record.where}


def _document(found: RecordSet, record: EvidenceRecord) -> dict[str, Any]:
    blank, other = record.prompt(""), found.other_prompt(record)
    answers = record.candidates or (record.answer or "",)
    return {
        **_about(record),
        "prompt": record.prompt().text,
        "without": blank.text,
        "other": "" if other is None else other.text,
        "choices": [record.join + a for a in answers],
        "gold": -1 if record.truth is None else record.truth,
        "usual": -1 if record.usual is None else record.usual,
        "wrong": record.wrong,
    }
