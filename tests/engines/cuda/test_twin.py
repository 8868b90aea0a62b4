"""The engine on emulated kernels, held to the plain walk in float64."""

from __future__ import annotations

import pytest

from engines.cuda import laws
from engines.cuda.emulator import emulated
from lwsam_ref.autodiff.layers import Dropout
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.device import Device
from lwsam_ref.engines.cuda import layers as own
from lwsam_ref.engines.cuda.twin import twin

DEVICE = Device.of("cpu", "float64")
KERNELS = emulated()


def engine(network: Network) -> Plain:
    return Plain(twin(network, KERNELS))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_numbers_and_visits(dropout: float) -> None:
    laws.agrees_with_the_plain_walk(engine, DEVICE, 1e-12, dropout)


def test_resume() -> None:
    laws.resumes_with_the_bits_of_a_fresh_pass(engine, DEVICE)


@pytest.mark.slow
def test_methods() -> None:
    laws.every_method_steps_as_on_the_plain_walk(engine, DEVICE, 1e-10)


def test_repeats() -> None:
    laws.repeats_bit_for_bit(engine, DEVICE)


def test_what_is_merged_and_what_is_not() -> None:
    """A ReLU goes with the norm or the sum that it alone reads; ``norm3`` has two readers."""
    network = laws.small(DEVICE, 0.3)
    layers = {node.name: node.layer for node in twin(network, KERNELS).nodes}
    with_relu = {name for name, layer in layers.items() if getattr(layer, "relu", False)}
    assert with_relu == {"norm0", "norm1", "add", "twice"}
    assert {name for name, layer in layers.items() if isinstance(layer, own.Passed)} == {
        "relu0",
        "relu1",
        "relu2",
        "relu4",
    }
    assert isinstance(layers["relu3"], own.ReLU)
    assert isinstance(layers["dropout"], Dropout)
