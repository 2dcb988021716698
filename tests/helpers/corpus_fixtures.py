"""Small transcripts made by hand, and what reading them must give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

HEAD = """@UTF8
@Begin
@Languages:\teng
@Participants:\tCHI Ann Target_Child , MOT Mother
@ID:\teng|{corpus}|CHI|1;02.||||Target_Child|||
@ID:\teng|{corpus}|MOT|||||Mother|||
"""


def chat(*lines: str, corpus: str = "made", end: bool = True) -> bytes:
    """A CHAT file with these lines in its body."""
    body = "".join(line + "\n" for line in lines)
    return (HEAD.format(corpus=corpus) + body + ("@End\n" if end else "")).encode()


def xml(*inner: str, corpus: str = "made", head: str = "") -> bytes:
    """A TalkBank XML file with these elements."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<CHAT xmlns="http://www.talkbank.org/ns/talkbank" '
        f'Version="2.0.2" Corpus="{corpus}">\n<Participants><participant id="CHI"/></Participants>\n'
        + "\n".join(inner)
        + "\n</CHAT>\n"
    ).encode()


def small_corpus(folder: Path, files: int = 12, scenes: int = 30) -> Path:
    """A folder of transcripts, each about nouns of its own: shown and said in turn."""
    nouns = ("ball", "book", "cup", "dog", "hat", "shoe")
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(files):
        noun = nouns[i % len(nouns)]
        lines = [
            line
            for k in range(scenes)
            for line in (
                f"*MOT:\tlook at the {noun} number{i} .",
                f"%act:\tpicks up the {noun} scene{i}x{k}",
                f"*CHI:\tmy {noun} word{k % 5} .",
            )
        ]
        (folder / f"t{i:02}.cha").write_bytes(chat(*lines, corpus="even" if i % 2 == 0 else "odd"))
    return folder


def decoded(folder: Path) -> list[list[str]]:
    """The tokens of an imported corpus, transcript by transcript, read from its files with nothing of ours."""
    import numpy as np

    words = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    tokens, segments, utterances, transcripts = (
        np.load(folder / f"{name}.npy") for name in ("tokens", "segments", "utterances", "transcripts")
    )
    bounds: Sequence[int] = segments[utterances[transcripts]].tolist()
    return [[words[t] for t in tokens[a:b]] for a, b in pairwise(bounds)]


FLAT = [
    {
        "img": "a/1.jpg",
        "dialog": ["A man, with a Dog", "is it big? yes, very", "what color? brown", "why ?? i can't say"],
    },
    {"img": "a/2.jpg", "dialog": ["two cups", "are they full? no"]},
]
NATIVE = {
    "version": "1.0",
    "split": "val",
    "data": {
        "questions": ["are they full", "is it big", "what color", "why ?"],
        "answers": ["no", "brown", "yes, very", "i can't say"],
        "dialogs": [
            {
                "image_id": 1,
                "caption": "A man, with a Dog",
                "dialog": [
                    {"question": 1, "answer": 2, "answer_options": [0, 2], "gt_index": 1},
                    {"question": 2, "answer": 1},
                    {"question": 3, "answer": 3},
                ],
            },
            {"image_id": 2, "caption": "two cups", "dialog": [{"question": 0, "answer": 0}]},
        ],
    },
}
