"""coco: presence and naming, asked of photos with annotated objects; negatives by what occurs together in them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

from groundbench.api.errors import BadInputError
from groundbench.api.question import MENTION, Question
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.image_dialogue.phrases import YES_NO, question_text
from groundbench.tasks.photos.annotations import Annotated, read_annotations
from groundbench.tasks.photos.categories import also, noun_of, shown_nouns
from groundbench.tasks.questions.cases import any_of, shuffle_answers
from groundbench.tasks.questions.negatives import KINDS, Negatives
from groundbench.tasks.questions.photos import About, Photos, questions_of

MIN_AREA = 0.01
ROUNDS = 4
"""So often every photo may be asked about, before other photos are found for the answer yes."""
NAMES = "The picture shows the"


@dataclass(frozen=True)
class Photo:
    """A photo: categories that are clearly there, all that are annotated, and those that may be there."""

    file: str
    there: frozenset[str]
    annotated: frozenset[str]
    maybe: frozenset[str]


class Collection:
    """Photos with their categories, what occurs together in them, and which photos show a category clearly."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.photos = tuple(photos)
        self.negatives = Negatives(p.annotated for p in self.photos)

    @cached_property
    def showing(self) -> dict[str, list[Photo]]:
        """Category -> photos in which it is clearly there."""
        found: dict[str, list[Photo]] = defaultdict(list)
        for photo in self.photos:
            for category in sorted(photo.there):
                found[category].append(photo)
        return found


def coco(
    files: Sequence[str | Path],
    images: str | Path,
    *,
    pairs: int = 60,
    seed: int = 0,
    mismatched: int = 2,
    min_area: float = MIN_AREA,
) -> tuple[Question, ...]:
    """Return questions about COCO photos that are there; a group is a photo.

    Kinds: `presence-random`, `presence-popular`, `presence-adversarial`, and `caption`: which of two things is likelier
    after "The picture shows the", one that is there or one that is not but often is with what is there; an error is the
    second. `mention` asks the same of every category of the collection, once of a photo: an error is one that is not
    there. The other questions come in pairs: a category is asked of a photo without it (a negative of its kind) and of
    a photo with it, and of two names each is right once; so the question alone tells nothing.

    Args:
        files: instances_*.json and captions_*.json, or a plain list (see `groundbench.tasks.photos.annotations`).
            A category that a caption names is never said to be absent.
        images: a folder, a zip or a plain tar.
        pairs: of each kind, and photos of `mention`; fewer where there are no more.
        mismatched: how many other photos each question is asked of.
        min_area: an object that is asked about as there covers at least this share of its photo.

    Raises:
        BadInputError: bad annotations (FaultError), no photo there, a damaged photo, or no pair of questions.
    """
    if pairs < 1 or mismatched < 0 or not 0 <= min_area < 1:
        raise BadInputError(
            f"coco: pairs is {pairs}, mismatched {mismatched} and min_area {min_area}; expected at least 1, at least "
            "0, and a share from 0 to below 1"
        )
    photos = Photos(Path(images))
    collection = Collection(_photos([Path(f) for f in files], photos, min_area))
    made: list[tuple[str, About]] = []
    for kind in (*KINDS, "caption"):
        rng = Random(f"coco {seed} {kind}")
        found = _captions(collection, rng) if kind == "caption" else _presence(collection, kind, rng)
        made += ((f"{a.kind}/{i}", a) for i, a in enumerate(_distinct(found, pairs), 1))
    mentions = list(_mentions(collection, Random(f"coco {seed} {MENTION}")))[:pairs]
    made += ((f"{MENTION}/{i}", a) for i, a in enumerate(mentions, 1))
    if not made:
        raise BadInputError(f"{images}: no thing is in one photo and not in another, so nothing can be asked")
    return questions_of("coco", made, photos, mismatched, Random(f"coco {seed} mismatched"))


def _photos(files: Sequence[Path], photos: Photos, min_area: float) -> list[Photo]:
    """Return the photos that are annotated and there."""
    faults: list[Fault] = []
    annotated = [p for p in read_annotations(files, faults).pictures.values() if p.boxed and p.file]
    if faults:
        raise FaultError(faults[0])
    found, missing = [], 0
    for picture in annotated:
        file = photos.store.find(picture.file, picture.id)
        if file is None:
            missing += 1
        else:
            found.append(_photo(replace(picture, file=file), min_area))
    if not found:
        raise BadInputError(f"{photos.path}: none of the {missing:,} annotated photos is there")
    if missing:
        warnings.warn(f"coco: {len(found):,} of {len(annotated):,} photos are in {photos.path}", stacklevel=3)
    return found


def _photo(picture: Annotated, min_area: float) -> Photo:
    there = frozenset(t.category for t in picture.things if not t.crowd and t.area >= min_area)
    every = {t.category for t in picture.things}
    words = shown_nouns(picture)
    text = " ".join(picture.captions).lower()
    called = {c for c, noun in noun_of().items() if noun in words}
    called |= {c for c, nouns in also().items() if words & set(nouns)}
    named = {c for c in noun_of().keys() | also().keys() if c in text}
    return Photo(picture.file, there, frozenset(every), frozenset(every | called | named))


def _distinct(found: Iterator[tuple[About, About]], pairs: int) -> list[About]:
    """Return the first pairs that no question was about before."""
    made: list[About] = []
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for pair in found:
        keys = {(a.photo, a.ask, tuple(sorted(a.choices))) for a in pair}
        if len(keys) == 2 and not keys & seen:
            seen |= keys
            made += pair
        if len(made) == 2 * pairs:
            break
    return made


def _presence(collection: Collection, kind: str, rng: Random) -> Iterator[tuple[About, About]]:
    """Yield a category asked of a photo without it and of a photo with it; several rounds over all photos."""
    for photo in _rounds(collection, rng):
        absent = collection.negatives.draw(kind, photo.there, photo.maybe, rng)
        if absent is None or not (others := collection.showing[absent]):
            continue
        ask = question_text(f"is there {_a(absent)}")
        yield (
            About(f"presence-{kind}", photo.file, absent, ask, YES_NO, 1),
            About(f"presence-{kind}", rng.choice(others).file, absent, ask, YES_NO, 0),
        )


def _captions(collection: Collection, rng: Random) -> Iterator[tuple[About, About]]:
    """Yield two categories asked of a photo with the first only and of one with the second only."""
    for photo in _rounds(collection, rng):
        absent = collection.negatives.draw("adversarial", photo.there, photo.maybe, rng)
        if absent is None or not photo.there:
            continue
        there = rng.choice(sorted(photo.there))
        others = [p for p in collection.showing[absent] if there not in p.maybe]
        if not others:
            continue
        answers, truth = shuffle_answers(there, (absent,), rng)
        yield (
            About("caption", photo.file, there, NAMES, answers, truth),
            About("caption", rng.choice(others).file, absent, NAMES, answers, 1 - truth),
        )


def _mentions(collection: Collection, rng: Random) -> Iterator[About]:
    """Yield every category of the collection, asked of each photo but those that may be there."""
    every = sorted(collection.negatives.seen)
    for photo in rng.sample(collection.photos, len(collection.photos)):
        answers = tuple(c for c in every if c in photo.there or c not in photo.maybe)
        if photo.there and len(answers) > len(photo.there):
            noun, truth, also = any_of(sorted(photo.there), answers, rng)
            yield About(MENTION, photo.file, noun, NAMES, answers, truth, also)


def _rounds(collection: Collection, rng: Random) -> Iterator[Photo]:
    for _ in range(ROUNDS):
        yield from rng.sample(collection.photos, len(collection.photos))


def _a(category: str) -> str:
    return f"{'an' if category[0] in 'aeiou' else 'a'} {category}"
