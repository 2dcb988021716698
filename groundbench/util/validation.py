"""Faults that pydantic finds, as sentences."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a validation error as one sentence: field, value found, value expected."""
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(p) for p in fault["loc"]) or "the file"
    found = "" if fault["type"] == "missing" else f", found {str(fault.get('input'))[:60]!r}"
    return f"field {field}: {fault['msg']}{found}"
