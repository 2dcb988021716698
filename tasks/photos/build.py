"""Testbeds of photos that users bring: COCO annotations, Visual Dialog's dialogues (protocol §2.3)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Literal

import yaml

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import Fault, FaultError, fault
from groundbench.tasks.corpora.importing.writer import new_folder
from groundbench.tasks.corpora.manifest import FaultRecord
from groundbench.tasks.photos.annotations import Annotated, Annotations, read_annotations
from groundbench.tasks.photos.categories import canonical, noun_of
from groundbench.tasks.photos.decode import decode, upright_box
from groundbench.tasks.photos.dialogues import cuts, read_dialogues
from groundbench.tasks.photos.image_store import ImageFiles, open_image_files
from groundbench.tasks.photos.manifest import COPIES, File, Item, Other, PhotoManifest, Place, save_manifest
from groundbench.tasks.photos.matching import MIN_AREA, Candidates, Shown
from groundbench.util.progress import Progress

Said = Mapping[str, Sequence[tuple[int, str]]]
"""Noun -> (image's number, text cut before the noun), in the order of preference."""
SAME_SHAPE = 0.02
"""Largest relative difference of width / height between file and annotation."""


@dataclass(frozen=True)
class Choices:
    """The choices that decide the items.

    Attributes:
        contexts: at most so many images a noun.
        at_least: a noun with fewer is left out.
        min_area: an object covers at least this share of its image.
        crops: also a form of single-object crops.
        copy: copy the files into the testbed's folder, so that it can be moved.
        keep_going: leave images out that are missing or damaged.
    """

    contexts: int = 10
    at_least: int = 5
    min_area: float = MIN_AREA
    crops: bool = False
    copy: bool = False
    keep_going: bool = False

    def __post_init__(self) -> None:
        if self.contexts < 1 or self.at_least < 1:
            raise BadInputError(
                f"contexts and at_least: expected at least 1, found {self.contexts} and {self.at_least}"
            )
        if not 0 <= self.min_area < 1:
            raise BadInputError(f"min_area: expected a share from 0 to below 1, found {self.min_area}")


def photos_from_coco(files: Sequence[Path], images: Path, out: Path, choices: Choices | None = None) -> PhotoManifest:
    """Return an image testbed of COCO: photo k of every noun goes with text k of frames.yaml.

    Args:
        files: instances_*.json, and captions_*.json if there are (a photo whose captions name a noun is never said to
            be without it); or a plain list (see `annotations`). Also compressed or in archives.
        images: the photos: a folder, a zip or a plain tar.
        out: the folder to make; new or empty, written whole or not at all.

    Raises:
        BadInputError: nothing to read, too few photos; without `keep_going` the first fault (FaultError).
    """

    choices = choices or Choices()
    if choices.contexts > len(texts()):
        raise BadInputError(f"contexts: expected at most {len(texts())}, one for each text, found {choices.contexts}")

    def say(candidates: Candidates) -> Said:
        return {
            word: [(s.picture, texts()[k % len(texts())]) for k, s in enumerate(candidates.images_of(word))]
            for word in candidates.by_noun
        }

    return _Build("coco", list(files), images, choices)(out, lambda found, faults: say)


def photos_from_visdial(
    files: Sequence[Path], images: Path, out: Path, choices: Choices | None = None
) -> PhotoManifest:
    """Build a photo testbed of Visual Dialog: each photo's own dialogue, cut before a noun that it shows.

    Args:
        files: visdial_*.json and the instances_*.json of the same photos, which tell where the objects are.

    Other arguments and errors as `photos_from_coco`.
    """

    def prepare(found: Annotations, faults: list[Fault]) -> Callable[[Candidates], Said]:
        said = {number: dict(cuts(turns)) for number, turns in read_dialogues(found.others, faults).items()}

        def say(candidates: Candidates) -> Said:
            return {word: _distinct(candidates.images_of(word), word, said) for word in candidates.by_noun}

        return say

    return _Build("visdial", list(files), images, choices or Choices())(out, prepare)


def _distinct(shown: Iterable[Shown], word: str, said: Mapping[int, Mapping[str, str]]) -> list[tuple[int, str]]:
    """Return the noun's photos whose dialogue can be cut before it, every text once, so that prompts differ."""
    found: dict[str, int] = {}
    for s in shown:
        if word in said.get(s.picture, ()):
            found.setdefault(said[s.picture][word], s.picture)
    return [(picture, text) for text, picture in found.items()]


@cache
def texts() -> tuple[str, ...]:
    """Write the texts for photos that come without a dialogue."""
    return tuple(yaml.safe_load((resources(__package__) / "frames.yaml").read_text(encoding="utf-8")))


@dataclass
class _Build:
    """The steps of both importers: annotations first, then only the files that the items need."""

    source: Literal["coco", "visdial"]
    files: Sequence[Path]
    images: Path
    choices: Choices
    faults: list[Fault] = field(default_factory=list)
    read: dict[int, File] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    """Categories that no noun of the inventory stands for, the most frequent first."""

    def __call__(
        self, out: Path, prepare: Callable[[Annotations, list[Fault]], Callable[[Candidates], Said]]
    ) -> PhotoManifest:
        with new_folder(out) as folder:
            store = open_image_files(self.images.resolve())
            found = read_annotations(self.files, self.faults)
            counted = Counter(t.category for p in found.pictures.values() for t in p.things)
            self.unmatched = tuple(c for c, _ in counted.most_common() if canonical(c) not in noun_of())
            say = prepare(found, self.faults)
            usable = self._there(found, store)
            self._refuse()
            items, scarce = self._checked_items(usable, say, store)
            used = sorted(_used_photos(items))
            if self.choices.copy:
                (folder / COPIES).mkdir()
                for number in used:
                    self._copy(number, store, folder / COPIES)
            manifest = self._manifest(items, scarce, used)
            save_manifest(folder, manifest)
            return manifest

    def _there(self, found: Annotations, store: ImageFiles) -> dict[int, Annotated]:
        """Return the images with a noun's object that have a file; the others' faults are noted."""
        there: dict[int, Annotated] = {}
        for picture in found.pictures.values():
            if not picture.boxed or not any(canonical(t.category) in noun_of() for t in picture.things):
                continue
            name = store.find(picture.file, picture.id)
            if name is None:
                told = Fault(f"{self.images}/{picture.file}", None, "no such image, though it is annotated")
                self.faults.append(told)
            else:
                there[picture.id] = replace(picture, file=name)
        return there

    def _checked_items(
        self, usable: dict[int, Annotated], say: Callable[[Candidates], Said], store: ImageFiles
    ) -> tuple[list[Item], dict[str, int]]:
        """Choose items of which every photo can be read; damaged or turned ones are replaced."""
        while True:
            candidates = Candidates(list(usable.values()), self.choices.min_area)
            items, scarce = self._items(candidates, say(candidates))
            nouns = len({i.noun for i in items})
            if nouns < 2:
                strange = f"; categories without a noun: {', '.join(self.unmatched)}" if self.unmatched else ""
                raise BadInputError(
                    f"{self.images}: {nouns} nouns have {self.choices.at_least} photos or more, expected "
                    f"at least 2; lower --at-least or give more photos{strange}"
                )
            fresh = sorted(_used_photos(items) - self.read.keys())
            if not self._check(fresh, usable, store):
                return items, scarce

    def _check(self, numbers: Sequence[int], usable: dict[int, Annotated], store: ImageFiles) -> bool:
        """Read these images; whether one of them has to be left out or has other boxes than was thought."""
        changed = False
        with Progress(f"reading photos of {self.images.name}", len(numbers)) as bar:
            for number in numbers:
                try:
                    changed |= self._read(usable[number], store)
                except FaultError as error:
                    self.faults.append(error.fault)
                    self._refuse()
                    del usable[number]
                    changed = True
                bar.advance(1)
        return changed

    def _read(self, picture: Annotated, store: ImageFiles) -> bool:
        """Read a file, note its hash and upright size, and turn the boxes with it; whether that moved them."""
        where = f"{self.images}/{picture.file}"
        data = store.read(picture.file)
        decoded = decode(data, where)
        width, height = decoded.image.size
        as_stored = _boxes_are_as_stored(picture.size, decoded.stored, (width, height), where)
        self.read[picture.id] = File(
            file=picture.file,
            sha256=hashlib.sha256(data).hexdigest(),
            width=width,
            height=height,
            licence=picture.licence,
        )
        if not as_stored or decoded.orientation == 1:
            return False
        picture.things = [replace(t, box=upright_box(t.box, decoded.orientation)) for t in picture.things]
        return True

    def _copy(self, number: int, store: ImageFiles, folder: Path) -> None:
        name = f"{number:012d}{Path(self.read[number].file).suffix.lower()}"
        (folder / name).write_bytes(store.read(self.read[number].file))
        self.read[number] = self.read[number].model_copy(update={"file": name})

    def _items(self, candidates: Candidates, said: Said) -> tuple[list[Item], dict[str, int]]:
        enough = {w: rows for w, rows in sorted(said.items()) if len(rows) >= self.choices.at_least}
        scarce = {w: len(rows) for w, rows in sorted(said.items()) if w not in enough}
        boxes = {(w, s.picture): s for w, found in candidates.by_noun.items() for s in found}
        items = []
        for word, rows in enough.items():
            for k, (number, text) in enumerate(rows[: self.choices.contexts], 1):
                item = boxes[word, number]
                items.append(
                    Item(
                        id=f"{word}-{k}",
                        noun=word,
                        shown=Place(picture=number, box=item.box),
                        text=text,
                        others=_others(candidates, item, word, enough),
                    )
                )
        return items, scarce

    def _manifest(self, items: Sequence[Item], scarce: dict[str, int], used: Sequence[int]) -> PhotoManifest:
        others = [o for i in items for o in i.others.values()]
        return PhotoManifest(
            source=self.source,
            images=COPIES if self.choices.copy else str(self.images.resolve()),
            crops=self.choices.crops,
            at_least=self.choices.at_least,
            min_area=self.choices.min_area,
            pictures={number: self.read[number] for number in used},
            items=tuple(items),
            scarce=scarce,
            unmatched=self.unmatched,
            distance=sum(o.distance for o in others) / len(others) if others else None,
            displaced=sum(o.displaced for o in others) / len(others) if others else None,
            faults=tuple(FaultRecord(file=f.file, line=f.line, reason=f.reason) for f in self.faults),
        )

    def _refuse(self) -> None:
        if self.faults and not self.choices.keep_going:
            raise FaultError(self.faults[0])


def _others(candidates: Candidates, item: Shown, word: str, words: Iterable[str]) -> dict[str, Other]:
    return {
        other: Other(picture=near.shown.picture, box=near.shown.box, distance=near.distance, displaced=near.displaced)
        for other, near in candidates.mismatches(item, word, words).items()
    }


def _used_photos(items: Iterable[Item]) -> set[int]:
    return {p.picture for i in items for p in (i.shown, *i.others.values())}


def _boxes_are_as_stored(told: tuple[int, int], stored: tuple[int, int], upright: tuple[int, int], name: str) -> bool:
    """Return True if boxes are those of the image as stored; where both shapes fit (a square), as COCO does.

    Raises:
        FaultError: neither shape is that of the annotation.
    """

    def fits(size: tuple[int, int]) -> bool:
        shape = told[0] / told[1]
        # A small file's sides are rounded to whole pixels, which changes its shape by up to one pixel in a side.
        return abs(size[0] / size[1] / shape - 1) <= SAME_SHAPE + 1 / min(size)

    if fits(stored) or fits(upright):
        return fits(stored)
    raise fault(
        name, None, f"is {stored[0]} x {stored[1]} pixels, its annotation says {told[0]} x {told[1]}: another image"
    )
