"""``dynperf baselines collect``: fill the ring of a suite in one go, one whole pytest session after the other.

Only sessions that were deployed anew show how far sessions lie apart; runs within one cannot. So each is a process of its own.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.exit_code import INTERRUPTED, INVALID
from pytest_dynperf.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASONS = {
    1: "a case regressed, is invalid or was not reported, or a baseline could not be written",
    2: "it was interrupted, or a scenario could not be read",
    3: "pytest itself failed",
    4: "an option or the tree is not as it must be",
    5: "no test was collected",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``collect``."""
    parser = commands.add_parser(
        "collect",
        help="measure and accept several sessions in a row",
        description="Run 'pytest SUITE --update-baselines' N times, each in a process of its own with a fresh deployment, so that the "
        "store knows how far sessions lie apart. It stops at the first session that is red: its output says why. Arguments after -- go "
        "to pytest. 1 where a session was red.",
        usage="dynperf baselines collect [-h] [--sessions N] SUITE [-- ARGUMENT ...]",
        allow_abbrev=False,
    )
    parser.add_argument("suite", metavar="SUITE", help="what pytest is to run, such as suites/concurrency_sweep")
    parser.add_argument("--sessions", type=_at_least_one, default=10, metavar="N", help="how many sessions (default: %(default)s)")
    parser.set_defaults(run=run_collect, arguments=[])


class Passing(argparse.ArgumentParser):
    """Keeps what stands after ``--`` for ``collect`` as it is. As a positional argument it would not be found behind an option."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As the class above."""
        own = list(sys.argv[1:] if args is None else args)
        if self.get_default("run") is not run_collect:
            return super().parse_known_args(own, namespace)
        place = own.index("--") if "--" in own else len(own)
        found, unknown = super().parse_known_args(own[:place], namespace)
        found.arguments = own[place + 1 :]
        if unknown:
            self.error(_instead(own[:place], unknown, found))
        return found, []


def _instead(own: Sequence[str], unknown: Sequence[str], found: argparse.Namespace) -> str:
    """What to type in place of ``own``, of which ``unknown`` is not for ``collect``; both in the order in which they were given."""
    if near := nearest(unknown[0].partition("=")[0], ["--sessions"]):
        return f"{unknown[0]} is no option of collect{near}"
    kept = Counter(unknown)
    ours: list[str] = []
    for text in own:
        if kept[text]:
            kept[text] -= 1
        else:
            ours.append(text)
    line = shlex.join(["dynperf", "baselines", "collect", *ours, "--", *unknown, *found.arguments])
    return f"{' '.join(unknown)}: what is meant for pytest stands after --, so type: {line}"


PARSER: type[argparse.ArgumentParser] = Passing


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a whole number from 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def argv_of(suite: str, arguments: Sequence[str]) -> list[str]:
    """The command line of one session."""
    return [sys.executable, "-m", "pytest", suite, "--update-baselines", *arguments]


def run_collect(arguments: argparse.Namespace) -> int:
    """0, or 1 where a session was red, or 130 after Ctrl-C.

    :raises UsageError: when the suite is not there, or an argument asks pytest to update otherwise.
    """
    if not Path(arguments.suite.partition("::")[0]).exists():
        msg = f"there is no suite at {arguments.suite}"
        raise UsageError(msg)
    if clash := [text for text in arguments.arguments if text.startswith("--update-baselines")]:
        msg = f"{clash[0]} after -- has no meaning: every session is accepted"
        raise UsageError(msg)
    argv, begun_s = argv_of(arguments.suite, arguments.arguments), time.monotonic()
    for number in range(1, arguments.sessions + 1):
        _say(f"session {number} of {arguments.sessions}: {shlex.join(['pytest', *argv[3:]])}")
        child = subprocess.Popen(argv)
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.wait()  # it had the same Ctrl-C, and ends what it started
            _say(f"interrupted in session {number} of {arguments.sessions}; what was accepted before stays")
            return INTERRUPTED
        if code != 0:
            reason = _REASONS.get(code, "it was killed" if code < 0 else "see above")
            _say(f"stopped at session {number} of {arguments.sessions}: pytest ended with exit code {code}: {reason}")
            return INVALID
        _say(f"session {number} of {arguments.sessions} done, {time.monotonic() - begun_s:.0f} s so far")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"dynperf: {text}\n")
    sys.stdout.flush()  # before the child writes
