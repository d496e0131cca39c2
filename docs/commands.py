"""Makes commands.md from the commands themselves: ``python docs/commands.py --write``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.main import parser_of_all

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Every command of `dynperf` with its options, as `--help` says them. `python docs/commands.py --write` makes this page, and a test compares.
What the commands are for stands on pages of their own: [load](load.md), [workload](traces.md), [judge, compare, history](judge.md),
[baselines](baselines.md#commands), [import, export](import-export.md), [engines](installed-engines.md), [doctor](doctor.md),
[show, report, reports](files.md), [schema](machine-readable.md). Exit codes stand [here](exit-codes.md).
"""


def page() -> str:
    """The text of commands.md."""
    return "\n".join([HEAD, *_lines(parser_of_all(), "dynperf", "", 1)])


def _lines(parser: argparse.ArgumentParser, name: str, help_: str, depth: int) -> Iterator[str]:
    commands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if depth > 1:
        yield f"{'#' * depth} {name}\n"
        text = parser.description or help_
        yield f"{_cell(text[:1].upper() + text[1:]).rstrip('.')}.\n"
        rows = [_row(parser, action) for action in parser._actions if action not in commands and "-h" not in action.option_strings]
        if rows:
            yield "| | default | |\n|---|---|---|"
            yield "\n".join(rows) + "\n"
    for action in commands:
        about = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for command, inner in action.choices.items():
            yield from _lines(inner, f"{name} {command}", about.get(command, ""), depth + 1)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    if action.option_strings:
        value = "" if action.nargs == 0 else " " + formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
        names = ", ".join(f"`{option}{value}`" for option in action.option_strings)
    else:
        names = f"`{formatter._format_args(action, formatter._get_default_metavar_for_positional(action))}`"
    plain = action.default not in (None, False, argparse.SUPPRESS, (), []) and action.option_strings
    default = f"`{action.default}`" if plain else ""
    return f"| {_cell(names)} | {_cell(default)} | {_cell(formatter._expand_help(action) if action.help else '')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
