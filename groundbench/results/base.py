"""The base of every record that is written, how its file is read, and the one shape of an estimated number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from groundbench.api.errors import BadInputError
from groundbench.stats.bootstrap import Estimate as Estimate
from groundbench.util.validation import first_fault


class Record(BaseModel):
    """Base of all parts: frozen, no unknown field, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values. Raises ValueError for what is no field, which pydantic would keep unseen."""
        unknown = set(update or ()) - set(type(self).model_fields)
        if unknown:
            raise ValueError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)


R = TypeVar("R", bound=Record)


def read_record(record: type[R], path: Path, file_name: str, expected: str) -> R:
    """Read a record's JSON file, or the one of that name in a directory.

    Raises:
        BadInputError: there is no such file (`expected` says what one is), or it is no such record; names the field.
    """
    path = path / file_name if path.is_dir() else path
    try:
        return record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such {expected}") from None
    except ValidationError as error:
        raise BadInputError(f"{path}: {first_fault(error, record)}") from None


def flat(name: str, found: Estimate) -> dict[str, float | None]:
    """Return an estimate as a record's fields `name`, `name_ci_low` and `name_ci_high`.

    Without a name, the ends alone.
    """
    if not name:
        return {"ci_low": found.ci_low, "ci_high": found.ci_high}
    return {name: found.value, f"{name}_ci_low": found.ci_low, f"{name}_ci_high": found.ci_high}
