"""Testbeds of contexts written noun by noun, sentence by sentence (protocol §4): `childes` and `caption-dialogue`.

The file is plain text in YAML; marks and tags are added here. One line is one context: what is shown, with the noun's
place as {env}, then what is said, cut right before the noun. The words are those that an import makes of such
text, so punctuation stands in the form `plain` only.

book:
- "asked for a new {env} | I love this"                    # said by the layout's first speaker
- "MOT: holds up the {env} | come and sit by me with your"  # by another
- "a man looks at an old {env} | is he alone? | yes, with the"   # two turns: the speakers alternate
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Frame, Noun
from groundbench.tasks.corpora.formats.chat_words import plain
from groundbench.tasks.corpora.formats.segments import ENV, LAN
from groundbench.tasks.corpora.noun_selection import AT_LEAST, NounSelection, select_nouns
from groundbench.tasks.nouns import inventory
from groundbench.tasks.yaml_testbed import TextForm, TextTestbed
from groundbench.util.yaml_files import Marked, read_marked

SLOT = "{env}"
TOKEN = EnvForm("token", "the noun's ENV token in a full ENV sentence, for models trained on the imported corpus")
SIMPLE = EnvForm("simple", "the noun's ENV token alone, for the same models")
PLAIN = EnvForm("plain", "the same sentences as ordinary text, for any pretrained model")


@dataclass(frozen=True)
class Layout:
    """The layout of contexts of one kind.

    Attributes:
        roles: the speakers' tags with their names in plain text; the first speaks unless a line names another, and
            turns after the first alternate.
        shown: how `plain` sets off what is shown, with {shown} for it.
    """

    roles: Mapping[str, str]
    shown: str


@dataclass(frozen=True)
class Context:
    """One written context: what is shown, with the slot, and the turns (tag, text), the last of them cut."""

    noun: str
    number: int
    shown: str
    turns: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """The frame's name, e.g. `book-3`."""
        return f"{self.noun}-{self.number}"

    @property
    def cut(self) -> str:
        """The utterance that the noun would end."""
        return self.turns[-1][1]


class ContextTestbed(TextTestbed):
    """A testbed of per-noun contexts in the forms `token`, `simple` and `plain`."""

    def __init__(
        self,
        name: str,
        version: str,
        nouns: Sequence[Noun],
        contexts: Sequence[Context],
        layout: Layout,
        selection: NounSelection | None = None,
    ) -> None:
        out = {} if selection is None else {v.noun: v.why_not for v in selection.verdicts if v.why_not is not None}
        kept = [c for c in contexts if c.noun not in out]
        if not kept or len({c.noun for c in kept}) < 2:
            raise BadInputError(f"testbed {name!r}: {'' if selection is None else selection.describe()}; expected 2")
        fold = selection is not None and selection.fold_case
        marked, words = {n.word: n.word + ENV for n in nouns}, {n.word: n.word for n in nouns}
        token = tuple(Frame(c.id, _token(c, c.shown, fold), c.noun) for c in kept)
        simple = tuple(Frame(c.id, _token(c, SLOT, fold), c.noun) for c in kept)
        text = tuple(Frame(c.id, _text(c, layout), c.noun) for c in kept)
        super().__init__(
            name=name,
            version=version,
            nouns=nouns,
            forms=(
                TextForm(TOKEN, marked, out, token),
                TextForm(SIMPLE, marked, out, simple),
                TextForm(PLAIN, words, out, text, target="{noun}"),
            ),
            frame_kind="per-noun",
            natural_language=False,
            target="{noun}" + LAN,
        )
        self.contexts, self.selection = tuple(kept), selection

    def identity(self) -> dict[str, object]:
        """Return the text before a target, and how the nouns were chosen, if by a corpus."""
        found = super().identity()
        if self.selection is not None:
            found["nouns"] = self.selection.identity()
        return found


def load_contexts(
    path: Path,
    layout: Layout,
    *,
    name: str,
    version: str,
    corpus: str | Path | None = None,
    at_least: int | None = None,
) -> ContextTestbed:
    """Return the testbed of a file of contexts; its nouns are those of the inventory that the file has.

    Args:
        corpus: the folder of an imported corpus: keep the nouns that it shows and says often enough (protocol §3), and
            write the marked contexts in lower case if it was folded.
        at_least: how often; by default the published threshold.

    Raises:
        BadInputError: naming file and line, what was found and what was expected; a threshold without a corpus, or one
            that fewer than two nouns reach.
    """
    file = read_marked(path)
    known = {n.word: n for n in inventory()}
    contexts: list[Context] = []
    rows = file.mapping()
    for word, node in rows.items():
        if word not in known:
            raise node.error(f"{word!r} is not a noun of the inventory")
        contexts += (_context(word, i, row, layout) for i, row in enumerate(node.sequence(), 1))
    if len(rows) < 2:
        raise file.error(f"the file has {len(rows)} nouns, expected at least 2")
    nouns = [n for w, n in known.items() if w in rows]
    return ContextTestbed(name, version, nouns, contexts, layout, choose_nouns(name, nouns, corpus, at_least))


def choose_nouns(
    name: str, nouns: Sequence[Noun], corpus: str | Path | None, at_least: int | None
) -> NounSelection | None:
    """Return the nouns that a corpus has often enough; None without a corpus: all stay.

    Raises:
        BadInputError: a threshold without a corpus.
    """
    if corpus is None:
        if at_least is not None:
            raise BadInputError(f"testbed {name!r}: at_least {at_least} counts in a corpus; give its folder too")
        return None
    return select_nouns(corpus, AT_LEAST if at_least is None else at_least, [n.word for n in nouns])


def _context(noun: str, number: int, node: Marked, layout: Layout) -> Context:
    shown, *said = (part.strip() for part in node.text().split("|"))
    tags = list(layout.roles)
    speaker, colon, rest = shown.partition(": ")
    if colon:
        if speaker not in tags:
            raise node.error(f"{node.name} begins with {speaker!r}:, expected one of {', '.join(tags)}")
        shown, tags = rest, tags[tags.index(speaker) :] + tags[: tags.index(speaker)]
    if shown.split().count(SLOT) != 1 or shown.count("{") != 1:
        raise node.error(
            f"{node.name} shows {shown!r}, expected a sentence with {SLOT} exactly once, as a word of its own"
        )
    if not said or not all(said):
        raise node.error(f"{node.name} says nothing, expected 'what is shown | what is said'")
    if any("{" in turn for turn in said):
        raise node.error(f"{node.name} has a slot in what is said, expected none: it is cut before the noun")
    if said[-1] != _strip_punctuation(said[-1]):
        raise node.error(
            f"{node.name} says {said[-1]!r}, expected no punctuation at its end: it is cut before the noun"
        )
    return Context(noun, number, shown, tuple((tags[i % len(tags)], turn) for i, turn in enumerate(said)))


def _strip_punctuation(text: str) -> str:
    """Return the text without sentence punctuation at its end."""
    return text.rstrip(".,?!;:")


def _token(context: Context, shown: str, fold: bool) -> str:
    """Return the shown text, led by the tag of the speaker whose utterance it annotates, then the turns (§2.1)."""

    def words(text: str) -> list[str]:
        return plain(text.lower() if fold else text)

    env = [w if w == SLOT else w + ENV for w in words(shown)]
    said = (word for tag, text in context.turns for word in (f"<{tag}>", *(w + LAN for w in words(text))))
    return " ".join([f"<{context.turns[0][0]}>", *env, *said])


def _text(context: Context, layout: Layout) -> str:
    said = (f"{layout.roles[tag]}: {text}" for tag, text in context.turns)
    return "\n".join([layout.shown.replace("{shown}", context.shown), *said])
