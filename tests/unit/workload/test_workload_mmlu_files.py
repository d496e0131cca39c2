"""Question sets from files: JSON lines everywhere, parquet where pyarrow is installed, the hub's cache as its tools lay it out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.mmlu_files import mmlu_in_hub, read_set

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *questions: str, subject: str | None = "s", answer: object = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {} if subject is None else {"subject": subject}
    path.write_text(
        "".join(json.dumps({"question": each, **named, "choices": ["1", "2", "3", "4"], "answer": answer}) + "\n" for each in questions)
    )
    return path


def test_a_directory_with_test_and_dev(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", "a", "b")
    write(tmp_path / "dev.jsonl", "x", "y")
    found = read_set(tmp_path)
    assert [(item.id, item.question, item.letter) for item in found.items] == [("s/0", "a", "C"), ("s/1", "b", "C")]
    assert [item.question for item in found.examples["s"]] == ["x", "y"]
    assert found.header


def test_a_directory_for_each_subject_names_it(tmp_path: Path) -> None:
    write(tmp_path / "law" / "test-00000-of-00001.jsonl", "a", subject=None)
    write(tmp_path / "art" / "test.jsonl", "b", subject=None)
    assert [item.id for item in read_set(tmp_path).items] == ["art/0", "law/0"]


def test_all_is_preferred_to_the_subjects_that_it_repeats(tmp_path: Path) -> None:
    write(tmp_path / "all" / "test.jsonl", "a")
    write(tmp_path / "s" / "test.jsonl", "a")
    assert len(read_set(tmp_path).items) == 1


def test_one_file_has_no_examples(tmp_path: Path) -> None:
    found = read_set(write(tmp_path / "mine.jsonl", "a"))
    assert (len(found.items), found.examples) == (1, {})


def test_a_set_that_is_not_there_says_where_it_is_had(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"does not exist.*hf download --repo-type dataset cais/mmlu"):
        read_set(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkloadError, match="has no test questions"):
        read_set(tmp_path / "empty")
    with pytest.raises(WorkloadError, match=r"datasets--cais--mmlu.*hf download --repo-type dataset cais/mmlu"):
        read_set(None, environ={"HF_HUB_CACHE": str(tmp_path)})


def test_the_hubs_cache_is_found(tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--cais--mmlu" / "snapshots" / "abc"
    write(snapshot / "law" / "test.jsonl", "a", subject="law")
    assert mmlu_in_hub({"HF_HUB_CACHE": str(tmp_path)}) == snapshot
    assert [item.id for item in read_set(None, environ={"HF_HUB_CACHE": str(tmp_path)}).items] == ["law/0"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "a", "subject": "s", "choices": ["1", "2", "3", "4"], "answer": 7}\n', "row 1: answer is 7"),
        ("[]\n", "line 1 is no JSON object"),
        ("{\n", "Expecting property name"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(line)
    with pytest.raises(WorkloadError, match=r"test\.jsonl: ") as caught:
        read_set(tmp_path)
    assert said in str(caught.value)


def test_a_subject_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "test-0.jsonl", "a")
    write(tmp_path / "test-1.jsonl", "b")
    with pytest.raises(WorkloadError, match="in more than one file"):
        read_set(tmp_path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(WorkloadError, match=r"pip install 'pytest-dynperf\[mmlu\]'"):
        read_set(tmp_path)


def test_parquet_is_read_as_the_hub_has_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (the extra mmlu), not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (the extra mmlu), not installed")
    rows = {"question": ["a", "b"], "subject": ["s", "s"], "choices": [["1", "2", "3", "4"]] * 2, "answer": [0, 3]}
    (tmp_path / "s").mkdir()
    parquet.write_table(pyarrow.table(rows), tmp_path / "s" / "test-00000-of-00001.parquet")
    assert [(item.id, item.letter) for item in read_set(tmp_path).items] == [("s/0", "A"), ("s/1", "D")]
    (tmp_path / "s" / "test-00000-of-00001.parquet").write_bytes(b"no parquet")
    with pytest.raises(WorkloadError, match="is no parquet file"):
        read_set(tmp_path)
