"""Whether candidate and control run at once or one at a time, and what pairs cost in either layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.session.control import fits_side_by_side
from pytest_dynperf.verdict.duet import BLOCKS
from pytest_dynperf.verdict.duet_noise import BLOCK

if TYPE_CHECKING:
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.session.control import ControlArm

SIDE_BY_SIDE = "side by side"


def layout_of(asked: str, candidate: Topology, control: ControlArm, *, gpus: int) -> str:
    """``asked`` is one of :data:`~pytest_dynperf.session.control.LAYOUTS`; ``gpus`` is how many this host has.

    :raises DeploymentError: when both were asked for at once and do not fit.
    """
    if control.endpoint_url is not None:
        return SIDE_BY_SIDE
    fits = fits_side_by_side(candidate, gpus, control.case.topology)
    if asked == "side-by-side" and not fits:
        needed = candidate.gpu_count + control.case.topology.gpu_count
        msg = f"--dynperf-control-layout=side-by-side needs {needed} GPUs for both arms, found {gpus}: leave the option out, or take blocks"
        raise DeploymentError(msg)
    return SIDE_BY_SIDE if fits and asked != "blocks" else BLOCKS


def cost_of(layout: str, pairs: int) -> tuple[int, int]:
    """How many runs ``pairs`` more pairs are, and how many deployments have to start for them."""
    if layout == SIDE_BY_SIDE:
        return 2 * pairs, 2
    cycles = -(-pairs // (2 * BLOCK))
    return cycles * 4 * BLOCK, cycles * 4
