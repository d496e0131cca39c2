"""The command line `dynperf`: which commands there are, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from pytest_dynperf.command import (
    baselines,
    compare,
    doctor,
    engines,
    foreign,
    history,
    judge,
    load,
    report,
    reports,
    schema,
    show,
    workload,
)
from pytest_dynperf.command.exit_code import BROKEN_PIPE, INTERRUPTED, USAGE
from pytest_dynperf.errors import DynperfError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (show, report, reports, judge, compare, history, baselines, load, workload, foreign, engines, doctor, schema)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is without the program's name and by default that of the process."""
    try:
        arguments = parser_of_all().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as done:  # argparse: help and version (0), or a usage that it has explained (2)
        code = int(done.code or 0)
    except DynperfError as error:
        from pytest_dynperf.command.load_meaning import in_options
        from pytest_dynperf.secret import known_secrets, redact

        # Rooms below name what they lack as the plugin's option or the scenario's key.
        text = redact(in_options(str(error)), known_secrets(os.environ, arguments=sys.argv))
        sys.stderr.write(f"dynperf: error: {text}\n")
        code = USAGE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # What is still buffered would be written when Python ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    return code


def parser_of_all() -> argparse.ArgumentParser:
    """The parser of `dynperf` with all its commands; the page of commands is made from it."""
    parser = argparse.ArgumentParser(
        prog="dynperf",
        description="Measure and judge LLM serving: a load generator that watches itself, and what its numbers are worth.",
        epilog="Exit codes: 0 done and valid, 1 the run is invalid or a case fails, 2 usage or environment error, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: importlib.metadata costs every start 20 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"dynperf {version('pytest-dynperf')}\n")
        parser.exit()
