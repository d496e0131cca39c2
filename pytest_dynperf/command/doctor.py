"""``dynperf doctor``: what this machine has and lacks for each platform and suite, with the remedy for each lack."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.exit_code import INVALID

if TYPE_CHECKING:
    import argparse

    from pytest_dynperf.session.doctor import Diagnosis
    from pytest_dynperf.session.doctor_facts import Facts


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what this machine has and lacks for platforms and suites",
        description="Look at this machine and say what it has and lacks for each platform and suite, with the remedy for each lack. Starts "
        "nothing, fetches nothing, changes nothing. Exit code 0 when every platform that was asked for can run, 1 when something that it "
        "needs is missing; warnings do not fail.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="NAME",
        help="ask for this platform, or for all; can be given several times (default: the one that --gpu=auto takes here)",
    )
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        metavar="SUITE",
        help="ask for what this suite needs: its directory, or its name in suites/; can be given several times (default: all in suites/)",
    )
    parser.add_argument("--strict", action="store_true", help="a warning is exit code 1 too")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON; - prints it in place of the table")
    parser.add_argument("-v", "--verbose", action="store_true", help="list what is fine, too")
    parser.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> int:
    """0, or 1 as the description says.

    :raises UsageError: for a platform or suite that is not known, and for files that say something wrong.
    """
    from pytest_dynperf.command.doctor_text import doctor_lines
    from pytest_dynperf.secret import known_secrets, redact, redact_value
    from pytest_dynperf.session.doctor import diagnose
    from pytest_dynperf.session.doctor_gather import gather
    from pytest_dynperf.session.doctor_need import find_suites, needs_of

    directory = Path.cwd()
    needs = needs_of(find_suites(arguments.suite, directory), directory, named=bool(arguments.suite))
    facts = gather(needs, directory, os.environ)
    secrets = known_secrets(os.environ)
    diagnosis = diagnose(facts, needs, arguments.platform)
    if arguments.json is not None:
        _write_json(redact_value(diagnosis_json(diagnosis, facts), secrets), arguments.json)
    if arguments.json != "-":
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = shutil.get_terminal_size((100, 24)).columns
        lines = doctor_lines(diagnosis, width=max(30, min(width, 140)), colour=colour, verbose=arguments.verbose)
        sys.stdout.write("".join(f"{redact(line, secrets)}\n" for line in lines))
    return 0 if diagnosis.healthy and not (arguments.strict and diagnosis.warned) else INVALID


def diagnosis_json(diagnosis: Diagnosis, facts: Facts) -> dict[str, object]:
    """What ``--json`` writes: schema 1, in plain JSON types."""
    from importlib.metadata import version

    from pytest_dynperf.session.doctor_finding import Lack, severity_of

    return {
        "schema": 1,
        "dynperf": version("pytest-dynperf"),
        "healthy": diagnosis.healthy,
        "asked": list(diagnosis.asked),
        "why": diagnosis.why,
        "packages": dict(sorted(facts.software.packages.items())),
        "secrets_set": sorted(facts.secrets),
        "platforms": [
            {
                "name": name,
                "can_run": diagnosis.can_run(name),
                "findings": [
                    {
                        "id": finding.id,
                        "severity": severity_of(finding),
                        "what": finding.what,
                        "found": finding.found,
                        "remedy": finding.remedy if isinstance(finding, Lack) else None,
                    }
                    for finding in findings
                ],
            }
            for name, findings in sorted(diagnosis.findings.items())
        ],
    }


def _write_json(document: dict[str, object], file: str) -> None:
    from pytest_dynperf.run_directory import write_atomically

    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if file == "-":
        sys.stdout.write(text)
    else:
        write_atomically(Path(file), text)
