"""``dynperf schema`` prints what a reader can use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from pytest_dynperf.command.main import main
from pytest_dynperf.report.json_file import encode_session
from tests.fakes.session_reports import a_regressed_sweep

if TYPE_CHECKING:
    import pytest


def test_the_printed_schema_takes_a_session_and_the_strict_one_no_other_key(capsys: pytest.CaptureFixture[str]) -> None:
    session = encode_session(a_regressed_sweep())
    for arguments, more_allowed in (([], True), (["--strict"], False)):
        assert main(["schema", *arguments]) == 0
        validator = Draft202012Validator(json.loads(capsys.readouterr().out))
        validator.validate(session)
        assert validator.is_valid({**session, "newer": 1}) is more_allowed
