"""Example lines held against the operations that would run them."""

from typing import Any

from pressroom.errors import Problem
from pressroom.operations.registry import operation_for


def problems_of(line: dict[str, Any]) -> list[Problem]:
    """What the operation at the line's path finds wrong with its body."""
    operation = operation_for(line["url"])
    assert operation is not None, line["url"]
    return operation.problems(line["body"])
