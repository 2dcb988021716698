"""The help page of a command, made for a person with 80 columns: plain words for values, nothing cut, no types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperOption

from groundbench.cli.help_examples import example_commands

USED_FIRST, OTHERS = "Used first", "Others"
WORDS = {str: "TEXT", int: "N", float: "X", Path: "PATH"}
"""The word for a value, where an option has none of its own."""


def tidy(command: Any) -> Any:
    """Return the same command with a help page a person can read.

    The variable of every option follows one rule that the main page states, so it is not repeated at each; a flag
    shows no type, a value is named by a word, and choices stand in the sentence, where they break between words; a
    paragraph of the docstring is wrapped to the terminal, not to the source; a group begins with the commands that its
    examples begin with.
    """
    for param in command.params:
        param.show_envvar = False
        if isinstance(param, TyperArgument):
            for name, shown in (("display_type_rich", _nothing), ("get_usage_pieces", partial(_usage, param))):
                setattr(param, name, shown)
        elif isinstance(param, TyperOption):
            _name_the_value(param)
        if (getattr(param, "max", None) or 0) >= 2**31:  # a bound of the machine's, not of the option's
            param._get_number_range_help_str = partial("x>={}".format, param.min)
    command.get_help_option = _plain_help(command.get_help_option)
    command.format_help = _without_refusals(command, command.format_help)
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(line.strip() for line in p.split("\n")) for p in paragraphs)
    inner = getattr(command, "commands", {})
    if inner:
        _put_used_first(command)
    for part in inner.values():
        tidy(part)
    return command


def _name_the_value(param: TyperOption) -> None:
    if param.is_flag:
        param.metavar = ""
    elif param.metavar is None and len(choices := _choices(param)) > 1:
        param.metavar = "WHICH"  # a list of choices would be broken within a word
        param.help = f"{(param.help or '').rstrip()} One of: {', '.join(choices)}.".strip()
    elif param.metavar is None:
        param.metavar = next((WORDS[kind] for kind in _kinds(param) if kind in WORDS), "VALUE")


def _kinds(param: Any) -> tuple[Any, ...]:
    """Return the type of a parameter's value, then the types that it is made of."""
    annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    return (annotation, *get_args(annotation))


def _choices(param: Any) -> tuple[str, ...]:
    """Return the words that an option takes, if it takes some words only."""
    found: list[str] = []
    for kind in _kinds(param):
        if get_origin(kind) is Literal:
            found += [str(word) for word in get_args(kind)]
        elif isinstance(kind, type) and issubclass(kind, Enum):
            found += [str(member.value) for member in kind]
    return tuple(found)


def _nothing(ctx: Any) -> None:
    """Return no type: an argument's name says enough."""


def _usage(argument: TyperArgument, ctx: Any) -> list[str]:
    """Return an argument's place in the line of usage: `MODEL`, `[PRESET]`, `FILES...`."""
    name = argument.display_name_raw.strip("[]").removesuffix("...").strip("[]")
    more = "..." if argument.nargs != 1 else ""
    return [f"{name}{more}" if argument.required else f"[{name}]{more}"]


def _plain_help(found: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the option --help without a type: it is a flag."""

    def option(ctx: Any) -> Any:
        made = found(ctx)
        if made is not None:
            made.metavar = ""
        return made

    return option


def _without_refusals(command: Any, page: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Write the page with `--no-x` in the sentence of `--x`: a column for it would cut the names of all options."""

    def write_page(ctx: Any, formatter: Any) -> None:
        with _refusals_in_help(command):
            page(ctx, formatter)

    return write_page


@contextmanager
def _refusals_in_help(command: Any) -> Iterator[None]:
    changed = [p for p in command.params if any(name.startswith("--no-") for name in p.secondary_opts)]
    before = [(p.secondary_opts, p.help) for p in changed]
    for p in changed:
        p.help = f"{p.help} Not: {', '.join(p.secondary_opts)}."
        p.secondary_opts = []
    try:
        yield
    finally:
        for p, (secondary, said) in zip(changed, before, strict=True):
            p.secondary_opts, p.help = secondary, said


def _put_used_first(group: Any) -> None:
    """Begin a group with the commands of its examples, in their order; the first two in a panel of their own.

    A group whose commands have panels is left as it is.
    """
    if any(isinstance(c.rich_help_panel, str) for c in group.commands.values()):
        return
    shown = [line.split() for line in example_commands(group.epilog or "")]
    first = list(dict.fromkeys(name for words in shown for name in words if name in group.commands))
    order = first + [name for name in group.commands if name not in first]
    group.commands = {name: group.commands[name] for name in order}
    if len(order) > 2:
        for i, name in enumerate(order):
            group.commands[name].rich_help_panel = USED_FIRST if i < 2 else OTHERS
