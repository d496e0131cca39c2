"""What older versions wrote is read for ever, and is as strict as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.errors import BaselineError
from tests.fakes.observations import THROUGHPUT, TTFT, document_of

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path("baselines/mocker/smoke/case/20261121T070000Z-s000.json")
DOCUMENT = document_of({TTFT: (0.05, 0.05, 0.052), THROUGHPUT: (96.0, 97.0, 98.0)})


def schema_1(change: Callable[[dict[str, object]], object] = lambda _: None) -> str:
    """As it was written before schema 2."""
    table = json.loads(encode(DOCUMENT))
    table["schema"] = 1
    table["units"] = {name: entry["unit"] for name, entry in table.pop("metrics").items()}
    for run in table["runs"]:
        del run["parts"]
    change(table)
    return json.dumps(table)


def test_schema_1_is_read_as_the_same_document() -> None:
    assert decode(schema_1(), file=FILE) == DOCUMENT


def test_a_retired_metric_of_schema_1_says_only_its_unit() -> None:
    document = decode(schema_1().replace("time_to_first_token.v1", "time_to_first_token.v0"), file=FILE)
    assert document.unknown_metrics == {"time_to_first_token.v0": (None, None)}
    assert decode(encode(document), file=FILE) == document


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (schema_1(lambda table: table["units"].update({"time_to_first_token.v1": "tokens"})), "its unit is s"),  # type: ignore[attr-defined]
        (schema_1(lambda table: table.pop("units")), "lacks 'units'"),
        (schema_1(lambda table: table.update(metrics={})), "has 'metrics'"),
        (schema_1(lambda table: table["runs"][0].update(parts={})), "'parts', which schema 1 does not know"),  # type: ignore[index]
        (schema_1(lambda table: table.update(runs=3)), "runs must be"),
        (schema_1(lambda table: table.update(runs=[3, 4, 5])), "must be an object"),
        (schema_1(lambda table: table.update(schema=0)), "schema 0 does not exist"),
        (schema_1(lambda table: table.update(schema=2)), "lacks .metrics."),
        (schema_1(lambda table: table.update(schema=3)), "this version reads up to 2. Upgrade"),
    ],
)
def test_what_is_not_of_its_schema_is_refused(text: str, expected: str) -> None:
    with pytest.raises(BaselineError, match=expected):
        decode(text, file=FILE)
