"""The suite that is measured: small cases, so that a session takes about a minute; written into a directory of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "small_cases"

SCENARIO = """\
schema = 1
question = "Is anything found where nothing changed, and is found what did?"

[traffic]
runs = 3
request_timeout_s = 60

[axes]
"traffic.isl" = [32, 64]
"traffic.osl" = [8, 16]
"traffic.concurrency" = [2, 4]

[[expect.gate]]
metric = "output_token_throughput.v1"
statistic = "value"
tolerance = 0.03

[[expect.gate]]
metric = "inter_token_latency.v1"
statistic = "p50"
tolerance = 0.03

[[expect.gate]]
metric = "time_to_first_token.v1"
statistic = "p50"
tolerance = 0.05

[platform.mocker.topology]
worker.count = 1
router_mode = "round-robin"
planes = "nats"

# Load and engine share the cores. A run is short, and at its end the slots run empty.
[platform.mocker.expect]
max_send_lag_s = 0.05
max_receive_lag_s = 0.05
max_uncertain_share = 0.05
min_in_flight_share = 0.85
"""

TEST = '''\
"""Is anything found where nothing changed, and is found what did?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_small_cases(perf: Perf) -> None:
    perf.measure()
    perf.check()
'''


def write_suite(directory: Path) -> Path:
    """Into ``directory``/small_cases; gives that. A suite that is there already must be the same: its baselines are of that one.

    :raises ValueError: where another one is there.
    """
    suite = directory / NAME
    for name, text in (("scenario.toml", SCENARIO), (f"test_{NAME}.py", TEST)):
        path = suite / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            msg = f"{path} is of another version of this program, and so is what was measured with it: use another --state, or remove it"
            raise ValueError(msg)
        suite.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # The root of everything pytest does here, whatever lies above.
    (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return suite
