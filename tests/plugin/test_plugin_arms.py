"""Arms through whole pytest runs against a scripted server: what fails a test, what stands in the files, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes.sse_server import Behaviour, sse_server
from tests.plugin.conftest import SCENARIO

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

FINE, OTHER = Behaviour(itl_s=0.001), Behaviour(itl_s=0.001, word="u")
ARMS = (
    SCENARIO.replace("osl = 8\n", "osl = 8\ntemperature = 0\n").replace("[1, 2]", "[1]")
    + """
[arms.off]
[arms.off-again]
[arms.warm]
traffic.cache = "warm"

[expect.parity]
reference = "off"
noise = "off-again"
texts = true
"""
)
OFF, WARM = "agg-isl64-osl8-c1-off", "agg-isl64-osl8-c1-warm"


@pytest.fixture
def arms(bench: Bench) -> Bench:
    bench.write("scenario.toml", ARMS)
    return bench


def case(session: dict[str, object], case_id: str) -> dict[str, object]:
    (found,) = (one for one in session["cases"] if one["case_id"] == case_id)  # type: ignore[attr-defined]
    return found


def test_arms_that_agree_pass_and_files_say_so(arms: Bench) -> None:
    with sse_server(FINE) as server:
        run = arms.run(url=server.url)
    assert run.code == 0, run.text
    assert run.outcomes() == dict.fromkeys((OFF, f"{OFF}-again", WARM), "no baseline")
    warm = case(run.session, WARM)
    assert (warm["arm"], warm["verdict"]["parity"]) == ("warm", "unchanged")  # type: ignore[index]
    assert warm["parity"]["texts"]["n"] == 90  # type: ignore[index]
    assert case(run.session, OFF)["parity"] is None
    assert f"parity of {WARM} with {OFF}: unchanged, 90 of 90 texts the same" in " ".join(run.text.split())
    assert "Parity: arms against their reference" in (arms.root / "reports/latest/report.html").read_text()
    again = judged_again(arms)
    assert (again.returncode, "no difference" in again.stdout or again.stdout != "") == (0, True), again.stdout + again.stderr


def judged_again(bench: Bench) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_dynperf", "judge", str(bench.root / "reports/latest"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=bench.root)


def test_one_arm_alone_is_still_held_against_its_reference_and_a_lost_text_fails_it(arms: Bench) -> None:
    """No baseline, nothing else selected: the reference is measured first (90 requests), then the arm, of which one text is another."""
    with sse_server(*[FINE] * 200, OTHER) as server:
        run = arms.run("-k", "warm", "--update-baselines", url=server.url)
    assert run.code == 1, run.text
    assert run.outcomes() == {WARM: "regressed"}
    assert "other text: run-" in run.text
    assert "--accept-regression" not in run.text
    assert arms.baseline_files() == []
    assert "for-warm-run-1" in case(run.session, WARM)["parity"]["records"]["reference"][0]  # type: ignore[index]
    path = arms.root / "reports/latest" / case(run.session, WARM)["parity"]["records"]["candidate"][0]  # type: ignore[index]
    assert judged_again(arms).returncode == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "answer": "?"}) + "\n" for line in lines))
    changed = judged_again(arms)
    assert changed.returncode != 0, "other answers, another judgement"
    assert "parity" in changed.stdout


def test_a_server_that_dies_in_the_middle_is_invalid_for_that_reason(arms: Bench) -> None:
    broken = Behaviour(close_unanswered=True)
    with sse_server(*[FINE] * 300, broken) as server:
        run = arms.run(url=server.url)
    assert run.code == 1, run.text
    assert run.outcomes()[WARM] == "invalid"
    assert "while the caches were warmed" in run.text or "requests failed" in run.text
    assert case(run.session, WARM)["parity"] is None


def test_a_parity_without_arms_is_refused_where_it_stands(arms: Bench) -> None:
    arms.write("scenario.toml", ARMS.replace('reference = "off"', 'reference = "of"'))
    run = arms.run()
    assert "expect.parity.reference: there is no arm 'of' (did you mean 'off'?)" in run.text
    assert run.code == 2
