"""The opening of a session: what it is asked is kept, so that it can go on when it is cut short; one that goes on must be the same."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DynperfError
from pytest_dynperf.plugin.options import asked_seed
from pytest_dynperf.plugin.resumption import selection_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_dynperf.plugin.state import State


def take_over(state: State) -> None:
    """Before an xdist worker is started: remove what the earlier part has left, and keep others from going on with it too.

    :raises pytest.UsageError: when the session cannot be held.
    """
    try:
        state.hold_session()
    except DynperfError as error:
        raise pytest.UsageError(str(error)) from None


def read_earlier(state: State) -> None:
    """What earlier parts of the session have found out, where there are any."""
    if state.part == 1:
        return
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.session.resume import earlier_part

    state.before = earlier_part(RunDirectory(state.make_settings().run_directory))


def begin(state: State, platform: str, planned: Collection[str]) -> None:
    """Keep what the session is asked; where it goes on, first make sure that it is the same.

    :raises UsageError: when it is not.
    :raises RunDirectoryError: when it cannot be kept.
    """
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.session.closing import own_versions
    from pytest_dynperf.session.redaction import without_secrets
    from pytest_dynperf.session.resume import Invocation, check_cases, check_same, facts_of, read_invocation, write_invocation

    settings = state.make_settings()
    run = RunDirectory(settings.run_directory)
    facts = facts_of(settings, platform, own_versions() | {"pytest": pytest.__version__})
    if state.part == 1:
        write_invocation(
            Invocation(
                session_id=settings.session_id,
                stamp=settings.stamp,
                seed=settings.seed,
                command=without_secrets(settings.command, settings),
                selection=selection_of(state.config),
                facts=facts,
            ),
            run,
        )
        return
    before = read_invocation(run)
    check_same(before, facts, seed=asked_seed(state.config))
    read_earlier(state)
    assert state.before is not None
    check_cases(state.before, planned)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    state.before = replace(state.before, resumed=(*before.resumed, now))
    write_invocation(replace(before, resumed=state.before.resumed), run)
    state.the_ledger().results.update({result.case.name: result for result in state.before.results})
