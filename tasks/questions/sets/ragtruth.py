"""RAGTruth (Niu et al. 2024): answers of six models with the spans that their sources do not support."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape

SOURCES = "source_info.jsonl"
_FRAMES = (
    re.compile(r"passages?:\n(?P<evidence>.+?)\n+(?:In case|output:)", re.S),
    re.compile(r"\A[^\n]*summar[^\n]*:?\n(?P<evidence>.+?)\n+output:", re.S | re.I),
    re.compile(r"[Ss]tructured data:?\n(?P<evidence>.+?)\n+Overview:", re.S),
)


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Yield one record of a response; its prompt and source are in `source_info.jsonl` beside the file."""
    source = _sources(place.path.parent / SOURCES).get(str(row["source_id"]))
    if source is None:
        raise FaultyError(f"'source_id' {row['source_id']!r} is not in {SOURCES} beside the file")
    prompt = str(source["prompt"])
    yield {
        "id": row["id"],
        "prompt": prompt,
        "evidence": evidence_in(prompt) or _passages(source, prompt),
        "answer": row["response"],
        "spans": [[s["start"], s["end"]] for s in row["labels"]],
        "group": str(row["source_id"]),
        "kind": source.get("task_type", "record"),
    }


def evidence_in(prompt: str) -> str | None:
    """Return the source within one of RAGTruth's three prompts; None where it is none of them."""
    for frame in _FRAMES:
        match = frame.search(prompt)
        if match and prompt.count(match["evidence"].strip()) == 1:
            return match["evidence"].strip()
    return None


def _passages(source: Row, prompt: str) -> str:
    info = source.get("source_info")
    text = info.get("passages") if isinstance(info, dict) else info
    if isinstance(text, str) and text.strip() and prompt.count(text.strip()) == 1:
        return text.strip()
    raise FaultyError("its prompt holds its source not exactly once")


@lru_cache(maxsize=2)
def _sources(path: Path) -> dict[str, Row]:
    from groundbench.tasks.questions.records.jsonl import read_jsonl

    found = read_jsonl(path)
    return {str(row["source_id"]): row for _, row in found.rows if "source_id" in row and "prompt" in row}


RAGTRUTH = Shape(
    "ragtruth",
    ("id", "source_id", "labels", "response"),
    convert,
    "github.com/ParticleMedia/RAGTruth, dataset/response.jsonl with source_info.jsonl beside it",
    "MIT",
    "17,790 responses to 2,965 prompts",
    "QA, Summary, Data2txt",
    "B",
)
