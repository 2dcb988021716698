"""`groundbench tasks import` and `tasks select-nouns`: corpora that users bring, and the nouns they suffice for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from groundbench.cli import console
from groundbench.cli.commands import tasks_import_images as photos
from groundbench.cli.options import AsJson, examples

if TYPE_CHECKING:
    from groundbench.tasks.corpora import Manifest

SHOWN = 5
"""Second readings that the summary names; the manifest has all."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders, zip or tar archives; .xz, .gz or .bz2 of each.", metavar="FILES…", show_default=False
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
Images = Annotated[
    Path | None,
    typer.Option(help="Make a testbed of these photos: a folder, a zip or a plain tar.", show_default="none"),
]
PerNoun = Annotated[int, typer.Option(help="With --images: at most N photos a noun.", min=1, metavar="N")]
AtLeast = Annotated[int, typer.Option(help="With --images: leave out nouns with fewer photos.", min=1, metavar="K")]
Crops = Annotated[bool, typer.Option("--crops", help="With --images: also a form of single-object crops.")]
Copy = Annotated[bool, typer.Option("--copy", help="With --images: copy the photos in use into DIR.")]
FoldCase = Annotated[bool, typer.Option("--fold-case/--keep-case", help="Write every word in lower case.")]


@app.callback()
def importing() -> None:
    """Make a corpus for `groundbench train`, or of photos a testbed: CHILDES, Visual Dialog, COCO."""


@app.command(
    epilog=examples(
        ("a downloaded corpus", "groundbench tasks import childes Brown.zip --out corpora/brown"),
        ("a folder, with the paper's tiers", "groundbench tasks import childes Eng-NA/ --tiers strict --out DIR"),
        ("the action-rich part", "groundbench tasks import childes Eng-NA/ --min-env-share 0.1 --out DIR"),
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
    )


@app.command(
    epilog=examples(
        ("the native files", "groundbench tasks import visdial visdial_1.0_train.json --out corpora/visdial"),
        ("several at once", "groundbench tasks import visdial train.json val.json.xz --out DIR"),
        (
            "a testbed of its photos",
            "groundbench tasks import visdial visdial_1.0_train.json instances_train2017.json --images train2017/ "
            "--out DIR",
        ),
    )
)
def visdial(
    context: typer.Context,
    files: Files,
    out: Out,
    fold_case: FoldCase = True,
    heldout: Heldout = 0.02,
    jobs: Jobs = None,
    keep_going: KeepGoing = False,
    images: Images = None,
    contexts: PerNoun = 10,
    at_least: AtLeast = 5,
    crops: Crops = False,
    copy: Copy = False,
    as_json: AsJson = False,
) -> None:
    """Import Visual Dialog: JSON of version 1.0, or lists of a caption and "question? answer" texts.

    The caption becomes ENV and stands before the first question; questions (<Q>) and answers (<A>) become LAN.
    With --images a testbed of photos instead: each with its own dialogue, cut before a noun that the photo shows.
    """
    photos.check(context, images)
    if images is not None:
        photos.run("visdial", files, images, out, photos.choices(contexts, at_least, crops, copy, keep_going), as_json)
        return
    from groundbench.tasks.corpora import import_visdial

    _run(
        lambda: import_visdial(files, out, fold_case=fold_case, heldout=heldout, jobs=jobs, keep_going=keep_going),
        out,
        as_json,
    )


@app.command(
    epilog=examples(
        ("the official captions", "groundbench tasks import coco captions_train2017.json --out corpora/coco"),
        ("hold out more", "groundbench tasks import coco captions_val2017.json.xz --heldout 0.1 --out DIR"),
        (
            "a testbed of its photos",
            "groundbench tasks import coco instances_val2017.json captions_val2017.json --images val2017.zip --out DIR",
        ),
    )
)
def coco(
    context: typer.Context,
    files: Files,
    out: Out,
    fold_case: FoldCase = True,
    heldout: Heldout = 0.02,
    jobs: Jobs = None,
    keep_going: KeepGoing = False,
    images: Images = None,
    contexts: PerNoun = 10,
    at_least: AtLeast = 5,
    crops: Crops = False,
    copy: Copy = False,
    as_json: AsJson = False,
) -> None:
    """Import COCO captions: of an image's captions one is shown (ENV), the next one said (LAN).

    With --images a testbed of photos instead (`groundbench run MODEL --testbed DIR`): a photo with a noun's object,
    and for every other noun one without it, as alike as can be.
    """
    photos.check(context, images)
    if images is not None:
        photos.run("coco", files, images, out, photos.choices(contexts, at_least, crops, copy, keep_going), as_json)
        return
    from groundbench.tasks.corpora import import_coco

    _run(
        lambda: import_coco(files, out, fold_case=fold_case, heldout=heldout, jobs=jobs, keep_going=keep_going),
        out,
        as_json,
    )


def _run(make: Callable[[], Manifest], out: Path, as_json: bool) -> None:
    """Import, say what came of it, and list what was left out."""
    manifest = make()
    photos.tell(manifest, lambda: _show(manifest, out), as_json)


def _show(manifest: Manifest, out: Path) -> None:
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
    page.print(select_nouns(out).describe())
    page.print(f"Licence: {manifest.licence}", soft_wrap=True)
    page.print(f"{out}: train on it with groundbench train PRESET --corpus {out}", soft_wrap=True)


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
    from groundbench.tasks import corpora as importers
    from groundbench.tasks.inventories import load_inventory

    found = importers.select_nouns(corpus, at_least, [n.word for n in load_inventory(nouns).nouns])
    if as_json:
        console.show_json(_plain(found))
        return
    rows = [(v.noun, f"{v.env:,}", f"{v.lan:,}", "yes" if v.stays else "no", v.why_not or "") for v in found.verdicts]
    console.show_table(("noun", "shown", "said", "stays", "why not"), rows, right=("shown", "said"))
    console.out().print(found.describe())


def _plain(found: Any) -> dict[str, Any]:
    verdicts = [
        {"noun": v.noun, "env": v.env, "lan": v.lan, "stays": v.stays, "why_not": v.why_not} for v in found.verdicts
    ]
    return {"corpus": found.corpus, "tiers": found.tiers, "at_least": found.at_least, "nouns": verdicts}
