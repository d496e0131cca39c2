"""``CUDA_VISIBLE_DEVICES``: written by UUID, and read as somebody outside set it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.accelerator.device import Gpu

VARIABLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


def visible_devices(uuids: Sequence[str]) -> str:
    """The value of ``CUDA_VISIBLE_DEVICES`` under which a program sees ``uuids`` and nothing else, in this order; ``-1`` for none.

    By UUID, because CUDA counts devices by speed and NVML by bus address.

    :raises ValueError: when one of them is not the UUID of a GPU or of a MIG instance, or stands there twice.
    """
    for uuid in uuids:
        if not uuid.startswith(("GPU-", "MIG-")) or "," in uuid:
            msg = f"{uuid!r} is not the UUID of a GPU or a MIG instance"
            raise ValueError(msg)
    if len(set(uuids)) < len(uuids):
        msg = f"a device stands there twice: {', '.join(uuids)}"
        raise ValueError(msg)
    return ",".join(uuids) if uuids else "-1"


def allowed_by(environ: Mapping[str, str], gpus: Sequence[Gpu]) -> tuple[str, ...] | None:
    """UUIDs of the GPUs and MIG instances that an outer ``CUDA_VISIBLE_DEVICES`` leaves to us; ``None`` where it is not set.

    Entries are indices, UUIDs or their beginnings (a GPU's name stands for its MIG instances too). As in CUDA, an entry that means nothing
    hides itself and all behind it, which is what ``-1`` and the empty text are for.

    :raises UsageError: for an index where GPUs differ and CUDA may count them by speed, and for a beginning that fits several devices.
    """
    text = environ.get(VARIABLE)
    if text is None:
        return None
    allowed: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        found = _by_index(entry, environ, gpus) if entry.isdecimal() else _by_uuid(entry, gpus)
        if not found:
            break
        allowed += [uuid for uuid in found if uuid not in allowed]
    return tuple(allowed)


def _by_index(entry: str, environ: Mapping[str, str], gpus: Sequence[Gpu]) -> tuple[str, ...]:
    if len({gpu.name for gpu in gpus}) > 1 and environ.get(ORDER) != "PCI_BUS_ID":
        msg = (
            f"{VARIABLE}={environ[VARIABLE]} names GPUs by index, and this machine has several kinds, which CUDA counts by speed and the "
            f"driver by bus address: name them by UUID (nvidia-smi -L), or set {ORDER}=PCI_BUS_ID"
        )
        raise UsageError(msg)
    return next((_with_parts(gpu) for gpu in gpus if gpu.index == int(entry)), ())


def _by_uuid(entry: str, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    if not entry.startswith(("GPU-", "MIG-")):
        return ()
    whole = {gpu.uuid: _with_parts(gpu) for gpu in gpus} | {part.uuid: (part.uuid,) for gpu in gpus for part in gpu.mig}
    if entry in whole:
        return whole[entry]
    fitting = [uuid for uuid in whole if uuid.startswith(entry)]
    if len(fitting) > 1:
        msg = f"{entry!r} in {VARIABLE} fits {len(fitting)} devices ({', '.join(sorted(fitting))}): write more of the UUID"
        raise UsageError(msg)
    return whole[fitting[0]] if fitting else ()


def _with_parts(gpu: Gpu) -> tuple[str, ...]:
    return (gpu.uuid, *(part.uuid for part in gpu.mig))
