"""The whole step on an array type that mixes with nothing: the same bits as on NumPy, and no silent crossing."""

from __future__ import annotations

import numpy as np
import pytest

import nets
from lwsam_ref import data
from lwsam_ref.device import Device
from lwsam_ref.errors import UserError
from lwsam_ref.training.config import Config
from lwsam_ref.training.loop import run
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.trainer import Trainer
from support.fakes import DeviceArray
from support.fakes import device as fake


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rho", [0.0, 0.05])
@pytest.mark.parametrize("as_on_host", [True, False])
def test_training_on_a_strict_device_gives_the_same_bits(
    method: str, rho: float, as_on_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both ways to cut the work: that of a CPU, and that of a GPU."""
    monkeypatch.setattr("lwsam_ref.autodiff.ops.blocks.on_host", lambda x: as_on_host)
    digits = data.load("digits")
    small = data.Images("digits", data.Split(*(a[:64] for a in digits.train)), digits.test, 10, pad=1, flip=False)
    config = Config.of({"method": method, "rho": rho, "epochs": 2, "batch_size": 16, "probe": True, "decay_in": "loss"})
    hashes = {}
    for name, device in (("numpy", Device.of("cpu", "float32")), ("strict", fake())):
        network = nets.resnet20((8, 8, 1), 10, device=device)
        summary = run(Trainer(config, network, small))
        assert summary is not None
        hashes[name] = summary.weights_sha256, summary.final, summary.perturbation_counts
        assert isinstance(network.weights.data, DeviceArray) == (name == "strict")
    assert hashes["numpy"] == hashes["strict"]


def test_the_strict_array_is_strict() -> None:
    x, host = fake().put(np.ones(3)), np.ones(3)
    for crossing in (lambda: x + host, lambda: np.add(host, x), lambda: np.asarray(x), lambda: float(x.sum())):
        with pytest.raises(TypeError):
            crossing()
    with pytest.raises(TypeError):
        x[...] = host
    with pytest.raises(TypeError):
        np.zeros(3)[...] = x
    assert isinstance(x.get(), np.ndarray)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"asked for device 'cuda', but CuPy"):
        Device.of("cuda")
    with pytest.raises(UserError, match=r"device 'tpu'"):
        Device.of("tpu")
    assert Device.of("auto").name == "cpu"
