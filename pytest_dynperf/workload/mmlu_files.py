"""Question sets from files: JSON lines, or the parquet files of ``cais/mmlu`` as the Hugging Face hub's tools have fetched them. Reads,
never fetches.

In: a directory or a file. Out: :class:`~pytest_dynperf.workload.mmlu.QuestionSet`. A directory holds ``test`` (what is asked) and ``dev``
(examples), as ``test.jsonl`` or ``test*.parquet``, at its top, in ``all/``, or in a directory for each subject.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.hub_cache import hub_cache, snapshot_in
from pytest_dynperf.workload.mmlu import Item, QuestionSet, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DATASET = "cais/mmlu"
_FETCH = "hf download --repo-type dataset cais/mmlu"
_SPLITS = ("test", "dev")
_SUFFIXES = (".jsonl", ".parquet")


def mmlu_in_hub(environ: Mapping[str, str]) -> Path:
    """The snapshot of ``cais/mmlu`` in the hub's cache.

    :raises WorkloadError: when it is not here; says how to fetch it, and where to.
    """
    repository = hub_cache(environ) / f"datasets--{DATASET.replace('/', '--')}"
    found = snapshot_in(repository) if repository.is_dir() else None
    if found is None:
        msg = (
            f"the data set {DATASET} is not on this host (looked in {repository}). Fetch it before measuring: `{_FETCH}`, which writes "
            "there (HF_HOME or HF_HUB_CACHE say where), or name a directory with test.jsonl and dev.jsonl as traffic.workload.file"
        )
        raise WorkloadError(msg)
    return found


def read_set(path: Path | None, *, environ: Mapping[str, str] | None = None) -> QuestionSet:
    """The set in ``path``: a directory, or one file with the questions alone; ``None``: what the hub's cache has.

    :raises WorkloadError: when it is not there, holds no questions, or a row is not one; names the file.
    """
    root = mmlu_in_hub(os.environ if environ is None else environ) if path is None else path
    if not root.exists():
        msg = f"traffic.workload.file = {root} does not exist: {_what_is_wanted()}"
        raise WorkloadError(msg)
    if root.is_file():
        return QuestionSet(items=_read(root, ""), examples={}, header=True)
    files = {split: _files(root, split) for split in _SPLITS}
    if not files["test"]:
        msg = f"{root} has no test questions: {_what_is_wanted()}"
        raise WorkloadError(msg)
    read = {split: [item for path in files[split] for item in _read(path, _subject(path, root))] for split in _SPLITS}
    examples = defaultdict(list)
    for item in read["dev"]:
        examples[item.subject].append(item)
    if len({item.id for item in read["test"]}) < len(read["test"]):
        names = ", ".join(path.name for path in files["test"][:4])
        msg = f"{root} has the questions of a subject in more than one file ({names}): keep one"
        raise WorkloadError(msg)
    return QuestionSet(items=tuple(read["test"]), examples={name: tuple(items) for name, items in examples.items()}, header=True)


def _what_is_wanted() -> str:
    return (
        "it must be a directory with test.jsonl (and dev.jsonl, for examples), lines with question, subject, choices and answer, "
        f"or what `{_FETCH} --local-dir DIR` writes"
    )


def _files(root: Path, split: str) -> list[Path]:
    """At the top, else in ``all/``, else in a directory for each subject. Sorted: the order in which they are asked."""
    for pattern in (f"{split}*", f"all/{split}*"):
        if found := _of_kind(root, pattern):
            return found
    return _of_kind(root, f"*/{split}*")


def _of_kind(root: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root.glob(pattern) if path.suffix in _SUFFIXES and path.stem.split("-")[0] in _SPLITS)


def _subject(path: Path, root: Path) -> str:
    return "" if path.parent in {root, root / "all"} else path.parent.name


def _read(path: Path, subject: str) -> tuple[Item, ...]:
    try:
        return numbered(_parquet(path) if path.suffix == ".parquet" else _lines(path), subject=subject)
    except ValueError as error:  # JSON that is none is one too
        msg = f"{path}: {error}. Each row has question, subject, choices (four) and answer (0 to 3)."
        raise WorkloadError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WorkloadError(msg) from error


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    msg = f"line {number} is no JSON object"
                    raise ValueError(msg)
                yield row


def _parquet(path: Path) -> list[Mapping[str, object]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        msg = f"{path} is a parquet file, and pyarrow is not installed: pip install 'pytest-dynperf[mmlu]'"
        raise WorkloadError(msg) from error
    try:
        found: list[Mapping[str, object]] = parquet.read_table(path, columns=["question", "subject", "choices", "answer"]).to_pylist()
    except (ArrowException, OSError) as error:
        msg = f"{path} is no parquet file with question, subject, choices and answer: {error}"
        raise WorkloadError(msg) from error
    return found
