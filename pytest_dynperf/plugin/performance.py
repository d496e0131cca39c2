"""``perf``: what a test asks of one case. Its two questions are the two lines of a suite's test."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DynperfError, UnsupportedFaultError

if TYPE_CHECKING:
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.judging import Judged, Measured
    from pytest_dynperf.verdict.arm_parity import ArmParity
    from pytest_dynperf.verdict.verdict import Verdict

FRAGMENT = "dynperf"
"""Name of the user property that carries a case's result: it rides on the test report to the controller and into JUnit XML."""


OUTCOME = "dynperf_outcome"
"""Name of the user property that says the same in a word, for whoever reads JUnit XML."""


class Perf:
    """Measures and judges one case. ``measure`` may be called once, ``check`` once after it."""

    def __init__(self, case: Case, state: State, item: pytest.Item) -> None:
        self.case = case
        self._state = state
        self._item = item
        self._measured: Measured | None = None
        self._verdict: Verdict | None = None
        self._earlier: CaseResult | None = None
        self._parity: ArmParity | None = None
        self._begun_s = 0.0

    @property
    def unasked(self) -> str | None:
        """Why a test that ends now proves nothing, or ``None`` when it measured and judged."""
        if self._measured is None:
            return f"{self.case.name} was never measured: the test must call perf.measure()"
        if self._verdict is None:
            return f"{self.case.name} was measured and never judged: the test must call perf.check()"
        return None

    def measure(self) -> Measurement:
        """Deploy what the case needs (or reuse it) and measure R runs. Before an arm its reference is measured, where this session has not
        measured it.

        What cannot be deployed or reached fails the test here, with the case recorded as invalid; a fault that what is deployed cannot have
        skips it.
        """
        __tracebackhide__ = True
        from pytest_dynperf.session.conduct import failed_deployment, measure
        from pytest_dynperf.session.parity import note_arm, ready_reference
        from pytest_dynperf.session.plan import case_limit_s

        self._begun_s = time.monotonic()
        if (earlier := self._state.earlier(self.case)) is not None:
            return self._measured_before(earlier)
        conduct = self._state.the_conduct()
        conduct.deadline.begin(case_limit_s(self.case, self._state.make_settings()))
        failed = False
        try:
            ready_reference(self.case, conduct)
            self._measured = measure(self.case, conduct)
            note_arm(self.case, self._measured, conduct)
        except UnsupportedFaultError as error:
            pytest.skip(f"{self.case.name}: {error}")
        except DynperfError as error:
            self._measured, failed = failed_deployment(error), True
        finally:
            self._clear_live_line()
        if failed:
            self.check()
        return self._measured.measurement

    def check(self) -> Verdict:
        """Judge against the stored baselines; what a suspect asks for is measured: pairs with the control, or a fresh session. An arm is
        held against its reference arm as well. Fails the test as the policy says.
        """
        __tracebackhide__ = True
        from pytest_dynperf.session.baselines import waived
        from pytest_dynperf.session.conduct import check, in_time
        from pytest_dynperf.session.judging import Judged
        from pytest_dynperf.session.parity import judged_with_parity

        if self._measured is None:
            pytest.fail(f"{self.case.name}: perf.check() was called before perf.measure()", pytrace=False)
        if self._earlier is None:
            conduct = self._state.the_conduct()
            try:
                judged = in_time(check(self.case, self._measured, conduct), self.case, conduct)
                judged, self._parity = judged_with_parity(self.case, judged, self._measured, conduct)
            finally:
                conduct.deadline.end()
                self._clear_live_line()
            judged = replace(judged, verdict=waived(judged.verdict, self.case, self._state.make_settings()))
            result = self._result(judged)
        else:
            judged = Judged(verdict=self._earlier.verdict, confirmation=None, baseline_provenance={})
            result = replace(self._earlier, node_id=self._item.nodeid)
        self._verdict = judged.verdict
        self._record(result)
        settings = self._state.make_settings()
        if fails(judged.verdict, strict=settings.strict, open_suspect=settings.fail_on_suspect):
            from pytest_dynperf.plugin.live import on_terminal
            from pytest_dynperf.report.terminal import MAX_WIDTH, failure_text

            by_option = [] if fails(judged.verdict, strict=False, open_suspect=False) else [f"  it fails by {_option_of(judged.verdict)}"]
            config = self._item.config
            width = config.get_terminal_writer().fullwidth if on_terminal(config) else MAX_WIDTH
            text = failure_text(result, run_directory=str(settings.run_directory), width=width)
            pytest.fail("\n".join([text, *by_option]), pytrace=False)
        return judged.verdict

    def _measured_before(self, earlier: CaseResult) -> Measurement:
        """An earlier part of the session has measured the case: its result stands, and fails the test again where it failed."""
        __tracebackhide__ = True
        from pytest_dynperf.measurement.measurement import Measurement
        from pytest_dynperf.session.judging import Measured

        self._earlier = earlier
        measurement = earlier.measurement or Measurement(runs=(), problems=earlier.verdict.reasons)
        self._measured = Measured(measurement=measurement, environment=earlier.environment, records=earlier.records, logs=earlier.logs)
        if earlier.measurement is None:
            self.check()
        return measurement

    def give_up(self, reason: str) -> None:
        """Record the case as invalid because the test never asked for a verdict."""
        from pytest_dynperf.session.judging import Judged
        from pytest_dynperf.verdict.judge import invalid

        self._record(self._result(Judged(verdict=invalid((reason,), self.case.expectation), confirmation=None, baseline_provenance={})))

    def _clear_live_line(self) -> None:
        if self._state.live is not None:
            self._state.live.clear()

    def _record(self, result: CaseResult) -> None:
        from pytest_dynperf.report.json_file import encode_result

        self._item.user_properties.append((OUTCOME, result.verdict.outcome.text))
        self._item.user_properties.append((FRAGMENT, json.dumps(encode_result(result), allow_nan=False)))

    def _result(self, judged: Judged) -> CaseResult:
        from pytest_dynperf.report.session_report import CaseResult
        from pytest_dynperf.session.judging import suspicions_of
        from pytest_dynperf.session.redaction import without_secrets

        measured = self._measured
        fresh = judged.confirmation
        command = repeat_command(self._item.nodeid, self.case.platform, self._state)
        result = CaseResult(
            case=self.case,
            node_id=self._item.nodeid,
            verdict=judged.verdict,
            measurement=measured.measurement if measured and measured.environment else None,
            confirmation=fresh.measurement if fresh else None,
            environment=measured.environment if measured else None,
            baseline_provenance=judged.baseline_provenance,
            duration_s=time.monotonic() - self._begun_s if self._begun_s else 0.0,
            reproduce=f"{command} --dynperf-seed={self._state.make_settings().seed}",
            accept=_accept(command, judged.verdict),
            records=(*(measured.records if measured else ()), *(fresh.records if fresh else ()), *judged.records),
            logs=tuple(dict.fromkeys((*(measured.logs if measured else ()), *(fresh.logs if fresh else ()), *judged.logs))),
            duet=judged.duet,
            suspicions=suspicions_of(judged, measured),
            prior_sd=judged.terms.prior_sd,
            duet_possible=judged.terms.duet,
            part=self._state.part,
            parity=self._parity,
            meanings=self._state.make_settings().extensions.meanings,
        )
        return without_secrets(result, self._state.make_settings())


def _accept(command: str, verdict: Verdict) -> str:
    """How the result becomes the baseline; answers that are not those of the reference cannot be accepted."""
    from pytest_dynperf.verdict.verdict import Outcome

    if verdict.parity in {Outcome.REGRESSED, Outcome.INVALID, Outcome.INCONCLUSIVE}:
        return ""
    return f"{command} --update-baselines" + (' --accept-regression "why"' if verdict.outcome is Outcome.REGRESSED else "")


def _option_of(verdict: Verdict) -> str:
    """Which option makes a verdict fail that passes without one."""
    from pytest_dynperf.verdict.open_suspect import open_suspects

    cells = ", ".join(map(str, open_suspects(verdict)))
    if not cells:
        return "--dynperf-strict: it has no baseline"
    return f"--dynperf-fail-on-suspect: beyond the tolerance, and not decided: {cells}"


def repeat_command(node_id: str, platform: str, state: State) -> str:
    """The command that measures one case again with the same options."""
    settings = state.make_settings()
    words = ["pytest", node_id.partition("@")[0], f"--gpu={platform}"]
    if settings.endpoint_url is not None:
        words += [f"--dynperf-endpoint={settings.endpoint_url}", f"--dynperf-model={settings.model}"]
    for name, value in (
        ("environment", settings.environment_name),
        ("api-key-env", settings.api_key_variable),
        ("tokenizer", settings.tokenizer),
        ("baselines", settings.baselines if settings.baselines != settings.rootdir / "baselines" else None),
    ):
        if value is not None:
            words.append(f"--dynperf-{name}={value}")
    if state.config.getoption("dynperf_launcher") is not None:
        words.append(f"--dynperf-launcher={settings.launcher}")
    words += [f"--dynperf-set={override}" for override in settings.overrides]
    words += [f"--dynperf-control={text}" for text in settings.control]
    if settings.control and settings.control_layout != "auto":
        words.append(f"--dynperf-control-layout={settings.control_layout}")
    return state.axis_assignments + shlex.join(words)


def fails(verdict: Verdict, *, strict: bool, open_suspect: bool = False) -> bool:
    """Which verdicts fail a test: those that fail everywhere."""
    from pytest_dynperf.session import closing

    return closing.fails(verdict, strict=strict, open_suspect=open_suspect)
