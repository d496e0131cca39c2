"""What ``--dynperf-control`` means: what the candidate is compared with in pairs, where a suspect has to be decided.

::

    texts ── parse_control ──▶ Control (frozen) ── control_of(case, newest baseline document) ──▶ ControlArm ── deployments ──▶ running

Pure but for looking whether an interpreter is there.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_dynperf.endpoint import base_url_of
from pytest_dynperf.environment import differences
from pytest_dynperf.errors import DeploymentError, ScenarioError, UsageError, nearest
from pytest_dynperf.scenario.override import OPTION as SET
from pytest_dynperf.scenario.override import Override, apply_override, parse_override
from pytest_dynperf.scenario.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.keys import Value

_Given = TypeVar("_Given")

OPTION = "--dynperf-control"
KINDS = ("baseline", "python=PATH", "set=KEY=VALUE", "endpoint=URL", "image=NAME")
LAYOUTS = ("auto", "side-by-side", "blocks")

_SAID_TWICE = "dynperf.set"
"""What was asked for by hand is in the provenance again as what came of it: two ways to ask for one thing are no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What all the texts of one invocation say together. ``baseline``: as the newest baseline document of each case was deployed.
    ``python``: the interpreter that runs the control's services. ``image``: what its containers run. ``overrides`` apply to the control
    alone, in order, after everything that applies to the candidate. ``endpoint_url``: a server that runs already, with which nothing else
    combines.
    """

    baseline: bool = False
    python: Path | None = None
    image: str | None = None
    overrides: tuple[Override, ...] = ()
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlArm:
    """The control of one case: ``case`` is the candidate's with the topology and the overrides of the control, ``words`` say what it is.
    ``versions`` are those that must be found where it is deployed, by their names in provenance (``ai-dynamo.version``). ``launcher`` is
    the one that it must be started by, where that matters.
    """

    case: Case
    words: str
    python: Path | None = None
    endpoint_url: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    launcher: str | None = None


def parse_control(texts: Sequence[str], *, endpoint_url: str | None = None) -> Control | None:
    """All texts as one value, ``None`` where there is none. ``endpoint_url`` is the candidate's, where it is attached.

    :raises UsageError: names the text, what is wrong with it, and what is understood.
    """
    control: Control | None = None
    for text in texts:
        control = _with(control or Control(), text)
    if control is not None:
        _check_together(control, endpoint_url)
    return control


def _with(control: Control, text: str) -> Control:
    kind, equals, value = text.strip().partition("=")
    if kind == "baseline" and not equals:
        return replace(control, baseline=True)
    if not equals or not value.strip():
        msg = f"{OPTION}={text}: is none of {', '.join(KINDS)}{nearest(kind, [known.partition('=')[0] for known in KINDS])}"
        raise UsageError(msg)
    if kind == "python":
        return replace(control, python=_once(control.python, interpreter(Path(value.strip()), where=f"{OPTION}={text}"), "python=", text))
    if kind == "set":
        return replace(control, overrides=(*control.overrides, _override(value)))
    if kind == "endpoint":
        try:
            url = base_url_of(value.strip())
        except UsageError as error:
            msg = f"{OPTION}={text}: {error}"
            raise UsageError(msg) from error
        return replace(control, endpoint_url=_once(control.endpoint_url, url, "endpoint=", text))
    if kind == "image":
        return replace(control, image=_once(control.image, value.strip(), "image=", text))
    msg = f"{OPTION}={text}: is none of {', '.join(KINDS)}{nearest(kind, [known.partition('=')[0] for known in KINDS])}"
    raise UsageError(msg)


def _once(before: object, now: _Given, name: str, text: str) -> _Given:
    if before is not None and before != now:
        msg = f"{OPTION}={text}: {name} was given before, as {before}; there is one control"
        raise UsageError(msg)
    return now


def interpreter(path: Path, *, where: str) -> Path:
    """``path`` itself, or the interpreter of the environment directory ``path``. Symbolic links stay: an environment is found by its link.

    :raises UsageError: when there is none; begins with ``where``.
    """
    path = path.expanduser()
    candidates = (path / "bin" / "python", path / "bin" / "python3") if path.is_dir() else (path,)
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.absolute()
    found = (
        f"has neither {' nor '.join(str(candidate.relative_to(path)) for candidate in candidates)}" if path.is_dir() else "is no program"
    )
    msg = f"{where}: {path} {found}: give a Python interpreter, or the directory of an environment that holds one"
    raise UsageError(msg)


def _override(text: str) -> Override:
    try:
        override = parse_override(text)
        _applied(Topology(engine="mocker", model="any"), (override,))
    except ScenarioError as error:
        raise UsageError(_own_words(error)) from error
    return override


def _own_words(error: ScenarioError) -> str:
    return str(error).replace(f"{SET} ", f"{OPTION}=set=", 1)


def _check_together(control: Control, candidate_url: str | None) -> None:
    for override in control.overrides:
        if not override.key.name.startswith("topology."):
            msg = (
                f"{OPTION}=set={override.option}: candidate and control get the same load, so only keys of the topology can differ. "
                f"What applies to both is set with {SET}."
            )
            raise UsageError(msg)
    asked = (("baseline", control.baseline), ("python=", control.python), ("image=", control.image), ("set=", control.overrides))
    deployed = [name for name, given in asked if given]
    if control.python is not None and control.image is not None:
        msg = f"{OPTION}=image={control.image}: what runs in a container is in the image, so python={control.python} has no meaning with it"
        raise UsageError(msg)
    if control.endpoint_url is not None and deployed:
        msg = f"{OPTION}=endpoint={control.endpoint_url}: what runs there is not ours to change, so {deployed[0]} has no meaning with it"
        raise UsageError(msg)
    if candidate_url is not None and deployed:
        msg = (
            f"{OPTION}: {deployed[0]} is about what is started, and with --dynperf-endpoint nothing is. "
            f"The control of a running server is another one: {OPTION}=endpoint=URL."
        )
        raise UsageError(msg)
    if candidate_url is not None and control.endpoint_url == candidate_url:
        msg = f"{OPTION}=endpoint={candidate_url}: that is the candidate itself, the server of --dynperf-endpoint"
        raise UsageError(msg)


# ---- of one case


def control_of(control: Control, case: Case, newest: Baseline | None) -> ControlArm:
    """What the control of ``case`` is. ``newest`` is the newest baseline document that the case is compared with.

    :raises DeploymentError: when the baseline does not say what could be deployed again here.
    """
    if control.endpoint_url is not None:
        return ControlArm(
            case=case,
            words=f"the server at {control.endpoint_url}, of which nothing but its model could be checked",
            endpoint_url=control.endpoint_url,
        )
    topology, versions, parts, overrides = case.topology, dict[str, str](), ["the same case"], case.overrides
    launcher = None
    if control.baseline:
        topology, versions = _recorded(case, newest), _versions(newest)
        launcher = "" if newest is None else newest.provenance.get("launcher", "")
        overrides = tuple(text for text in overrides if not text.strip().startswith("topology."))
        parts = [f"the case as its newest baseline ({_named(newest)}) was deployed"]
    if control.python is not None:
        parts.append(f"run by {control.python}")
    if control.image is not None:
        topology = replace(topology, image=control.image)
        parts.append(f"run by the image {control.image}")
    if control.overrides:
        topology = _applied(topology, control.overrides)
        parts.append(f"with {'; '.join(override.option for override in control.overrides)}")
    overrides += tuple(override.option for override in control.overrides)
    own = replace(case, topology=topology, overrides=overrides)
    return ControlArm(case=own, words=", ".join(parts), python=control.python, versions=versions, launcher=launcher)


def _named(newest: Baseline | None) -> str:
    return "" if newest is None else f"{newest.stamp}, session {newest.session_id}"


def _recorded(case: Case, newest: Baseline | None) -> Topology:
    """The candidate's topology with the free arguments and the block size of the document; all else that is deployed is in its key."""
    if newest is None:
        msg = f"{OPTION}=baseline: {case.name} has no baseline that says what was deployed"
        raise DeploymentError(msg)
    facts = newest.provenance
    if facts.get("launcher") not in ("process", "container"):
        msg = f"{OPTION}=baseline: the newest baseline of {case.name} ({_named(newest)}) is not of a deployment that could be started here"
        raise DeploymentError(msg)
    roles = {name: replace(role, args=arguments_of(facts.get(f"{name}.args", ""))) for name, role in case.topology.roles.items()}
    size = facts.get("block_size", "default")
    images = case.topology.images
    return replace(
        case.topology,
        image=_runnable(facts.get("image.frontend")) or case.topology.image,
        images=replace(
            images, etcd=_runnable(facts.get("image.etcd")) or images.etcd, nats=_runnable(facts.get("image.nats")) or images.nats
        ),
        **roles,  # type: ignore[arg-type]  # names of roles are names of fields
        router_args=arguments_of(facts.get("router.args", "")),
        block_size=int(size) if size.isdigit() else None,
    )


def _runnable(identity: str | None) -> str | None:
    """The image that provenance names, as the engine can start it: one that was made on the host has its id in brackets."""
    if identity is None:
        return None
    name, local, rest = identity.partition(" (local ")
    return rest.removesuffix(")") if local else name


def arguments_of(text: str) -> tuple[str, ...]:
    """Free arguments as provenance holds them. Joined by a shell's rules; where they cannot be, by spaces alone."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())


def _versions(newest: Baseline | None) -> dict[str, str]:
    return {} if newest is None else {name: text for name, text in newest.provenance.items() if name.endswith(".version")}


def missing_versions(wanted: Mapping[str, str], installed: Mapping[str, str]) -> str | None:
    """What keeps ``installed`` from standing for the baseline, in words, or ``None``. What was ``unknown`` then can be anything now."""
    known = {name: version for name, version in wanted.items() if not version.startswith("unknown")}
    other = [
        f"{name.removesuffix('.version')} {version} (here {installed.get(name, 'not installed')})"
        for name, version in sorted(known.items())
        if installed.get(name) != version
    ]
    if not other:
        return None
    return (
        f"the baseline was measured with {', '.join(other)}: "
        f"name an environment that has it with {OPTION}=python=PATH beside {OPTION}=baseline"
    )


def _applied(topology: Topology, overrides: Sequence[Override]) -> Topology:
    values: dict[str, Value] = {}
    for item in fields(topology):
        name, value = f"topology.{item.name}", getattr(topology, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            values |= {f"{name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        elif value is not None:
            values[name] = value
    for override in overrides:
        apply_override(override, values, {})
    changes: dict[str, object] = {}
    for item in fields(topology):
        name, value = f"topology.{item.name}", getattr(topology, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            of_role = {key.removeprefix(f"{name}."): changed for key, changed in values.items() if key.startswith(f"{name}.")}
            changes[item.name] = replace(value, **of_role)
        elif name in values:
            changes[item.name] = values[name]
    return replace(topology, **changes)  # type: ignore[arg-type]  # each value was checked against the field's type in scenario.keys


# ---- what two arms have in common


def not_comparable(candidate: Mapping[str, str], control: Mapping[str, str]) -> str | None:
    """Which binding facts keep the arms from being compared, in words, or ``None``. Both are binding keys."""
    names = [f"{name} is {_text(ours)}, of the control {_text(theirs)}" for name, (ours, theirs) in differences(candidate, control).items()]
    return f"candidate and control are not comparable: {'; '.join(names)}" if names else None


def _text(value: str | None) -> str:
    return "not known" if value is None else repr(value)


def differing(candidate: Mapping[str, str], control: Mapping[str, str]) -> tuple[str, ...]:
    """Names of provenance in which the arms differ."""
    return tuple(name for name in differences(candidate, control) if name != _SAID_TWICE)


def fits_side_by_side(topology: Topology, gpus: int, control: Topology | None = None) -> bool:
    """Whether ``gpus`` GPUs of this host hold both arms at once; ``control`` is the control's topology, else the same."""
    return topology.gpu_count + (control or topology).gpu_count <= gpus
