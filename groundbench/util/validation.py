"""Faults that pydantic finds, as sentences."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from groundbench.util.suggestions import did_you_mean


def first_fault(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first fault of a validation error as one sentence: field, value found, value expected.

    Args:
        error: what was raised.
        model: the model whose fields are suggested for a misspelt one.
    """
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(p) for p in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        known = model.model_fields if model is not None and len(fault["loc"]) == 1 else ()
        return f"unknown field {field!r}{did_you_mean(field, known)}"
    found = "" if fault["type"] == "missing" else f", found {str(fault.get('input'))[:60]!r}"
    return f"field {field}: {fault['msg']}{found}"
