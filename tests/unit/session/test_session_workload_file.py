"""What was asked is the content of a file, not its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import Workload
from pytest_dynperf.session.workload_file import workload_facts
from tests.fakes.session_reports import a_case

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.scenario.case import Case


def reading(directory: Path, file: str) -> Case:
    case = a_case()
    traffic = replace(case.traffic, workload=Workload(kind="trace", file=file))
    return replace(case, traffic=traffic, directory=str(directory))


def test_the_same_content_under_another_name_is_the_same_workload(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", "one\n"), ("b.jsonl", "one\n"), ("c.jsonl", "two\n")):
        (tmp_path / name).write_text(text)
    first, same, other = (workload_facts(reading(tmp_path, name)) for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    assert first == same != other
    assert len(first["workload.file"]) == 12


def test_a_directory_is_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(b"1")
    before = workload_facts(reading(tmp_path, "pictures"))
    (tmp_path / "pictures" / "1.png").rename(tmp_path / "pictures" / "2.png")
    renamed = workload_facts(reading(tmp_path, "pictures"))
    (tmp_path / "pictures" / "2.png").write_bytes(b"2")
    assert len({str(before), str(renamed), str(workload_facts(reading(tmp_path, "pictures")))}) == 3


def test_a_workload_without_a_file_adds_nothing() -> None:
    assert workload_facts(a_case()) == {}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"traffic\.workload\.file = 'gone\.jsonl' of .* cannot be read: .*gone\.jsonl: No such file"):
        workload_facts(reading(tmp_path, "gone.jsonl"))


def test_what_questions_are_is_their_content_wherever_it_lies(tmp_path: Path) -> None:
    row = '{"question": "a?", "subject": "s", "choices": ["1", "2", "3", "4"], "answer": %d}\n'
    for name, answer in (("here", 1), ("there", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.jsonl").write_text(row % answer)

    def facts(**workload: object) -> dict[str, str]:
        case = reading(tmp_path, "x")
        return workload_facts(replace(case, traffic=replace(case.traffic, workload=Workload(**workload))))  # type: ignore[arg-type]

    first, same, other = (facts(kind="mmlu", file=name) for name in ("here", "there", "other"))
    assert first == same != other
    assert set(first) == {"workload.questions"}
    assert facts(kind="fact-table") != facts(kind="fact-table", limit=3)
