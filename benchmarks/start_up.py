"""What the plugin costs a pytest run that does not use it: the same trivial run with and without it, in pairs.

    .venv/bin/python benchmarks/start_up.py [--pairs 20]

The two runs of a pair follow each other directly and swap their order from pair to pair, so that a machine that slows down or speeds up
favours neither. No other plugin is loaded: it could have imported already what ours needs, and so hide its cost. Ours is named in
PYTEST_PLUGINS: looking for it among the installed distributions, which pytest does for all plugins together, is nobody's cost. Bytecode
is cached, as on a user's machine, even where PYTHONDONTWRITEBYTECODE is set. What is compared is the median of the differences, for
elapsed and for CPU time; CPU time is what a busy machine disturbs least. Exits with 1 where the median of the elapsed differences exceeds
the budget.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

BUDGET_MS = 30.0
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
WITH, WITHOUT = ALONE | {"PYTEST_PLUGINS": "pytest_dynperf.plugin"}, ALONE | {"PYTEST_PLUGINS": ""}


class Cost(NamedTuple):
    """Of one pytest process, in milliseconds."""

    elapsed_ms: float
    cpu_ms: float


def one_run(project: Path, variables: dict[str, str]) -> Cost:
    """Start pytest on one empty test and wait for it."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cached = {"PYTHONPYCACHEPREFIX": str(project / "bytecode")}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    # Without a timeout: waiting with one polls, with pauses of up to 50 ms.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        check=True,
        env=inherited | cached | variables,
        stdout=subprocess.DEVNULL,
    )
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(elapsed_ms=(ended - started) * 1e3, cpu_ms=cpu_s * 1e3)


def pairs(project: Path, count: int) -> list[tuple[Cost, Cost]]:
    """``count`` pairs (with, without)."""
    for variables in (WITH, WITHOUT):  # fills the caches
        one_run(project, variables)
    found = []
    for number in range(count):
        if number % 2:
            without = one_run(project, WITHOUT)
            found.append((one_run(project, WITH), without))
        else:
            cost = one_run(project, WITH)
            found.append((cost, one_run(project, WITHOUT)))
    return found


def line(name: str, differences: list[float], without: list[float]) -> str:
    """Median and quartiles of the differences, beside what the run costs anyway."""
    low, middle, high = statistics.quantiles(differences, n=4)
    return (
        f"{name:<8} {middle:6.1f} ms (quartiles {low:.1f} to {high:.1f}, extremes {min(differences):.1f} to {max(differences):.1f}) "
        f"on top of {statistics.median(without):.0f} ms"
    )


def main() -> int:
    """Measure, print, and compare with the budget."""
    parser = argparse.ArgumentParser(description="What the plugin costs a pytest run that does not use it.")
    parser.add_argument("--pairs", type=int, default=20)
    count = max(2, parser.parse_args().pairs)
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        (project / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
        (project / "pytest.ini").write_text("[pytest]\n")
        found = pairs(project, count)
    elapsed = [with_it.elapsed_ms - without.elapsed_ms for with_it, without in found]
    cpu = [with_it.cpu_ms - without.cpu_ms for with_it, without in found]
    print(f"{count} pairs, Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(line("elapsed", elapsed, [without.elapsed_ms for _, without in found]))
    print(line("CPU", cpu, [without.cpu_ms for _, without in found]))
    within = statistics.median(elapsed) <= BUDGET_MS
    print(f"budget   {BUDGET_MS:6.1f} ms of elapsed time: {'kept' if within else 'exceeded'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
