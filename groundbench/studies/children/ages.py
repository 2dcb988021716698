"""The age at which half of the children say a noun (production_ages.yaml; Wordbank, CC BY 4.0, see NOTICE)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml


@cache
def production_ages() -> dict[str, float]:
    """Noun -> months. 16: half said it at 16 months already; 31: not yet at 30 (both are bounds, and tie)."""
    table = yaml.safe_load((files(__package__) / "production_ages.yaml").read_text(encoding="utf-8"))
    return {word: float(months) for word, months in table.items()}
