"""Every gradient: ops, layers, whole networks against central differences; fast ops against plain loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lwsam_ref.autodiff import layers, ops
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.layer import Context, Layer
from lwsam_ref.autodiff.tape import Plain, PlainTape
from lwsam_ref.device import Device
from lwsam_ref.training.losses import CrossEntropy
from lwsam_ref.training.objective import NetworkObjective
from nets import mlp, resnet20
from support.finite import check, check_all, unit
from support.strategies import Problem, batch, objectives, plain_tape, randomise, seeds

DEVICE = Device.of("cpu", "float64")
CONVOLUTIONS = list(product([1, 3], [1, 2], [(4, 4), (5, 5), (5, 4), (1, 1)]))


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def off_zero(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Entries at least 0.1 away from the kink of ReLU."""
    return rng.choice([-1, 1], shape) * rng.uniform(0.1, 1, shape)


# -- the tester ----------------------------------------------------------------------------------------------


def test_the_check_catches_a_gradient_wrong_by_a_thousandth() -> None:
    rng = np.random.default_rng(0)
    x, c = normal(rng, 3, 4), normal(rng, 3, 4)
    check(lambda: np.sin(x), x, c * np.cos(x), c, seed=0)
    for wrong in (1.001 * c * np.cos(x), 0.999 * c * np.cos(x)):
        with pytest.raises(AssertionError):
            check(lambda: np.sin(x), x, wrong, c, seed=0)
    one = c * np.cos(x)
    one[1, 2] *= 1.001
    with pytest.raises(AssertionError):
        check(lambda: np.sin(x), x, one, c, seed=0)
    with pytest.raises(AssertionError, match="proves nothing"):
        check(lambda: 0 * x, x, 0 * x, c, seed=0)


# -- ops -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "stride", "size"), CONVOLUTIONS)
def test_convolution(k: int, stride: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(k)
    x, w = normal(rng, 3, *size, 2), normal(rng, k, k, 2, 3)
    gy, gw = normal(rng, *ops.convolution(x, w, stride).shape), np.empty_like(w)
    gx = ops.convolution_gradient(x, w, gy, stride, True, gw)
    check_all(lambda: ops.convolution(x, w, stride), [(x, gx), (w, gw)], gy, seed=0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 3, 2), (4, 1, 1, 3)])
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_batch_norm(shape: tuple[int, ...], far: float) -> None:
    rng = np.random.default_rng(1)
    x, gy = far + normal(rng, *shape), normal(rng, *shape)
    gamma, beta = off_zero(rng, shape[-1]), normal(rng, shape[-1])
    _, (mean, variance) = ops.batch_norm(x, gamma, beta, 1e-3)
    gradients = ops.batch_norm_gradient(x, gamma, 1e-3, mean, variance, gy, True)
    pairs = list(zip((x, gamma, beta), gradients, strict=True))
    check_all(lambda: ops.batch_norm(x, gamma, beta, 1e-3)[0], pairs, gy, seed=0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 3, 2), (4, 1, 1, 3)])
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_standardise(shape: tuple[int, ...], far: float) -> None:
    """Mean and variance are constants: those of another batch."""
    rng = np.random.default_rng(1)
    x, gy = far + normal(rng, *shape), normal(rng, *shape)
    gamma, beta = off_zero(rng, shape[-1]), normal(rng, shape[-1])
    running = far + normal(rng, shape[-1]), rng.uniform(0.5, 2, shape[-1])
    ggamma, gbeta = np.empty_like(gamma), np.empty_like(beta)
    gx = ops.standardise_gradient(x, *running, 1e-3, gamma, gy, True, ggamma, gbeta)
    pairs = [(x, gx), (gamma, ggamma), (beta, gbeta)]
    check_all(lambda: ops.standardise(x, *running, 1e-3, gamma, beta), pairs, gy, seed=0)


def test_linear() -> None:
    rng = np.random.default_rng(2)
    x, w, b, gy = normal(rng, 4, 3), normal(rng, 3, 5), normal(rng, 5), normal(rng, 4, 5)
    gw, gb = np.empty_like(w), np.empty_like(b)
    gx = ops.linear_gradient(x, w, gy, True, gw, gb)
    check_all(lambda: ops.linear(x, w, b), [(x, gx), (w, gw), (b, gb)], gy, seed=0)


def test_relu() -> None:
    rng = np.random.default_rng(3)
    x, gy = off_zero(rng, 6, 5), normal(rng, 6, 5)
    check(lambda: ops.relu(x), x, ops.relu_gradient(ops.relu(x), gy), gy, seed=0)
    assert ops.relu_gradient(ops.relu(np.zeros(1)), np.ones(1)) == 0


def test_average_pool() -> None:
    rng = np.random.default_rng(4)
    x, gy = normal(rng, 3, 4, 5, 2), normal(rng, 3, 2)
    check(lambda: ops.average_pool(x), x, ops.average_pool_gradient(gy, x.shape), gy, seed=0)


def test_dropout() -> None:
    rng = np.random.default_rng(5)
    x, gy, keep = normal(rng, 6, 5), normal(rng, 6, 5), rng.integers(0, 2, (6, 5)).astype(float)
    check(lambda: ops.dropout(x, keep, 0.3), x, ops.dropout_gradient(gy, keep, 0.3), gy, seed=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(smoothing: float) -> None:
    rng = np.random.default_rng(6)
    z, labels = normal(rng, 5, 4), rng.integers(0, 4, 5)
    gz = ops.cross_entropy_gradient(ops.cross_entropy(z, labels, smoothing)[1], labels, smoothing)
    check(lambda: ops.cross_entropy(z, labels, smoothing)[0], z, gz, np.full(5, 1 / 5), seed=0)


# -- oracles -------------------------------------------------------------------------------------------------
# Sums of at most 100 terms of order 1 in another order: 1e-12 is far above their rounding.


def loops(x: np.ndarray, w: np.ndarray, gy: np.ndarray, stride: int) -> tuple[np.ndarray, ...]:
    """Convolution and its two gradients, one product at a time."""
    k, pad = w.shape[0], w.shape[0] // 2
    y, gx, gw = np.zeros_like(gy), np.zeros_like(x), np.zeros_like(w)
    for n, h, v in np.ndindex(gy.shape[:3]):
        for i, j in np.ndindex(k, k):
            row, column = stride * h + i - pad, stride * v + j - pad
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                for c, q in np.ndindex(w.shape[2:]):
                    y[n, h, v, q] += x[n, row, column, c] * w[i, j, c, q]
                    gx[n, row, column, c] += gy[n, h, v, q] * w[i, j, c, q]
                    gw[i, j, c, q] += gy[n, h, v, q] * x[n, row, column, c]
    return y, gx, gw


@pytest.mark.parametrize(("k", "stride", "size"), CONVOLUTIONS)
@pytest.mark.parametrize("cache", [1 << 20, 1, 2000])
def test_convolution_is_the_plain_sum_however_it_is_cut(
    k: int, stride: int, size: tuple[int, int], cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwsam_ref.autodiff.ops.blocks.CACHE_BYTES", cache)
    rng = np.random.default_rng(7)
    x, w = normal(rng, 5, *size, 2), normal(rng, k, k, 2, 3)
    gy, gw = normal(rng, 5, -(-size[0] // stride), -(-size[1] // stride), 3), np.empty_like(w)
    gx = ops.convolution_gradient(x, w, gy, stride, True, gw)
    fast = ops.convolution(x, w, stride), gx, gw
    for a, b in zip(fast, loops(x, w, gy, stride), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("cache", [1 << 20, 1, 500])
@pytest.mark.parametrize("shape", [(300, 3), (5, 4, 3, 2)])
@pytest.mark.parametrize("far", [0.0, 1e4])
def test_batch_norm_is_the_plain_formula_however_it_is_cut(
    shape: tuple[int, ...], cache: int, far: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwsam_ref.autodiff.ops.blocks.CACHE_BYTES", cache)
    rng = np.random.default_rng(8)
    x, gy = far + normal(rng, *shape), normal(rng, *shape)
    gamma, beta = off_zero(rng, shape[-1]), normal(rng, shape[-1])
    y, (mean, variance) = ops.batch_norm(x, gamma, beta, 1e-3)
    gx, ggamma, gbeta = ops.batch_norm_gradient(x, gamma, 1e-3, mean, variance, gy, True)
    assert gx is not None
    for c in range(shape[-1]):
        u, g = x[..., c].ravel(), gy[..., c].ravel()
        mu = sum(u.tolist()) / len(u)
        var = sum((v - mu) ** 2 for v in u.tolist()) / len(u)
        hat = (u - mu) / np.sqrt(var + 1e-3)
        at_x = gamma[c] / np.sqrt(var + 1e-3) * (g - g.mean() - hat * (g * hat).mean())
        atol = 1e-10 if far else 1e-12  # the mean of far numbers is itself rounded
        rounding: dict[str, Any] = {"rtol": 1e-11, "atol": atol}
        np.testing.assert_allclose(variance[c], var, **rounding)
        np.testing.assert_allclose(y[..., c].ravel(), gamma[c] * hat + beta[c], **rounding)
        np.testing.assert_allclose(gx[..., c].ravel(), at_x, **rounding)
        np.testing.assert_allclose([ggamma[c], gbeta[c]], [(g * hat).sum(), g.sum()], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cache", [1 << 20, 1, 500])
@pytest.mark.parametrize("shape", [(300, 3), (5, 4, 3, 2)])
@pytest.mark.parametrize("far", [0.0, 1e4])
def test_a_running_norm_is_the_plain_formula_however_it_is_cut(
    shape: tuple[int, ...], cache: int, far: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwsam_ref.autodiff.ops.blocks.CACHE_BYTES", cache)
    rng = np.random.default_rng(8)
    x, gy, channels = far + normal(rng, *shape), normal(rng, *shape), shape[-1]
    gamma, beta = off_zero(rng, channels), normal(rng, channels)
    mean, variance = far + normal(rng, channels), rng.uniform(0.5, 2, channels)
    y = ops.standardise(x, mean, variance, 1e-3, gamma, beta)
    ggamma, gbeta = np.empty(channels), np.empty(channels)
    gx = ops.standardise_gradient(x, mean, variance, 1e-3, gamma, gy, True, ggamma, gbeta)
    assert gx is not None
    for c in range(channels):
        slope = 1 / np.sqrt(variance[c] + 1e-3)
        hat = (x[..., c] - mean[c]) * slope
        np.testing.assert_allclose(y[..., c], gamma[c] * hat + beta[c], rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(gx[..., c], gamma[c] * slope * gy[..., c], rtol=1e-14)
        np.testing.assert_allclose([ggamma[c], gbeta[c]], [(gy[..., c] * hat).sum(), gy[..., c].sum()], atol=1e-10)


# -- layers --------------------------------------------------------------------------------------------------

AT_TEST_TIME = (layers.BatchNorm, layers.Dropout)
"""The layers that then compute something else than in training."""
LAYERS: list[tuple[Layer, tuple[int, ...]]] = [
    (layers.Convolution(2, 3), (4, 5, 2)),
    (layers.Convolution(2, 3, 1, 2), (5, 4, 2)),
    (layers.BatchNorm(2), (3, 4, 2)),
    (layers.BatchNorm(3), (3,)),
    (layers.GroupNorm(4, 2), (3, 2, 4)),
    (layers.GroupNorm(3, 3), (2, 3, 3)),
    (layers.GroupNorm(6, 1), (6,)),
    (layers.Linear(3, 4), (3,)),
    (layers.ReLU(), (3, 2, 2)),
    (layers.Add(), (3, 2, 2)),
    (layers.AveragePool(), (3, 2, 2)),
    (layers.Flatten(), (3, 2, 2)),
    (layers.Dropout(0.4), (7,)),
]


def test_every_layer_is_in_the_list() -> None:
    ours = {kind for kind in Layer.__subclasses__() if kind.__module__.startswith(layers.__name__)}
    assert {type(layer) for layer, _ in LAYERS} == ours


@pytest.mark.parametrize(
    ("layer", "shape", "training"),
    [(*case, True) for case in LAYERS] + [(*case, False) for case in LAYERS if isinstance(case[0], AT_TEST_TIME)],
    ids=str,
)
def test_a_layer_computes_its_gradients_what_is_asked_for_and_nothing_else(
    layer: Layer, shape: tuple[int, ...], training: bool
) -> None:
    rng = np.random.default_rng(9)
    run = Context(DEVICE, training=training, key=(0, 1))
    xs = tuple(off_zero(rng, 4, *shape) for _ in range(layer.inputs))
    parameters = {name: off_zero(rng, *spec.shape) for name, spec in layer.parameters().items()}
    t = parameters | {name: np.ones(spec.shape) for name, spec in layer.buffers().items()}
    before = [a.copy() for a in (*xs, *t.values())]
    y, cache = layer.forward(t, xs, run)
    assert y.shape == (4, *layer.shape(*[shape] * layer.inputs))
    gy = normal(rng, *y.shape)
    gw = {name: np.full_like(p, np.nan) for name, p in parameters.items()}
    gxs: Any = layer.backward(t, gy, cache, (True,) * layer.inputs, gw)
    pairs: list[Any] = [*zip(xs, gxs, strict=True), *((parameters[name], gw[name]) for name in gw)]
    check_all(lambda: layer.forward(t, xs, run)[0], pairs, gy, seed=0)
    assert layer.backward(t, gy, cache, (False,) * layer.inputs, {}) == (None,) * layer.inputs
    for wanted in gw:  # one alone: the same bits, the caches untouched
        one = {wanted: np.full_like(gw[wanted], np.nan)}
        layer.backward(t, gy, cache, (False,), one)
        assert np.array_equal(one[wanted], gw[wanted])
    again: Any = layer.backward(t, gy, cache, (True,) * layer.inputs, {})
    assert all(np.array_equal(a, b) for a, b in zip(again, gxs, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, (*xs, *t.values()), strict=True))


GROUPS = [(4, 2), (6, 1), (3, 3)]


@pytest.mark.parametrize(("channels", "groups"), GROUPS)
@pytest.mark.parametrize(
    ("dtype", "far", "atol"), [("float64", 0.0, 1e-13), ("float64", 1e4, 1e-10), ("float32", 0.0, 1e-5)]
)
def test_group_norm_is_the_plain_loop(channels: int, groups: int, dtype: str, far: float, atol: float) -> None:
    rng = np.random.default_rng(11)
    x, gamma, beta = (a.astype(dtype) for a in (far + normal(rng, 3, 2, 5, channels), *off_zero(rng, 2, channels)))
    layer = layers.GroupNorm(channels, groups, eps=1e-3)
    y, _ = layer.forward({"gamma": gamma, "beta": beta}, (x,), Context(DEVICE, training=True))
    assert y.dtype == dtype
    size, plain = channels // groups, np.empty(x.shape)
    for sample, group in product(range(3), range(groups)):
        members = range(group * size, (group + 1) * size)
        values = [float(x[sample, i, j, c]) for i in range(2) for j in range(5) for c in members]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        for i, j, c in product(range(2), range(5), members):
            plain[sample, i, j, c] = gamma[c] * (float(x[sample, i, j, c]) - mean) / np.sqrt(variance + 1e-3) + beta[c]
    np.testing.assert_allclose(y, plain, atol=atol)  # rounding; the mean of far numbers is itself rounded


@pytest.mark.parametrize(("channels", "groups"), GROUPS)
def test_group_norm_takes_each_sample_by_itself(channels: int, groups: int) -> None:
    rng = np.random.default_rng(12)
    layer, run = layers.GroupNorm(channels, groups), Context(DEVICE, training=True)
    t = {"gamma": off_zero(rng, channels), "beta": normal(rng, channels)}
    x, gy = normal(rng, 2, 4, 3, 5, channels)

    def outcome(x: np.ndarray, gy: np.ndarray, run: Context = run) -> list[np.ndarray]:
        y, cache = layer.forward(t, (x,), run)
        (gx,) = layer.backward(t, gy, cache, (True,), {})
        return [y, gx]

    whole = outcome(x, gy)
    for a, b in zip(whole, outcome(x, gy, Context(DEVICE, training=False)), strict=True):
        assert np.array_equal(a, b)
    for n in range(4):
        for a, b in zip(whole, outcome(x[n : n + 1], gy[n : n + 1]), strict=True):
            np.testing.assert_allclose(a[n], b[0], atol=1e-13)  # sums in another order


def test_group_norm_computes_nothing_for_what_was_not_asked() -> None:
    """With beta's gradient alone the input is not looked at, and with gamma's alone gamma is not."""
    rng = np.random.default_rng(13)
    layer, gy = layers.GroupNorm(4, 2), normal(rng, 3, 2, 2, 4)
    t, x = {"gamma": normal(rng, 4), "beta": normal(rng, 4)}, normal(rng, 3, 2, 2, 4)
    _, (_, *statistics) = layer.forward(t, (x,), Context(DEVICE, training=True))
    gw = {"beta": np.empty(4)}
    layer.backward(t, gy, (np.full(x.shape, None), *statistics), (False,), gw)  # None: no arithmetic works
    np.testing.assert_allclose(gw["beta"], gy.sum(axis=(0, 1, 2)), atol=1e-14)
    gw = {"gamma": np.empty(4)}
    layer.backward({"gamma": np.full(4, np.nan)}, gy, (x, *statistics), (False,), gw)
    assert np.isfinite(gw["gamma"]).all()
    assert layer.work(((2, 2, 4),), True) == (6 * 16, 4 * 16, (4 * 16,), {})


@pytest.mark.parametrize("groups", [0, -2, 3, 8])
def test_group_norm_refuses_groups_that_do_not_divide_the_channels(groups: int) -> None:
    with pytest.raises(ValueError, match=rf"4 channels in {groups} groups"):
        layers.GroupNorm(4, groups)


def test_the_builder_adds_a_group_norm_whose_gain_and_shift_normalise() -> None:
    b = Builder((5, 5, 2), bn_eps=1e-2)
    x = b.group_norm("norm", b.convolution("conv", b.input, 6), 3)
    assert b.nodes[x].layer == layers.GroupNorm(6, 3, eps=1e-2)
    b.linear("fc", b.average_pool("pool", x), 4)
    network = randomise(b.network(DEVICE), seed=5)
    assert network.layers == ("conv", "fc")
    assert {t.name for t in network.weights.layout.tensors if t.normalises} == {"norm.gamma", "norm.beta"}
    assert check_network(NetworkObjective(network, perturb="all"), batch(network, 3, 0, 4), seed=0)


# -- networks ------------------------------------------------------------------------------------------------


def slopes(f: NetworkObjective, sample: Any) -> list[np.ndarray]:
    """Which side of the kink each ReLU is on."""
    tape = plain_tape(f.forward(sample))
    return [tape.value(i) > 0 for i, node in enumerate(f.network.nodes) if isinstance(node.layer, layers.ReLU)]


def check_network(f: NetworkObjective, sample: Any, seed: int, step: float = 1e-7, wrong: str = "") -> bool:
    """Loss against gradient, tensor by tensor; false as soon as a kink lies within the step.

    With ``wrong`` only that tensor is looked at, and its gradient is off by 0.1 %.
    """
    gradient, here = f.forward(sample).backward(), slopes(f, sample)
    if wrong:
        gradient[wrong][...] *= 1.001
    rng = np.random.default_rng(seed)
    for t in gradient.layout.tensors:
        if wrong not in ("", t.name):
            continue
        w, g = f.weights[t.name], gradient[t.name]
        d = unit(rng, g) + g / np.sqrt((g * g).sum())
        d /= np.sqrt((d * d).sum())
        before, loss = w.copy(), []
        for s in (step, -step):
            w[...] = before + s * d
            loss.append(f.forward(sample).loss)
            same = all(np.array_equal(a, b) for a, b in zip(here, slopes(f, sample), strict=True))
            if not same:
                w[...] = before
                return False
        w[...] = before
        numeric, exact = (loss[0] - loss[1]) / (2 * step), (g * d).sum()
        # rounding: some 1e-15 / step; curvature: step^2, times what batch norm of two samples makes of it
        assert abs(numeric - exact) <= 1e-7 + 1e-5 * np.sqrt((g * g).sum()), (t.name, numeric, exact)
    return True


class Kink(Exception):
    """A ReLU changed its side within a step of the check."""


@settings(max_examples=20)
@given(objectives(st.just("float64")), seeds)
def test_random_networks_as_at_test_time(problem: Problem, seed: int) -> None:
    """Logits with the running statistics and without dropout; a random cotangent for each."""
    f, rng = problem.f, np.random.default_rng(seed)
    f.network.buffers.data[...] = rng.uniform(0.5, 2, f.network.buffers.data.shape)
    at_test_time = Context(DEVICE, training=False)

    def tape() -> PlainTape:
        return Plain(f.network).forward(problem.batch.x, at_test_time)

    def sides(of: PlainTape) -> list[np.ndarray]:
        return [of.value(i) > 0 for i, node in enumerate(f.network.nodes) if isinstance(node.layer, layers.ReLU)]

    here = tape()
    cotangent, expected = normal(rng, *here.output.shape), sides(here)
    gradient = here.backward(cotangent, f.weights.layout)
    assert np.array_equal(here.output, f.output(problem.batch.x))

    def logits() -> np.ndarray:
        moved = tape()
        if not all(np.array_equal(a, b) for a, b in zip(sides(moved), expected, strict=True)):
            raise Kink
        return moved.output

    inside = f.weights.layout.only(f.weights.layers)
    assert np.array_equal(here.backward(cotangent, inside).data, gradient.only(inside).data)
    before = f.weights.data.copy()
    try:
        for t in f.weights.layout.tensors:
            if gradient[t.name].any():
                check(logits, f.weights[t.name], gradient[t.name], cotangent, seed, step=1e-6)
    except Kink:
        f.weights.data[...] = before
        assume(False)


@given(objectives(st.just("float64")), seeds)
def test_random_networks(problem: Problem, seed: int) -> None:
    assume(check_network(problem.f, problem.batch, seed))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_resnet20(decay: float) -> None:
    network = randomise(resnet20((8, 8, 1), device=DEVICE), seed=1)
    f = NetworkObjective(network, CrossEntropy(0.1), decay=decay)
    assert any(check_network(f, batch(network, 3, seed, 10), seed) for seed in range(3))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_mlp(decay: float) -> None:
    network = randomise(mlp((4, 4, 1), 5, hidden=(7, 6), device=DEVICE), seed=2)
    f = NetworkObjective(network, decay=decay, perturb="all")
    assert any(check_network(f, batch(network, 6, seed, 5), seed) for seed in range(3))


def test_weight_decay_spares_gamma_and_beta_and_nothing_else() -> None:
    network = randomise(resnet20((4, 4, 1), device=DEVICE), seed=3)
    sample = batch(network, 2, 0, 10)
    plain, decayed = NetworkObjective(network), NetworkObjective(network, decay=0.5)
    a, b = plain.forward(sample).backward(), decayed.forward(sample).backward()
    for t in a.layout.tensors:
        w = network.weights[t.name]
        expected = a[t.name] if t.normalises else a[t.name] + 0.5 * w
        assert np.array_equal(b[t.name], expected)


def test_the_network_check_catches_gradients_wrong_by_a_thousandth() -> None:
    network = randomise(resnet20((4, 4, 1), device=DEVICE), seed=4)
    f, sample = NetworkObjective(network), batch(network, 3, 0, 10)
    assert check_network(f, sample, 0)
    for t in network.weights.layout.tensors:
        with pytest.raises(AssertionError, match=t.name):
            check_network(f, sample, 0, wrong=t.name)
