"""Options that several commands share are fields of a dataclass, declared once; a command takes the dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, get_type_hints


def expand_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: on the command line each of their fields is one.

    A field's annotation holds its typer option and its default. Fields keep the place of the dataclass among the
    command's own parameters, which is their order in the help.

        @expand_option_groups
        def flow(model: Model, out: Out, loading: LoadOptions) -> None: ...
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: dict[str, Parameter] = {}
    for name, parameter in signature(command).parameters.items():
        if is_dataclass(hints[name]) and isinstance(hints[name], type):
            groups[name] = hints[name]
            own = get_type_hints(hints[name], include_extras=True)
            for f in fields(hints[name]):
                parameters[f.name] = Parameter(
                    f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=own[f.name]
                )
        else:
            parameters[name] = parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])

    def call(**values: Any) -> None:
        made = {
            name: kind(**{f.name: values.pop(f.name) for f in fields(kind) if f.name in values})
            for name, kind in groups.items()
        }
        command(**values, **made)

    call.__name__, call.__doc__, call.__module__ = command.__name__, command.__doc__, command.__module__
    call.__annotations__ = {name: p.annotation for name, p in parameters.items()} | {"return": None}
    call.__signature__ = signature(command).replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    return call
