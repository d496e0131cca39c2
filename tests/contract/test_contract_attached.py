"""The launcher that starts nothing keeps what of the contract applies to it."""

from __future__ import annotations

from pytest_dynperf.deployment.attached import attach
from pytest_dynperf.endpoint import Endpoint
from tests.fakes.http_stub import completion, models, serving


def test_attached_has_no_services_no_incident_and_stops_nothing() -> None:
    with serving() as server:
        server.answers |= {"/v1/models": models("m"), "/v1/chat/completions": completion()}
        deployment = attach(Endpoint(base_url=server.url, model="m"), environment_name="lab")

        assert (dict(deployment.services), dict(deployment.witness())) == ({}, {})
        assert deployment.provenance["launcher"] == "attached"
        assert deployment.incident() is None
        deployment.stop()
        deployment.stop()

        attach(Endpoint(base_url=server.url, model="m"), environment_name="lab").stop()
