"""Which dialect a version gets."""

from __future__ import annotations

import pytest

from pytest_dynperf.deployment.versions import DIALECTS, choose, dialect_of, version_of_image
from pytest_dynperf.errors import UsageError
from pytest_dynperf.scenario.topology import Topology

TOPOLOGY = Topology(engine="mocker", model="m")


@pytest.mark.parametrize(
    ("version", "name"),
    [("0.9.1", "0.9"), ("1.0.2", "1.0"), ("v1.4.2", "1.4"), ("1.6.0.dev20260901", "1.6"), ("1.3", "1.3"), ("1.2.0.post1", "1.2")],
)
def test_a_known_version_gets_its_own(version: str, name: str) -> None:
    chosen = dialect_of(version)
    assert (chosen.dialect.name, chosen.note) == (name, "")


@pytest.mark.parametrize("version", ["1.7.0", "1.10.2", "2.0"])
def test_a_newer_version_gets_the_newest_with_a_note(version: str) -> None:
    chosen = dialect_of(version)
    assert chosen.dialect is DIALECTS[-1]
    assert version in chosen.note
    assert DIALECTS[-1].name in chosen.note


@pytest.mark.parametrize("version", ["0.8.1", "0.1"])
def test_an_older_version_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match=rf"Dynamo {version} is older than 0\.9"):
        dialect_of(version)


@pytest.mark.parametrize("version", ["latest", "", "1", "one.two"])
def test_no_version_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="is no version of Dynamo"):
        dialect_of(version)


def test_the_table_ascends_and_has_no_minor_version_twice() -> None:
    since = [dialect.since for dialect in DIALECTS]
    assert since == sorted(set(since))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1", "1.3.1"),
        ("nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1-cuda13@sha256:00ff", "1.3.1"),
        ("registry.example:5000/sglang-runtime:v0.9", "0.9"),
        ("nvcr.io/nvidia/ai-dynamo/vllm-runtime@sha256:00ff", None),
        ("registry.example:5000/other", None),
        ("python:3.11", None),
        (None, None),
    ],
)
def test_the_tag_of_an_image(image: str | None, version: str | None) -> None:
    assert version_of_image(image) == version


def test_what_is_asked_comes_before_what_is_found_and_that_before_the_image() -> None:
    image = "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.1.0"
    asked = Topology(engine="mocker", model="m", dynamo_version="0.9.1", image=image)
    tagged = Topology(engine="mocker", model="m", image=image)
    assert choose(asked, found="1.4.2").dialect.name == "0.9"
    assert choose(tagged, found="1.4.2").dialect.name == "1.4"
    assert choose(tagged).dialect.name == "1.1"
    unknown = choose(TOPOLOGY)
    assert unknown.dialect is DIALECTS[-1]
    assert "not known" in unknown.note
