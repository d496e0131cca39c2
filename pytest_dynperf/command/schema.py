"""``dynperf schema``: the JSON Schema of session.json."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``schema``."""
    parser = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of session.json",
        description="Print the JSON Schema (draft 2020-12) of the session.json that this version writes. Keys beyond it are allowed, so "
        "that a file of a newer version with the same schema number is valid too.",
        allow_abbrev=False,
    )
    parser.add_argument("--strict", action="store_true", help="allow no other keys: what exactly this version writes")
    parser.set_defaults(run=run_schema)


def run_schema(arguments: argparse.Namespace) -> int:
    """Always 0."""
    from pytest_dynperf.report.json_schema import session_schema

    sys.stdout.write(json.dumps(session_schema(strict=arguments.strict), indent=2, ensure_ascii=False) + "\n")
    return 0
