"""Testbeds of text, written in YAML: ours and those that users bring (`load_yaml`).

name: kitchen
version: "1"
natural_language: true          # any pretrained model can read the prompts
frame_kind: shared              # or per-noun
nouns: inventory                # the 100 nouns, or a list: of their words, or of
                                # {word: zebra, category: animals, article: a, plural: zebras}
default_form: word              # optional: else the first form
ladder: true                    # optional: the forms are forms of one ladder, measured together by default
join: " "                       # optional: what stands between the prompt and the target
target: "{noun}"                # optional: the word that is asked for; a form may bring its own
forms:
  word: {description: the word itself, template: "{noun}"}
  gloss: {description: a definition, table: gloss.yaml}    # or the table itself, noun by noun:
                                # book: written pages / shirt: {excluded: no definition without the word}
frames:                         # shared: id and template, cut right before the noun; a form may bring its own
  f01: "She looks at the {env} and says: I love this"      # per-noun: a list of templates for every noun
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from groundbench.api.testbed import (
    EnvForm,
    Frame,
    FrameKind,
    Noun,
    Prompt,
    Testbed,
    form_name_fault,
    text_prompt,
)
from groundbench.tasks.nouns import inventory
from groundbench.util.yaml_files import Marked, read_marked

REQUIRED = ("name", "version", "natural_language", "frame_kind", "nouns", "forms", "frames")
OPTIONAL = ("default_form", "join", "target", "ladder")


@dataclass(frozen=True)
class TextForm:
    """One ENV form: the text each noun is shown as, why others have none, the frames, and its own target if any."""

    form: EnvForm
    shown: Mapping[str, str]
    excluded: Mapping[str, str]
    frames: tuple[Frame, ...]
    target: str | None = None


class TextTestbed(Testbed):
    """A testbed whose prompts are templates with the ENV form's text in their slot.

    Args:
        target: the language form, with `{noun}` for the word.
        ladder: whether the forms are the forms of one ladder (see `Testbed.ladder`).
        join: what stands between the prompt and the target.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        nouns: Sequence[Noun],
        forms: Sequence[TextForm],
        frame_kind: FrameKind,
        natural_language: bool,
        default_form: str | None = None,
        join: str = " ",
        target: str = "{noun}",
        ladder: bool = False,
    ) -> None:
        self.name, self.version = name, version
        self.ladder = ladder
        self.nouns = tuple(nouns)
        self.forms = tuple(f.form for f in forms)
        self.default_form = default_form or self.forms[0].name
        self.frame_kind, self.natural_language = frame_kind, natural_language
        self._forms = {f.form.name: f for f in forms}
        self._join, self._target = join, target

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the frames of the form."""
        return self._forms[form.name].frames

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the frame with the noun's text in its slot. Raises KeyError if the noun has no such form."""
        return text_prompt(frame, env, form.name, self._forms[form.name].shown[env.word], self._join)

    def target(self, noun: Noun) -> str:
        """Return the language form of the noun."""
        return self._target.replace("{noun}", noun.word)

    def target_in(self, noun: Noun, form: EnvForm) -> str:
        """Return the word asked for in this form."""
        own = self._forms[form.name].target
        return self.target(noun) if own is None else own.replace("{noun}", noun.word)

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return nouns that the form cannot show, with the reason."""
        return self._forms[form.name].excluded

    def identity(self) -> dict[str, object]:
        """Return the text between a prompt and its target."""
        return {"join": self._join}


def load_yaml(path: Path, make: type[TextTestbed] = TextTestbed) -> TextTestbed:
    """Return the testbed of a YAML file, or of a folder's `testbed.yaml`; `make`: the class of it.

    Raises:
        BadInputError: naming file and line, what was found and what was expected.
    """
    file = read_marked(path / "testbed.yaml" if path.is_dir() else path)
    fields = file.fields(REQUIRED, OPTIONAL)
    kind: FrameKind = "shared" if fields["frame_kind"].choice(get_args(FrameKind)) == "shared" else "per-noun"
    nouns = _nouns(fields["nouns"])
    frames = _frames(fields["frames"], kind, nouns)
    forms = [_form(name, node, kind, nouns, frames) for name, node in fields["forms"].mapping().items()]
    if not forms:
        raise fields["forms"].error("forms is empty, expected at least one form")
    options: dict[str, Any] = {
        k: fields[k].flag() if k == "ladder" else fields[k].text(empty=k == "join") for k in OPTIONAL if k in fields
    }
    names = [f.form.name for f in forms]
    if options.get("default_form", names[0]) not in names:
        fields["default_form"].choice(names)
    if "target" in fields:
        options["target"] = _target(fields["target"])
    return make(
        name=fields["name"].text(),
        version=fields["version"].text(),
        nouns=nouns,
        forms=forms,
        frame_kind=kind,
        natural_language=fields["natural_language"].flag(),
        **options,
    )


def _nouns(node: Marked) -> tuple[Noun, ...]:
    known = {n.word: n for n in inventory()}
    if not node.is_sequence():
        if node.text() != "inventory":
            raise node.error(f"nouns is {node.text()!r}, expected 'inventory' or a list of nouns")
        return tuple(known.values())
    found: dict[str, Noun] = {}
    for row in node.sequence():
        if row.is_mapping():
            fields = row.fields(("word", "category"), ("article", "plural"))
            noun = Noun(**{key: value.text() for key, value in fields.items()})
            if len(noun.article.split()) != 1:
                raise fields["article"].error(f"{fields['article'].name} is {noun.article!r}, expected one word")
        elif row.text() in known:
            noun = known[row.text()]
        else:
            raise row.error(
                f"{row.text()!r} is not in the inventory, expected one of its nouns or {{word: ..., category: ...}}"
            )
        if noun.word in found:
            raise row.error(f"the noun {noun.word!r} is there twice")
        found[noun.word] = noun
    if len(found) < 2:
        raise node.error(f"nouns has {len(found)} nouns, expected at least 2")
    return tuple(found.values())


def _frames(node: Marked, kind: FrameKind, nouns: Sequence[Noun]) -> tuple[Frame, ...]:
    rows = node.mapping()
    if not rows:
        raise node.error(f"{node.name} is empty, expected at least one frame")
    if kind == "shared":
        return tuple(Frame(name, _template(row, "{env}")) for name, row in rows.items())
    words = [n.word for n in nouns]
    for name, row in rows.items():
        if name not in words:
            raise row.error(f"{row.name}: {name!r} is not among the nouns")
    missing = [w for w in words if w not in rows]
    if missing:
        raise node.error(f"{node.name} lacks the noun {missing[0]!r}: per-noun frames are a list for every noun")
    return tuple(
        Frame(f"{word}-{i}", _template(row, "{env}"), word)
        for word in words
        for i, row in enumerate(rows[word].sequence(), 1)
    )


def _template(node: Marked, slot: str) -> str:
    """Return a text with this slot exactly once, no other braces and no space around it."""
    text = node.text()
    slots = re.findall(r"\{[^}]*\}?|\}", text)
    if slots != [slot]:
        found = " ".join(slots) or "no slot"
        raise node.error(f"{node.name} has {found}, expected {slot} exactly once")
    if text != text.strip():
        raise node.error(f"{node.name} begins or ends with space, expected none: the join stands before the target")
    return text


def _target(node: Marked) -> str:
    if "{noun}" not in node.text():
        raise node.error(f"{node.name} is {node.text()!r}, expected a text with '{{noun}}' in it")
    return node.text()


def _form(name: str, node: Marked, kind: FrameKind, nouns: Sequence[Noun], frames: tuple[Frame, ...]) -> TextForm:
    fault = form_name_fault(name)
    if fault is not None:
        raise node.error(fault)
    fields = node.fields((), ("description", "template", "table", "frames", "target"))
    if ("template" in fields) == ("table" in fields):
        raise node.error(f"{node.name} has both or none of template and table, expected one of them")
    excluded: dict[str, str] = {}
    if "template" in fields:
        template = _template(fields["template"], "{noun}")
        shown = {n.word: template.replace("{noun}", n.word) for n in nouns}
    else:
        shown, excluded = _table(fields["table"], nouns)
    description = fields["description"].text() if "description" in fields else ""
    own = _frames(fields["frames"], kind, nouns) if "frames" in fields else frames
    target = _target(fields["target"]) if "target" in fields else None
    return TextForm(EnvForm(name, description), shown, excluded, own, target)


def _table(node: Marked, nouns: Sequence[Noun]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the text of each noun, and the reasons of those left out; the table may be in a file beside."""
    if not node.is_mapping():
        node = read_marked(node.path.parent / node.text())
    words = [n.word for n in nouns]
    shown: dict[str, str] = {}
    excluded = dict.fromkeys(words, "the table has no entry for it")
    for word, row in node.mapping().items():
        if word not in excluded:
            raise row.error(f"{node.name} shows {word!r}, which is not among the nouns")
        if row.is_mapping():
            excluded[word] = row.fields(("excluded",))["excluded"].text()
        else:
            shown[word] = row.text()
    kept = {word: reason for word, reason in excluded.items() if word not in shown}
    if len(shown) < 2:
        raise node.error(f"{node.name} shows {len(shown)} nouns, expected at least 2")
    return {word: shown[word] for word in words if word in shown}, kept
