"""Options and their ini twins, and the Settings they make.

The user's own ``--gpu`` and ``--update-baselines``; everything else ``--dynperf-*``.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.session.stored_sessions import Retention


LATEST = "latest"
"""What ``--dynperf-resume`` without a value asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    name: str
    help: str
    metavar: str = "TEXT"
    many: bool = False
    flag: bool = False


_OPTIONS = (
    _Option(name="endpoint", metavar="URL", help="measure the OpenAI-compatible server at URL instead of starting a deployment"),
    _Option(name="model", metavar="NAME", help="the name under which the server at --dynperf-endpoint serves the model"),
    _Option(
        name="environment",
        metavar="NAME",
        help="what the attached server runs on, in your words; without it nothing that was measured there can become a baseline",
    ),
    _Option(name="api-key-env", metavar="VARIABLE", help="environment variable that holds the server's API key"),
    _Option(name="header", metavar="'NAME: VALUE'", many=True, help="header sent with every request to the attached server; repeatable"),
    _Option(
        name="tokenizer",
        metavar="DIR",
        help="directory with the model's tokenizer.json and tokenizer_config.json; without it prompt lengths of an attached server are "
        "calibrated by its usage counts",
    ),
    _Option(
        name="set",
        metavar="KEY=VALUE",
        many=True,
        help="override a value of the scenario or platform: traffic.isl=512; 'args' keys are appended, the last flag wins; repeatable",
    ),
    _Option(
        name="seed", metavar="N", help="seed of every prompt; by default a new one each time, so that no prefix cache is warm by accident"
    ),
    _Option(name="baselines", metavar="DIR", help="where baselines are kept (default: baselines/ in the root directory)"),
    _Option(name="reports", metavar="DIR", help="where reports are written (default: reports/ in the root directory)"),
    _Option(
        name="lease-wait",
        metavar="SECONDS",
        help="how long to wait while another session measures on this host (default 0: fail at once)",
    ),
    _Option(
        name="control",
        many=True,
        help="what a suspect is compared with in pairs: baseline, python=PATH, set=KEY=VALUE or endpoint=URL; repeatable, texts add up",
    ),
    _Option(
        name="control-layout",
        metavar="LAYOUT",
        help="auto (default), side-by-side (candidate and control run throughout) or blocks (one at a time, with restarts between)",
    ),
    _Option(
        name="budget",
        metavar="MINUTES",
        help="time for measuring beyond the first session of each case, over the whole invocation; by default as long as it takes",
    ),
    _Option(name="detect", metavar="PERCENT", help="with --dynperf-plan: what it takes to find a regression of so much, such as 3%%"),
    _Option(name="launcher", metavar="LAUNCHER", help="auto (default: as the platform says), process or container"),
    _Option(
        name="case-timeout",
        metavar="SECONDS",
        help="longest time for one case, deployment and pairs included; 0: no end (default: ten times what the plan expects, and 10 min)",
    ),
    _Option(
        name="step-summary",
        metavar="FILE",
        help="append the result as Markdown to FILE (default: to that of GITHUB_STEP_SUMMARY, where there is one)",
    ),
    _Option(name="github", metavar="WHEN", help="auto (default: where GitHub Actions runs this, annotations and a step summary) or off"),
    _Option(name="keep-sessions", metavar="N", help="after the session, remove older ones than the N newest; by default all are kept"),
    _Option(
        name="keep-days", metavar="DAYS", help="after the session, remove those that began before; with both, what either keeps is kept"
    ),
    _Option(name="strict", flag=True, help="a case without a baseline fails"),
    _Option(
        name="fail-on-suspect",
        flag=True,
        help="a case fails that looks worse by more than its tolerance and was not decided, such as when the budget was spent",
    ),
)
"""Every one has an ini twin: ``--dynperf-api-key-env`` is ``dynperf_api_key_env``."""


def add_options(parser: pytest.Parser) -> None:
    """Register options and ini keys. Where another plugin owns ``--gpu``, ours is ``--dynperf-gpu`` alone."""
    group = parser.getgroup("dynperf", "performance regression testing of LLM serving (pytest-dynperf)")
    gpu_help = "platform to measure on: auto (what NVML finds, mocker where there is no GPU), mocker, h100, h200, b200, a100, l40s, …"
    try:
        group.addoption("--gpu", "--dynperf-gpu", dest="dynperf_gpu", metavar="NAME", default=None, help=gpu_help)
    except (ValueError, argparse.ArgumentError):
        group.addoption(
            "--dynperf-gpu", dest="dynperf_gpu", metavar="NAME", default=None, help=f"{gpu_help} (--gpu belongs to another plugin here)"
        )
    group.addoption(
        "--update-baselines",
        dest="dynperf_update",
        action="store_const",
        const="write",
        default="off",
        help="accept what was measured: cases that are unchanged, improved, incomparable or without a baseline",
    )
    # A literal option string: `nargs="?"` would swallow the path in `pytest --update-baselines suites/`.
    group.addoption(
        "--update-baselines=dry-run", dest="dynperf_update", action="store_const", const="dry-run", help="say what would be accepted"
    )
    group.addoption(
        "--accept-regression",
        dest="dynperf_accept_regression",
        metavar="REASON",
        default=None,
        help="with --update-baselines: accept regressed cases too; the reason is kept in the baseline",
    )
    group.addoption(
        "--dynperf-plan", action="store_true", dest="dynperf_plan", help="print what would run, on what, for how long; start nothing"
    )
    group.addoption(
        "--dynperf-resume",
        dest="dynperf_resume",
        nargs="?",
        const=LATEST,
        default=None,
        metavar="SESSION",
        help="go on with a session that was cut short: its id, its directory, or without a value the latest one of these tests",
    )
    parser.addini("dynperf_gpu", "twin of --gpu", default="auto")
    _add_twins(parser, group)


def _add_twins(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    for option in _OPTIONS:
        destination = _destination(option)
        if option.flag:
            group.addoption(f"--dynperf-{option.name}", dest=destination, action="store_true", default=None, help=option.help)
            parser.addini(destination, f"twin of --dynperf-{option.name}", type="bool", default=False)
        elif option.many:
            group.addoption(
                f"--dynperf-{option.name}", dest=destination, action="append", default=None, metavar=option.metavar, help=option.help
            )
            parser.addini(destination, f"twin of --dynperf-{option.name}", type="linelist", default=[])
        else:
            group.addoption(f"--dynperf-{option.name}", dest=destination, default=None, metavar=option.metavar, help=option.help)
            parser.addini(destination, f"twin of --dynperf-{option.name}", default="")


def _destination(option: _Option) -> str:
    return "dynperf_" + option.name.replace("-", "_")


def _text(config: pytest.Config, name: str) -> str | None:
    given = config.getoption(f"dynperf_{name}")
    return str(given) if given is not None else (str(config.getini(f"dynperf_{name}")) or None)


def _list(config: pytest.Config, name: str) -> tuple[str, ...]:
    """The ini's lines first, so that the command line has the last word."""
    return (*config.getini(f"dynperf_{name}"), *(config.getoption(f"dynperf_{name}") or ()))


def requested_platform(config: pytest.Config) -> str:
    """``--gpu``, or its ini twin; ``auto`` by default."""
    return _text(config, "gpu") or "auto"


def _flag(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(f"dynperf_{name}") or config.getini(f"dynperf_{name}"))


def _number(config: pytest.Config, name: str, kind: type[int] | type[float], unit: str = "seconds") -> float | None:
    text = _text(config, name)
    if text is None:
        return None
    try:
        value = kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else f"a number of {unit}"
        msg = f"--dynperf-{name.replace('_', '-')}: {text!r} is not {wanted}"
        raise pytest.UsageError(msg) from error
    if not 0 <= value < float("inf"):
        msg = f"--dynperf-{name.replace('_', '-')}: {text} is {'negative' if value < 0 else 'no finite number'}"
        raise pytest.UsageError(msg)
    return value


def _budget_s(config: pytest.Config) -> float | None:
    minutes = _number(config, "budget", float, "minutes")
    return None if minutes is None else minutes * 60


def _detect(config: pytest.Config) -> float | None:
    """``3%`` as .03, and 0.03 as well: nobody asks for three hundredths of a per cent. In the ini file it is what every plan answers; on
    the command line it is a question, and only a plan answers it.
    """
    text = _text(config, "detect")
    if text is None:
        return None
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = float("nan")
    if percent < 1 and not text.strip().endswith("%"):
        percent *= 100
    if not 0 < percent < 1000:
        msg = f"--dynperf-detect: {text!r} is not a percentage above 0, such as 3%, or a fraction such as 0.03"
        raise pytest.UsageError(msg)
    if config.getoption("dynperf_detect") is not None and not config.getoption("dynperf_plan"):
        msg = f"--dynperf-detect={text} asks what it takes to find a regression, and the plan answers it: add --dynperf-plan"
        raise pytest.UsageError(msg)
    return percent / 100


def _control(config: pytest.Config) -> tuple[str, ...]:
    """A path given on the command line is relative to where pytest was called, one in the ini file to the root directory."""
    given = (
        (config.rootpath, config.getini("dynperf_control")),
        (config.invocation_params.dir, config.getoption("dynperf_control") or ()),
    )
    return tuple(
        f"python={directory / Path(text.partition('=')[2].strip()).expanduser()}" if text.partition("=")[0].strip() == "python" else text
        for directory, texts in given
        for text in texts
    )


def _headers(config: pytest.Config) -> tuple[tuple[str, str], ...]:
    headers = []
    for text in _list(config, "header"):
        name, separator, value = text.partition(":")
        if not separator or not name.strip() or "\n" in text or "\r" in text:
            msg = f"--dynperf-header: {text!r} is not of the form 'NAME: VALUE'"
            raise pytest.UsageError(msg)
        headers.append((name.strip(), value.strip()))
    return tuple(headers)


def github_wanted(config: pytest.Config) -> bool:
    """Whether GitHub Actions is told of the result, where it runs this.

    :raises pytest.UsageError: for another word.
    """
    text = _text(config, "github") or "auto"
    if text not in {"auto", "off"}:
        msg = f"--dynperf-github: {text!r} is neither auto nor off"
        raise pytest.UsageError(msg)
    return text == "auto"


def step_summary(config: pytest.Config) -> Path | None:
    """The file of ``--dynperf-step-summary``, relative to where pytest was called; of its ini twin, to the root directory."""
    text = _text(config, "step_summary")
    return None if text is None else _directory(config, "step_summary")


def retention(config: pytest.Config) -> Retention:
    """What ``--dynperf-keep-sessions`` and ``--dynperf-keep-days`` keep.

    :raises pytest.UsageError: for what is no number, and for 0 sessions.
    """
    from pytest_dynperf.session.stored_sessions import Retention

    sessions = _number(config, "keep_sessions", int)
    if sessions is not None and sessions < 1:
        msg = "--dynperf-keep-sessions: at least 1, which is the session itself"
        raise pytest.UsageError(msg)
    return Retention(sessions=None if sessions is None else int(sessions), days=_number(config, "keep_days", float, "days"))


def session_identity(config: pytest.Config) -> dict[str, str]:
    """Session id, UTC stamp and seed: made once, by the controller, and handed to every xdist worker."""
    seed = _number(config, "seed", int)
    return {
        "session_id": secrets.token_hex(4),
        "stamp": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        "seed": str(int(seed) if seed is not None else secrets.randbits(31)),
        "command": "pytest " + shlex.join(config.invocation_params.args),
    }


def reports_directory(config: pytest.Config) -> Path:
    """Where sessions are written."""
    return _directory(config, "reports")


def asked_seed(config: pytest.Config) -> int | None:
    """``--dynperf-seed``, where it was given."""
    seed = _number(config, "seed", int)
    return None if seed is None else int(seed)


def make_settings(config: pytest.Config, identity: Mapping[str, str]) -> Settings:
    """Everything that the invocation asks for.

    :raises pytest.UsageError: for a value that has no meaning.
    """
    from pytest_dynperf.plugin.combinations import check_together
    from pytest_dynperf.plugin.extensions import collect_extensions
    from pytest_dynperf.session.plan import Settings

    root = config.rootpath
    key_variable = _text(config, "api_key_env")
    if key_variable is not None and not os.environ.get(key_variable):
        msg = f"--dynperf-api-key-env: the environment variable {key_variable} is not set"
        raise pytest.UsageError(msg)
    tokenizer = _text(config, "tokenizer")
    update: Literal["off", "write", "dry-run"] = config.getoption("dynperf_update")
    endpoint = _text(config, "endpoint")
    settings = Settings(
        session_id=identity["session_id"],
        stamp=identity["stamp"],
        seed=int(identity["seed"]),
        command=identity["command"],
        rootdir=root,
        gpu=requested_platform(config),
        overrides=_list(config, "set"),
        endpoint_url=_checked_url(endpoint),
        model=_text(config, "model"),
        environment_name=_text(config, "environment"),
        api_key_variable=key_variable,
        headers=_headers(config),
        tokenizer=None if tokenizer is None else (config.invocation_params.dir / tokenizer),
        baselines=_directory(config, "baselines"),
        run_directory=_directory(config, "reports") / f"{identity['stamp']}-{identity['session_id']}",
        cache_directory=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-dynperf",
        update=update,
        accept_regression=config.getoption("dynperf_accept_regression"),
        strict=_flag(config, "strict"),
        fail_on_suspect=_flag(config, "fail_on_suspect"),
        control=_control(config),
        control_layout=_text(config, "control_layout") or "auto",
        budget_s=_budget_s(config),
        detect=_detect(config),
        case_timeout_s=_number(config, "case_timeout", float),
        launcher=_text(config, "launcher") or "auto",
        extensions=collect_extensions(config, baselines=_directory(config, "baselines")),
        lease_wait_s=_number(config, "lease_wait", float) or 0.0,
    )
    check_together(config, settings)
    return settings


def _checked_url(url: str | None) -> str | None:
    from pytest_dynperf.endpoint import base_url_of
    from pytest_dynperf.errors import UsageError

    try:
        return None if url is None else base_url_of(url)
    except UsageError as error:
        msg = f"--dynperf-endpoint: {error}"
        raise pytest.UsageError(msg) from error


def _directory(config: pytest.Config, name: str) -> Path:
    """A path given on the command line is relative to where pytest was called, one in the ini file to the root directory."""
    given = config.getoption(f"dynperf_{name}")
    if given is not None:
        return (config.invocation_params.dir / Path(given).expanduser()).resolve()
    return (config.rootpath / (str(config.getini(f"dynperf_{name}")) or name)).resolve()
