"""The published schema takes what is written, and what is not as it says is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.report.json_schema import session_schema
from tests.fakes.full_report import full_report
from tests.fakes.judged_reports import by_duet, expired, of_everything, of_rates, shifted, waived
from tests.fakes.session_reports import a_report, a_result, every_outcome
from tests.fakes.valid_session import schema_flaws, strict_validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.report.session_report import SessionReport

STRICT = strict_validator()
PUBLISHED = Draft202012Validator(session_schema())
NOTHING_MEASURED = replace(a_result(), measurement=None, environment=None)
REPORTS = {
    "full": full_report(),
    "outcomes": every_outcome(),
    "everything": of_everything(),
    "shifted": shifted(),
    "rates": a_report(of_rates(), by_duet(), waived(), expired()),
    "empty": a_report(missing=("suite/case",), interrupted="SIGINT"),
    "nothing measured": a_report(NOTHING_MEASURED),
}


def written(report: SessionReport) -> Any:
    return json.loads(to_text(encode_session(report)))


def test_the_schemas_are_schemas() -> None:
    for validator in (STRICT, PUBLISHED):
        Draft202012Validator.check_schema(validator.schema)


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_written_is_as_the_schema_says_and_nothing_more(name: str) -> None:
    assert schema_flaws(written(REPORTS[name])) == []


def _unnamed_key(session: Any) -> None:
    session["cases"][0]["runs"][0]["certificate"]["mood"] = "good"


def _gone(session: Any) -> None:
    del session["cases"][0]["verdict"]["reasons"]


def _text_for_number(session: Any) -> None:
    session["cases"][0]["metrics"][0]["values"][0] = "5.8 ms"


def _unknown_outcome(session: Any) -> None:
    session["cases"][0]["verdict"]["outcome"] = "green"


def _one_end(session: Any) -> None:
    session["cases"][0]["metrics"][0]["verdict"]["interval"] = [0.1]


def _older(session: Any) -> None:
    session["schema"] = 1


@pytest.mark.parametrize("defect", [_unnamed_key, _gone, _text_for_number, _unknown_outcome, _one_end, _older])
def test_a_defect_is_found(defect: Callable[[Any], None]) -> None:
    session = copy.deepcopy(written(REPORTS["full"]))
    assert STRICT.is_valid(session)
    defect(session)
    assert not STRICT.is_valid(session)
    assert PUBLISHED.is_valid(session) == (defect is _unnamed_key), "only a key that is not known is allowed"


def test_a_key_that_the_schema_does_not_name_is_found_in_every_table() -> None:
    """Wherever the schema names keys, it names all of them."""
    session = written(replace(REPORTS["full"], results=REPORTS["full"].results[-1:]))
    places = list(_tables(session))
    assert len(places) > 80
    tables = {path: table for path, table in places if not any(name in path for name in FREE)}
    for path, table in tables.items():
        table["planted"] = None
        assert not STRICT.is_valid(session), f"{path} takes any key"
        del table["planted"]


FREE = (
    "counts", "versions", "axes", ".key", "provenance", "prior_sd", "error_kinds", "witness", "parts", "percentiles", "records",
    "extra_body",
)  # fmt: skip


def _tables(value: Any, path: str = "$") -> Any:
    """Each kind of table once: entries of a list stand for each other, those of a map by name too."""
    if isinstance(value, dict):
        if not path.endswith("distributions"):
            yield path, value
        for key, entry in value.items():
            yield from _tables(entry, f"{path}.{key}")
    elif isinstance(value, list) and value:
        yield from _tables(value[-1], f"{path}[]")
