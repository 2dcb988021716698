"""Reads COCO captions: of an image's captions one is shown (ENV) and the next one said (LAN)."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.tasks.corpora.formats.chat_words import plain
from groundbench.tasks.corpora.formats.located_json import expect, member, parse
from groundbench.tasks.corpora.formats.segments import ANSWER, Segment, Utterance
from groundbench.tasks.corpora.importing.batches import Record
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.corpora.importing.sources import Source


def read_coco(data: bytes, source: Source, faults: list[Fault], *, fold_case: bool) -> Iterator[Record]:
    """Yield a record for each image with two captions or more: the first shown, the second said, and so on.

    Every caption stands in one form only; an odd one is left over. An annotation with a mistake is left out and its
    fault noted.

    Raises:
        FaultError: not JSON, or without `annotations`.
    """
    name = source.name
    captions: dict[int, list[str]] = {}
    for i, row in enumerate(member(parse(data, name), "annotations", list, name, "")):
        place = f"annotations[{i}]"
        try:
            text = member(expect(row, dict, name, place), "caption", str, name, place)
            image = member(row, "image_id", int, name, place)
        except FaultError as error:
            faults.append(error.fault)
            continue
        captions.setdefault(image, []).append(text.lower() if fold_case else text)
    for image, texts in captions.items():
        pairs = zip(texts[::2], texts[1::2], strict=False)
        utterances: list[Utterance] = []
        for shown, said in pairs:
            both = Segment("env", ANSWER, plain(shown)), Segment("lan", ANSWER, plain(said))
            if all(s.words for s in both):
                utterances.append([*both])
        if utterances:
            yield Record(f"{name}#{image}", "coco", repr(texts).encode(), utterances)
