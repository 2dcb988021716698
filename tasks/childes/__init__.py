"""The testbed childes: child-directed speech, what is done or there shown before what is said (protocol §2.1, §4)."""

from __future__ import annotations

import re
from pathlib import Path

from groundbench.tasks.generated_contexts import generated_contexts
from groundbench.tasks.inventories import load_inventory
from groundbench.tasks.nouns import inventory
from groundbench.tasks.written_contexts import ContextTestbed, Layout, choose_nouns, load_contexts
from groundbench.tasks.written_contexts_check import PER_NOUN

_WORD = re.compile(r"[^\W\d_]+")
LAYOUT = Layout(roles={"CHI": "Child", "MOT": "Mother"}, shown="[{shown}]")
LAYOUT_ES = Layout(roles={"CHI": "Niño", "MOT": "Madre"}, shown="[{shown}]")
CONTEXTS = Path(__file__).parent / "contexts.yaml"
FRAMES_EN, FRAMES_ES = (CONTEXTS.with_name(f"frames_{language}.yaml") for language in ("en", "es"))


def load(corpus: str | Path | None = None, at_least: int | None = None) -> ContextTestbed:
    """Return the testbed; 10 contexts of our own for each noun.

    Args:
        corpus, at_least: keep the nouns that an imported corpus has often enough, see `load_contexts`.
    """
    return load_contexts(CONTEXTS, LAYOUT, name="childes", version="1", corpus=corpus, at_least=at_least)


def load_en_all(corpus: str | Path | None = None, at_least: int | None = None) -> ContextTestbed:
    """Return the testbed childes-en-all: the paper's hundred in written contexts, and further CDI nouns in generated
    ones, so that what holds for the hundred can be seen beyond them. A written context that names one of the further
    nouns is replaced by a generated one.

    Args:
        corpus, at_least: as for `load`.
    """
    known = load_inventory("cdi-en")
    hundred = {n.word for n in inventory()}
    beyond = {form for form, noun in known.word_forms().items() if noun not in hundred}
    written = load_contexts(CONTEXTS, LAYOUT, name="childes-en-all", version="1").contexts
    contexts = [c for c in written if not beyond.intersection(_WORD.findall(f"{c.shown} {c.cut}".lower()))]
    there = {c.id for c in contexts}
    lacking = {n.word: [k for k in range(1, PER_NOUN + 1) if f"{n.word}-{k}" not in there] for n in known.nouns}
    contexts += generated_contexts(FRAMES_EN, known.nouns, LAYOUT, lacking)
    nouns = known.nouns
    contexts.sort(key=lambda c: c.number)
    order = {n.word: i for i, n in enumerate(nouns)}
    contexts.sort(key=lambda c: order[c.noun])
    selection = choose_nouns("childes-en-all", nouns, corpus, at_least)
    return ContextTestbed("childes-en-all", "2", nouns, contexts, LAYOUT, selection)


def load_es(corpus: str | Path | None = None, at_least: int | None = None) -> ContextTestbed:
    """Return the testbed childes-es: Spanish child-directed speech, in the layout of `childes`.

    Args:
        corpus, at_least: as for `load`; of a corpus imported with `--nouns cdi-es`.
    """
    nouns = load_inventory("cdi-es").nouns
    contexts = generated_contexts(FRAMES_ES, nouns, LAYOUT_ES)
    return ContextTestbed(
        "childes-es", "2", nouns, contexts, LAYOUT_ES, choose_nouns("childes-es", nouns, corpus, at_least)
    )
