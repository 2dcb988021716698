"""ladder-es: 100 Spanish nouns shown to pretrained models in several ENV forms, from the word itself to an emoji."""

from __future__ import annotations

from importlib.resources import as_file, files

from groundbench.tasks.yaml_testbed import TextTestbed, load_yaml


def load() -> TextTestbed:
    """Return the testbed: ten shared frames in plain Spanish, which agree with nouns of either gender."""
    with as_file(files(__package__)) as folder:
        return load_yaml(folder)
