"""Pages of the site that are made when it is built: commands, fields of result files and of YAML formats.

A hook of mkdocs (mkdocs.yml names it). What these pages say is read from the program: nothing is typed twice.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

PROTOCOL = re.compile(r"§ ?(\d+)(\.\d)?(?![^<]*</a>)")
NO_SECTION_LINKS = {"concepts.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Make every cited section of the protocol a link to concepts.md; in tables, names do not break at hyphens."""
    from groundbench.report.text.unbroken import with_unbroken_cells

    html = with_unbroken_cells(html)
    if page.file.src_uri in NO_SECTION_LINKS:
        return html
    concepts = files.get_file_from_path("concepts.md")
    where = concepts.url_relative_to(page.file)
    anchors = sections(concepts.content_string)

    def link(found: re.Match[str]) -> str:
        number = found[1] + (found[2] or "")
        return f'<a href="{where}#{anchors[number]}">§{number}</a>' if number in anchors else found[0]

    parts = re.split(r"(<(?:pre|code|h\d)\b.*?</(?:pre|code|h\d)>)", html, flags=re.S)
    return "".join(part if i % 2 else PROTOCOL.sub(link, part) for i, part in enumerate(parts))


def sections(text: str) -> dict[str, str]:
    """The anchor of every numbered section of concepts.md."""
    found = {}
    for number, title in re.findall(r"^#+ §(\d+(?:\.\d)?) (.+)$", text, flags=re.M):
        found[number] = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", f"{number} {title}").strip().lower())
    return found


def pages() -> dict[str, str]:
    """The generated pages by their place in docs."""
    return {
        "reference/commands.md": commands(),
        "reference/result_fields.md": result_fields(),
        "reference/yaml.md": yaml_formats(),
    }


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    from groundbench.cli.app import COMMANDS
    from groundbench.cli.lazy import load

    lines = [
        "# Commands",
        "",
        "Written from the program when this site is built. Every option is also a variable: `run --batch-tokens` is",
        "`GROUNDBENCH_RUN_BATCH_TOKENS`. Results go to stdout, everything else to stderr; `--debug` before the command",
        "shows the traceback of an error.",
        "",
        "| exit code | meaning |",
        "|--:|:--|",
        "| 0 | done |",
        "| 1 | a fault while running; what was computed is kept |",
        "| 2 | bad input: one sentence, no traceback |",
        "| 3 | a gate failed (`screen`) |",
        "| 130 | interrupted; the same command continues |",
        "",
    ]
    for name in COMMANDS:
        lines += _command(f"groundbench {name}", load(name), 2)
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, level: int) -> list[str]:
    lines = [f"{'#' * level} {name}", "", _plain(command.help or ""), ""]
    inner = getattr(command, "commands", {})
    if not inner:
        shown = [p for p in command.params if not p.hidden and p.name != "help"]
        arguments = [_metavar(p) for p in shown if p.param_type_name == "argument"]
        lines += ["```text", " ".join([name, "[OPTIONS]", *arguments]), "```", ""]
        if shown:
            lines += ["| option | meaning | default |", "|:--|:--|:--|", *map(_option, shown), ""]
    for key, part in inner.items():
        lines += _command(f"{name} {key}", part, level + 1)
    return lines


def _metavar(param: Any) -> str:
    """Return the word for a value: its own, its choices, or its type."""
    if param.metavar is not None:
        return str(param.metavar)
    annotation = param.type_descriptor.annotation
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(c, str) for c in choices):
        return "|".join(choices)
    return str(getattr(annotation, "__name__", param.name)).upper()


def _option(param: Any) -> str:
    """A row of the table of options."""
    is_option = param.param_type_name == "option"
    name = ", ".join([*param.opts, *param.secondary_opts]) if is_option else _metavar(param)
    value = f" {_metavar(param)}" if is_option and not param.is_flag else ""
    if isinstance(param.show_default, str):
        default = param.show_default
    else:
        plain = isinstance(param.default, str | int | float) and not isinstance(param.default, bool)
        default = str(param.default) if plain else ""
    return f"| `{name + value}` | {_cell(_plain(param.help or ''))} | {_cell(default)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def _plain(text: str) -> str:
    """Help without rich's markup."""
    return re.sub(r"\[/?(?:bold|italic|dim|cyan|green|red|yellow)\]", "", text)


def result_fields() -> str:
    """The fields of every record of the result files."""
    from groundbench.results import risk_card, run, trajectory

    files: tuple[tuple[str, type[BaseModel]], ...] = (
        ("result.json", run.Result),
        ("trajectory.json", trajectory.Trajectory),
        ("aggregate.json", trajectory.MeanTrajectory),
        ("card.json", risk_card.RiskCard),
    )
    lines = [
        "# Fields of result files",
        "",
        "Written from the schema when this site is built. Unknown fields are refused, numbers are finite, and what was",
        "not measured is null. Surprisals and gains are in nats; layers are numbered from 1, heads from 0.",
        "",
    ]
    seen: set[type[BaseModel]] = set()
    for name, record in files:
        lines += [f"## {name}", ""]
        for part in _records(record, seen):
            lines += _record(part)
    return "\n".join(lines) + "\n"


def yaml_formats() -> str:
    """The YAML formats that users write, field by field."""
    from groundbench.screening.policy import Policy
    from groundbench.tasks import yaml_testbed
    from groundbench.training.presets import Preset

    head, _, example = inspect.getdoc(yaml_testbed).partition("\n\n")  # type: ignore[union-attr]
    lines = ["# YAML formats", "", "Unknown fields are refused, by file, line and field.", ""]
    lines += ["## Testbed", "", _cell(head), "", "```yaml", example, "```", ""]
    lines += ["[How to add a testbed](../how-to/add_testbed.md).", ""]
    seen: set[type[BaseModel]] = set()
    for title, record, more in (
        ("Screening policy", Policy, "[How to screen](../how-to/screen.md)."),
        ("Training preset", Preset, "[How to train](../how-to/train.md); `groundbench train --list` shows ours."),
    ):
        lines += [f"## {title}", "", more, ""]
        for part in _records(record, seen):
            lines += _record(part)
    lines += [
        "## Question set",
        "",
        "See [question sets](questions.md).",
        "",
        "## Card of a submission",
        "",
        "See [Submit to the leaderboard](../how-to/submit.md).",
    ]
    return "\n".join(lines) + "\n"


def _records(record: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """A record and those it holds, each once."""
    if record in seen:
        return
    seen.add(record)
    yield record
    for field in record.model_fields.values():
        for part in _models(field.annotation):
            yield from _records(part, seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def _record(record: type[BaseModel]) -> list[str]:
    meanings, rest = _attributes(inspect.getdoc(record) or "")
    lines = [f"### {record.__name__}", "", rest, ""]
    lines += ["| field | type | default | meaning |", "|:--|:--|:--|:--|"]
    for name, field in record.model_fields.items():
        default = "required" if field.is_required() else str(field.get_default(call_default_factory=True))
        default = "null" if default == "None" else _cell(default) if len(default) < 24 else ""
        lines.append(f"| `{name}` | {_cell(_type(field.annotation))} | {default} | {_cell(meanings.get(name, ''))} |")
    return [*lines, ""]


def _type(annotation: Any) -> str:
    """A type as one reads it: without modules and bounds, with null for None."""
    if annotation is None or annotation is type(None):
        return "null"
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is Literal:
        return " | ".join(map(str, parts))
    if parts:
        inside = ", ".join("..." if part is Ellipsis else _type(part) for part in parts)
        return f"{getattr(origin, '__name__', origin)}[{inside}]"
    return str(getattr(annotation, "__name__", annotation))


def _attributes(text: str) -> tuple[dict[str, str], str]:
    """Return the text of each field under a docstring's `Attributes:`, and the docstring without them."""
    before, found, after = text.partition("Attributes:\n")
    if not found:
        return {}, text
    meanings: dict[str, str] = {}
    for block in re.split(r"\n(?=    \w)", after):
        for part in re.split(r"; (?=`\w)", " ".join(block.split())):
            names, _, meaning = part.partition(": ")
            for name in re.findall(r"\w+\*?", names):
                meanings.setdefault(name, meaning)
    return meanings, before.strip()
