from __future__ import annotations

from pytest_dynperf.accelerator.device import Gpu, MigInstance
from pytest_dynperf.accelerator.in_memory import InMemoryGpus
from pytest_dynperf.accelerator.source import gpu_key, gpu_provenance
from pytest_dynperf.environment import Environment
from pytest_dynperf.quantity import Absent

H100 = Gpu(index=0, uuid="GPU-a", name="NVIDIA H100 80GB HBM3", memory_gib=79.6, driver_version="580.65.06")
PART = Gpu(
    index=1, uuid="GPU-b", name="NVIDIA H100 80GB HBM3", memory_gib=79.6, mig_enabled=True, mig=(MigInstance(uuid="MIG-1", memory_gib=9.8),)
)


def test_provenance_says_whose_word_it_is() -> None:
    facts = gpu_provenance(InMemoryGpus((H100,)))
    assert facts == {"gpu_source": "fake", "gpu_source.why": "the GPUs exist in memory alone", "gpu.driver": "580.65.06"}


def test_what_is_unknown_keeps_its_key() -> None:
    assert gpu_provenance(InMemoryGpus(Absent("no driver")))["gpu.driver"] == "unknown: no driver"
    assert gpu_provenance(InMemoryGpus(()))["gpu.driver"] == "unknown: no GPU"
    assert gpu_provenance(InMemoryGpus((PART,)))["gpu.driver"] == "unknown: not asked for"


def test_the_key_binds_kind_count_and_memory() -> None:
    assert gpu_key((H100, PART), ["GPU-a"]) == {"gpu.sku": "NVIDIA H100 80GB HBM3", "gpu.count": "1", "gpu.memory_gib": "80"}


def test_a_part_of_a_gpu_is_another_kind_and_a_lease_of_gpus_another_environment() -> None:
    key = gpu_key((H100, PART), ["MIG-1"], exclusive="gpu")
    assert key == {"gpu.sku": "NVIDIA H100 80GB HBM3 MIG 10 GiB", "gpu.count": "1", "gpu.memory_gib": "10", "exclusive": "gpu"}


def test_fake_gpus_can_never_become_a_baseline() -> None:
    fake = Environment(platform="h100", key={}, provenance=gpu_provenance(InMemoryGpus((H100,))), may_be_baseline=True)
    real = Environment(platform="h100", key={}, provenance={"gpu_source": "nvml"})
    assert fake.refused_as_baseline is not None
    assert "gpu_source: fake; the GPUs exist in memory alone" in fake.refused_as_baseline
    assert real.refused_as_baseline is None
