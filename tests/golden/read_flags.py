"""Reads which flags a program takes from the source of its argument parser, without importing it.

``python -m tests.golden.read_flags dynamo VERSION DIRECTORY`` and ``… sglang VERSION DIRECTORY`` (an unpacked wheel), ``… help NAME FILE``
(what ``--help`` printed) write ``flags/*.txt``: one ``program --flag {choices}`` a line. Imports would need every engine installed.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS = Path(__file__).parent / "flags"
_ADDERS = ("add_argument", "add_negatable_bool_argument")
_GROUPS = "common/configuration/groups"
_SHARED = (f"{_GROUPS}/runtime_args.py", f"{_GROUPS}/frontend_decoding_args.py")
DYNAMO = {
    "dynamo.frontend": ("frontend/main.py", "frontend/frontend_args.py", f"{_GROUPS}/router_args.py", f"{_GROUPS}/kv_router_args.py"),
    "dynamo.mocker": ("mocker/args.py",),
    "dynamo.vllm": ("vllm/args.py", "vllm/backend_args.py", *_SHARED),
    "dynamo.sglang": ("sglang/args.py", "sglang/backend_args.py", *_SHARED),
    "dynamo.trtllm": ("trtllm/utils/trtllm_utils.py", "trtllm/args.py", "trtllm/backend_args.py", *_SHARED),
}
"""Program to the files of the package ``dynamo`` that declare its arguments, in any version."""


def declared(source: str) -> Iterator[tuple[str, str]]:
    """Flag and its choices (``{a,b}``, empty where any value goes), for every call that adds an argument; both forms of a switch that can
    be negated.
    """
    tree = ast.parse(source)
    names = {
        node.targets[0].id: _literal(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in _ADDERS:
            yield from _of_call(node, names)
        if isinstance(node, ast.Dict):
            yield from _of_table(node)


def _of_call(call: ast.Call, names: dict[str, object]) -> Iterator[tuple[str, str]]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    words = [_literal(argument) for argument in call.args]
    words += [_literal(given[name]) for name in ("flag_name", "obsolete_flag", "alias") if name in given]
    choices = given.get("choices")
    found = names.get(choices.id) if isinstance(choices, ast.Name) else None if choices is None else _literal(choices)
    listed = "{" + ",".join(map(str, found)) + "}" if isinstance(found, list | tuple) else ""
    negatable = _called(call) == "add_negatable_bool_argument" or "BooleanOptional" in ast.dump(given.get("action", ast.Constant(None)))
    for word in words:
        if isinstance(word, str) and word.startswith("--"):
            yield word, listed
            if negatable:
                yield word.replace("--", "--no-", 1), ""


def _of_table(table: ast.Dict) -> Iterator[tuple[str, str]]:
    """Arguments that stand in a table, ``{"flags": ["--endpoint"], …}``."""
    for key, value in zip(table.keys, table.values, strict=True):
        if key is not None and _literal(key) == "flags":
            found = _literal(value)
            yield from ((word, "") for word in (found if isinstance(found, list) else []) if str(word).startswith("--"))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def annotated(source: str) -> Iterator[str]:
    """Flags of a class whose every field is one (SGLang from 0.5.2x on): its name with hyphens, and its aliases."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ast.unparse(node.annotation)
            if text.startswith("A[") and "no_cli=True" not in text:
                yield "--" + node.target.id.replace("_", "-")
                for aliases in re.findall(r"aliases=\[([^\]]*)\]", text):
                    yield from re.findall(r"--[a-z0-9-]+", aliases)


def of_help(text: str) -> set[str]:
    """Flags in what ``--help`` prints: those that begin an option's line or follow a comma there, and those of the usage."""
    return set(re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", text))


def _lines(program: str, flags: dict[str, str]) -> list[str]:
    return [f"{program} {name} {choices}".rstrip() for name, choices in sorted(flags.items())]


def _dynamo(directory: Path) -> list[str]:
    lines: list[str] = []
    for program, files in DYNAMO.items():
        flags: dict[str, str] = {}
        for path in (directory / "dynamo" / name for name in files):
            if path.is_file():
                flags |= dict(declared(path.read_text(encoding="utf-8")))
        lines += _lines(program, flags)
    return lines


def _sglang(directory: Path) -> list[str]:
    own = directory / "sglang" / "srt"
    flags = dict(declared((own / "server_args.py").read_text(encoding="utf-8")))
    for path in sorted((own / "arg_groups" / "fields").glob("*.py")):
        flags |= dict.fromkeys(annotated(path.read_text(encoding="utf-8")), "")
    return _lines("sglang", flags)


def main(kind: str, version: str, place: Path) -> None:
    """Write one file of flags."""
    if kind == "dynamo":
        name, lines, source = f"ai-dynamo-{version}", _dynamo(place), f"ai-dynamo {version}: the argument parsers in its wheel"
    elif kind == "sglang":
        name, lines, source = f"sglang-{version}", _sglang(place), f"sglang {version}: the argument parser in its wheel"
    else:
        program = version.rpartition("-")[0]
        flags = dict.fromkeys(of_help(place.read_text(encoding="utf-8")), "")
        name, lines, source = version, _lines(program, flags), f"{version.replace('-', ' ')}: what --help prints"
    (FLAGS / f"{name}.txt").write_text("\n".join([f"# {source}", *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
