"""Where clients connect."""

from __future__ import annotations

import pytest

from pytest_dynperf.deployment.service import METRICS_PORTS, entry
from tests.golden.matrix import cases

CASES = cases()


@pytest.mark.parametrize(
    ("name", "service", "purpose"),
    [
        ("mocker-agg-kv", "frontend", "http"),
        ("mocker-frontends-approximate", "proxy", "api"),
        ("vllm-own-server", "worker-0", "http"),
        ("vllm-own-servers", "proxy", "api"),
        ("vllm-lmcache-mp", "frontend", "http"),
    ],
)
def test_clients_talk_to_one_service(name: str, service: str, purpose: str) -> None:
    spec, found = entry(CASES[name].specs)
    assert (spec.name, found) == (service, purpose)
    assert spec.ports[found] == 20005


def test_nothing_to_talk_to_is_said() -> None:
    specs = [spec for spec in CASES["mocker-agg"].specs if spec.role == "etcd"]
    with pytest.raises(ValueError, match=r"none of the services \['etcd'\]"):
        entry(specs)


def test_a_proxy_has_no_metrics_of_its_own() -> None:
    proxy = next(spec for spec in CASES["vllm-own-servers"].specs if spec.role == "proxy")
    assert not set(proxy.ports) & set(METRICS_PORTS)
