"""`groundbench leaderboard`: submissions and the site made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.cli import console
from groundbench.cli.completion import complete_run
from groundbench.cli.help_examples import examples

if TYPE_CHECKING:
    from groundbench.leaderboard import Board, Submission
    from groundbench.leaderboard.submission.items_parquet import Item
    from groundbench.leaderboard.submission.recheck import Rescore
    from groundbench.leaderboard.submission.submission import Run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Submissions, and the site made of them.",
    epilog=examples(
        ("a run and the card that goes with it", "groundbench leaderboard add runs/mine --card card.yaml"),
        ("the site of all submissions, to look at", "groundbench leaderboard serve"),
    ),
)

BoardOption = Annotated[
    Path, typer.Option("--board", help="The board: a folder with entries/ and, optionally, board.yaml.", metavar="DIR")
]
BOARD = Path("leaderboard")
SITE = Path("build/leaderboard")


def _open(folder: Path) -> Board:
    from groundbench.leaderboard import open_board
    from groundbench.leaderboard.submission.reference import installed_references

    return open_board(folder, installed_references)


@app.command(
    epilog=examples(("a run and the card that goes with it", "groundbench leaderboard add runs/mine --card card.yaml"))
)
def add(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run directory, or a trajectory directory.", autocompletion=complete_run),
    ],
    card: Annotated[Path, typer.Option(help="card.yaml: model, licence, hardware, submitter, commit.")],
    name: Annotated[str | None, typer.Option(help="The submission's folder; by default from the card's model.")] = None,
    run_name: Annotated[str | None, typer.Option(help="The run's folder in it; by default RUN's own name.")] = None,
    board: BoardOption = BOARD,
) -> None:
    """Copy a run's result files into a submission and check it.

    The card names model, licence, hardware, submitter and the commit of groundbench; nothing is copied unless the
    whole submission is valid. A board that does not exist is begun.
    """
    from groundbench.api.errors import BadInputError
    from groundbench.leaderboard import add_run
    from groundbench.leaderboard.board import slug_of

    if not card.is_file():
        raise BadInputError(f"{card}: no such file; expected a card: model, licence, hardware, submitter, commit")
    is_new = not board.exists()
    if is_new:
        board.mkdir(parents=True)
    try:
        submission = add_run(_open(board), run, card, name or slug_of(card), run_name)
    finally:
        if is_new and not any(board.iterdir()):
            board.rmdir()
    if is_new:
        console.note(f"{board}: a new board; groundbench leaderboard build --board {board} makes its site")
    typer.echo(f"{board / 'entries' / submission.slug}: {_runs(submission)}")
    found = [r.last if r.results else r.risk for r in submission.runs]
    for measured in dict.fromkeys(f.model.name for f in found if f is not None):
        if not _similar_names(submission.card.model, measured):
            console.note(
                f"warning: the card names the model {submission.card.model!r}, but the result is of {measured!r}; if "
                f"the card is another model's, mend it and add the run again"
            )


@app.command(
    epilog=examples(
        ("every submission of the board", "groundbench leaderboard validate"),
        ("score 50 items of one again", "groundbench leaderboard validate mine --recheck MODEL"),
    )
)
def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Submissions; by default all.")] = None,
    board: BoardOption = BOARD,
    recheck: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Score a random sample of items again with these weights.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many items --recheck scores.")] = 50,
    seed: Annotated[int, typer.Option(help="The seed of that sample.")] = 0,
    tolerance: Annotated[float, typer.Option(help="The difference in nats that --recheck allows.")] = 0.01,
) -> None:
    """Check submissions: files, card, schema, testbed hash, plausibility, items.

    Says one sentence of each that is refused, and then ends with exit code 2.
    """
    from groundbench.api.errors import BadInputError
    from groundbench.leaderboard import RefusedError
    from groundbench.leaderboard.submission.recheck import recheck as score_again

    opened = _open(board)
    missing = sorted(set(names or ()) - set(opened.slugs))
    if missing:
        raise BadInputError(f"{opened.entries}: holds no submission {missing[0]!r}")
    rescore = _rescorer(recheck) if recheck is not None else None
    refused = 0
    chosen = names or opened.slugs
    for submission in opened.read(chosen):
        try:
            if isinstance(submission, RefusedError):
                raise submission
            typer.echo(f"{submission.slug}: valid, {_runs(submission)}")
            if rescore is not None:
                for run in (r for r in submission.runs if r.results):
                    folder = opened.entries / submission.slug
                    done = score_again(folder, run, rescore, n=sample, seed=seed, tolerance=tolerance)
                    typer.echo(f"{done.run}: {done.n_items} items scored again, at most {done.worst:.2g} nats apart")
        except RefusedError as error:
            refused += 1
            typer.echo(f"refused: {error}", err=True)
    if refused:
        raise BadInputError(f"{refused} of {len(chosen)} submissions are refused")


@app.command(epilog=examples(("the site, ready for any web host or a double click", "groundbench leaderboard build")))
def build(
    board: BoardOption = BOARD,
    out: Annotated[Path, typer.Option(help="The site's folder: new, empty, or one built before.")] = SITE,
) -> None:
    """Write the static site. Submissions that are refused are left out and named."""
    from groundbench.leaderboard import build_site

    for error in build_site(_open(board), out):
        typer.echo(f"left out: {error}", err=True)
    typer.echo(str(out / "index.html"))


@app.command(epilog=examples(("build and look at it", "groundbench leaderboard serve --port 8000")))
def serve(
    board: BoardOption = BOARD,
    out: Annotated[Path, typer.Option(help="The site's folder.")] = SITE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
) -> None:
    """Build the site and serve it on this machine only, until interrupted."""
    from groundbench.leaderboard.site.serve import server

    build(board, out)
    with server(out, port) as running:
        typer.echo(f"http://127.0.0.1:{running.server_port}/ (Ctrl-C ends it)")
        running.serve_forever()


def _similar_names(one: str, other: str) -> bool:
    """Return True if one of two names of models holds the other, letters and digits compared."""
    a, b = ("".join(c for c in name.lower() if c.isalnum()) for name in (one, other))
    return bool(a and b) and (a in b or b in a)


def _runs(submission: Submission) -> str:
    n = len(submission.runs)
    return f"{n} {'run' if n == 1 else 'runs'}"


def _rescorer(model: str) -> Rescore:
    """Score with the weights at hand, which must be those that the submission names."""
    from groundbench.leaderboard import RefusedError
    from groundbench.registry import load_testbed, open_model

    adapter = open_model(model)

    def rescore(run: Run, items: Sequence[Item]) -> list[float]:
        from groundbench.engine.rescore import score_items

        result = run.last
        if adapter.info.fingerprint != result.model.fingerprint:
            raise RefusedError(
                f"{run.name}: was measured on weights {result.model.fingerprint!r}, but {model} has "
                f"{adapter.info.fingerprint!r}"
            )
        testbed = load_testbed(result.testbed.name)
        triples = [(item.frame, item.env, item.target) for item in items]
        return score_items(adapter, testbed, result.testbed.env_form, triples)

    return rescore
