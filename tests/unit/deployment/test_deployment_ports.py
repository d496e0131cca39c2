from __future__ import annotations

import socket

import pytest

from pytest_dynperf.deployment import ports
from pytest_dynperf.deployment.ports import FIRST, LAST, free_ports
from pytest_dynperf.errors import DeploymentError


def test_ports_are_distinct_and_in_range() -> None:
    found = free_ports(50)

    assert len(set(found)) == 50
    assert all(FIRST <= port <= LAST for port in found)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_left_out(address: str) -> None:
    (start,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind((address, start))
        taken.listen()

        assert start not in free_ports(3, start=start)


def test_the_search_goes_round() -> None:
    found = free_ports(3, start=LAST)

    assert min(found) < LAST


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (start,) = free_ports(1)
    monkeypatch.setattr(ports, "FIRST", start)
    monkeypatch.setattr(ports, "LAST", start)

    with pytest.raises(DeploymentError, match=r"2 free TCP ports are needed .* found [01]"):
        free_ports(2)
