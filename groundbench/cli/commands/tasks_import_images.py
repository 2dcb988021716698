"""`groundbench tasks import coco` and `visdial` with --images: a testbed of photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from groundbench.api.errors import BadInputError
from groundbench.cli import console

if TYPE_CHECKING:
    from groundbench.tasks.corpora import Manifest
    from groundbench.tasks.photos import Choices, PhotoManifest


WITH = ("contexts", "at_least", "crops", "copy")
WITHOUT = ("fold_case", "heldout", "jobs")


def check(context: typer.Context, images: Path | None) -> None:
    """Refuse options that do nothing: those of photos without --images, those of texts with it.

    Raises:
        BadInputError: names the first of them.
    """
    for name in WITH if images is None else WITHOUT:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{option} is for importing photos: give --images"
                if images is None
                else f"{option} is for importing texts: leave out --images"
            )


def choices(contexts: int, at_least: int, crops: bool, copy: bool, keep_going: bool) -> Choices:
    """Return the options of both commands."""
    from groundbench.tasks.photos import Choices

    return Choices(contexts=contexts, at_least=at_least, crops=crops, copy=copy, keep_going=keep_going)


def run(
    source: Literal["coco", "visdial"],
    files: Sequence[Path],
    images: Path,
    out: Path,
    options: Choices,
    as_json: bool,
) -> None:
    """Import, say what came of it, and list what was left out."""
    from groundbench.tasks.photos import photos_from_coco, photos_from_visdial

    manifest = (photos_from_coco if source == "coco" else photos_from_visdial)(files, images, out, options)
    tell(manifest, lambda: _show(manifest, out), as_json)


def tell(manifest: Manifest | PhotoManifest, show: Callable[[], None], as_json: bool) -> None:
    """Say what came of an import, and list what was left out."""
    if as_json:
        console.show_json(manifest.model_dump(mode="json"))
    else:
        show()
    if manifest.faults:
        console.note(f"{len(manifest.faults)} left out:")
        for f in manifest.faults:
            console.note(f"  {f.file}{'' if f.line is None else f', line {f.line}'}: {f.reason}")


def _show(manifest: PhotoManifest, out: Path) -> None:
    page = console.out()
    counted = Counter(i.noun for i in manifest.items)
    page.print(f"{len(counted)} nouns, {len(manifest.items)} photos of them, {len(manifest.pictures)} files in use")
    page.print(", ".join(f"{noun} {n}" for noun, n in counted.items()))
    if manifest.scarce:
        few = ", ".join(f"{noun} {n}" for noun, n in manifest.scarce.items())
        page.print(f"Fewer than {manifest.at_least} photos, left out: {few}")
    if manifest.unmatched:
        page.print(f"Categories that are no noun of the inventory: {', '.join(manifest.unmatched)}", soft_wrap=True)
    if manifest.distance is not None and manifest.displaced is not None:
        page.print(
            f"Mismatched photos: mean distance {manifest.distance:.2f} in the other objects (0: the same ones), "
            f"{manifest.displaced:.2f} in the object's place",
        )
    licences = Counter(p.licence or "not stated" for p in manifest.pictures.values())
    page.print("Licences: " + ", ".join(f"{name} ({n})" for name, n in licences.most_common()))
    page.print(f"{out}: groundbench run MODEL --testbed {out}", soft_wrap=True)
