"""Sizes, names and docstrings of modules; each rule is shown to find a planted defect."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOLDERS = ("pytest_dynperf", "suites", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)
LARGEST_FUNCTION, LARGEST_MODULE = 50, 400
BANNED = {"utils", "common", "helpers", "misc", "base", "core", "manager", "handler", "models", "config", "benchmark"}


def flaws(path: Path, text: str) -> Iterator[str]:
    """What is wrong with a module, in words."""
    lines = text.count("\n")
    if lines > LARGEST_MODULE:
        yield f"{path} has {lines} lines, allowed are {LARGEST_MODULE}: split it by concept"
    named = {part.removesuffix("s") for part in (path.stem, *path.parts[1:-1])}
    if banned := named & {name.removesuffix("s") for name in BANNED}:
        yield f"{path} is called {banned.pop()}: a name that says nothing about what is inside"
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield f"{path} has no docstring, and so no contract"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            size = node.end_lineno - node.lineno + 1
            if size > LARGEST_FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {size} lines, allowed are {LARGEST_FUNCTION}"


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 80
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_the_rules(path: Path) -> None:
    assert list(flaws(path.relative_to(ROOT), path.read_text(encoding="utf-8"))) == []


SOUND = '"""What it is for."""\n'
LONG_BODY = "    x = 1\n" * LARGEST_FUNCTION


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("pytest_dynperf/load/utils.py", SOUND, "is called util", id="a name"),
        pytest.param("pytest_dynperf/load/helper.py", SOUND, "is called helper", id="its singular"),
        pytest.param("pytest_dynperf/core/driver.py", SOUND, "is called core", id="a package's name"),
        pytest.param("pytest_dynperf/load/driver.py", "import json\n", "has no docstring", id="no docstring"),
        pytest.param("pytest_dynperf/load/driver.py", SOUND + "#\n" * LARGEST_MODULE, "has 401 lines", id="a long module"),
        pytest.param("pytest_dynperf/load/driver.py", SOUND + "def long():\n" + LONG_BODY, "long has 51 lines", id="a long function"),
        pytest.param(
            "pytest_dynperf/load/driver.py",
            SOUND + "class A:\n  async def long(self):\n" + "    x = 1\n" * LARGEST_FUNCTION,
            "51 lines",
            id="a long method",
        ),
    ],
)
def test_a_defect_is_found(name: str, text: str, found: str) -> None:
    assert any(found in flaw for flaw in flaws(Path(name), text))


def test_what_is_just_within_the_limits_is_no_flaw() -> None:
    function = "def long():\n" + "    x = 1\n" * (LARGEST_FUNCTION - 1)
    assert list(flaws(Path("pytest_dynperf/load/driver.py"), SOUND + function + "#\n" * (LARGEST_MODULE - 1 - LARGEST_FUNCTION))) == []
