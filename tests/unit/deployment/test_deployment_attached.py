from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.attached import attach
from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import EndpointError
from tests.fakes.http_stub import Server, answer, completion, models, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.http_stub import Answer


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.answers |= {"/v1/models": models("m"), "/v1/chat/completions": completion()}
        yield running


def test_attached_proves_that_it_serves(server: Server) -> None:
    deployment = attach(Endpoint(base_url=server.url, model="m"), environment_name="lab-7")

    assert [path for path, *_ in server.seen] == ["/v1/models", "/v1/chat/completions", "/metrics"]
    assert deployment.key == {"name": "lab-7", "model": "m"}
    assert deployment.endpoint.model == "m"
    assert deployment.incident() is None
    assert deployment.witness() == {}
    deployment.stop()
    deployment.stop()


def test_it_says_what_it_could_not_learn_and_describes_the_client_as_such(server: Server) -> None:
    provenance = attach(Endpoint(base_url=server.url, model="m"), environment_name=None).provenance

    assert provenance["engine"].startswith("unknown")
    assert "cpu.model" not in provenance
    assert provenance["client.cpu.count"].isdigit()


def test_without_a_name_the_key_has_none(server: Server) -> None:
    assert attach(Endpoint(base_url=server.url, model="m"), environment_name=None).key == {"model": "m"}


def test_a_password_in_the_url_does_not_reach_the_provenance(server: Server) -> None:
    url = server.url.replace("http://", "http://me:secret@")

    provenance = attach(Endpoint(base_url=url, model="m"), environment_name=None).provenance

    assert "secret" not in str(provenance)
    assert provenance["endpoint"] == server.url


def test_listing_without_completing_is_not_serving(server: Server) -> None:
    del server.answers["/v1/chat/completions"]

    with pytest.raises(EndpointError, match="HTTP 404"):
        attach(Endpoint(base_url=server.url, model="m"), environment_name=None)


PAGE = b"# HELP x\n# TYPE x counter\nx 1\n"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        pytest.param(answer(PAGE, content_type="text/plain; version=0.0.4"), True, id="Prometheus"),
        pytest.param(answer(PAGE, content_type="application/openmetrics-text"), True, id="OpenMetrics"),
        pytest.param(answer(PAGE, content_type="text/html"), False, id="a page for people"),
        pytest.param(answer(b"hello", content_type="text/plain"), False, id="another text"),
        pytest.param(answer(PAGE, content_type="text/plain", status=403), False, id="forbidden"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_metrics_are_read_where_there_are_some(server: Server, page: Answer | None, found: bool) -> None:
    if page is not None:
        server.answers["/metrics"] = page
    endpoint = attach(Endpoint(base_url=server.url, model="m"), environment_name=None).endpoint
    assert endpoint.metrics_urls == ((("server", f"{server.url}/metrics"),) if found else ())


def test_metrics_urls_that_were_given_stay(server: Server) -> None:
    given = (("worker", "http://127.0.0.1:1/metrics"),)
    assert attach(Endpoint(base_url=server.url, model="m", metrics_urls=given), environment_name=None).endpoint.metrics_urls == given
