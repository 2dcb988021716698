"""`groundbench tasks import` and `tasks select-nouns`: corpora and photos that users bring, and a corpus' nouns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from groundbench.api.errors import BadInputError
from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.options import AsJson

if TYPE_CHECKING:
    from groundbench.tasks.corpora import Manifest
    from groundbench.tasks.corpora.noun_selection import NounSelection
    from groundbench.tasks.photos import Choices, PhotoManifest

SHOWN = 5
"""Second readings that the summary names; the manifest has all."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    epilog=examples(
        ("a downloaded corpus of transcripts", "groundbench tasks import childes Brown.zip --out corpora/brown"),
        ("then: which of its nouns can be asked for", "groundbench tasks select-nouns corpora/brown"),
    ),
)

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders, zip or tar archives; .xz, .gz or .bz2 of each.", metavar="FILES", show_default=False
    ),
]
Out = Annotated[Path, typer.Option(help="The corpus folder to make.", metavar="DIR", show_default=False)]
Tiers = Annotated[
    Literal["strict", "core"],
    typer.Option(
        help="What counts as shown: strict is %act %sit %gpx; core adds %exp %par, [= …] [=! …] [% …], @Situation and "
        "@Activities."
    ),
]
Heldout = Annotated[float, typer.Option(help="The share of transcripts that no model is trained on.", metavar="SHARE")]
Jobs = Annotated[
    int | None,
    typer.Option(help="Processes that read.", min=1, metavar="N", show_default="one for each core"),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Leave out what cannot be read, and list it at the end.")]
MinEnvShare = Annotated[
    float | None,
    typer.Option(
        help="Keep only transcripts of which at least this share of the words is ENV: the action-rich part.",
        show_default="all transcripts",
        metavar="SHARE",
    ),
]
NounsTold = Annotated[
    str,
    typer.Option(
        "--nouns",
        help="The nouns to look for in the corpus: inventory (the paper's), cdi-en, cdi-es, or a file of nouns.",
        metavar="NAME|FILE",
    ),
]
FoldCase = Annotated[bool, typer.Option("--fold-case/--keep-case", help="Write every word in lower case.")]


@dataclass(frozen=True)
class TextOptions:
    """The options of importing captions and dialogues as texts."""

    fold_case: FoldCase = True
    heldout: Heldout = 0.02
    jobs: Jobs = None
    keep_going: KeepGoing = False


@dataclass(frozen=True)
class PhotoOptions:
    """The options of importing photos as a testbed."""

    images: Annotated[
        Path | None,
        typer.Option(help="Make a testbed of these photos: a folder, a zip or a plain tar.", show_default="none"),
    ] = None
    contexts: Annotated[int, typer.Option(help="With --images: at most N photos a noun.", min=1, metavar="N")] = 10
    at_least: Annotated[
        int, typer.Option(help="With --images: leave out nouns with fewer photos.", min=1, metavar="K")
    ] = 5
    crops: Annotated[bool, typer.Option("--crops", help="With --images: also a form of single-object crops.")] = False
    copy: Annotated[bool, typer.Option("--copy", help="With --images: copy the photos in use into DIR.")] = False

    def choices(self, keep_going: bool) -> Choices:
        """Return them as the import takes them."""
        from groundbench.tasks.photos import Choices

        return Choices(
            contexts=self.contexts, at_least=self.at_least, crops=self.crops, copy=self.copy, keep_going=keep_going
        )


@app.callback()
def importing() -> None:
    """Make a corpus for `groundbench train`, or of photos a testbed: CHILDES, Visual Dialog, COCO."""


@app.command(
    epilog=examples(
        ("a downloaded corpus", "groundbench tasks import childes Brown.zip --out corpora/brown"),
        ("a folder, with the paper's tiers", "groundbench tasks import childes Eng-NA/ --tiers strict --out DIR"),
        ("the action-rich part", "groundbench tasks import childes Eng-NA/ --min-env-share 0.1 --out DIR"),
        ("another language's nouns", "groundbench tasks import childes Spanish/ --nouns cdi-es --out DIR"),
        ("leave out what is damaged", "groundbench tasks import childes *.cha --keep-going --out DIR"),
    )
)
def childes(
    files: Files,
    out: Out,
    tiers: Tiers = "core",
    fold_case: FoldCase = False,
    heldout: Heldout = 0.02,
    jobs: Jobs = None,
    keep_going: KeepGoing = False,
    min_env_share: MinEnvShare = None,
    nouns: NounsTold = "inventory",
    as_json: AsJson = False,
) -> None:
    """Import TalkBank transcripts: CHAT (.cha) and XML.

    What is noted beside an utterance becomes ENV and stands before it, led by the speaker's tag; what is said becomes
    LAN. One transcript is one record.
    """
    from groundbench.tasks.corpora import import_childes

    _run(
        lambda: import_childes(
            files,
            out,
            tiers=tiers,
            fold_case=fold_case,
            heldout=heldout,
            jobs=jobs,
            keep_going=keep_going,
            min_env_share=min_env_share,
        ),
        out,
        as_json,
        nouns,
    )


@app.command(
    epilog=examples(
        ("the native files", "groundbench tasks import visdial visdial_1.0_train.json --out corpora/visdial"),
        ("several at once", "groundbench tasks import visdial train.json val.json.xz --out DIR"),
        (
            "a testbed of its photos",
            "groundbench tasks import visdial train.json boxes.json --images DIR --out DIR",
        ),
    )
)
@expand_option_groups
def visdial(
    context: typer.Context,
    files: Files,
    out: Out,
    texts: TextOptions,
    photos: PhotoOptions,
    as_json: AsJson = False,
) -> None:
    """Import Visual Dialog: JSON of version 1.0, or lists of a caption and "question? answer" texts.

    The caption becomes ENV and stands before the first question; questions (<Q>) and answers (<A>) become LAN.
    With --images a testbed of photos instead: each with its own dialogue, cut before a noun that the photo shows.
    """
    _check_photo_options(context, photos.images)
    if photos.images is not None:
        _import_photos("visdial", files, photos.images, out, photos.choices(texts.keep_going), as_json)
        return
    from groundbench.tasks.corpora import import_visdial

    _run(lambda: import_visdial(files, out, **asdict(texts)), out, as_json)


@app.command(
    epilog=examples(
        ("the official captions", "groundbench tasks import coco captions_train2017.json --out corpora/coco"),
        ("hold out more", "groundbench tasks import coco captions_val2017.json.xz --heldout 0.1 --out DIR"),
        (
            "a testbed of its photos",
            "groundbench tasks import coco boxes.json captions.json --images DIR --out DIR",
        ),
    )
)
@expand_option_groups
def coco(
    context: typer.Context,
    files: Files,
    out: Out,
    texts: TextOptions,
    photos: PhotoOptions,
    as_json: AsJson = False,
) -> None:
    """Import COCO captions: of an image's captions one is shown (ENV), the next one said (LAN).

    With --images a testbed of photos instead (`groundbench run MODEL --testbed DIR`): a photo with a noun's object,
    and for every other noun one without it, as alike as can be.
    """
    _check_photo_options(context, photos.images)
    if photos.images is not None:
        _import_photos("coco", files, photos.images, out, photos.choices(texts.keep_going), as_json)
        return
    from groundbench.tasks.corpora import import_coco

    _run(lambda: import_coco(files, out, **asdict(texts)), out, as_json)


def _run(make: Callable[[], Manifest], out: Path, as_json: bool, nouns: str = "inventory") -> None:
    """Import, say what came of it and for which `nouns` it suffices, and list what was left out."""
    from groundbench.tasks.inventories import load_inventory

    words = [n.word for n in load_inventory(nouns).nouns]  # a name that is unknown is said before the import
    manifest = make()
    _show_import(manifest, lambda: _show(manifest, out, words, nouns), as_json)


def _show(manifest: Manifest, out: Path, nouns: Sequence[str], inventory: str = "inventory") -> None:
    from groundbench.tasks.corpora import select_nouns

    columns = ("corpus", "transcripts", "utterances", "ENV tiers", "ENV words", "LAN words")
    rows = [
        (name, *(f"{n:,}" for n in (c.transcripts, c.utterances, c.env_segments, c.env_words, c.lan_words)))
        for name, c in (*manifest.corpora.items(), ("all", manifest.totals))
    ]
    console.show_table(columns, rows, right=columns[1:])
    page = console.out()
    page.print(f"{manifest.types:,} word types; {manifest.heldout_transcripts} transcripts held out")
    if manifest.duplicates:
        page.print(f"{manifest.duplicates} transcripts were there twice and are left out once")
        for second in manifest.second_readings[:SHOWN]:
            page.print(f"  {second.file}: {second.why} as {second.first}", soft_wrap=True)
        if len(manifest.second_readings) > SHOWN:
            page.print(f"  … all {len(manifest.second_readings)} stand in manifest.json")
    if manifest.grouped:
        page.print(
            f"{manifest.grouped} transcripts resemble another or share its identifier: they stand in the same split"
        )
    if manifest.passed_over:
        page.print("No input: " + ", ".join(f"{n} {kind}" for kind, n in manifest.passed_over.items()), soft_wrap=True)
    if manifest.min_env_share is not None:
        page.print(
            f"{manifest.poor_transcripts} transcripts left out: less than {manifest.min_env_share:g} of their words is "
            "ENV",
        )
    chosen = select_nouns(out, nouns=nouns)
    page.print(chosen.describe())
    page.print(f"Licence: {manifest.licence}", soft_wrap=True)
    for line in suggestions(chosen, manifest.totals.env_words, manifest.totals.lan_words, out, inventory):
        page.print(line, soft_wrap=True)


TESTBEDS = {"inventory": "", "cdi-en": " --testbed childes-en-all", "cdi-es": " --testbed childes-es"}
"""The testbed of an inventory's nouns, as an option; that of the paper's is the default."""


def suggestions(
    chosen: NounSelection, env_words: int, lan_words: int, out: Path, inventory: str = "inventory"
) -> list[str]:
    """Suggest commands for an imported corpus: to train on it, and to measure with its nouns.

    Args:
        chosen: its nouns at the published threshold.
        env_words, lan_words: the words that it shows, and that it says.
        inventory: the name of the nouns, or their file, whose testbed the user makes.
    """
    measure = f"groundbench trajectory RUN{TESTBEDS.get(inventory, ' --testbed YOURS')}"
    select = f"groundbench tasks select-nouns {out}{'' if inventory == 'inventory' else f' --nouns {inventory}'}"
    if not lan_words:
        return [f"{out}: nothing is said in it, so nothing can be trained on it"]
    lines = [f"{out}: train on it with groundbench train PRESET --corpus {out}"]
    if not env_words:
        return [*lines, "nothing is shown in it (no ENV words), so grounding cannot be measured on its nouns"]
    most = sorted((min(v.env, v.lan) for v in chosen.verdicts), reverse=True)
    lower = next((most[n - 1] for n in (USUAL, FEWEST) if len(most) >= n and most[n - 1] >= 1), 0)
    if len(chosen.kept) >= USUAL:
        return [*lines, f"then measure its {len(chosen.kept)} nouns with {measure} --out DIR"]
    if lower == 0 or (len(chosen.kept) >= FEWEST and lower >= chosen.at_least):
        few = "too few to measure" if len(chosen.kept) < FEWEST else "few: intervals will be wide"
        return [*lines, f"{len(chosen.kept)} nouns are {few} ({USUAL} are usual); a larger corpus would show more"]
    count = sum(m >= lower for m in most)
    return [
        *lines,
        f"{len(chosen.kept)} nouns are few ({USUAL} are usual): with --at-least {lower} there are {count}, as in "
        f"{measure} --at-least {lower} --out DIR",
        f"which nouns: {select} --at-least {lower}",
    ]


FEWEST, USUAL = 2, 20
"""Nouns that a testbed must have, and usually has."""

SELECT_EPILOG = examples(
    ("at the published threshold", "groundbench tasks select-nouns corpora/brown"),
    ("of another language", "groundbench tasks select-nouns corpora/es --nouns cdi-es"),
    ("at a lower one, for a program", "groundbench tasks select-nouns corpora/brown --at-least 50 --json"),
)


def select_nouns(
    corpus: Annotated[Path, typer.Argument(help="An imported corpus folder.", metavar="CORPUS", show_default=False)],
    at_least: Annotated[
        int, typer.Option(help="How often a noun must be shown, and how often said.", min=1, metavar="K")
    ] = 100,
    nouns: Annotated[
        str, typer.Option(help="inventory (the paper's), cdi-en, cdi-es, or a file of nouns.", metavar="NAME|FILE")
    ] = "inventory",
    as_json: AsJson = False,
) -> None:
    """List the nouns of the inventory that a corpus shows and says often enough, and why the others are left out."""
    from groundbench.tasks import corpora
    from groundbench.tasks.inventories import load_inventory

    found = corpora.select_nouns(corpus, at_least, [n.word for n in load_inventory(nouns).nouns])
    if as_json:
        console.show_json(_selection_as_json(found))
        return
    rows = [(v.noun, f"{v.env:,}", f"{v.lan:,}", "yes" if v.stays else "no", v.why_not or "") for v in found.verdicts]
    console.show_table(("noun", "shown", "said", "stays", "why not"), rows, right=("shown", "said"))
    console.out().print(found.describe())


def _selection_as_json(found: Any) -> dict[str, Any]:
    verdicts = [
        {"noun": v.noun, "env": v.env, "lan": v.lan, "stays": v.stays, "why_not": v.why_not} for v in found.verdicts
    ]
    return {"corpus": found.corpus, "tiers": found.tiers, "at_least": found.at_least, "nouns": verdicts}


PHOTOS_ONLY = ("contexts", "at_least", "crops", "copy")
TEXTS_ONLY = ("fold_case", "heldout", "jobs")


def _check_photo_options(context: typer.Context, images: Path | None) -> None:
    """Refuse options that do nothing: those of photos without --images, those of texts with it.

    Raises:
        BadInputError: names the first of them.
    """
    for name in PHOTOS_ONLY if images is None else TEXTS_ONLY:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise BadInputError(
                f"{option} is for importing photos: give --images"
                if images is None
                else f"{option} is for importing texts: leave out --images"
            )


def _import_photos(
    source: Literal["coco", "visdial"],
    files: Sequence[Path],
    images: Path,
    out: Path,
    options: Choices,
    as_json: bool,
) -> None:
    """Import photos, print what came of it, and list what was left out."""
    from groundbench.tasks.photos import photos_from_coco, photos_from_visdial

    manifest = (photos_from_coco if source == "coco" else photos_from_visdial)(files, images, out, options)
    _show_import(manifest, lambda: _show_photos(manifest, out), as_json)


def _show_import(manifest: Manifest | PhotoManifest, show: Callable[[], None], as_json: bool) -> None:
    """Print what came of an import, and list what was left out."""
    if as_json:
        console.show_json(manifest.model_dump(mode="json"))
    else:
        show()
    if manifest.faults:
        console.note(f"{len(manifest.faults)} left out:")
        for f in manifest.faults:
            console.note(f"  {f.file}{'' if f.line is None else f', line {f.line}'}: {f.reason}")


def _show_photos(manifest: PhotoManifest, out: Path) -> None:
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
