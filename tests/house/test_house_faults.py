"""Every fault of docs/fault-list.md is shown by tests that exist."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.house.markdown import ROOT, read, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = (
    "etcd killed",
    "etcd paused",
    "NATS killed",
    "NATS paused",
    "worker killed",
    "worker out of memory",
    "worker hung before ready",
    "worker paused in mid-stream",
    "stream truncated",
    "stream reset",
    "stream without `[DONE]`",
    "malformed chunk",
    "error chunk",
    "HTTP 429, 500, 503, 529",
    "zero tokens",
    "slow drip",
    "unbounded body",
    "bad DNS name",
    "port taken",
    "docker socket missing or denied",
    "image missing",
    "GPU missing",
    "foreign process on a GPU",
    "disk full",
    "report directory unwritable",
    "baseline corrupt",
    "baseline merge-conflicted",
    "baseline of a newer schema",
    "baseline with NaN",
    "baseline with duplicate keys",
    "two xdist workers at once",
    "two sessions at once",
    "path traversal in test ids",
    "huge and non-UTF-8 logs",
    "secrets in environment and logs",
    "script in a model name or an error text",
    "a clock that jumps",
    "a fault that never happens",
)


def named(page: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Fault, required behaviour, and the tests that show it, as (path, function)."""
    for row in rows(page):
        if len(row) == 3:
            yield row[0], row[1], re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[2])


def flaws(page: str) -> list[str]:
    """What is wrong with the list."""
    listed = list(named(page))
    found = [f"{fault} is not listed" for fault in FAULTS if fault not in {row[0] for row in listed}]
    for fault, required, tests in listed:
        if not tests:
            found.append(f"{fault}: no test is named")
        if not required:
            found.append(f"{fault}: nothing is required")
        found += [f"{fault}: there is no {path}::{name}" for path, name in tests if name not in functions(path)]
    return found


def functions(path: str) -> set[str]:
    """Of a file of tests; empty where there is none."""
    file = ROOT / path
    if not file.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_a_required_behaviour_and_a_test_that_exists() -> None:
    assert flaws(read("fault-list.md")) == []


def test_a_test_that_is_gone_a_row_without_one_and_a_missing_row_are_found() -> None:
    page = read("fault-list.md")
    line = next(line for line in page.splitlines() if line.startswith("| stream reset |"))
    assert flaws(page.replace(f"{line}\n", "")) == ["stream reset is not listed"]
    assert flaws(page.replace(line, "| stream reset | something | soon |")) == ["stream reset: no test is named"]
    renamed = line.replace("::test_", "::test_no_longer_", 1)
    assert renamed != line
    (flaw,) = flaws(page.replace(line, renamed))
    assert flaw.startswith("stream reset: there is no tests/")
