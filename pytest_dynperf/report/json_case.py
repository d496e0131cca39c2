"""What was asked (case, topology, traffic, expectation) as plain JSON types: the first part of a case in ``session.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.json_measurement import decode_cell
from pytest_dynperf.report.plain import take, take_all, take_map, take_optional, take_table
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.scenario.topology import Role, Topology
from pytest_dynperf.scenario.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping


def encode_case(case: Case) -> dict[str, object]:
    """The keys ``case_id`` to ``overrides``."""
    return {
        "case_id": case.case_id,
        "suite": case.suite,
        "question": case.question,
        "platform": case.platform,
        "topology": _encode_topology(case.topology),
        "traffic": {
            "isl": case.traffic.isl,
            "osl": case.traffic.osl,
            "concurrency": case.traffic.concurrency,
            "requests": case.traffic.requests,
            "warmup_requests": case.traffic.warmup_requests,
            "runs": case.traffic.runs,
            "ignore_eos": case.traffic.ignore_eos,
            "request_timeout_s": case.traffic.request_timeout_s,
            "inter_token_timeout_s": case.traffic.inter_token_timeout_s,
        },
        "expectation": _encode_expectation(case.expectation),
        "axes": dict(case.axes),
        "overrides": list(case.overrides),
    }


def decode_case(table: Mapping[str, object]) -> Case:
    """The case that the keys ``case_id`` to ``overrides`` describe.

    :raises UsageError: when a key is missing or of another type.
    """
    return Case(
        suite=take(table, "suite", str),
        case_id=take(table, "case_id", str),
        question=take(table, "question", str),
        platform=take(table, "platform", str),
        topology=_decode_topology(take_table(table, "topology")),
        traffic=_decode_traffic(take_table(table, "traffic")),
        expectation=_decode_expectation(take_table(table, "expectation")),
        axes=tuple(take_map(table, "axes", str).items()),
        overrides=take_all(table, "overrides", str),
    )


def _encode_topology(topology: Topology) -> dict[str, object]:
    return {
        "engine": topology.engine,
        "model": topology.model,
        "mode": topology.mode,
        "worker": _encode_role(topology.worker),
        "prefill": _encode_role(topology.prefill),
        "decode": _encode_role(topology.decode),
        "router_mode": topology.router_mode,
        "router_args": list(topology.router_args),
        "planes": topology.planes,
        "block_size": topology.block_size,
        "image": topology.image,
    }


def _encode_role(role: Role) -> dict[str, object]:
    return {"count": role.count, "gpus": role.gpus, "args": list(role.args)}


def _decode_topology(table: Mapping[str, object]) -> Topology:
    return Topology(
        engine=take(table, "engine", str),
        model=take(table, "model", str),
        mode=take(table, "mode", str),
        worker=_decode_role(take_table(table, "worker")),
        prefill=_decode_role(take_table(table, "prefill")),
        decode=_decode_role(take_table(table, "decode")),
        router_mode=take(table, "router_mode", str),
        router_args=take_all(table, "router_args", str),
        planes=take(table, "planes", str),
        block_size=take_optional(table, "block_size", int),
        image=take_optional(table, "image", str),
    )


def _decode_role(table: Mapping[str, object]) -> Role:
    return Role(count=take(table, "count", int), gpus=take(table, "gpus", int), args=take_all(table, "args", str))


def _decode_traffic(table: Mapping[str, object]) -> Traffic:
    return Traffic(
        isl=take(table, "isl", int),
        osl=take(table, "osl", int),
        concurrency=take(table, "concurrency", int),
        requests=take_optional(table, "requests", int),
        warmup_requests=take_optional(table, "warmup_requests", int),
        runs=take(table, "runs", int),
        ignore_eos=take(table, "ignore_eos", bool),
        request_timeout_s=take(table, "request_timeout_s", float),
        inter_token_timeout_s=take(table, "inter_token_timeout_s", float),
    )


def _encode_expectation(expectation: Expectation) -> dict[str, object]:
    return {
        "gates": [
            {"id": gate.cell.metric, "statistic": gate.cell.statistic, "tolerance": gate.tolerance, "decisive": gate.decisive}
            for gate in expectation.gates
        ],
        "max_error_share": expectation.max_error_share,
        "min_in_flight_share": expectation.min_in_flight_share,
        "max_send_lag_s": expectation.max_send_lag_s,
        "max_receive_lag_s": expectation.max_receive_lag_s,
    }


def _decode_expectation(table: Mapping[str, object]) -> Expectation:
    return Expectation(
        gates=tuple(
            Gate(cell=decode_cell(gate), tolerance=take(gate, "tolerance", float), decisive=take(gate, "decisive", bool))
            for gate in take_all(table, "gates", dict)
        ),
        max_error_share=take(table, "max_error_share", float),
        min_in_flight_share=take(table, "min_in_flight_share", float),
        max_send_lag_s=take(table, "max_send_lag_s", float),
        max_receive_lag_s=take(table, "max_receive_lag_s", float),
    )
