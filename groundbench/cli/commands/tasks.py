"""`groundbench tasks`: which testbeds there are, what one asks, and whether it may be used."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, EnvSegment, Frame, Noun, TextSegment
from groundbench.api.testbed import Testbed as Bed
from groundbench.cli import console
from groundbench.cli.commands import tasks_import
from groundbench.cli.completion import complete_testbed
from groundbench.cli.help_examples import examples
from groundbench.cli.new_file import write_new
from groundbench.cli.options import AsJson, OneForm
from groundbench.registry import TASKS, load_testbed

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    epilog=examples(
        ("the installed testbeds", "groundbench tasks list"),
        ("what one of them asks", "groundbench tasks show childworld"),
        ("one of your own: a commented file to change", "groundbench tasks new fruits.yaml"),
        ("check one you wrote", "groundbench tasks validate my-testbed.yaml"),
        ("a corpus to train on, of transcripts you have", "groundbench tasks import childes Brown.zip --out DIR"),
    ),
)
app.add_typer(tasks_import.app, name="import")
app.command("select-nouns", epilog=tasks_import.SELECT_EPILOG)(tasks_import.select_nouns)

Name = Annotated[
    str,
    typer.Argument(
        help="A testbed's name or YAML file.", show_default=False, metavar="NAME", autocompletion=complete_testbed
    ),
]


@app.callback()
def tasks() -> None:
    """List, show and validate testbeds; import corpora."""


@app.command(
    "list",
    epilog=examples(("all testbeds", "groundbench tasks list"), ("for a program", "groundbench tasks list --json")),
)
def list_testbeds(as_json: AsJson = False) -> None:
    """List the installed testbeds, ours and those of other packages (entry points `groundbench.tasks`)."""
    rows = [_summary(e) for e in sorted(entry_points(group=TASKS), key=lambda e: e.name)]
    if as_json:
        console.show_json(rows)
        return
    cells = [[str(r.get(k, "")) for k in ("name", "nouns", "frames", "forms", "package")] for r in rows]
    console.show_table(("testbed", "nouns", "frames", "ENV forms", "package"), cells, right=("nouns",))
    for row in rows:
        if "error" in row:
            console.note(f"{row['name']}: {row['error']}")


def _summary(entry: EntryPoint) -> dict[str, Any]:
    """Return one testbed as plain values; one that does not load says why and hides no other."""
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    try:
        bed = load_testbed(entry.name)
    except BadInputError as error:
        return {"name": entry.name, "package": package, "error": str(error)}
    forms = ", ".join(f.name for f in (*bed.forms, *bed.image_forms))
    return {
        "name": bed.name,
        "nouns": len(bed.nouns),
        "frames": f"{len(bed.frames(bed.form(bed.default_form)))} {bed.frame_kind}",
        "forms": forms,
        "package": package,
    }


@app.command(
    epilog=examples(
        ("a file that validates, to change", "groundbench tasks new fruits.yaml"),
        ("then", "groundbench tasks validate fruits.yaml"),
    )
)
def new(
    file: Annotated[Path, typer.Argument(help="The YAML file to write.", show_default=False, metavar="FILE")],
) -> None:
    """Write the skeleton of a testbed of your own, with a remark at every field."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-") or "mine"
    text = (files("groundbench.tasks") / "skeleton.yaml").read_text(encoding="utf-8")
    write_new(file, text.replace("NAME   ", f"{name:<7}", 1), ".yaml")
    console.note(f"wrote {file}; next: groundbench tasks validate {file}")


@app.command(
    epilog=examples(
        ("its nouns, forms and two prompts", "groundbench tasks show ladder"),
        (
            "one noun in one form, in every frame",
            "groundbench tasks show ladder --env-form gloss --noun cup --limit 10",
        ),
        ("look at its images", "groundbench tasks show image-dialogue --noun dog --limit 12 --sheet dog.png"),
    )
)
def show(
    name: Name,
    env_form: OneForm = None,
    noun: Annotated[str | None, typer.Option(help="Show this noun.", show_default="the first", metavar="WORD")] = None,
    limit: Annotated[int, typer.Option(help="How many prompts.", min=1, metavar="N")] = 2,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Save their images, matched and mismatched.", show_default="none", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a testbed: its nouns, ENV forms and prompts."""
    bed = load_testbed(name)
    form = bed.form(env_form or bed.default_form)
    chosen, frames = _noun_and_frames(bed, form, noun, limit)
    if sheet is not None:
        from groundbench.cli.contact_sheet import save_sheet

        save_sheet(sheet, bed, form, chosen, frames)
        console.note(f"{sheet}: the images of {len(frames)} frames")
    shown = [(_mark_env(bed, frame, chosen, form), bed.target_in(chosen, form)) for frame in frames]
    if as_json:
        console.show_json({**_identity(bed), "prompts": [{"prompt": p, "target": t} for p, t in shown]})
        return
    identity = _identity(bed)
    console.say(console.bold(bed.name), f" {bed.version}  hash {identity['hash']}  {bed.frame_kind} frames")
    console.show_table(
        ("ENV form", "nouns", "frames", "what is shown"),
        [[f["name"], str(f["nouns"]), str(f["frames"]), f["description"]] for f in identity["forms"]],
        right=("nouns", "frames"),
    )
    console.show_table(("category", "nouns"), [[c, ", ".join(w)] for c, w in identity["categories"].items()])
    console.show_table(("prompt (the ENV form in «»)", "target"), shown, title=form.name, lines=True)


def _identity(bed: Bed) -> dict[str, Any]:
    def category(noun: Noun) -> str:
        return noun.category

    return {
        "name": bed.name,
        "version": bed.version,
        "hash": bed.digest(),
        "frame_kind": bed.frame_kind,
        "default_form": bed.default_form,
        "forms": [
            {
                "name": f.name,
                "description": f.description,
                "modality": f.modality,
                "nouns": len(bed.nouns_of(f)),
                "frames": len(bed.frames(f)),
                "excluded": dict(bed.excluded(f)),
            }
            for f in (*bed.forms, *bed.image_forms)
        ],
        "categories": {c: [n.word for n in ns] for c, ns in groupby(sorted(bed.nouns, key=category), category)},
    }


def _noun_and_frames(bed: Bed, form: EnvForm, word: str | None, limit: int) -> tuple[Noun, list[Frame]]:
    """Return the noun that is shown, and its first frames."""
    if word is not None and word in bed.excluded(form):
        raise BadInputError(f"testbed {bed.name!r} has no {form.name} form of {word!r}: {bed.excluded(form)[word]}")
    chosen = bed.nouns_of(form)[0] if word is None else bed.noun(word)
    return chosen, [f for f in bed.frames(form) if f.noun in (None, chosen.word)][:limit]


def _mark_env(bed: Bed, frame: Frame, noun: Noun, form: EnvForm) -> str:
    parts = []
    for segment in bed.prompt(frame, noun, form).segments:
        if isinstance(segment, TextSegment):
            parts.append(segment.text)
        else:
            parts.append(f"«{segment.text if isinstance(segment, EnvSegment) else 'image'}»")
    return "".join(parts)


@app.command(
    epilog=examples(
        ("a testbed of an installed package", "groundbench tasks validate childworld"),
        ("one you are writing", "groundbench tasks validate my-testbed.yaml"),
        ("and whether a corpus has its words", "groundbench tasks validate childes --vocabulary corpus/"),
    )
)
def validate(
    name: Name,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="Report words that this corpus folder, or vocabulary.txt, lacks.", show_default="none"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the rules a testbed's numbers depend on; exit code 2 names what is broken.

    Prompts are all distinct, each shows its noun once, no other noun of the inventory occurs, no article gives the
    noun away, no form but word and token contains the noun itself.
    """
    from groundbench.tasks.validation import find_faults

    bed = load_testbed(name)
    unknown = None if vocabulary is None else _unknown_words(bed, vocabulary)
    faults = find_faults(bed)
    if as_json:
        found = [f._asdict() for f in faults]
        console.show_json({"testbed": bed.name, "hash": bed.digest(), "faults": found, "unknown_words": unknown})
    elif faults:
        console.show_table(("where", "what is wrong"), [(f.where, f.what) for f in faults])
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise BadInputError(f"testbed {bed.name!r}: {faults[0].where} {faults[0].what}{more}")
    if not as_json:
        forms = (*bed.forms, *bed.image_forms)
        prompts = sum(len(bed.frames(f)) * len(bed.nouns_of(f)) for f in forms)
        console.out().print(f"{bed.name} {bed.version}: {len(forms)} forms, {prompts} prompts, no faults")
    if unknown is not None and not as_json:
        console.out().print(f"{len(unknown)} of the words in form {bed.default_form!r} are not in {vocabulary}")
        if unknown:
            console.show_table(("word", "prompts"), [(w, str(n)) for w, n in unknown.items()], right=("prompts",))


def _unknown_words(bed: Bed, vocabulary: Path) -> dict[str, int]:
    """Count the prompts of the default form that hold each word a vocabulary lacks, most frequent first."""
    from groundbench.tasks.written_contexts_check import read_vocabulary, unknown_words

    return dict(unknown_words(bed, bed.form(bed.default_form), read_vocabulary(vocabulary)).most_common())
