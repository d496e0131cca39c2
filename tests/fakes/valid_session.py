"""Whether a ``session.json`` that was really written is what its schema says."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from pytest_dynperf.report.json_schema import session_schema

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def strict_validator() -> Draft202012Validator:
    """Made once: it takes 20 ms."""
    return Draft202012Validator(session_schema(strict=True))


def schema_flaws(session: Mapping[str, object]) -> list[str]:
    """Where it differs, in words; an empty list where it is as it must be."""
    return [f"{error.json_path}: {error.message[:300]}" for error in strict_validator().iter_errors(session)]
