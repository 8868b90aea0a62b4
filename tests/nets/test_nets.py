"""The networks of the paper: layers and parameters as published, and the laws of Algorithm 1 on each at full depth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from lwsam_ref.algorithms import Raw, generalized_sam, layerwise_sam, sgd
from lwsam_ref.autodiff.network import Network, parameter_count
from lwsam_ref.autodiff.tape import Afresh
from lwsam_ref.device import Device
from lwsam_ref.training.objective import NetworkObjective
from nets import resnet20, wide_resnet, wrn16_2, wrn28_10
from support.oracles import algorithm_1, reachable
from support.strategies import batch, randomise

NETS: dict[str, Callable[..., Network]] = {
    "resnet20": resnet20,
    "wrn16-2": wrn16_2,
    "wrn16-2 post-activation, dropout": partial(wrn16_2, post_activation=True, dropout=0.3),
}


@pytest.mark.parametrize(
    ("net", "layers", "parameters"),
    [(resnet20, 23, 0.27e6), (wrn16_2, 17, 0.7e6), (wrn28_10, 29, 36.5e6)],
)
def test_layers_and_parameters_are_the_published_ones(
    net: Callable[..., Network], layers: int, parameters: float
) -> None:
    """As rounded in the papers; 23, 17 and 29 are the layer numbers of the paper's Fig. 5."""
    network = net()
    assert len(network.layers) == layers
    assert network.layers[0] == "conv1"
    assert network.layers[-1] == "fc"
    assert abs(parameter_count(network) - parameters) < 0.02 * parameters
    assert network.shapes[-1] == (10,)
    assert sum("projection" in layer for layer in network.layers) == 3


@pytest.mark.parametrize("net", [wrn16_2, wrn28_10])
def test_a_post_activation_block_starts_as_its_shortcut(net: Callable[..., Network]) -> None:
    network = net((8, 8, 3), post_activation=True)
    gammas = {t.name: network.weights[t.name] for t in network.weights.layout.tensors if t.name.endswith("gamma")}
    assert all((g == (0 if name.endswith("bn2.gamma") else 1)).all() for name, g in gammas.items())
    assert len(network.layers) == len(net((8, 8, 3)).layers)


def test_a_pre_activation_shortcut_is_the_input_itself() -> None:
    network = wrn16_2((8, 8, 3))
    names = [node.name for node in network.nodes]
    (add,) = (node for node in network.nodes if node.name == "stage1.block2.add")
    assert [names[i] for i in add.inputs] == ["stage1.block2.conv2", "stage1.block1.add"]
    (projection,) = (node for node in network.nodes if node.name == "stage2.block1.projection")
    assert [names[i] for i in projection.inputs] == ["stage2.block1.relu1"]


def test_a_depth_that_is_no_wide_residual_network_is_refused() -> None:
    for depth in (4, 15, 17):
        with pytest.raises(ValueError, match="6 n"):
            wide_resnet((8, 8, 3), 10, depth=depth, width=1)


def obeys(net: Callable[..., Network], dtype: str, size: int) -> None:
    network = randomise(net((size, size, 3), device=Device.of("cpu", dtype)), seed=0)
    sample = batch(network, 4, 1, 10)
    f, afresh = NetworkObjective(network), NetworkObjective(network, engine=Afresh)
    layers = network.layers
    before = network.weights.data.copy()
    for selected in ((layers[-1],), layers[-4:], (layers[0],), (layers[3], layers[-2])):
        with f.watched() as passes:
            step = layerwise_sam(f, sample, selected, Raw(0.1), 0.8)
        assert passes[1].nodes == tuple(sorted(reachable(network, f.weights.layout.only(selected)), reverse=True))
        assert passes[2].nodes == tuple(sorted(passes[1].nodes))
        expected, _, loss = algorithm_1(f, sample, selected, 0.1, 0.8)
        assert all(np.array_equal(step.update[name], expected[name]) for name in expected)
        plain = layerwise_sam(afresh, sample, selected, Raw(0.1), 0.8)
        assert np.array_equal(plain.update.data, step.update.data)
        assert step.loss_perturbed == loss == plain.loss_perturbed
        assert np.array_equal(network.weights.data, before)
    everything = layerwise_sam(f, sample, layers, Raw(0.1), 0.8).update.data
    assert np.array_equal(everything, generalized_sam(f, sample, Raw(0.1), 0.8).update.data)
    assert np.array_equal(layerwise_sam(f, sample, (), Raw(0.1), 0.8).update.data, sgd(f, sample).update.data)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_laws_hold_on_the_networks_of_the_paper(net: str, dtype: str) -> None:
    obeys(NETS[net], dtype, size=8)


@pytest.mark.slow
def test_the_laws_hold_on_the_largest_network() -> None:
    obeys(wrn28_10, "float32", size=8)
