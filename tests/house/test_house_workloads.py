"""The scenarios and the code of docs/workloads.md do what the page says."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_platform, load_scenario
from pytest_dynperf.scenario.traffic import WORKLOADS
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of
from tests.house.markdown import ROOT, read, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.scenario.case import Case

GATE = '[[expect.gate]]\nmetric = "output_token_throughput.v1"\nstatistic = "value"\ntolerance = 0.03\n'
SCENARIOS: Mapping[str, str] = dict(re.findall(r"^## ([a-z-]+)\n.*?^```toml\n(.*?)^```", read("workloads.md"), re.MULTILINE | re.DOTALL))
SOURCE = CalibratedPrompts(template_tokens=10, turn_tokens=4)


def cases(text: str, directory: Path) -> tuple[Case, ...]:
    (directory / "pyproject.toml").touch()
    path = directory / "suite" / "scenario.toml"
    path.parent.mkdir()
    path.write_text(f'schema = 1\nquestion = "?"\n{text}{GATE}')
    return expand(load_scenario(path), load_platform(ROOT / "suites" / "platforms" / "mocker.toml"))


def test_every_kind_has_its_row_and_but_for_traces_its_scenario() -> None:
    assert {row[0].strip("`") for row in rows(read("workloads.md"))} == set(WORKLOADS)
    assert set(SCENARIOS) == set(WORKLOADS) - {"trace"}


@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_scenario_asks_for_its_kind(tmp_path: Path, kind: str) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Count to ten."}\n{"prompt": "And back.", "kind": "lists"}\n')
    (tmp_path / "mmlu").mkdir()
    row = {"question": "1 + 1?", "subject": "sums", "choices": ["1", "2", "3", "4"], "answer": 1}
    (tmp_path / "mmlu" / "test.jsonl").write_text("".join(json.dumps(row | {"question": f"{n} + 1?"}) + "\n" for n in range(2)))
    for case in cases(SCENARIOS[kind], tmp_path):
        assert case.traffic.workload.kind == kind
        requests = islice(requests_of(case.traffic, SOURCE, seed=1, root=tmp_path), 8)
        assert all(len(SOURCE.tokens(request)) == request.isl for request in requests)


def test_the_last_turn_is_as_long_as_the_page_says(tmp_path: Path) -> None:
    [case] = cases(SCENARIOS["conversation"], tmp_path)
    *_, last = islice(requests_of(case.traffic, SOURCE, seed=1, root=tmp_path), case.traffic.workload.turns)
    assert f"the last of {last.turn + 1} turns has {last.isl:,}" in read("workloads.md")


def test_the_code_of_the_page_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", read("workloads.md"), re.DOTALL)
    exec(compile(code, "workloads.md", "exec"), {})
    with pytest.raises(AssertionError):
        exec(compile(code.replace("0.48 < rate", "0.5 < rate"), "workloads.md", "exec"), {})
