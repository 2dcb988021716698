"""Corpora that users bring: CHILDES, Visual Dialog, COCO captions, as one kind of folder that training streams from."""

from groundbench.tasks.importers.corpus import ImportedCorpus
from groundbench.tasks.importers.importing import import_childes, import_coco, import_visdial
from groundbench.tasks.importers.manifest import Manifest, is_corpus, load_manifest
from groundbench.tasks.importers.selection import Selection, select_nouns

__all__ = [
    "ImportedCorpus",
    "Manifest",
    "Selection",
    "import_childes",
    "import_coco",
    "import_visdial",
    "is_corpus",
    "load_manifest",
    "select_nouns",
]
