"""A small ladder in YAML: eight nouns, a word, a gloss and a name form, two of them with gaps."""

from __future__ import annotations

from pathlib import Path

from groundbench.tasks.yaml_testbed import TextTestbed, load_yaml

LADDER = """\
name: rungs
version: "1"
natural_language: true
ladder: true
frame_kind: shared
nouns:
  - {word: cat, category: animals}
  - {word: dog, category: animals}
  - {word: duck, category: animals}
  - {word: elephant, category: animals}
  - {word: ball, category: toys}
  - {word: book, category: toys}
  - {word: blanket, category: toys}
  - {word: cup, category: toys}
forms:
  word: {description: the word itself, template: "{noun}"}
  gloss:
    table:
      cat: it says meow
      dog: it barks
      duck: it swims and quacks
      elephant: it is large and grey
      ball: round and thrown
      book: pages bound together
      blanket: warm and on the bed
      cup: {excluded: no gloss without its parts}
  name:
    table: {cat: he, dog: Rex, duck: Quack, ball: Bounce, book: Tome, blanket: Fluff, cup: Sip}
    frames:
      n1: "She saw the {env} here. Look at my"
      n2: "Mother: Do you want the {env}? There is a"
frames:
  f1: "The child is at home. [She looks at the {env}.] Mother: Look at that"
  f2: "The child is at home. [There is the {env} here.] Do you want the"
"""
GLUED = LADDER.replace('n1: "She saw the {env} here', 'n1: "She saw t{env} here')
"""In one frame of the form `name` the tokenizer merges `t` and the cat's `he`."""


def ladder(folder: Path, text: str = LADDER) -> TextTestbed:
    """The testbed of this text."""
    path = folder / "rungs.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml(path)
