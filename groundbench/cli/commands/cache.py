"""`groundbench cache`: list and clear what is kept so that it is computed only once."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from groundbench.api.errors import BadInputError
from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.options import AsJson
from groundbench.util.cache_folder import KINDS, CacheEntry, cache_folder, entries, remove

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    epilog=examples(
        ("the cache, with sizes", "groundbench cache list"),
        ("remove all of it; it is made again when it is needed", "groundbench cache clear"),
    )
    + "\n\nIts folder is GROUNDBENCH_CACHE, else groundbench/ of XDG_CACHE_HOME, else ~/.cache/groundbench.",
)


@app.callback()
def cache() -> None:
    """Show and clear the cache: converted GGUF files, features of images."""


@app.command("list", epilog=examples(("for a program", "groundbench cache list --json")))
def list_entries(as_json: AsJson = False) -> None:
    """List the cache: kind, size, last use, and what each entry was made from."""
    found = entries()
    if as_json:
        console.show_json({"folder": str(cache_folder()), "entries": [_as_json(e) for e in found]})
        return
    if not found:
        console.say(f"the cache is empty: {cache_folder()}", soft_wrap=True)
        return
    total = sum(e.bytes for e in found)
    console.show_list(
        f"{_size(total)} in {cache_folder()}",
        [(e.kind, _size(e.bytes), _time_ago(e.used), _describe(e)) for e in found],
    )
    console.note("each entry's own folder: groundbench cache list --json")


@app.command(epilog=examples(("converted GGUF files only", "groundbench cache clear gguf")))
def clear(
    kind: Annotated[
        str | None,
        typer.Argument(help=f"Only this kind: {', '.join(KINDS)}.", show_default="all of them", metavar="[KIND]"),
    ] = None,
) -> None:
    """Clear the cache; what it held is made again when it is needed."""
    if kind is not None and kind not in KINDS:
        raise BadInputError(f"unknown kind {kind!r}: expected one of {', '.join(KINDS)}")
    gone = [e for e in entries() if kind in (None, e.kind)]
    for entry in gone:
        try:
            remove(entry)
        except OSError as error:
            raise BadInputError(f"{entry.folder}: cannot be removed: {error.strerror or error}") from error
    console.say(f"removed {len(gone)} of {cache_folder()}: {_size(sum(e.bytes for e in gone))}", soft_wrap=True)


def _as_json(entry: CacheEntry) -> dict[str, object]:
    return {
        "kind": entry.kind,
        "of": entry.of or None,
        "folder": str(entry.folder),
        "bytes": entry.bytes,
        "used": entry.used,
        "whole": entry.whole,
    }


def _describe(entry: CacheEntry) -> str:
    return entry.of or KINDS[entry.kind] if entry.whole else "left behind by a process that was killed; never read"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _time_ago(when: float) -> str:
    return f"{console.duration(max(0.0, time.time() - when))} ago"
