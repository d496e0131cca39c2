"""``dynperf baselines list|show|diff|accept|anchor|prune|collect``: the store, looked at and kept in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command import baselines_collect
from pytest_dynperf.command.exit_code import INVALID
from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``baselines`` and its subcommands."""
    parser = subparsers.add_parser(
        "baselines",
        help="look at accepted sessions, compare them, accept, mark an anchor, prune",
        description="The store of baselines: one file per accepted session of a case, of which the ten newest take part in a comparison.",
        epilog="Exit codes: 0 done, 1 something was refused or could not be read, 2 usage error.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="WHAT", required=True, parser_class=baselines_collect.PARSER)
    _add_list(commands)
    _add_show(commands)
    _add_diff(commands)
    _add_accept(commands)
    _add_anchor(commands)
    _add_prune(commands)
    baselines_collect.add_parser(commands)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "list",
        run_list,
        "what lies in the store",
        "Per case and environment: how many sessions a comparison uses, when the newest was accepted, the anchor, and for the cells that "
        "are gated by default how far sessions lie apart (CV of their medians) and the smallest regression that is found with 80 % power "
        "and without a control (MDE). 1 where a document cannot be read.",
    )
    _add_patterns(parser)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "show",
        run_show,
        "one document, or all of one case",
        "FILE: every value of a document, run by run, with its key and provenance. SUITE/CASE: its documents as a table.",
    )
    parser.add_argument("what", metavar="FILE|SUITE/CASE", help="a document, or a case")
    parser.add_argument("--environment", metavar="NAME", help="which one, where the case has documents in several (shell pattern)")


def _add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "diff",
        run_diff,
        "what differs between two documents, or a document and a session",
        "A is a document, B a document or a finished session. One session on each side: the intervals are wide, and rest on the assumed "
        "spread of sessions. 'dynperf compare' compares whole sessions.",
    )
    parser.add_argument("first", type=Path, metavar="A", help="a document")
    parser.add_argument("second", type=Path, metavar="B", help="a document, a session's directory, or its session.json")
    parser.add_argument("--case", metavar="SUITE/CASE", help="case of the session (default: that of A)")


def _add_accept(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "accept",
        run_accept,
        "accept a finished session",
        "Write the proposals of a finished session into the store, by the rules of pytest --update-baselines: cases that are unchanged, "
        "improved, incomparable or without a baseline; a regression only with a reason; nothing that is invalid, incomplete or was "
        "measured on a dirty tree. 1 where a case was refused.",
    )
    parser.add_argument("session", type=Path, metavar="SESSION", help="directory of a session, such as reports/latest")
    parser.add_argument("--case", default="*", metavar="PATTERN", help="only cases SUITE/CASE that match (shell pattern)")
    parser.add_argument("--accept-regression", metavar="REASON", help="accept regressed cases too; the reason is kept in the baseline")
    parser.add_argument("--dry-run", action="store_true", help="say what would be accepted, and old → new of every gated cell")


def _add_anchor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "anchor",
        run_anchor,
        "mark the session against which drift is measured",
        "Make a document the anchor of its case: it is kept whatever is accepted or pruned later. FILE marks that document, SUITE/CASE the "
        "newest one of the case. The mark is a file beside it, FILE.anchor; commit it. A mark that another document had is taken away.",
    )
    parser.add_argument("what", metavar="FILE|SUITE/CASE", help="a document, or a case")
    parser.add_argument("--environment", metavar="NAME", help="which one, where the case has documents in several (shell pattern)")


def _add_prune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "prune",
        run_prune,
        "delete what no comparison uses any more",
        "Print the documents that are neither among the ten newest of their newest epoch nor anchors; with --write delete them, and "
        "nothing else. A case of which a document cannot be read is left alone.",
    )
    _add_patterns(parser)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="only print (the default)")
    only.add_argument("--write", action="store_true", help="delete")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=description, allow_abbrev=False)
    if name != "diff":
        parser.add_argument(
            "--baselines", type=Path, default=Path("baselines"), metavar="DIR", help="where baselines are kept (default: %(default)s)"
        )
    parser.set_defaults(run=run)
    return parser


def _add_patterns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", default="*", metavar="PATTERN", help="only cases SUITE/CASE that match (shell pattern)")
    parser.add_argument("--environment", default="*", metavar="PATTERN", help="only environments that match (shell pattern)")


def run_list(arguments: argparse.Namespace) -> int:
    """0, or 1 where a document cannot be read.

    :raises UsageError: when there is no store.
    """
    from pytest_dynperf.baseline.listing import list_store
    from pytest_dynperf.report.baseline_text import listing_lines
    from pytest_dynperf.session.baselines import noise_of, priors

    found = list_store(_store(arguments), arguments.case, arguments.environment)
    known = priors(arguments.baselines, found.rings)
    _say(listing_lines([(ring, noise_of(ring, known[ring.environment_name])) for ring in found.rings]))
    if not found.rings and not found.unreadable:
        asked = (("--case", arguments.case), ("--environment", arguments.environment))
        fitting = [f"{option} {text}" for option, text in asked if text != "*"]
        which = f" that fits {' and '.join(fitting)}" if fitting else ""
        _say([f"no baseline{which} below {arguments.baselines}; --baselines DIR names another store"])
    _complain([*found.unreadable, *(f"{path} marks a document that is not there; delete it" for path in found.orphans)])
    return INVALID if found.unreadable else 0


def run_show(arguments: argparse.Namespace) -> int:
    """:raises DynperfError: for what is not there, is ambiguous or cannot be read."""
    from pytest_dynperf.baseline.store import load_anywhere
    from pytest_dynperf.report.baseline_text import document_lines, ring_lines
    from pytest_dynperf.session.baselines import one_ring

    if Path(arguments.what).is_file():
        _say(document_lines(load_anywhere(Path(arguments.what))))
    else:
        _say(ring_lines(one_ring(_store(arguments), arguments.what, arguments.environment)))
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """:raises DynperfError: for what is not there or cannot be read."""
    from pytest_dynperf.report.baseline_text import difference_lines
    from pytest_dynperf.session.baselines import compare_files

    found = compare_files(arguments.first, arguments.second, arguments.case)
    _say(difference_lines(found.first, found.second, found.verdict.cells, found.key, found.provenance))
    return 0


def run_accept(arguments: argparse.Namespace) -> int:
    """0, or 1 where a case was refused.

    :raises UsageError: for a session that is not there, and a pattern that no case matches.
    """
    from pytest_dynperf.report.baseline_text import acceptance_lines, update_lines
    from pytest_dynperf.session.ledger import accept_session, as_update
    from pytest_dynperf.session.session_files import one_session

    reason: str | None = arguments.accept_regression
    if reason is not None and not reason.strip():
        msg = "--accept-regression needs a reason that somebody can read in a year"
        raise UsageError(msg)
    report = one_session(arguments.session)
    session = arguments.session if arguments.session.is_dir() else arguments.session.parent
    done = accept_session(
        report, session, arguments.baselines, case_pattern=arguments.case, accept_regression=reason, dry_run=arguments.dry_run
    )
    if not done.accepted and not done.refused:
        msg = f"no case of {arguments.session} matches --case {arguments.case!r}"
        raise UsageError(msg)
    if arguments.dry_run:
        _say(update_lines(as_update(report, done)))
    _say(acceptance_lines(done.accepted, done.refused, dry_run=arguments.dry_run))
    return INVALID if done.refused else 0


def run_anchor(arguments: argparse.Namespace) -> int:
    """:raises DynperfError: for what is not there, is ambiguous, or cannot be read or written."""
    from pytest_dynperf.baseline.location import mark_path
    from pytest_dynperf.session.baselines import one_ring, ring_of_document, set_anchor

    root, file = _store(arguments), Path(arguments.what)
    if file.is_file():
        done = set_anchor(ring_of_document(root, file), file)
    else:
        done = set_anchor(one_ring(root, arguments.what, arguments.environment), None)
    _say([f"anchor: {done.document}", f"commit {mark_path(done.document)}"])
    if done.before is not None and done.before != done.document:
        _say([f"before: {done.before}"])
    return 0


def run_prune(arguments: argparse.Namespace) -> int:
    """0, or 1 where a document cannot be read.

    :raises DynperfError: when there is no store, or a file cannot be deleted.
    """
    from pytest_dynperf.baseline.listing import list_store
    from pytest_dynperf.session.baselines import prune

    found = list_store(_store(arguments), arguments.case, arguments.environment)
    done = prune(found, write=arguments.write)
    _say([f"{'deleted' if arguments.write else 'would delete'} {path}" for path in done])
    if not done:
        _say(["nothing to prune: every document takes part in a comparison or is an anchor"])
    elif not arguments.write:
        _say(["nothing was deleted; --write does it"])
    _complain(found.unreadable)
    return INVALID if found.unreadable else 0


def _store(arguments: argparse.Namespace) -> Path:
    root: Path = arguments.baselines
    if not root.is_dir():
        msg = f"there is no store of baselines at {root}: give its directory with --baselines"
        raise UsageError(msg)
    return root


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _complain(lines: Iterable[str]) -> None:
    sys.stderr.write("".join(f"dynperf: {line}\n" for line in lines))
