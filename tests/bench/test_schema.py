"""Data is checked against each schema as jsonschema would, and a schema that is wrong itself is told."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from bench.schema import check

NUMBERS: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}


@pytest.mark.parametrize("data", [{}, {"a": "1"}, [1]])
def test_error_is_jsonschema_s_own(data: object) -> None:
    for _ in range(2):  # the first time compiles
        with pytest.raises(jsonschema.ValidationError) as found:
            check(data, NUMBERS)
        with pytest.raises(jsonschema.ValidationError) as wanted:
            jsonschema.validate(data, NUMBERS)
        assert found.value.message == wanted.value.message
    check({"a": 1}, NUMBERS)


def test_schemas_are_not_taken_for_each_other() -> None:
    text: dict[str, Any] = {"properties": {"a": {"type": "string"}}}
    check({"a": "1"}, text)
    with pytest.raises(jsonschema.ValidationError):
        check({"a": "1"}, NUMBERS)


def test_schema_that_is_none_is_an_error() -> None:
    with pytest.raises(jsonschema.SchemaError):
        check({}, {"type": "nothing"})
