"""How often the whole program is wrong on the embedded stack, and what it finds there::

    python -m benchmarks.judgement.embedded --state /var/tmp/embedded                   # hours; goes on where it was interrupted
    python -m benchmarks.judgement.embedded --state /var/tmp/embedded --table           # what there is so far

Everything through the command line: 10 sessions become the baseline, then unchanged sessions (false alarms) and sessions whose engine is
slower by 5 and by 10 % (power) are judged, with the baseline's deployment as the control of the pairs. At the end `dynperf judge --check`
must come to the same verdicts from the files. For a quiet machine: two free cores, nothing else on it. Needs the extra `mocker`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.judgement.embedded import less_noise
from benchmarks.judgement.embedded.count import Counted, counted, table
from benchmarks.judgement.embedded.step import BASELINE, KINDS, Step, command, finished, read, run, steps
from benchmarks.judgement.embedded.suite import write_suite


def _options(arguments: list[str] | None) -> argparse.Namespace:
    words = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judgement.embedded", description=words[0].rstrip(":"))
    parser.add_argument("--state", type=Path, required=True, metavar="DIRECTORY", help="where all sessions are kept")
    parser.add_argument("--baselines", type=int, default=10, help="sessions of the baseline (default: %(default)s)")
    parser.add_argument("--unchanged", type=int, default=30, help="unchanged sessions of 24 cells (default: %(default)s)")
    parser.add_argument("--slowed", type=int, default=10, help="sessions of each slowdown (default: %(default)s)")
    parser.add_argument("--layout", choices=("auto", "side-by-side", "blocks"), default="auto", help="of the pairs (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what there is")
    options = parser.parse_args(arguments)
    if min(options.baselines, options.unchanged, options.slowed) < 1:
        parser.error("at least one session of each kind is needed")
    return options


def _measure(todo: list[Step], state: Path, suite: Path, layout: str) -> None:
    for number, step in enumerate(todo, start=1):
        if finished(step, state) is not None:
            continue
        print(f"{number}/{len(todo)} {step.name}", end=": ", flush=True, file=sys.stderr)
        started = time.monotonic()
        session = read(run(step, state, command(step, state, suite, layout=layout)))
        print(f"{session['outcome']}, {time.monotonic() - started:.0f} s", file=sys.stderr)


def _judged(todo: list[Step], state: Path) -> list[dict[str, Any]]:
    paths = (finished(step, state) for step in todo if step.kind != BASELINE)
    return [read(path) for path in paths if path is not None]


def _counts(todo: list[Step], state: Path) -> dict[str, Counted]:
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for step in todo:
        path = finished(step, state)
        if path is not None:
            files[step.kind].append(path)
    return {kind: counted([read(path) for path in paths]) for kind, paths in files.items()}


def _agreement(todo: list[Step], state: Path) -> tuple[bool, str]:
    """Whether judging again from the files gives the recorded verdicts, and what the command said."""
    paths = [path for step in todo if step.kind != BASELINE and (path := finished(step, state)) is not None]
    if not paths:
        return True, "There is no session yet that was judged."
    words = [sys.executable, "-m", "pytest_dynperf", "judge", "--check", *map(str, paths)]
    result = subprocess.run(words, check=False, capture_output=True, text=True, cwd=state)
    agree = result.returncode == 0
    what = "the recorded verdicts" if agree else f"exit status {result.returncode}"
    lines = (result.stdout + result.stderr).strip().splitlines()[-20:]
    return agree, "\n".join([f"`dynperf judge --check` over {len(paths)} sessions: {what}.", *([] if agree else lines)])


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where judging again differs, 2 where a session could not be measured, 130 when interrupted."""
    options = _options(arguments)
    state = options.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    todo = steps(baselines=options.baselines, unchanged=options.unchanged, slowed=options.slowed)
    status = 0
    if not options.table:
        try:
            _measure(todo, state, write_suite(state), options.layout)
        except (RuntimeError, ValueError) as error:
            print(error, file=sys.stderr)
            status = 2
        except KeyboardInterrupt:
            print("\ninterrupted: the same command goes on from here", file=sys.stderr)
            status = 130
    print(table(_counts(todo, state)))
    agree, words = _agreement(todo, state)
    print(f"\n{words}")
    print(f"\nDifference of two runs, and what is left of its variance:\n\n{less_noise.table(_judged(todo, state))}")
    return status or (0 if agree else 1)


if __name__ == "__main__":
    sys.exit(main())
