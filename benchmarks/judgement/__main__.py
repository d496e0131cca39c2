"""How often the decision rule is wrong, and what it finds, in simulated runs::

    python -m benchmarks.judgement                                  # everything: some minutes on one core
    python -m benchmarks.judgement --quick                          # the requirement alone, with few repetitions: seconds
    python -m benchmarks.judgement --quick --rule former            # with the constants that the package had before: must fail
    python -m benchmarks.judgement --quick --rule loose             # a rule that is wrong on purpose: must fail
    python -m benchmarks.judgement --write benchmarks/judgement/tables

Shows first that the formulas simulated are those of the package. Exits with 1 where false alarms, power or runs miss what is required, with
2 where the formulas differ from the package's. Seeds are fixed: the same numbers every time.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.judgement import agreement, fresh, published, requirement, table
from benchmarks.judgement.published import Sizes
from benchmarks.judgement.rules import FRESH, NAMED, PACKAGE
from benchmarks.judgement.settings import QUESTIONS
from benchmarks.judgement.study import CHANGES, CVS, Setting, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.judgement.gate import Rule
    from benchmarks.judgement.study import Result

_QUICK, _FULL = 40_000, 200_000


def _options(arguments: list[str] | None) -> argparse.Namespace:
    words = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judgement", description=words[0].rstrip(":"))
    parser.add_argument("--quick", action="store_true", help="check the requirement alone, with few repetitions")
    parser.add_argument("--rule", choices=sorted(NAMED), default="package", help="whose requirement is checked (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, help=f"of the check (default: {_FULL:,}, quick {_QUICK:,}); a quarter of it elsewhere")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="keep the tables there as well")
    return parser.parse_args(arguments)


def _of_rule(rule: Rule, repetitions: int) -> str:
    return table.of_rule(_evaluated(Setting(name="", rule=rule), repetitions))


def _evaluated(setting: Setting, repetitions: int) -> list[list[Result]]:
    return [evaluate(setting, run_cv=cv, changes=CHANGES, repetitions=repetitions, seed=1) for cv in CVS]


def _published(repetitions: int) -> str:
    sizes = Sizes(of_requests=max(repetitions // 20, 100), of_runs=repetitions)
    return table.side_by_side(published.TABLE, [published.reproduce(cv, sizes) for cv in CVS])


def _question(settings: Sequence[Setting], repetitions: int) -> str:
    return table.of_settings([(setting, _evaluated(setting, repetitions)) for setting in settings])


def _tables(repetitions: int) -> dict[str, dict[str, str]]:
    """File → heading → table, each printed as soon as it is there."""
    fewer = repetitions // 4
    work: dict[str, dict[str, Callable[[], str]]] = {
        "published": {"Published and simulated here": partial(_published, fewer)},
        "rule": {
            **{f"The {name} rule": partial(_of_rule, NAMED[name], repetitions) for name in ("package", "former")},
            "Without a control: a fresh session": partial(fresh.table, fewer),
        },
        "settings": {question: partial(_question, settings, fewer) for question, settings in QUESTIONS.items()},
    }
    found: dict[str, dict[str, str]] = {}
    for file, headings in work.items():
        found[file] = {}
        for heading, make in headings.items():
            found[file][heading] = make()
            print(f"\n## {heading}\n\n{found[file][heading]}", flush=True)
    return found


def _keep(tables: dict[str, dict[str, str]], requirements: str, directory: Path, repetitions: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    note = f"Made by `python -m benchmarks.judgement`, {repetitions:,} repetitions for the requirement and the rules, a quarter elsewhere."
    for file, headings in (*tables.items(), ("requirement", {"Requirement": requirements})):
        text = "\n\n".join(f"## {heading}\n\n{content}" for heading, content in headings.items())
        (directory / f"{file}.md").write_text(f"{note}\n\n{text}\n", encoding="utf-8")


def _required(name: str, repetitions: int) -> tuple[bool, str]:
    """Whether the rule meets what is required, and the numbers."""
    findings = requirement.check(NAMED[name], repetitions=repetitions)
    passed = all(finding.met for finding in findings)
    lines = "\n".join(f"- {finding.text}" for finding in findings)
    return passed, f"{'PASS' if passed else 'FAIL'}: rule `{name}`, R = 3, K = 10, tolerance 3 %, {repetitions:,} repetitions\n\n{lines}"


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print, judge."""
    options = _options(arguments)
    started = time.monotonic()
    differences = agreement.disagreements(PACKAGE, FRESH)
    if differences:
        print(f"The formulas here are not the package's ({len(differences)} differences): change benchmarks/judgement/gate.py.")
        print("\n".join(differences[:10]))
        return 2
    print(f"{agreement.CASES:,} random inputs: the formulas here agree with the package's to 1e-12, and every decision is the same.")
    repetitions = options.repetitions or (_QUICK if options.quick else _FULL)
    tables = {} if options.quick else _tables(repetitions)
    passed, text = _required(options.rule, repetitions)
    if not options.quick and options.rule != "former":
        text += "\n\n" + _required("former", repetitions)[1]
    print(f"\n## Requirement\n\n{text}\n\n{time.monotonic() - started:.0f} s")
    if options.write and not options.quick:
        _keep(tables, text, options.write, repetitions)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
