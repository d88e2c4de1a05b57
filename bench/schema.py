"""JSON checked against a schema that is itself checked once: that takes ten times as long as the data does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPILED: dict[int, Any] = {}
"""Validators by their schema's identity; each holds its schema, so that no other can take its place."""


def check(data: object, schema: Mapping[str, Any]) -> None:
    """Raise the `jsonschema.ValidationError` that says best what is wrong; `SchemaError` where it is the schema."""
    found = _COMPILED.get(id(schema))
    if found is None:
        kind = validator_for(schema)
        kind.check_schema(schema)
        found = _COMPILED[id(schema)] = kind(schema)
    error = best_match(found.iter_errors(data))
    if error is not None:
        raise error
