"""``dynperf import`` and ``dynperf export``: files of other tools as sessions of ours, and the other way round."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.exit_code import INVALID
from pytest_dynperf.command.live_line import telling
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.plan import Settings


_DEFAULTS = {"suite": "imported", "baselines": "baselines", "report_dir": "reports"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``import`` and ``export``."""
    _add_import(subparsers)
    _add_export(subparsers)


def _add_import(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "import",
        help="judge runs that AIPerf or vllm bench serve has measured",
        description="Read runs of AIPerf (profile_export_aiperf.json, with profile_export.jsonl beside it) and of vllm bench serve "
        "--save-result, judge them against baselines, and write session.json and report.html. Runs that asked for the same are runs of "
        "one case; three are needed.",
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file of a run, or a directory that is searched")
    parser.add_argument(
        "--fresh",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="runs of a second session, measured after a restart of the server: they decide a suspect of the first",
    )
    parser.add_argument("--suite", default=_DEFAULTS["suite"], metavar="NAME", help="suite of the cases (default: %(default)s)")
    parser.add_argument("--case-id", metavar="ID", help="id of the case (default: from the file: model, ISL, OSL, concurrency or rate)")
    parser.add_argument(
        "--environment", metavar="NAME", help="what the server ran on, in your words; without it nothing can become a baseline"
    )
    parser.add_argument("--gpus", type=_at_least_one, metavar="N", help="GPUs behind the server, for the throughput per GPU")
    for name, what in (("isl", "input tokens"), ("osl", "output tokens"), ("concurrency", "requests in flight")):
        parser.add_argument(
            f"--{name}", type=_at_least_one, metavar="N", help=f"{what} that were asked for, where the file does not say it"
        )
    parser.add_argument(
        "--baselines",
        type=Path,
        default=Path(_DEFAULTS["baselines"]),
        metavar="DIR",
        help="where baselines are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--update-baselines", action="store_true", help="accept the runs: unchanged, improved, incomparable, without a baseline"
    )
    parser.add_argument("--accept-regression", metavar="REASON", help="with --update-baselines: accept regressed cases too")
    parser.add_argument(
        "--report-dir",
        type=Path,
        default=Path(_DEFAULTS["report_dir"]),
        metavar="DIR",
        help="where reports are written (default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="a case without a baseline fails")
    parser.add_argument("-v", "--verbose", action="store_true", help="list every case and every metric")
    parser.set_defaults(run=run_import)


def _add_export(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "export",
        help="write the runs of a session as AIPerf's files",
        description="Write profile_export_aiperf.json and profile_export.jsonl of every run of a session into OUTPUT/SUITE/CASE/RUN/.",
        allow_abbrev=False,
    )
    parser.add_argument("source", type=Path, metavar="SESSION", help="directory of a session (reports/latest), or one of its record files")
    parser.add_argument("--to", choices=["aiperf"], default="aiperf", help="whose files (default: aiperf)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    parser.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> int:
    """Prints the directory of each run.

    :raises UsageError: for a session that is not there or kept no records.
    """
    from pytest_dynperf.session.exported import export_session

    with telling("reading") as told:
        homes = export_session(arguments.source, arguments.output, told=told)
    for home in homes:
        sys.stdout.write(f"{home}\n")
    return 0


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a whole number from 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def run_import(arguments: argparse.Namespace) -> int:
    """0, or 1 where a case regressed or must not be judged.

    :raises UsageError: for files and options that a person can correct.
    """
    from pytest_dynperf.session.closing import close, red
    from pytest_dynperf.session.imported import Import, imported
    from pytest_dynperf.session.imported_files import Known

    settings = _settings(arguments)
    request = Import(
        paths=tuple(arguments.paths),
        fresh=tuple(arguments.fresh),
        suite=arguments.suite,
        case_id=arguments.case_id,
        gpus=arguments.gpus,
        known=Known(isl=arguments.isl, osl=arguments.osl, concurrency=arguments.concurrency),
    )
    report, trouble = close(imported(request, settings), settings)
    for text in trouble:
        sys.stderr.write(f"dynperf: {_own_options(text)}\n")
    _print(report, verbose=arguments.verbose)
    return INVALID if trouble or red(report, strict=settings.strict) else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.session.plan import Settings

    if arguments.update_baselines and arguments.environment is None:
        msg = "--update-baselines needs --environment NAME: nobody could tell what the baseline was measured on"
        raise UsageError(msg)
    if arguments.accept_regression is not None and not (arguments.update_baselines and arguments.accept_regression.strip()):
        msg = "--accept-regression needs --update-baselines, and a reason that somebody can read in a year"
        raise UsageError(msg)
    stamp, session_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), secrets.token_hex(4)
    run_directory = arguments.report_dir.absolute() / f"{stamp}-{session_id}"
    RunDirectory(run_directory).create()
    return Settings(
        session_id=session_id,
        stamp=stamp,
        seed=0,
        command=_command(arguments),
        rootdir=Path.cwd(),
        environment_name=arguments.environment,
        baselines=arguments.baselines.absolute(),
        run_directory=run_directory,
        cache_directory=run_directory,
        update="write" if arguments.update_baselines else "off",
        accept_regression=arguments.accept_regression,
        strict=arguments.strict,
    )


def _command(arguments: argparse.Namespace) -> str:
    """What repeats the import; whether it accepts anything is the reader's choice."""
    words = ["dynperf", "import", *map(str, arguments.paths)]
    for name in ("suite", "case_id", "environment", "gpus", "isl", "osl", "concurrency", "baselines", "report_dir"):
        value = getattr(arguments, name)
        if value is not None and str(value) != _DEFAULTS.get(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    fresh = ["--fresh", *map(str, arguments.fresh)] if arguments.fresh else []
    return shlex.join([*words, *fresh])


def _print(report: SessionReport, *, verbose: bool) -> None:
    """The summary that pytest shows, and after it what cannot be known of the runs."""
    from shutil import get_terminal_size

    from pytest_dynperf.report.terminal import summary

    lines = [line.text for line in summary(report, width=get_terminal_size((100, 24)).columns, verbose=verbose)]
    notes = dict.fromkeys(note for result in report.results for note in result.verdict.reasons if note.startswith("the load generator was"))
    sys.stdout.write(_own_options("\n".join([*lines, *notes])) + "\n")


def _own_options(text: str) -> str:
    """Rooms below name the plugin's options, as ``--dynperf-environment``; here they are called so."""
    return text.replace("--dynperf-", "--")
