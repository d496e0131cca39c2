"""The examples of docs/fixtures.md, run as somebody would who copied them, against the real stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.house.markdown import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _lease_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is timed here, so nothing needs to wait for whoever measures on this machine right now."""
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(tmp_path / "leases"))


def examples() -> Iterator[tuple[str, str]]:
    """Heading and code of every example below ``<!-- tested -->``."""
    for section in re.split(r"^## ", read("fixtures.md"), flags=re.MULTILINE)[1:]:
        for code in re.findall(r"<!-- tested -->\n```python\n(.*?)```", section, re.DOTALL):
            yield section.partition("\n")[0], code


EXAMPLES = list(examples())


def test_there_are_examples_to_run() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.system
@pytest.mark.parametrize("code", [code for _, code in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_an_example_runs(pytester: pytest.Pytester, code: str) -> None:
    pytester.makepyfile(test_example=code)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=code.count("\ndef test_") + code.startswith("def test_"))


@pytest.mark.system
def test_an_example_that_is_wrong_fails(pytester: pytest.Pytester) -> None:
    [code] = [code for name, code in EXAMPLES if name == "etcd_server and nats_server"]
    pytester.makepyfile(test_example=code.replace('b"INFO "', 'b"ERROR"'))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1, failed=1)
