"""What is secret, and that nothing of it is left in a text, a value or a stream of bytes."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.secret import (
    NONE,
    REDACTED,
    SHORTEST,
    is_secret_name,
    known_secrets,
    redact,
    redact_stream,
    redact_value,
    secrets_of,
)

SECRET = 'pl@nted "s3cret" /+=ü<&>'
PLAIN = "s3cr3t-value-0815"


# ---- names


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "ANYTHING_API_KEY", "NGC_API_KEY", "NGC_CLI_API_KEY", "GITHUB_TOKEN",
        "MY_SECRET", "DB_PASSWORD", "PASSWORD_OF_DB", "PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "api_key", "APIKEY", "TOKEN",
    ],
)  # fmt: skip
def test_a_variable_is_secret_by_its_name(name: str) -> None:
    assert is_secret_name(name)
    assert redact(f"x {PLAIN} y", known_secrets({name: PLAIN})) == f"x {REDACTED} y"


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "TOKENIZERS_PARALLELISM", "MAX_TOKENS", "HF_HOME", "HF_TOKEN_PATH", "POSTGRES_PASSWORD_FILE", "AWS_REGION",
        "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", "NGC_CLI_ORG", "SECRETARY", "MONKEY", "KEYBOARD",
    ],
)  # fmt: skip
def test_a_variable_is_not_secret_by_its_name(name: str) -> None:
    assert not is_secret_name(name)
    assert redact(f"x {PLAIN} y", known_secrets({name: PLAIN})) == f"x {PLAIN} y"


def test_the_variable_that_an_option_names_is_secret() -> None:
    environ = {"MY_KEY": PLAIN, "OTHER": "other-value"}
    assert redact(f"{PLAIN} other-value", known_secrets(environ, variables=("MY_KEY", None))) == f"{REDACTED} other-value"


def test_short_values_are_left_alone() -> None:
    assert redact("one two", known_secrets({"A_TOKEN": "one", "B_TOKEN": "  two  ", "C_TOKEN": ""})) == "one two"
    assert len("abcdef") == SHORTEST
    assert redact("abcdef", known_secrets({"A_TOKEN": "abcdef"})) == REDACTED


def test_a_secret_that_is_part_of_the_replacement_is_none() -> None:
    secrets = known_secrets({"A_TOKEN": "redacted", "B_TOKEN": "other-value"})
    assert redact(redact("other-value", secrets), secrets) == REDACTED


def test_passwords_in_addresses_of_any_variable_are_secret() -> None:
    secrets = known_secrets({"HTTPS_PROXY": "http://user:p%40ss-word@proxy:3128", "DSN": "postgres://u:db-secret-1@h/x"})
    assert redact("p%40ss-word p@ss-word db-secret-1", secrets) == " ".join([REDACTED] * 3)


def test_values_in_a_command_line_and_in_headers_are_secret() -> None:
    secrets = known_secrets(
        {},
        arguments=["serve", "--api-key", "first-key-1", "--hf-token=second-key-2", "--dynperf-header=Authorization: Bearer third-key-3"],
        headers=[("X-Tenant", "perf-team"), ("X-Api-Key", "fourth-key-4"), ("Authorization", "Basic fifth-key-5")],
    )
    said = redact("first-key-1 second-key-2 third-key-3 fourth-key-4 fifth-key-5 perf-team", secrets)
    assert said == " ".join([REDACTED] * 5) + " perf-team"


def test_the_lines_of_a_private_key_are_secret_one_by_one() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nw0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----"
    secrets = known_secrets({"SSH_PRIVATE_KEY": key})
    assert redact(key, secrets) == REDACTED
    assert redact("2026 | w0BAQEFAASCBKcwggSj |", secrets) == f"2026 | {REDACTED} |"


def test_a_repr_shows_no_secret() -> None:
    assert PLAIN not in repr(secrets_of([PLAIN]))
    assert PLAIN not in str(secrets_of([PLAIN]))


# ---- texts


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        html.escape(SECRET),
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"us:{SECRET}\n".encode()).decode(),
        base64.b64encode(f"u:{SECRET}--".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{SECRET}".encode()).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(written: str) -> None:
    assert redact(f"before {written} after", secrets_of([SECRET])) == f"before {REDACTED} after"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {REDACTED}"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", f"{{'authorization': 'Basic {REDACTED}'}}"),
        ('"Authorization": "Bearer abcdef123"', f'"Authorization": "Bearer {REDACTED}"'),
        ("sent bearer abcdefghij0123456789.", f"sent bearer {REDACTED}"),
        ("vllm serve --api-key abc-123-x --port 8000", f"vllm serve --api-key {REDACTED} --port 8000"),
        ("vllm serve --api-key=abc-123-x --port 8000", f"vllm serve --api-key={REDACTED} --port 8000"),
        ("['--api-key', 'abc-123-x', '--port']", f"['--api-key', '{REDACTED}', '--port']"),
        ('["--hf-token","abc-123-x"]', f'["--hf-token","{REDACTED}"]'),
        ("args: {'api_key': ['abc-123-x'], 'model': 'm'}", f"args: {{'api_key': ['{REDACTED}'], 'model': 'm'}}"),
        ("x-api-key: abc-123-x", f"x-api-key: {REDACTED}"),
        ("HF_TOKEN=abc-123-x python -m dynamo", f"HF_TOKEN={REDACTED} python -m dynamo"),
        ("export PGPASSWORD='abc-123-x'", f"export PGPASSWORD='{REDACTED}'"),
        ("http://user:pw@host:1/x", f"http://{REDACTED}@host:1/x"),
        ("https://ghp0123456789abcdef@host/x", f"https://{REDACTED}@host/x"),
        ("token hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", f"token {REDACTED}"),
        ("key sk-proj-Abc0123456789xyz_", f"key {REDACTED}"),
        ("key nvapi-abcdefghijklmnop0123", f"key {REDACTED}"),
        ("id AKIAIOSFODNN7EXAMPLE", f"id {REDACTED}"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_redacted_unknown(text: str, said: str) -> None:
    assert redact(text) == said
    assert redact(said) == said


@pytest.mark.parametrize(
    "text",
    [
        "git clone ssh://git@github.com/x/y",
        "HTTP 401: Bearer authentication is required",
        "the environment variable MY_KEY (--dynperf-api-key-env) is not set: it must hold the API key",
        "--api-key needs a value",
        "api_key=None, hf_token=None",
        '"api_key": "${MY_KEY}"',
        "task-abcdefghijklmnopqrs disk-ABCDEFGHIJKLMNOPQRST",
        "hf_hub_download hf_transfer sk-learn",
        "1,793 tok/s −4.3 % [−6.1, −2.5]",
        "Qwen/Qwen3-32B-FP8 nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "http://127.0.0.1:8000/v1/models",
        "generated 17 tokens, total_tokens=1234567890",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text, secrets_of([PLAIN])) == text


def test_overlapping_secrets_are_one_the_longest_first() -> None:
    secrets = secrets_of(["abcdef", "cdefghij", "abcdefgh"])
    assert redact("<abcdefghij>", secrets) == f"<{REDACTED}>"
    assert redact("<abcdefgh abcdef>", secrets) == f"<{REDACTED} {REDACTED}>"


def test_what_a_cut_has_left_of_a_secret_is_redacted_where_a_cut_is_said() -> None:
    secrets = secrets_of([PLAIN])
    assert redact(f"{PLAIN[4:]} text {PLAIN[:-3]}", secrets, cut=True) == f"{REDACTED} text {REDACTED}"
    assert redact(f"{PLAIN[4:]} text {PLAIN[:-3]}", secrets) == f"{PLAIN[4:]} text {PLAIN[:-3]}"
    assert redact(f"{PLAIN[8:]}, {PLAIN[8:]} and {PLAIN[:9]} {PLAIN[:9]}", secrets, cut=True).count(REDACTED) == 2


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=SHORTEST, max_size=20), min_size=1, max_size=4),
    st.lists(st.text(max_size=12), min_size=1, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_no_known_secret_is_left_and_a_second_time_changes_nothing(values: list[str], words: list[str]) -> None:
    secrets = secrets_of(values)
    text = "".join(word + value for word, value in zip(words, values * 5, strict=False))
    said = redact(text, secrets)
    for plain in secrets.plain:
        if not set(plain) & set(REDACTED):  # else the replacement and its neighbours may spell it
            assert plain not in said
    assert redact(said, secrets) == said or any(set(plain) & set(REDACTED) for plain in secrets.plain)


@pytest.mark.parametrize(
    "unit",
    ["a", "A", "://", "://a:", "sk-", "sk-A", "eyJ", "-eyJ", "-sk-", "Bearer ", "--api-key ", "AKIA", "QUFB", "_TOKEN=", "x@", "hf_"],
)
def test_a_megabyte_of_what_nearly_is_a_secret_comes_to_an_end(unit: str) -> None:
    """With a cost that grows as the square of the size it would take hours."""
    text = unit * (1_000_000 // len(unit))
    said = redact(f"{text} {PLAIN} ", secrets_of(["aaaaaa", "AAAAAAAAAAAA", PLAIN]), cut=True)
    assert PLAIN not in said
    assert said.endswith(f"{REDACTED} ")


# ---- values


class Pair(NamedTuple):
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    name: str
    text: str
    many: tuple[str, ...] = ()
    facts: dict[str, str] | None = None
    inner: Thing | None = None
    pair: Pair | None = None
    number: float = 1.0


def test_every_text_of_a_value_is_redacted_and_names_are_kept() -> None:
    thing = Thing(
        name=PLAIN,
        text=f"a {PLAIN}",
        many=("b", PLAIN),
        facts={"c": PLAIN, "name": PLAIN},
        inner=Thing(name="x", text=PLAIN),
        pair=Pair(PLAIN, PLAIN),
    )
    said = redact_value(thing, secrets_of([PLAIN]), keep=frozenset({"name"}))
    assert said == Thing(
        name=PLAIN,
        text=f"a {REDACTED}",
        many=("b", REDACTED),
        facts={"c": REDACTED, "name": PLAIN},
        inner=Thing(name="x", text=REDACTED),
        pair=Pair(PLAIN, REDACTED),
    )
    assert isinstance(said.pair, Pair)


def test_a_value_without_a_secret_is_itself() -> None:
    thing = Thing(name="n", text="t", many=("a",), facts={"a": "b"}, inner=Thing(name="n", text="t"), pair=Pair("a", "b"))
    assert redact_value(thing, secrets_of([PLAIN])) is thing


# ---- streams


def through(data: bytes, *, size: int, secret: str = PLAIN) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    both = list(redact_stream(pieces, secrets_of([secret])))
    assert b"".join(old for old, _ in both) == data
    return b"".join(new for _, new in both)


@pytest.mark.parametrize("filler", [b"x" * 97 + b"\n", b"y" * 97])
def test_a_stream_is_redacted_wherever_it_is_cut(filler: bytes) -> None:
    whole = b"".join(filler * 3 + PLAIN.encode() + b" \xff\xfe " for _ in range(9000))
    for size in (1 << 20, 70_001):
        said = through(whole, size=size)
        assert said == whole.replace(PLAIN.encode(), REDACTED.encode())


def test_secrets_that_are_not_ascii_are_found_in_bytes() -> None:
    assert through("ä schlüssel-ü ö".encode(), size=5, secret="schlüssel-ü") == f"ä {REDACTED} ö".encode()


def test_an_empty_stream_stays_empty() -> None:
    assert through(b"", size=1) == b""


def test_nothing_known_is_a_set_of_secrets_too() -> None:
    assert redact("text", NONE) == "text"
