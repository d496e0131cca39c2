"""One session after the other, each a pytest of its own, as a person would call it. What is finished is kept and never repeated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BASELINE, UNCHANGED = "baseline", "unchanged"
SLOWDOWNS = {"slowed by 5 %": "0.95", "slowed by 10 %": "0.9"}
"""What the engine's speed is multiplied with. Only the simulated work slows down: frontend, router and load stay as fast."""

SLOWED_CASES = "isl32 and c4"
"""All cases of a slowed session are suspects, and each asks for pairs: two of the eight tell whether a session is found."""

KINDS = (BASELINE, UNCHANGED, *SLOWDOWNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``kind`` is one of ``KINDS``, ``number`` counts within it."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{self.kind.replace(' %', '').replace(' ', '-')}-{self.number:03d}"


def steps(*, baselines: int, unchanged: int, slowed: int) -> list[Step]:
    """Baselines first. Then all kinds in turns, so that a drift of the machine meets all alike."""
    found = [Step(kind=BASELINE, number=number) for number in range(1, baselines + 1)]
    wanted = {UNCHANGED: unchanged, **dict.fromkeys(SLOWDOWNS, slowed)}
    for number in range(1, max(wanted.values()) + 1):
        found += [Step(kind=kind, number=number) for kind, most in wanted.items() if number <= most]
    return found


def command(step: Step, state: Path, suite: Path, *, layout: str) -> list[str]:
    """The pytest of one session.

    Each baseline session is accepted into a store of its own: in one store a session that looks worse than the others would be refused,
    and a baseline without its noisier sessions would understate the noise.
    """
    own = state / "sessions" / step.name
    words = [sys.executable, "-m", "pytest", str(suite), "--gpu=mocker", "-p", "no:cacheprovider", f"--rootdir={state}"]
    words += [f"--dynperf-reports={own / 'reports'}", "--dynperf-lease-wait=600"]
    if step.kind == BASELINE:
        return [*words, f"--dynperf-baselines={own / 'baselines'}", "--update-baselines"]
    words += [f"--dynperf-baselines={state / 'baselines'}", "--dynperf-control=baseline"]
    if step.kind in SLOWDOWNS:
        words += [f"--dynperf-set=topology.worker.args=--speedup-ratio {SLOWDOWNS[step.kind]}", "-k", SLOWED_CASES]
    return words if layout == "auto" else [*words, f"--dynperf-control-layout={layout}"]


def finished(step: Step, state: Path) -> Path | None:
    """The session.json of a session that ran to its end and has a case that is not invalid, or ``None``."""
    files = sorted((state / "sessions" / step.name / "reports").glob("*/session.json"))
    if not files:
        return None
    session = read(files[-1])
    valid = any(case["verdict"]["outcome"] != "invalid" for case in session["cases"])
    return files[-1] if session["complete"] and valid else None


def read(path: Path) -> dict[str, Any]:
    """A session.json."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def run(step: Step, state: Path, words: Sequence[str]) -> Path:
    """Measure. What an interrupted attempt has left is removed first. Costs about a minute, with pairs some minutes.

    :raises RuntimeError: where pytest ends otherwise than passed or failed, or leaves no complete session with a valid case; names the
        file of its output.
    """
    own = state / "sessions" / step.name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    with (own / "output.txt").open("w", encoding="utf-8") as output:
        # In our process group: Ctrl-C reaches pytest, which stops what it started; then it comes to us.
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, cwd=state)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
    found = finished(step, state)
    if status not in (0, 1) or found is None:
        what = "a" if found else "no"
        msg = f"{step.name} ended with exit status {status} and {what} complete session with a valid case: see {own / 'output.txt'}"
        raise RuntimeError(msg)
    if step.kind == BASELINE:
        shutil.copytree(own / "baselines", state / "baselines", dirs_exist_ok=True)
    return found
