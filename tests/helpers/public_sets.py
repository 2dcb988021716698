"""Rows of our own making in the schema of every public set, and a folder with what some sets keep beside their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

CONFLICT = {"question": "Where is the fair?"}
ROWS: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    "memotrap": (
        [
            {"prompt": 'Write a quote that ends in the word "soup": Too many cooks spoil the',
             "classes": "[' soup.', ' broth.']", "answer_index": 0},
            {"prompt": "Translate the following sentence from German into English.\nViele Suppen.\nto:\nMany",
             "classes": "[' soups.', ' cooks.']", "answer_index": 0},
            {"prompt": "What was the common belief before the following event: Bo saw it.\nA. No.\nB. Yes.\nAnswer:",
             "classes": '[" A", " B"]', "answer_index": 1},
        ],
        "A",
        ['Write a quote that ends in the word "soup":', "Viele Suppen.", "Bo saw it."],
    ),
    "halueval-qa": (
        [{"knowledge": "Bo lives in Ghent.", "question": "Where?", "right_answer": "Ghent",
          "hallucinated_answer": "Ulm"}],
        "B",
        ["Bo lives in Ghent."] * 2,
    ),
    "halueval-dialogue": (
        [{"knowledge": "Bo sings.", "dialogue_history": "[Human]: Hi", "right_response": "Bo sings.",
          "hallucinated_response": "Bo paints."}],
        "B",
        ["Bo sings."] * 2,
    ),
    "halueval-summarization": (
        [{"document": "Bo sold two cats.", "right_summary": "Bo sold cats.", "hallucinated_summary": "Bo sold dogs."}],
        "B",
        ["Bo sold two cats."] * 2,
    ),
    "halueval-general": (
        [{"ID": "1", "user_query": "Name a cat.", "chatgpt_response": "Bo.", "hallucination": "no"}],
        "B",
        ["Name a cat."],
    ),
    "faitheval-counterfactual": (
        [{"id": "x", "question": "What floats?", "context": "Iron floats.", "answerKey": "B",
          "choices": {"label": ["A", "B"], "text": ["cork", "iron"]}}],
        "A",
        ["Iron floats."],
    ),
    "faitheval-unanswerable": (
        [{"qid": "x", "question": "Who?", "context": "Somebody did.", "answers": ["unknown"], "old_answers": ["Bo"]}],
        "A",
        ["Somebody did."],
    ),
    "faitheval-inconsistent": (
        [{"qid": "x", "question": "Who?", "context": "Bo did. Al did.", "answers": ["Bo", "Al"]}],
        "A",
        ["Bo did. Al did."],
    ),
    "nq-swap": (
        [{**CONFLICT, "org_context": "It is in Ulm.", "org_answer": ["Ulm"], "sub_context": "It is in Bonn.",
          "sub_answer": ["Bonn"]}],
        "A",
        ["It is in Bonn.", "It is in Ulm."],
    ),
    "conflictqa": (
        [{**CONFLICT, "memory_answer": "Ulm.", "counter_answer": "Bonn.", "parametric_memory": "Ulm it is.",
          "counter_memory": "Bonn it is.", "parametric_memory_aligned_evidence": "Papers say Ulm.",
          "counter_memory_aligned_evidence": "Papers say Bonn."}],
        "A",
        ["Papers say Bonn.", "Papers say Ulm."],
    ),
    "confiqa": (
        [{**CONFLICT, "orig_context": "In Ulm.", "orig_answer": "Ulm", "cf_context": "In Bonn.", "cf_answer": "Bonn"}],
        "A",
        ["In Bonn.", "In Ulm."],
    ),
    "squad-v2": (
        [{"title": "Bo", "paragraphs": [{"context": "Bo was six.", "qas": [
            {"id": "1", "question": "How old?", "answers": [{"text": "six"}], "is_impossible": False},
            {"id": "2", "question": "Which town?", "answers": [], "plausible_answers": [{"text": "six"}],
             "is_impossible": True}]}]}],
        "B",
        ["Bo was six."] * 2,
    ),
    "squad-v2-flat": (
        [{"id": "1", "title": "Bo", "context": "Bo was six.", "question": "How old?",
          "answers": {"text": ["six"], "answer_start": [7]}}],
        "B",
        ["Bo was six."],
    ),
    "ragtruth": (
        [{"id": "1", "source_id": "s", "model": "m", "response": "Bo is seven.", "quality": "good",
          "labels": [{"start": 6, "end": 11, "text": "seven", "label_type": "Evident Conflict"}]}],
        "B",
        ["passage 1: Bo is six."],
    ),
    "pope-records": (
        [{"question_id": 1, "image": "a.png", "text": "Is there a cat in the image?", "label": "no"}], "A", [""]
    ),
    "amber": ([{"id": 7, "image": "a.png", "query": "Is the sky green?"}], "A", [""]),
    "naturalbench": (
        [{"Index": 3, "Question_0": "Is it red?", "Question_1": "Is it blue?", "Image_0": "a.png", "Image_1": "b.png",
          "Image_0_Question_0": "Yes", "Image_1_Question_0": "No", "Image_0_Question_1": "No",
          "Image_1_Question_1": "Yes", "Question_Type": "yes_no"}],
        "A",
        [""] * 4,
    ),
}  # fmt: skip


def folder_of(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of these rows with what some sets keep beside it."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    (tmp_path / "annotations.json").write_text(json.dumps([{"id": 7, "type": "attribute", "truth": "no"}]))
    prompt = "Answer:\npassages:\npassage 1: Bo is six.\n\nIn case the passages do not contain it, say so.\noutput:"
    source = {"source_id": "s", "task_type": "QA", "prompt": prompt, "source_info": {"question": "q", "passages": "p"}}
    (tmp_path / "source_info.jsonl").write_text(json.dumps(source) + "\n")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path
