"""The base of every record that is written, and the one shape of an estimated number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from groundbench.stats.bootstrap import Estimate as Estimate


class Record(BaseModel):
    """Base of all parts: frozen, no unknown field, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values. Raises ValueError for what is no field, which pydantic would keep unseen."""
        unknown = set(update or ()) - set(type(self).model_fields)
        if unknown:
            raise ValueError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)


def flat(name: str, found: Estimate) -> dict[str, float | None]:
    """An estimate as a record's fields `name`, `name_ci_low` and `name_ci_high`; without a name, the ends alone."""
    if not name:
        return {"ci_low": found.ci_low, "ci_high": found.ci_high}
    return {name: found.value, f"{name}_ci_low": found.ci_low, f"{name}_ci_high": found.ci_high}
