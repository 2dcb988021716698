"""ladder: 100 nouns shown to pretrained models in several ENV forms, from the word itself to what cannot be copied."""

from __future__ import annotations

from importlib.resources import as_file, files

from groundbench.tasks.ladder.image_form import Ladder
from groundbench.tasks.yaml_testbed import TextTestbed, load_yaml


def load() -> TextTestbed:
    """Return the testbed: ten shared frames in plain English; its forms are those of testbed.yaml, and `image`."""
    with as_file(files(__package__)) as folder:
        return load_yaml(folder, Ladder)
