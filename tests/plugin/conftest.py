"""A suite to measure in a test: small, quick, against a server in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.valid_session import schema_flaws

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """
schema = 1
question = "Is the fake server as fast as before?"

[topology]
engine = "unknown"
model = "fake"

[traffic]
isl = 64
osl = 8
requests = 30

[axes]
"traffic.concurrency" = [1, 2]

[axes.environment]
"traffic.concurrency" = "CONCURRENCIES"

[expect]
# Timings must not decide a test: whatever this machine does to the generator is allowed here.
max_send_lag_s = 60
max_uncertain_share = 0.99
max_receive_lag_s = 60
min_in_flight_share = 0.01

[[expect.gate]]
metric = "inter_token_latency.v1"
statistic = "p50"
tolerance = 0.5

[[expect.gate]]
metric = "time_to_first_token.v1"
statistic = "p50"
tolerance = 0.9
decisive = false
"""

TEST = """
def test_fake(perf):
    perf.measure()
    perf.check()
"""


@dataclass(frozen=True)
class Outcome:
    """What a whole pytest run left."""

    code: int
    text: str
    session: dict[str, Any]

    def outcomes(self) -> dict[str, str]:
        """Outcome by case id."""
        return {case["case_id"]: case["verdict"]["outcome"] for case in self.session.get("cases", ())}


class Bench:
    """Runs pytest on a suite of one scenario, in a process of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.suite = pytester.mkdir("fake_suite")
        self.write("scenario.toml", SCENARIO)
        self.write("test_fake.py", TEST)

    def write(self, name: str, text: str) -> Path:
        """A file of the suite."""
        path = self.suite / name
        path.write_text(text)
        return path

    def run(self, *arguments: str, url: str | None = None, timeout: float = 120) -> Outcome:
        """``pytest fake_suite ARGUMENTS``, attached to ``url`` when it is given."""
        attached = [f"--dynperf-endpoint={url}", "--dynperf-model=fake", "--dynperf-environment=test"] if url else []
        result = self.pytester.runpytest_subprocess("fake_suite", "-p", "no:cacheprovider", *attached, *arguments, timeout=timeout)
        latest = self.root / "reports" / "latest" / "session.json"
        session = json.loads(latest.read_text()) if latest.is_file() else {}
        assert not session or schema_flaws(session) == []
        return Outcome(int(result.ret), result.stdout.str() + result.stderr.str(), session)

    def baseline_files(self) -> list[Path]:
        """Every accepted document."""
        return sorted((self.root / "baselines").rglob("*.json"))


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A suite of two cases, and a way to run it under a lease of its own: these runs measure nothing that counts."""
    temporary = pytester.mkdir("tmp")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(temporary / "leases"))
    # Whole runs are many: load what they need, and none of the other plugins that happen to be installed here (1.6 s each time).
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_dynperf.plugin,xdist.plugin")
    return Bench(pytester)
