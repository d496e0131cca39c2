"""Which calls are made, in which order, and what is said when a cache cannot be reset. On real engines: tests/system/test_system_cpu.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from pytest_dynperf.deployment import cache_reset
from pytest_dynperf.deployment.cache_reset import EMPTIED, HELD, IN_USE, reset_caches
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec
from pytest_dynperf.errors import DeploymentError
from tests.fakes.http_stub import Handler, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment

FLUSH, CLEAR, METRICS = "/engine/flush_cache", "/cache/clear", "/metrics"
VLLM = ("python", "-m", "dynamo.vllm", "--model", "m")


@dataclass
class Service:
    """A service whose calls the stub answers. Its log knows of an earlier reset, which confirms nothing."""

    spec: ServiceSpec
    log: Path
    ports: Mapping[str, int]


@dataclass
class Stack:
    """Services in the order of ``roles``."""

    directory: Path
    server: Server
    services: dict[str, Service] = field(default_factory=dict)

    def add(self, role: str, argv: tuple[str, ...] = VLLM) -> Service:
        name = f"{role}-{len(self.services)}"
        check = ReadyCheck(port="system", path="/")
        spec = ServiceSpec(name=name, role=role, argv=argv, env={}, ports={}, ready=check, working_directory=str(self.directory))
        log, port = self.directory / f"{name}.log", self.server.server_address[1]
        log.write_text(f"INFO {EMPTIED}\n")
        self.services[name] = Service(spec=spec, log=log, ports={"system": port, "http": port})
        return self.services[name]

    def reset(self, *tiers: str) -> None:
        reset_caches(cast("Deployment", self), tiers=tiers)

    @property
    def called(self) -> list[str]:
        return [path for path, _, _ in self.server.seen]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with serving() as server:
        yield Stack(tmp_path, server)


def flushing(service: Service, *said: str) -> Callable[[Handler], None]:
    """Logs one of ``said`` at each call, the last one for ever, and answers as Dynamo does whatever happened."""
    left = list(said)

    def send(handler: Handler) -> None:
        with service.log.open("a") as log:
            log.write(f"INFO {left.pop(0) if len(left) > 1 else left[0]}\n")
        answer({"status": "ok", "message": "Cache flushed"})(handler)

    return send


def holding(*amounts: float) -> Callable[[Handler], None]:
    """LMCache's metrics: each time the next amount, the last one for ever."""
    left = list(amounts)

    def send(handler: Handler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        answer(f'# HELP {HELD} x\n{HELD}{{backend="dram"}} {now}\n'.encode(), content_type="text/plain")(handler)

    return send


@pytest.mark.parametrize(
    ("tiers", "called"),
    [(("device",), [FLUSH]), (("host",), [CLEAR, METRICS]), (("device", "host"), [FLUSH, CLEAR, METRICS]), ((), [])],
)
def test_each_tier_has_its_call(stack: Stack, tiers: tuple[str, ...], called: list[str]) -> None:
    stack.add("frontend", ("python", "-m", "dynamo.frontend"))
    stack.server.answers = {FLUSH: flushing(stack.add("worker"), EMPTIED), CLEAR: answer({"status": "ok"}), METRICS: holding(0.0)}
    stack.add("cache", ("lmcache", "server"))
    stack.reset(*tiers)
    assert stack.called == called


def test_blocks_in_use_are_waited_for(stack: Stack) -> None:
    stack.server.answers[FLUSH] = flushing(stack.add("worker"), f"{IN_USE} because some blocks (2) are not freed yet", EMPTIED)
    stack.reset("device")
    assert stack.called == [FLUSH, FLUSH]


def test_blocks_that_stay_in_use_are_an_error_although_the_answer_is_ok(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_reset, "PATIENCE_S", 0.2)
    stack.server.answers[FLUSH] = flushing(stack.add("worker"), IN_USE)
    with pytest.raises(DeploymentError, match=r"device's KV cache of worker-0 was not reset: blocks of it are in use"):
        stack.reset("device")


def test_an_answer_that_no_log_confirms_is_an_error(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_reset, "PATIENCE_S", 0.2)
    stack.server.answers[FLUSH] = flushing(stack.add("worker"), "nothing of interest")
    with pytest.raises(DeploymentError, match="worker-0 answered that its KV cache is reset and its log"):
        stack.reset("device")


def test_memory_that_is_locked_is_waited_for_and_then_an_error(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.add("cache", ("lmcache", "server"))
    stack.server.answers = {CLEAR: answer({"status": "ok"}), METRICS: holding(4096.0, 0.0)}
    stack.reset("host")
    assert stack.called == [CLEAR, METRICS] * 2
    monkeypatch.setattr(cache_reset, "PATIENCE_S", 0.2)
    stack.server.answers[METRICS] = holding(4096.0)
    with pytest.raises(DeploymentError, match="host's KV cache of cache-0 was not reset: 4096 bytes are in use"):
        stack.reset("host")


def test_a_server_that_does_not_say_what_it_holds_is_not_believed(stack: Stack) -> None:
    stack.add("cache", ("lmcache", "server"))
    stack.server.answers = {CLEAR: answer({"status": "ok"}), METRICS: answer(b"other 0\n", content_type="text/plain")}
    with pytest.raises(DeploymentError, match=f"is not known: .*/metrics states no {HELD}"):
        stack.reset("host")


@pytest.mark.parametrize("told", [{"status": "error", "message": "engine is dead"}, ["ok"], {}])
def test_a_refusal_is_an_error(stack: Stack, told: object) -> None:
    stack.add("worker")
    stack.server.answers[FLUSH] = answer(told)
    with pytest.raises(DeploymentError, match="the KV cache of worker-0 cannot be reset"):
        stack.reset("device")


def test_what_has_no_such_call_is_named_before_anything_is_reset(stack: Stack) -> None:
    stack.server.answers[FLUSH] = flushing(stack.add("worker"), EMPTIED)
    stack.add("worker", ("python", "-m", "dynamo.mocker", "--model-path", "m"))
    with pytest.raises(DeploymentError, match=r"device's KV cache of worker-1 cannot be reset: .* of dynamo.mocker none"):
        stack.reset("device")
    assert stack.called == []


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (("--kv-transfer-config", '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'), "LMCacheConnectorV1"),
        (("--kv-transfer-config", '{"kv_connector":"PdConnector","x":[{"kv_connector": "DynamoConnector"}]}'), "DynamoConnector"),
        (("--connector", "kvbm"), "kvbm"),
        (("--num-host-blocks", "64"), "--num-host-blocks"),
        (("--kv-offloading-size=4",), "--kv-offloading-size=4"),
    ],
)
def test_host_memory_inside_a_worker_cannot_be_reset(stack: Stack, argument: tuple[str, ...], named: str) -> None:
    stack.add("worker", (*VLLM, *argument))
    with pytest.raises(DeploymentError, match=rf"inside worker-0 \({named}\)"):
        stack.reset("host")


@pytest.mark.parametrize(
    "argument", [(), ("--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'), ("--connector", "none")]
)
def test_where_there_is_no_such_tier_nothing_is_called(stack: Stack, argument: tuple[str, ...]) -> None:
    stack.add("prefill", (*VLLM, *argument))
    stack.reset("host")
    assert stack.called == []


def test_what_somebody_else_runs_and_what_nobody_knows(stack: Stack) -> None:
    with pytest.raises(DeploymentError, match="somebody else"):
        stack.reset("device")
    stack.add("worker")
    with pytest.raises(DeploymentError, match="the tier 'disk': known are 'device', 'host'"):
        stack.reset("disk")
