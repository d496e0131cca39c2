"""An arm held against its reference arm, as plain JSON types: the key ``parity`` of a case in ``session.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.json_verdict import decode_outcome
from pytest_dynperf.report.plain import plain_value, take, take_all, take_optional, take_value
from pytest_dynperf.verdict.arm_parity import ArmParity, Discordant, SubjectCounts
from pytest_dynperf.verdict.parity import FixedLimitsVerdict, Nondeterminism, ParityVerdict
from pytest_dynperf.verdict.texts import TextVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

_COUNTS = ("n", "losses", "gains", "unreadable_reference", "unreadable_candidate")
_NUMBERS = ("loss", "upper_bound", "p_value")


def encode_parity(parity: ArmParity | None) -> dict[str, object] | None:
    """The key ``parity`` of a case."""
    if parity is None:
        return None
    return {
        "reference": parity.reference,
        "outcome": parity.outcome.text,
        "reasons": list(parity.reasons),
        "accuracy": _encode_accuracy(parity.accuracy),
        "fixed": _encode_fixed(parity.fixed),
        "subjects": [plain_value(subject) for subject in parity.subjects],
        "texts": _encode_texts(parity.texts),
        "discordant": [plain_value(one) for one in parity.discordant],
        "discordant_count": parity.discordant_count,
        "notes": list(parity.notes),
        "records": {role: list(paths) for role, paths in parity.records.items()},
    }


def decode_parity(table: Mapping[str, object] | None) -> ArmParity | None:
    """The parity that :func:`encode_parity` wrote.

    :raises UsageError: when a key is missing or of another type.
    """
    if table is None:
        return None
    records = take(table, "records", dict)
    return ArmParity(
        reference=take(table, "reference", str),
        outcome=decode_outcome(table),
        reasons=take_all(table, "reasons", str),
        accuracy=_decode_accuracy(take_optional(table, "accuracy", dict)),
        fixed=_decode_fixed(take_optional(table, "fixed", dict)),
        subjects=tuple(take_value({"subjects": one}, "subjects", SubjectCounts) for one in take_all(table, "subjects", dict)),
        texts=_decode_texts(take_optional(table, "texts", dict)),
        discordant=tuple(take_value({"discordant": one}, "discordant", Discordant) for one in take_all(table, "discordant", dict)),
        discordant_count=take(table, "discordant_count", int),
        notes=take_all(table, "notes", str),
        records={role: take_all(records, role, str) for role in records},
    )


def _encode_accuracy(verdict: ParityVerdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome.text,
        "reasons": list(verdict.reasons),
        **{name: getattr(verdict, name) for name in (*_COUNTS, "limit", *_NUMBERS, "n_needed")},
        "noise": _encode_noise(verdict.noise),
    }


def _decode_accuracy(table: Mapping[str, object] | None) -> ParityVerdict | None:
    if table is None:
        return None
    counts = {name: take(table, name, int) for name in _COUNTS}
    numbers = {name: take_optional(table, name, float) for name in _NUMBERS}
    return ParityVerdict(
        outcome=decode_outcome(table),
        reasons=take_all(table, "reasons", str),
        n=counts["n"],
        losses=counts["losses"],
        gains=counts["gains"],
        unreadable_reference=counts["unreadable_reference"],
        unreadable_candidate=counts["unreadable_candidate"],
        limit=take(table, "limit", float),
        loss=numbers["loss"],
        upper_bound=numbers["upper_bound"],
        p_value=numbers["p_value"],
        n_needed=take_optional(table, "n_needed", int),
        noise=_decode_noise(table),
    )


def _encode_fixed(verdict: FixedLimitsVerdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome.text,
        "reasons": list(verdict.reasons),
        "overall": verdict.overall,
        "subjects": [{"name": name, "loss": loss} for name, loss in verdict.subjects],
    }


def _decode_fixed(table: Mapping[str, object] | None) -> FixedLimitsVerdict | None:
    if table is None:
        return None
    return FixedLimitsVerdict(
        outcome=decode_outcome(table),
        reasons=take_all(table, "reasons", str),
        overall=take_optional(table, "overall", float),
        subjects=tuple((take(one, "name", str), take(one, "loss", float)) for one in take_all(table, "subjects", dict)),
    )


def _encode_texts(verdict: TextVerdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome.text,
        "reasons": list(verdict.reasons),
        "n": verdict.n,
        "differing": verdict.differing,
        "identical": verdict.identical,
        "noise": _encode_noise(verdict.noise),
        "notes": list(verdict.notes),
    }


def _decode_texts(table: Mapping[str, object] | None) -> TextVerdict | None:
    if table is None:
        return None
    return TextVerdict(
        outcome=decode_outcome(table),
        reasons=take_all(table, "reasons", str),
        n=take(table, "n", int),
        differing=take(table, "differing", int),
        noise=_decode_noise(table),
        notes=take_all(table, "notes", str),
    )


def _encode_noise(noise: Nondeterminism | None) -> dict[str, object] | None:
    return None if noise is None else plain_value(noise)


def _decode_noise(table: Mapping[str, object]) -> Nondeterminism | None:
    return None if take_optional(table, "noise", dict) is None else take_value(table, "noise", Nondeterminism)
