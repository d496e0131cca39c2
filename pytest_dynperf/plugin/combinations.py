"""Options that have no meaning together, or none without another. In: the options, and the Settings that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dynperf.session.plan import Settings


def check_together(config: pytest.Config, settings: Settings) -> None:
    """:raises pytest.UsageError: names the options, and what to add or to leave out."""
    _check_combinations(settings)
    _check_control(settings)
    _check_company(config, settings)


def _check_combinations(settings: Settings) -> None:
    from pytest_dynperf.scenario.platform import LAUNCHER_CHOICES as LAUNCHERS

    if settings.baselines.exists() and not settings.baselines.is_dir():
        msg = f"--dynperf-baselines: {settings.baselines} is not a directory"
        raise pytest.UsageError(msg)
    launchers = (*LAUNCHERS, *settings.extensions.launchers)
    if settings.launcher not in launchers:
        msg = f"--dynperf-launcher: {settings.launcher!r} is none of {', '.join(launchers)}"
        raise pytest.UsageError(msg)
    if settings.attached and settings.launcher != "auto":
        msg = (
            f"--dynperf-launcher={settings.launcher} says how a deployment is started, and with --dynperf-endpoint nothing is: leave it out"
        )
        raise pytest.UsageError(msg)
    if settings.attached and settings.model is None:
        msg = "--dynperf-endpoint needs --dynperf-model: the name under which the server serves the model"
        raise pytest.UsageError(msg)
    if settings.model is not None and not settings.attached:
        msg = "--dynperf-model belongs to --dynperf-endpoint; the model of a deployment is set with --dynperf-set topology.model=…"
        raise pytest.UsageError(msg)
    if settings.accept_regression is not None and settings.update == "off":
        msg = "--accept-regression needs --update-baselines"
        raise pytest.UsageError(msg)
    if settings.accept_regression is not None and not settings.accept_regression.strip():
        msg = "--accept-regression needs a reason that somebody can read in a year"
        raise pytest.UsageError(msg)


def _check_control(settings: Settings) -> None:
    from pytest_dynperf.errors import UsageError
    from pytest_dynperf.session.control import LAYOUTS, parse_control

    try:
        control = parse_control(settings.control, endpoint_url=settings.endpoint_url)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    layout = settings.control_layout
    if layout not in LAYOUTS:
        msg = f"--dynperf-control-layout: {layout!r} is none of {', '.join(LAYOUTS)}"
        raise pytest.UsageError(msg)
    if layout == "blocks" and control is not None and control.endpoint_url is not None:
        msg = "--dynperf-control-layout=blocks restarts both arms in turn, and a server that runs already is not restarted: leave it out"
        raise pytest.UsageError(msg)


def check_settled(settings: Settings) -> None:
    """What can be said once the launcher is known.

    :raises pytest.UsageError: for a control that it cannot start.
    """
    from pytest_dynperf.session.control import parse_control

    control = parse_control(settings.control, endpoint_url=settings.endpoint_url)
    if control is None or settings.attached:
        return
    if control.image is not None and settings.launcher != "container":
        msg = (
            f"--dynperf-control=image={control.image} is started in containers, and the launcher is {settings.launcher}: "
            "add --dynperf-launcher=container, or name an environment with --dynperf-control=python=PATH"
        )
        raise pytest.UsageError(msg)
    if control.python is not None and settings.launcher == "container":
        msg = (
            f"--dynperf-control=python={control.python} is started as processes, and the launcher is container: "
            "add --dynperf-launcher=process, or name an image with --dynperf-control=image=NAME"
        )
        raise pytest.UsageError(msg)


def _check_company(config: pytest.Config, settings: Settings) -> None:
    """What only another option gives a meaning is refused on the command line; in the ini file it waits for that option."""

    def given(name: str) -> bool:
        return config.getoption(f"dynperf_{name}") is not None

    if not settings.attached and given("environment"):
        msg = (
            f"--dynperf-environment={settings.environment_name} names what an attached server runs on: add --dynperf-endpoint=URL. "
            "What is deployed here knows its own environment."
        )
        raise pytest.UsageError(msg)
    if not settings.control and given("control_layout"):
        msg = (
            f"--dynperf-control-layout={settings.control_layout} says how a control is deployed: add --dynperf-control=baseline, or another"
        )
        raise pytest.UsageError(msg)
