"""A command group that shows its help from a table and imports a command's module only when it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from groundbench.cli.help_page import tidy


class Command(NamedTuple):
    """One command: its line in the help, its panel, and whether a second call resumes a first."""

    help: str
    panel: str
    resumes: bool = False


class LazyGroup(TyperGroup):
    """The commands of a subclass' `table`, each a placeholder until it is called or asked for its own help.

    `former_options` holds, by command, names that options had; they are read and do not appear in the help.
    """

    table: ClassVar[Mapping[str, Command]] = {}
    former_options: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in self.table.items():
            self.add_command(TyperCommand(name, short_help=entry.help, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the real command behind the name in `args[0]`. An unknown name is a usage error with suggestions."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None or placeholder is None:  # shell completion of an unknown word
            return name, placeholder, rest
        if hasattr(ctx.obj, "resumes"):
            ctx.obj.resumes = self.table[name].resumes
        return name, load(name), with_present_names(rest, self.former_options.get(name, {}))


def with_present_names(args: Sequence[str], former: Mapping[str, str]) -> list[str]:
    """Return the arguments of a command with the present names of options in place of former ones."""
    named = args[: args.index("--")] if "--" in args else args
    split = [arg.partition("=") for arg in named]
    return [former.get(name, name) + equals + value for name, equals, value in split] + list(args[len(named) :])


def load(name: str) -> Any:
    """Return the command of that name, from its module `groundbench.cli.commands.NAME` (with `_` for `-`).

    The module has either an `app` (commands of its own) or a function of the command's name and an `EPILOG`.
    """
    module = import_module(f"groundbench.cli.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name, epilog=module.EPILOG)(getattr(module, name))
    command = get_command(app)
    command.name = name
    return tidy(prepare(command))


def prepare(command: Any) -> Any:
    """Return the same command, which reads `~` as the home folder; so do the commands in it."""
    inner = getattr(command, "commands", {})
    if not inner and "invoke" not in vars(command):
        command.invoke = _with_expanded_home(command.invoke)
    for part in inner.values():
        prepare(part)
    return command


def _with_expanded_home(invoke: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Call a command with `~` expanded in whatever it was given, also by `--out=~/x` and by variables.

    The session is told where the command keeps what it computes.
    """

    def invoke_expanded(ctx: Any) -> Any:
        ctx.params = {name: expand_home(value) for name, value in ctx.params.items()}
        if hasattr(ctx.obj, "out"):
            out = ctx.params.get("out")
            ctx.obj.out = None if out is None else Path(out)
        return invoke(ctx)

    return invoke_expanded


def expand_home(value: Any) -> Any:
    """Return a path, a text that begins with `~`, or several of them, with the home folder in its place."""
    if isinstance(value, list | tuple):
        return type(value)(expand_home(v) for v in value)
    if isinstance(value, str) and value.startswith("~"):
        return os.path.expanduser(value)
    return Path(os.path.expanduser(value)) if isinstance(value, Path) else value
