"""card.yaml: who submits which model, under which licence, measured on what, with which commit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from groundbench.leaderboard.submission.names import check_name_text
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, parse, read_yaml

Line = Annotated[str, Field(min_length=1, max_length=120)]


class Card(BaseModel):
    """A submission's card. Every field is text; none is trusted, all are escaped where they are shown.

    Attributes:
        model: the name shown; `licence`: of the weights, e.g. an SPDX name; `hardware`: what it ran on.
        submitter: a person or group; `commit`: of groundbench, 7 to 40 hex digits, or its release, e.g. v0.1.0.
        weights: an https address of the weights, if they are public; `notes`: anything a reader must know.
        released: when the weights were published, as YYYY-MM or YYYY-MM-DD; `measured`: the day of the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    model: Line
    licence: Line
    hardware: Line
    submitter: Line
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{7,40}|v[0-9][0-9a-z.]{0,20})$")]
    weights: Annotated[str, Field(max_length=300)] | None = None
    notes: Annotated[str, Field(max_length=1000)] = ""
    released: Annotated[str, Field(pattern=r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])(-[0-3][0-9])?$")] | None = None
    measured: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9]$")] | None = None

    @field_validator("released", "measured")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        if value is not None:
            day = date.fromisoformat(value if len(value) > 7 else f"{value}-01")
            if day > datetime.now(UTC).date() + timedelta(days=1):  # it is tomorrow already in the east
                raise ValueError("is a day to come")
        return value

    @field_validator("weights")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        plain = value.isascii() and value.isprintable() and not set(value) & set(" \\\"'<>`{}|^")
        if parts.scheme != "https" or not parts.hostname or not plain:
            raise ValueError("expected an https:// address")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("expected an https:// address without a name, password, query or fragment")
        return value


def read_card(raw: bytes, where: str) -> Card:
    """Return a card from its YAML. Raises RefusedError naming the field."""
    value = read_yaml(raw, where)
    if not isinstance(value, dict):
        raise RefusedError(f"{where}: expected a mapping with {', '.join(Card.model_fields)}")
    for field, text in value.items():
        if isinstance(text, str) and text.strip() and field in Card.model_fields and field != "notes":
            value[field] = check_name_text(text, where, field)
    return parse(value, where, Card)
