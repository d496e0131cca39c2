"""What AIPerf was told to ask for: ``input_config`` of its JSON, in the layout of 0.13 (``datasets``, ``phases``) and in that of the
versions up to 0.5 (``input``, ``loadgen``). What stands in neither place is not known.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.foreign import Asked
from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives
from pytest_dynperf.scenario.traffic import Arrival

if TYPE_CHECKING:
    from pytest_dynperf.measurement.foreign_table import Table

_OPEN = {"poisson": "poisson", "gamma": "gamma", "constant": "constant", "fixed_schedule": "trace"}


def asked_of(table: Table) -> Asked:
    """What the configuration of a run says; an empty :class:`Asked` where the file holds none.

    :raises UsageError: for a key of another type than both layouts have; names it.
    """
    config = table.table("input_config")
    if config is None:
        return Asked()
    return _phases_layout(config) if "phases" in config.data or "datasets" in config.data else _loadgen_layout(config)


def _phases_layout(config: Table) -> Asked:
    endpoint = config.table("endpoint")
    models = config.table("models")
    items = [models.row(f"items[{place}]", row) for place, row in enumerate(models.rows("items"))] if models is not None else []
    datasets = [config.row(f"datasets[{place}]", row) for place, row in enumerate(config.rows("datasets"))]
    prompts = datasets[0].table("prompts") if datasets else None
    isl, isl_stddev = _length(prompts, "isl")
    osl, osl_stddev = _length(prompts, "osl")
    phases = [config.row(f"phases[{place}]", row) for place, row in enumerate(config.rows("phases"))]
    measured = [phase for phase in phases if (phase.text("kind") or phase.text("name")) != "warmup"]
    warmup = sum(int(phase.number("requests") or 0) for phase in phases if phase not in measured)
    phase = measured[-1] if measured else None
    slos = config.table("slos")
    return Asked(
        model=items[0].text("name") if items else None,
        url=_first(endpoint, "urls"),
        isl=isl,
        osl=osl,
        isl_stddev=isl_stddev,
        osl_stddev=osl_stddev,
        concurrency=_whole(phase, "concurrency"),
        arrival=_arrival(phase),
        requests=_whole(phase, "requests"),
        warmup_requests=warmup,
        ignore_eos=_ignores_eos(endpoint.data.get("extra") if endpoint is not None else None),
        objectives=NOTHING_STATED if slos is None else _objectives(slos),
        dataset=_dataset(datasets[0]) if datasets else None,
        random_seed=_whole(datasets[0] if datasets else None, "random_seed"),
    )


def _loadgen_layout(config: Table) -> Asked:
    endpoint, given, load = config.table("endpoint"), config.table("input"), config.table("loadgen")
    prompt = given.table("prompt") if given is not None else None
    isl, isl_stddev = _length(prompt, "input_tokens")
    osl, osl_stddev = _length(prompt, "output_tokens")
    rate = load.number("request_rate") if load is not None else None
    mode = load.text("request_rate_mode") if load is not None else None
    return Asked(
        model=_first(endpoint, "model_names"),
        url=_first(endpoint, "urls") or (endpoint.text("url") if endpoint is not None else None),
        isl=isl,
        osl=osl,
        isl_stddev=isl_stddev,
        osl_stddev=osl_stddev,
        concurrency=_whole(load, "concurrency"),
        arrival=Arrival() if rate is None else Arrival(process=_OPEN.get(mode or "poisson", "poisson"), rate_per_s=rate),
        requests=_whole(load, "request_count"),
        warmup_requests=_whole(load, "warmup_request_count") or 0,
        ignore_eos=_ignores_eos(given.data.get("extra") if given is not None else None),
        dataset=given.text("file") or given.text("public_dataset") if given is not None else None,
        random_seed=_whole(given, "random_seed"),
    )


def _arrival(phase: Table | None) -> Arrival:
    process = _OPEN.get(phase.text("type") or "") if phase is not None else None
    if phase is None or process is None:
        return Arrival()
    if process == "trace":
        return Arrival(process="trace")
    in_flight = _whole(phase, "concurrency")
    return Arrival(process=process, rate_per_s=phase.number("rate"), burstiness=phase.number("smoothness") or 1.0, max_in_flight=in_flight)


def _length(prompts: Table | None, name: str) -> tuple[int | None, float]:
    """Mean and standard deviation: ``{"mean": 200.0, "stddev": 0.0}``, or the mean alone."""
    if prompts is None:
        return None, 0.0
    if isinstance(prompts.data.get(name), dict):
        table = prompts.table(name)
        assert table is not None
        mean = table.number("mean")
        return None if mean is None else round(mean), table.number("stddev") or 0.0
    mean = prompts.number(name)
    return None if mean is None else round(mean), 0.0


def _objectives(slos: Table) -> Objectives:
    """Bounds in ms, by tag. With one that ours do not know nothing is stated: goodput is then AIPerf's alone."""
    bounds = {f"{tag}_s": (slos.number(tag) or 0.0) / 1e3 for tag in slos.data}
    return Objectives(**bounds) if bounds.keys() <= {field.name for field in fields(Objectives)} else NOTHING_STATED


def _first(table: Table | None, name: str) -> str | None:
    rows = table.rows(name) if table is not None else []
    return str(rows[0]) if rows else None


def _whole(table: Table | None, name: str) -> int | None:
    found = table.number(name) if table is not None else None
    return None if found is None else round(found)


def _dataset(dataset: Table) -> str | None:
    """Text that tells data sets apart; ``None`` for synthetic prompts, whose lengths say it all."""
    kind = dataset.text("type")
    if kind in {None, "synthetic"}:
        return None
    return " ".join(str(dataset.data[name]) for name in ("type", "name", "path") if dataset.data.get(name))


def _ignores_eos(extra: object) -> bool:
    """From additional inputs of a request, as a table or as a list of pairs."""
    pairs = extra.items() if isinstance(extra, dict) else extra if isinstance(extra, list) else ()
    wanted = (["ignore_eos", True], ["ignore_eos", "true"])
    return any(list(pair) in wanted for pair in pairs if isinstance(pair, list | tuple))
