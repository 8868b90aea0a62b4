"""What a step costs: memory by count of bytes, time by interleaved medians."""

from __future__ import annotations

from statistics import median

import pytest

import benchmark
from lwsam_ref.device import Device
from lwsam_ref.training.objective import Batch
from networks import build
from support.strategies import batch


def rows(batch_size: int, ks: list[int]) -> list[benchmark.Row]:
    network = build("resnet20", (32, 32, 3), Device.of())
    sample: Batch = batch(network, batch_size, 0, 10)
    return benchmark.rows(network, sample, ks, rounds=1)


def test_four_layers_cost_hardly_more_memory_than_sgd() -> None:
    """At most 1.05 times the peak: what a step resumes is overwritten, not kept beside it."""
    sgd, afresh, resumed = rows(128, [4])
    peaks = [benchmark.peak(row.step) for row in (sgd, resumed, afresh)]
    assert peaks[1] <= 1.05 * peaks[0]
    assert peaks[2] <= 1.05 * peaks[0]


@pytest.mark.slow
def test_four_layers_cost_at_most_a_seventh_of_a_step() -> None:
    """Time on the output side: at most 1.15 times an SGD step."""
    sgd, _, resumed = both = rows(64, [4])
    benchmark.measure(both, rounds=9, memory=False)
    assert median(a / b for a, b in zip(resumed.seconds, sgd.seconds, strict=True)) <= 1.15


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5, 1.0])
def test_to_choose_by_a_budget_takes_at_most_a_hundredth_of_a_step(share: float) -> None:
    """Of SGD, at batch 32: a small one."""
    network = build("resnet20", (32, 32, 3), Device.of())
    (step,) = benchmark.rows(network, batch(network, 32, 0, 10), [], rounds=1)
    benchmark.measure([step], rounds=5, memory=False)
    assert benchmark.choosing(network, share, 25) <= 0.01 * median(step.seconds)
