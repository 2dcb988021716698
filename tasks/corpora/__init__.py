"""Corpora that users bring: CHILDES, Visual Dialog, COCO captions, as one kind of folder that training streams from."""

from groundbench.tasks.corpora.corpus import ImportedCorpus
from groundbench.tasks.corpora.importing.import_corpus import import_childes, import_coco, import_visdial
from groundbench.tasks.corpora.manifest import Manifest, is_corpus, load_manifest
from groundbench.tasks.corpora.noun_selection import NounSelection, select_nouns

__all__ = [
    "ImportedCorpus",
    "Manifest",
    "NounSelection",
    "import_childes",
    "import_coco",
    "import_visdial",
    "is_corpus",
    "load_manifest",
    "select_nouns",
]
