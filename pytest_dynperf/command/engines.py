"""``dynperf engines install|list|remove``: environments with real engines, made, looked at, removed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from types import FrameType


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``engines`` and its subcommands."""
    parser = subparsers.add_parser(
        "engines",
        help="install a real engine for machines without a GPU, list and remove what was installed",
        description="Environments with real engines, pinned and cached below the plugin's cache directory (XDG_CACHE_HOME, else ~/.cache).",
        epilog="Exit codes: 0 done, 2 it could not be done, 130 interrupted.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    install = commands.add_parser(
        "install",
        help="make an environment, train its model, try it",
        description="Make the environment NAME: 'cpu' is Dynamo before vLLM on the CPU, LMCache's server, and a tiny model that is trained "
        "here; 'lm-eval' is the client that asks MMLU. What is there is kept. pip's own configuration (mirrors, proxies) is used.",
        allow_abbrev=False,
    )
    install.add_argument("name", metavar="NAME", help="cpu or lm-eval")
    install.add_argument("--python", metavar="PROGRAM", help="interpreter to make it with (default: the one that runs this command)")
    install.add_argument("--dry-run", action="store_true", help="say what would be done, and whether it can be")
    install.set_defaults(run=run_install)
    listing = commands.add_parser(
        "list",
        help="what is installed",
        description="What is installed, with versions and sizes, and what could be.",
        allow_abbrev=False,
    )
    listing.set_defaults(run=run_list)
    removal = commands.add_parser(
        "remove",
        help="remove an environment",
        description="Remove all environments of NAME, or the one in the directory of that name; nothing that this command did not make.",
        allow_abbrev=False,
    )
    removal.add_argument("name", metavar="NAME", help="such as cpu, or a directory's name as 'list' shows it")
    removal.add_argument("--model", action="store_true", help="remove the tiny model and its drafts, too")
    removal.set_defaults(run=run_remove)


def run_install(arguments: argparse.Namespace) -> int:
    """:raises DynperfError: for what cannot be made; says why, and what to do."""
    from pytest_dynperf.installation.found import environment_directory, variable
    from pytest_dynperf.installation.install import complete, install, plan_lines
    from pytest_dynperf.installation.logged_process import Account
    from pytest_dynperf.installation.recipe import load_recipe

    recipe = load_recipe(arguments.name)
    python = _python(arguments.python)
    cache = cache_directory()
    if arguments.dry_run:
        _say(plan_lines(recipe, cache, python))
        return 0
    named = os.environ.get(variable(recipe.name))
    if named:
        msg = f"{variable(recipe.name)}={named} names the environment that is used for {recipe.name}: unset it to install one"
        raise UsageError(msg)
    if complete(recipe, cache):
        _say([f"{recipe.name} is installed already: {environment_directory(recipe, cache)}"])
        return 0
    account = Account(_line)
    account.say(f"{recipe.name}: {recipe.about}")
    # A terminated installer ends what it started and clears away, as an interrupted one does.
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        installed = install(recipe, cache, python, account)
    except KeyboardInterrupt:
        account.say("interrupted: nothing that was half made counts as installed; the same command begins again")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    account.say(f"installed: {', '.join(f'{name} {version}' for name, version in installed.versions.items())}")
    _say(_next_lines(recipe.name, installed.python))
    return 0


def run_list(_: argparse.Namespace) -> int:
    """Always 0: an empty list is an answer."""
    from pytest_dynperf.command.engines_text import inventory_lines
    from pytest_dynperf.installation.inventory import environments

    _say(inventory_lines(environments(cache_directory()), cache_directory(), os.environ))
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    """:raises DynperfError: for a name that is not there, and an environment that is in use."""
    from pytest_dynperf.installation.inventory import remove
    from pytest_dynperf.installation.logged_process import Account
    from pytest_dynperf.installation.tiny_model import model_directories

    cache = cache_directory()
    done = list(remove(arguments.name, cache, Account(_line)))
    models = model_directories(cache)
    if arguments.model:
        for directory in models:
            shutil.rmtree(directory)
        done += models
    _say(f"removed {directory}" for directory in done)
    if models and not arguments.model and arguments.name.startswith("cpu"):
        _say([f"the model stays in {models[0]}, so that it need not be trained again; --model removes it"])
    return 0


def cache_directory() -> Path:
    """Where the plugin keeps what it makes once: that of the sessions."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dynperf"


def _python(given: str | None) -> Path:
    if given is None:
        return Path(sys.executable)
    program = shutil.which(given)
    if program is None:
        msg = f"--python: there is no program {given}"
        raise UsageError(msg)
    return Path(program).absolute()


def _next_lines(name: str, python: Path) -> list[str]:
    if name == "cpu":
        return [
            "",
            "Use it:      pytest suites/… --gpu=cpu",
            "Look at it:  dynperf engines list",
            "Remove it:   dynperf engines remove cpu",
        ]
    return ["", f"Its Python: {python}", f"Remove it:  dynperf engines remove {name}"]


def _interrupted(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
