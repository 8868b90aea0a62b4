"""The laws of LookSAM, ESAM, sparse SAM and adaptive SAM; what all methods have in common."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms import (
    ESAM,
    SGD,
    Adaptive,
    GeneralizedSAM,
    LookSAM,
    Masked,
    Method,
    Normalised,
    Radius,
    Raw,
    SparseSAM,
    Step,
    generalized_sam,
)
from lwsam_ref.algorithms.looksam import orthogonal, reuse
from lwsam_ref.algorithms.sparse_sam import fisher, largest
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.layer import Context
from lwsam_ref.autodiff.layers import Dropout
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.device import Device
from lwsam_ref.training.losses import CrossEntropy
from lwsam_ref.training.objective import Batch, NetworkObjective
from lwsam_ref.vector import LayeredVector, Layout, TensorSpec
from nets import resnet20
from support import toy
from support.strategies import (
    Problem,
    batch,
    chains,
    every_method,
    objectives,
    plain_tape,
    problems,
    radii,
    randomise,
    seeds,
    toys,
)

EXACT = toys(st.just(object))
FEW, DEAR = settings(max_examples=20), settings(max_examples=10)
"""For laws on networks, and for those that take many steps an example."""
RADII: dict[str, Radius] = {
    "raw": Raw(0.1),
    "normalised": Normalised(0.5),
    "adaptive": Adaptive(Normalised(0.5), 0.01),
    "adaptive raw": Adaptive(Raw(1.0), 0.0),
}
anyhow = st.sampled_from(list(RADII.values()))


def at(p: Problem, number: int) -> Any:
    """The batch of step ``number``: its random masks are its own."""
    return p.batch._replace(step=number) if isinstance(p.batch, Batch) else p.batch


def descend(p: Problem, method: Method, steps: int) -> list[Step]:
    """Steps of plain descent; then weights and running statistics are put back."""
    kept = [p.f.weights.data] + ([p.f.network.buffers.data] if isinstance(p.f, NetworkObjective) else [])
    before = [array.copy() for array in kept]
    state, found = method.initial(p.f), []
    for number in range(steps):
        step, state = method.step(p.f, at(p, number), state, number)
        p.f.weights.add(Fraction(-1, 8) * step.update)
        found.append(step)
    for array, value in zip(kept, before, strict=True):
        array[...] = value
    return found


def same(a: Step, b: Step) -> bool:
    return (
        np.array_equal(a.update.data, b.update.data)
        and np.array_equal(a.descent_norms, b.descent_norms)
        and (a.loss, a.loss_perturbed, a.selected, a.r_effective)
        == (b.loss, b.loss_perturbed, b.selected, b.r_effective)
    )


def seen_at_the_second_pass(p: Problem, method: Method) -> Any:
    """The weights when the one evaluation of a step is resumed."""
    seen, kind = [], type(p.f.forward(p.batch))
    plain = kind.resume

    def resume(self: Any, changed: Any) -> Any:
        seen.append(p.f.weights.data.copy())
        return plain(self, changed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "resume", resume)
        method.step(p.f, p.batch, method.initial(p.f), 0)
    (weights,) = seen
    return weights


def small_resnet(dtype: str = "float64", perturb: str = "kernels") -> Problem:
    """A small ResNet-20 with random gammas and running statistics, one batch."""
    network = randomise(resnet20((4, 4, 1), device=Device.of("cpu", dtype)), seed=0)
    network.buffers.data[...] = np.random.default_rng(0).uniform(0.5, 1.5, network.buffers.data.shape)
    return Problem(NetworkObjective(network, perturb=perturb), batch(network, 6, 0, 10), ())


# -- LookSAM: what is kept -----------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Up to five tensors of the layers a and b, or of none, in any order."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([None, "a", "b"])), min_size=1, max_size=5))
    return Layout(TensorSpec(f"w{i}", (size,), layer) for i, (size, layer) in enumerate(shapes))


def parts(layout: Layout, per_layer: bool) -> tuple[Layout, ...]:
    return LookSAM(Raw(1.0), 2, per_layer=per_layer).parts(layout)


def floats(layout: Layout, dtype: str, seed: int) -> LayeredVector:
    """Normal entries times a power of two; one tensor in four is 0."""
    rng = np.random.default_rng(seed)
    v = LayeredVector(layout, rng.normal(size=layout.size).astype(dtype))
    for t in layout.tensors:
        v[t.name][...] *= 2.0 ** rng.integers(-9, 9) * (rng.uniform() < 0.75)
    return v


def length(v: LayeredVector) -> float:
    return float(np.sqrt(v.squared_norm()))


def wide(v: LayeredVector) -> LayeredVector:
    return LayeredVector(v.layout, v.data.astype(np.float64))


def roundings(v: LayeredVector) -> float:
    """A few roundings of entries, in their dtype, and a sum of all, in float64."""
    return 5 * float(np.finfo(v.data.dtype).eps) + 2 * v.layout.size * float(np.finfo(np.float64).eps)


@given(layouts(), st.booleans(), st.data())
def test_what_is_kept_is_orthogonal_to_the_gradient_exactly(layout: Layout, per_layer: bool, data: Any) -> None:
    """Within each part: ``h = g_v + c g`` and ``g_v g = 0``, hence the one possible ``g_v`` wherever g is not 0."""
    entries = st.lists(st.fractions(-3, 3, max_denominator=4), min_size=layout.size, max_size=layout.size)
    h, g = (LayeredVector(layout, np.array(data.draw(entries), object)) for _ in range(2))
    before = h.copy(), g.copy()
    g_v = orthogonal(h, g, parts(layout, per_layer))
    for part in parts(layout, per_layer):
        inside, along, kept = h.only(part), g.only(part), g_v.only(part)
        assert along.dot(kept) == 0
        square = along.dot(along)
        c = along.dot(inside) / square if square else 0
        assert np.array_equal((kept + c * along).data, inside.data)
    assert [np.array_equal(a.data, b.data) for a, b in zip(before, (h, g), strict=True)] == [True, True]


@given(layouts(), st.sampled_from(["float32", "float64"]), st.booleans(), seeds)
def test_what_is_kept_is_orthogonal_but_for_rounding(layout: Layout, dtype: str, per_layer: bool, seed: int) -> None:
    h, g = floats(layout, dtype, seed), floats(layout, dtype, seed + 1)
    g_v = orthogonal(h, g, parts(layout, per_layer))
    assert g_v.data.dtype == dtype
    for part in parts(layout, per_layer):
        inside, along, kept = (wide(v.only(part)) for v in (h, g, g_v))
        assert abs(along.dot(kept)) <= roundings(g) * length(inside) * length(along)
        c = along.dot(inside) / (along.squared_norm() or 1)
        assert length(kept + c * along - inside) <= roundings(g) * length(inside)


@FEW
@given(problems, anyhow, st.booleans())
def test_looksam_keeps_what_is_orthogonal_to_the_gradient_of_its_step(p: Problem, radius: Radius, apart: bool) -> None:
    method = LookSAM(radius, 3, per_layer=apart)
    g = SGD().step(p.f, p.batch, {}, 0)[0].update
    for number in (0, 3, 30):
        step, state = method.step(p.f, p.batch, method.initial(p.f), number)
        assert list(state) == ["g_v"]
        h = step.update
        assert np.array_equal(state["g_v"], orthogonal(h, g, method.parts(g.layout)).data)


@given(layouts(), st.sampled_from(["float32", "float64"]), st.booleans(), seeds, st.sampled_from([0.0, 0.7, 3.0]))
def test_the_reused_part_has_the_length_a_g_and_its_old_direction(
    layout: Layout, dtype: str, per_layer: bool, seed: int, a: float
) -> None:
    g, g_v = floats(layout, dtype, seed), floats(layout, dtype, seed + 1)
    v = reuse(g, g_v, a, parts(layout, per_layer))
    assert v.data.dtype == dtype
    for part in parts(layout, per_layer):
        along, kept, added = (wide(x.only(part)) for x in (g, g_v, v))
        added = added - along
        tolerance = roundings(g) * (1 + a) * length(along)
        if not kept.data.any():
            assert not added.data.any()
            continue
        assert abs(length(added) - a * length(along)) <= tolerance
        assert length(added - (a * length(along) / length(kept)) * kept) <= tolerance


@given(layouts(), st.sampled_from(["float32", "float64"]), st.booleans(), seeds)
def test_where_one_of_both_is_0_the_other_is_left_as_it_is(
    layout: Layout, dtype: str, per_layer: bool, seed: int
) -> None:
    x = floats(layout, dtype, seed)
    zero = 0.0 * x
    assert np.array_equal(orthogonal(x, zero, parts(layout, per_layer)).data, x.data)
    assert np.array_equal(reuse(x, zero, 0.7, parts(layout, per_layer)).data, x.data)
    assert not reuse(zero, x, 0.7, parts(layout, per_layer)).data.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_reused_part_too_small_to_divide_by_is_left_out(dtype: str) -> None:
    layout = Layout.of({"a": (2,)})
    g = LayeredVector(layout, np.ones(2, dtype))
    tiny = LayeredVector(layout, np.full(2, np.finfo(dtype).smallest_subnormal, dtype))
    assert np.array_equal(reuse(g, tiny, 0.7, (layout,)).data, g.data)


@given(layouts())
def test_parts_have_every_tensor_once(layout: Layout) -> None:
    assert parts(layout, False) == (layout,)
    *layers, rest = parts(layout, True)
    assert [part.layers for part in layers] == [(layer,) for layer in layout.layers]
    assert rest.layers == ()
    assert sorted(t.name for part in (*layers, rest) for t in part.tensors) == sorted(layout.slices)


@example(Layout([TensorSpec("w0", (1,), "a"), TensorSpec("w1", (2,), None)]), "float64", False, 288, 0)
@given(layouts(), st.sampled_from(["float32", "float64"]), st.booleans(), seeds, st.integers(-3, 3))
def test_nothing_is_orthogonal_to_a_multiple(
    layout: Layout, dtype: str, per_layer: bool, seed: int, power: int
) -> None:
    g = floats(layout, dtype, seed)
    assert not orthogonal(2.0**power * g, g, parts(layout, per_layer)).data.any()


# -- LookSAM: its steps --------------------------------------------------------------------------------------


@DEAR
@given(problems, anyhow, st.booleans())
def test_looksam_at_every_step_is_sam(p: Problem, radius: Radius, per_layer: bool) -> None:
    look, sam = LookSAM(radius, 1, per_layer=per_layer), GeneralizedSAM(radius, 1)
    assert all(same(a, b) for a, b in zip(descend(p, look, 3), descend(p, sam, 3), strict=True))


@FEW
@given(problems, st.integers(2, 4), st.booleans(), seeds)
def test_in_between_the_update_is_the_gradient_and_the_reused_part(
    p: Problem, interval: int, per_layer: bool, seed: int
) -> None:
    method = LookSAM(Raw(0.1), interval, 0.7, per_layer)
    g = SGD().step(p.f, p.batch, {}, 0)[0]
    kept = np.random.default_rng(seed).normal(size=g.update.data.shape).astype(g.update.data.dtype)
    parts = method.parts(g.update.layout)
    for number in range(1, 2 * interval + 1):
        step, state = method.step(p.f, p.batch, {"g_v": kept}, number)
        if number % interval == 0:
            assert same(step, generalized_sam(p.f, p.batch, Raw(0.1), 1))
            assert not np.array_equal(state["g_v"], kept)
        else:
            expected = reuse(g.update, LayeredVector(g.update.layout, kept), 0.7, parts)
            assert same(step, replace(g, update=expected))
            assert np.array_equal(state["g_v"], kept)
            still, _ = method.step(p.f, p.batch, method.initial(p.f), number)
            assert same(still, g)  # nothing is kept yet


@FEW
@given(objectives(), st.booleans())
def test_in_between_no_second_pass_is_made(p: Problem, per_layer: bool) -> None:
    method = LookSAM(Raw(0.1), 3, per_layer=per_layer)
    state = method.initial(p.f)
    for number in range(5):
        with p.f.watched() as passes:
            _, state = method.step(p.f, p.batch, state, number)
        assert [walk.kind for walk in passes] == ["forward", "backward"] * (1 if number % 3 else 2)


@DEAR
@example(small_resnet(), False)
@given(problems, st.booleans())
def test_looksam_without_a_climb_is_sgd(p: Problem, per_layer: bool) -> None:
    look, sgd = descend(p, LookSAM(Raw(0.0), 2, per_layer=per_layer), 4), descend(p, SGD(), 4)
    assert all(np.array_equal(a.update.data, b.update.data) for a, b in zip(look, sgd, strict=True))


@given(st.integers(1, 9), st.sampled_from(["float32", "float64"]), seeds, anyhow)
def test_layer_by_layer_is_as_a_whole_where_there_is_one_layer(
    inputs: int, dtype: str, seed: int, radius: Radius
) -> None:
    """One whose tensors are all perturbed: the part that belongs to no layer is then empty."""
    b = Builder((inputs,))
    b.linear("fc", b.input, 3)
    network = randomise(b.network(Device.of("cpu", dtype), seed), seed)
    p = Problem(NetworkObjective(network, perturb="all"), batch(network, 4, seed), ())
    whole, apart = (descend(p, LookSAM(radius, 2, per_layer=how), 4) for how in (False, True))
    assert all(same(a, b) for a, b in zip(whole, apart, strict=True))


@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_layer_by_layer_is_not_as_a_whole_where_there_are_more(perturb: str) -> None:
    p = small_resnet(perturb=perturb)
    whole, apart = (descend(p, LookSAM(Raw(0.1), 2, per_layer=how), 2) for how in (False, True))
    assert same(whole[0], apart[0])
    assert not np.allclose(whole[1].update.data, apart[1].update.data, rtol=0.01)


# -- ESAM ----------------------------------------------------------------------------------------------------


@DEAR
@given(problems, anyhow, st.sampled_from(["parameter", "tensor"]), st.integers(0, 9))
def test_esam_of_all_weights_and_all_samples_is_sam(p: Problem, radius: Radius, by: str, seed: int) -> None:
    a, b = descend(p, ESAM(radius, 1, 1, by, seed), 3), descend(p, GeneralizedSAM(radius, 1), 3)
    assert all(same(x, y) for x, y in zip(a, b, strict=True))


def hardest(batch: Any, scores: Any, share: Any) -> Any:
    """By hand: the highest scores, the first among equals; at least one sample; in the old order."""
    n = len(scores)
    kept = sorted(sorted(range(n), key=lambda i: (-scores[i], i))[: max(1, round(share * n))])
    if not isinstance(batch, Batch):
        return tuple(batch[i] for i in kept)
    return Batch(batch.x[kept], batch.targets[kept], batch.step, (np.array(kept), n))


@FEW
@given(problems, st.data())
def test_the_hardest_samples_have_the_highest_scores_and_keep_their_order(p: Problem, data: Any) -> None:
    n = len(p.f.forward(p.batch).losses)
    scores = np.array(data.draw(st.lists(st.integers(-2, 2).map(float), min_size=n, max_size=n)))
    for share in (0.0, 0.3, 0.5, 1.0):
        chosen, expected = p.f.hardest(p.batch, scores, share), hardest(p.batch, scores, share)
        if isinstance(p.batch, Batch):
            assert np.array_equal(chosen.rows[0], expected.rows[0])
            assert (chosen.rows[1], chosen.step) == (n, p.batch.step)
            assert np.array_equal(chosen.x, expected.x)
            assert np.array_equal(chosen.targets, expected.targets)
        else:
            assert chosen == expected
        a, b = p.f.forward(chosen), p.f.forward(expected)
        assert np.array_equal(a.losses, b.losses)
        assert np.array_equal(a.backward().data, b.backward().data)


@FEW
@given(problems, radii, st.sampled_from([0.25, 0.6, 1.0]), st.sampled_from([0.0, 0.4, 1.0]), st.booleans(), seeds)
def test_a_step_of_esam_is_the_plain_arithmetic_of_its_passes(
    p: Problem, r: float, beta: float, gamma: float, by_tensor: bool, seed: int
) -> None:
    method = ESAM(Raw(r), beta, gamma, "tensor" if by_tensor else "parameter", seed)
    w, inside = p.f.weights, p.f.weights.layout.only(p.f.weights.layers)
    before, at_w = w.copy(), p.f.forward(p.batch)
    climb = (1 / beta) * ((r * at_w.backward().only(inside).data) * method.mask(inside, seed % 5))
    w.add(LayeredVector(inside, climb))
    at_perturbed = p.f.forward(p.batch)
    descent = p.f.forward(hardest(p.batch, at_perturbed.losses - at_w.losses, gamma)).backward()
    w.assign(before)
    step, state = method.step(p.f, p.batch, {}, seed % 5)
    assert same(step, Step(descent, at_w.loss, descent.squared_norms(), at_perturbed.loss, w.layers, r))
    assert state == {}


def test_the_hardest_samples_are_those_whose_loss_rises_most_not_those_of_the_largest_loss() -> None:
    p = small_resnet()
    seen, plain = [], p.f.hardest
    p.f.hardest = lambda batch, scores, share: seen.append(scores) or plain(batch, scores, share)
    step, _ = ESAM(Raw(0.1), 1, 0.5).step(p.f, p.batch, {}, 0)
    (rise,) = seen
    at_w = p.f.forward(p.batch).losses
    assert np.isclose(rise.mean(), step.loss_perturbed - step.loss)
    assert np.argsort(rise).tolist() != np.argsort(at_w).tolist()


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_a_mask_keeps_a_share_beta_of_the_entries(beta: float) -> None:
    layout = Layout.of({"a": (50, 40), "b": (3000,)})
    kept = [ESAM(Raw(1.0), beta, 1).mask(layout, number).mean() for number in range(20)]
    assert abs(np.mean(kept) - beta) < 5 * np.sqrt(beta * (1 - beta) / 100_000)  # five deviations
    layout = Layout.of({f"w{i}": (1 + i % 3,) for i in range(100)})
    method = ESAM(Raw(1.0), beta, 1, "tensor")
    masks = np.stack([method.mask(layout, number) for number in range(300)])
    starts = [layout.slices[t.name].start for t in layout.tensors]
    assert abs(masks[:, starts].mean() - beta) < 5 * np.sqrt(beta * (1 - beta) / 30_000)
    for t in layout.tensors:  # each tensor whole
        assert (masks[:, layout.slices[t.name]] == masks[:, [layout.slices[t.name].start]]).all()


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["parameter", "tensor"]))
def test_a_mask_is_a_function_of_seed_and_step(seed: int, number: int, by: str) -> None:
    layout = Layout.of({f"w{i}": (2,) for i in range(64)})

    def mask(radius: Radius, gamma: float, seed: int, number: int) -> bytes:
        drawn = ESAM(radius, 0.5, gamma, by, seed).mask(layout, number)
        assert (drawn.dtype, drawn.shape) == (np.dtype(bool), (layout.size,))
        return drawn.tobytes()

    here = mask(Raw(1.0), 0.5, seed, number)
    assert here == mask(Normalised(2.0), 0.1, seed, number)
    assert here != mask(Raw(1.0), 0.5, seed, number + 1)
    assert here != mask(Raw(1.0), 0.5, seed + 1, number)


@FEW
@given(problems, anyhow, st.sampled_from([0.25, 0.6]), st.sampled_from(["parameter", "tensor"]), st.integers(0, 9))
def test_outside_the_mask_nothing_moves_and_inside_it_e_over_beta(
    p: Problem, radius: Radius, beta: float, by: str, seed: int
) -> None:
    method, w = ESAM(radius, beta, 0.5, by, seed), p.f.weights
    inside = w.layout.only(w.layers)
    mask = method.mask(inside, 0)
    e, r = radius.climb(w, p.f.forward(p.batch).backward(w.layers))
    climb, factor = Masked(radius, mask, beta).climb(w, p.f.forward(p.batch).backward(w.layers))
    assert factor == r
    assert not climb.data[~mask].any()
    assert np.array_equal(climb.data[mask], ((1 / beta) * e).data[mask])
    moved = w.copy()
    moved.add(climb)
    assert np.array_equal(seen_at_the_second_pass(p, method), moved.data)


@given(EXACT, st.fractions(Fraction(1, 9), 1, max_denominator=9), st.fractions(-2, 2, max_denominator=9))
def test_the_mean_over_all_masks_is_the_perturbation(p: Problem, beta: Fraction, r: Fraction) -> None:
    g = p.f.forward(p.batch).backward(p.f.weights.layers)
    free = min(4, g.layout.size)  # the other entries are always kept: their mean is e / beta
    total = LayeredVector(g.layout, np.zeros(g.layout.size, object))
    for draw in product([False, True], repeat=free):
        mask = np.array([*draw, *[True] * (g.layout.size - free)])
        climb, _ = Masked(Raw(r), mask, beta).climb(p.f.weights, g)
        total.add(beta ** sum(draw) * (1 - beta) ** (free - sum(draw)) * climb)
    assert np.array_equal(total.data[:free], (r * g).data[:free])
    assert np.array_equal(total.data[free:], (r / beta * g).data[free:])


@given(st.integers(2, 6), seeds, st.data())
def test_chosen_samples_keep_their_own_masks_of_the_whole_batch(n: int, seed: int, data: Any) -> None:
    device = Device.of("cpu", "float64")
    b = Builder((4, 3, 2))
    x = b.relu("relu1", b.convolution("conv", b.dropout("dropout1", b.input, 0.4), 3))
    x = b.relu("relu2", b.linear("hidden", b.flatten("flatten", b.dropout("dropout2", x, 0.3)), 6))
    b.linear("fc", b.dropout("dropout3", x, 0.5), 3)
    network = randomise(b.network(device, seed), seed)
    f, whole = NetworkObjective(network, seed=seed % 5), batch(network, n, seed)
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    chosen = f.hardest(whole, np.isin(np.arange(n), kept).astype(float), len(kept) / n)
    assert chosen.rows is not None
    assert np.array_equal(chosen.rows[0], kept)
    there, here = plain_tape(f.forward(whole)), plain_tape(f.forward(chosen))
    for i, node in enumerate(network.nodes):
        # the matrix products of another number of images are summed in another order
        np.testing.assert_allclose(here.value(i), there.value(i)[kept], rtol=1e-10, atol=1e-12)
        if isinstance(node.layer, Dropout):
            context, shape = Context(device, True, (f.seed, whole.step, i)), there.value(i).shape
            masks = context.mask(shape, node.layer.rate)[kept]
            assert np.array_equal(
                replace(context, rows=chosen.rows).mask((len(kept), *shape[1:]), node.layer.rate), masks
            )
            assert not here.value(i)[masks == 0].any()
            came = here.value(node.inputs[0])
            assert np.array_equal(here.value(i), came * (masks * (1 / (1 - node.layer.rate))))


# -- sparse SAM ----------------------------------------------------------------------------------------------


@DEAR
@given(problems, anyhow, st.integers(1, 3))
def test_sparse_sam_of_sparsity_0_is_sam_and_of_sparsity_1_is_sgd(p: Problem, radius: Radius, refresh: int) -> None:
    sam, sgd = descend(p, GeneralizedSAM(radius, 1), 3), descend(p, SGD(), 3)
    dense = descend(p, SparseSAM(radius, 0, refresh, 2), 3)
    assert all(same(a, b) for a, b in zip(dense, sam, strict=True))
    for a, b in zip(descend(p, SparseSAM(radius, 1, refresh, 2), 3), sgd, strict=True):
        assert np.array_equal(a.update.data, b.update.data)
        assert np.array_equal(a.descent_norms, b.descent_norms)
        assert a.loss == a.loss_perturbed == b.loss


@given(EXACT | toys(), st.integers(1, 5))
def test_fisher_information_sums_the_squares_of_the_gradients_of_single_samples(p: Problem, samples: int) -> None:
    expected = sum(p.f.gradient(i, p.f.weights.data) ** 2 for i in p.batch[:samples])
    assert np.array_equal(fisher(p.f, p.batch, samples).data, expected)


@FEW
@given(objectives(), st.integers(1, 8), seeds)
def test_fisher_information_is_that_of_a_network_at_test_time(p: Problem, samples: int, seed: int) -> None:
    """Sample by sample, with the running statistics; no smoothing, no decay, no dropout, nothing moves."""
    f, (x, labels) = p.f, p.batch[:2]
    buffers = f.network.buffers.data
    buffers[...] = np.random.default_rng(seed).uniform(0.5, 2, buffers.shape)
    before = buffers.copy()
    inside = f.weights.layout.only(f.weights.layers)
    total = np.zeros(inside.size, f.weights.data.dtype)
    for i in range(min(samples, len(x))):
        tape = Plain(f.network).forward(x[i : i + 1], Context(f.network.device, training=False))
        z = np.exp(tape.output - tape.output.max())
        z /= z.sum()
        z[0, labels[i]] -= 1
        total += tape.backward(z, inside).data ** 2
    assert np.array_equal(fisher(f, p.batch, samples).data, total)
    other = replace(f, loss=CrossEntropy(0.3), decay=0.5, seed=f.seed + 1)
    assert np.array_equal(fisher(other, p.batch._replace(step=5), samples).data, total)
    assert np.array_equal(buffers, before)


def test_fisher_information_agrees_with_difference_quotients_of_the_log_likelihood() -> None:
    p = small_resnet()
    f, samples = p.f, 3
    found, w = fisher(f, p.batch, samples), f.weights
    x, labels = p.batch.x[:samples], p.batch.targets[:samples]

    def likelihood() -> np.ndarray:
        z = f.output(x)
        return z[np.arange(samples), labels] - np.log(np.exp(z).sum(axis=1))

    rng, step = np.random.default_rng(0), 1e-6
    for t in found.layout.tensors:
        places, entry = w[t.name].reshape(-1), int(rng.integers(t.size))
        before, ends = places[entry], []
        for moved in (before + step, before - step):
            places[entry] = moved
            ends.append(likelihood())
        places[entry] = before
        expected = (((ends[0] - ends[1]) / (2 * step)) ** 2).sum()
        # rounding: some 1e-15 / step, relative to slopes of order 1
        np.testing.assert_allclose(found[t.name].reshape(-1)[entry], expected, rtol=1e-5, atol=1e-7)


@given(st.lists(st.integers(0, 5).map(float), max_size=12), st.data())
def test_the_largest_are_no_smaller_than_the_rest_and_first_among_equals(scores: list[float], data: Any) -> None:
    count = data.draw(st.integers(0, len(scores)))
    mask = largest(np.array(scores, float), count)
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]
    assert np.flatnonzero(mask).tolist() == sorted(best)


@FEW
@given(problems, st.sampled_from([0, 0.1, 0.5, 0.97, 1]), st.integers(1, 3), st.integers(1, 4), seeds)
def test_a_mask_has_its_size_and_is_made_anew_at_multiples_of_refresh_only(
    p: Problem, sparsity: float, refresh: int, samples: int, seed: int
) -> None:
    method, n = SparseSAM(Raw(0.1), sparsity, refresh, samples), p.f.weights.layout.only(p.f.weights.layers).size
    assert method.initial(p.f)["mask"].all()
    given = np.random.default_rng(seed).uniform(size=n) < 0.5
    for number in range(2 * refresh + 1):
        information = fisher(p.f, p.batch, samples).data  # of the running statistics as they are now
        step, state = method.step(p.f, p.batch, {"mask": given}, number)
        mask = state["mask"]
        assert list(state) == ["mask"]
        assert (mask.dtype, mask.shape) == (np.dtype(bool), (n,))
        if number % refresh:
            assert np.array_equal(mask, given)
        else:
            assert mask.sum() == round((1 - sparsity) * n)
            assert information[mask].min(initial=np.inf) >= information[~mask].max(initial=0)
        assert same(step, generalized_sam(p.f, p.batch, Masked(Raw(0.1), mask), 1))


@FEW
@given(objectives())
def test_running_statistics_move_as_in_sgd_whatever_else_a_step_evaluates(p: Problem) -> None:
    f = replace(p.f, bn_update="once")
    buffers = f.network.buffers.data
    before, moved = buffers.copy(), []
    for method in every_method(f, Raw(0.1)).values():
        buffers[...] = before
        method.step(f, p.batch, method.initial(f), 0)
        moved.append(buffers.copy())
    assert all(np.array_equal(moved[0], other) for other in moved)


# -- adaptive SAM --------------------------------------------------------------------------------------------


@given(EXACT, st.fractions(-2, 2, max_denominator=9), st.fractions(0, 2, max_denominator=9))
def test_an_adaptive_perturbation_is_r_t_squared_g(p: Problem, r: Fraction, stabiliser: Fraction) -> None:
    w, g = p.f.weights, p.f.forward(p.batch).backward(p.selected)
    e, factor = Adaptive(Raw(r), stabiliser).climb(w, g)
    t = [abs(x) + stabiliser for x in w.only(g.layout).data]
    assert e.data.tolist() == [r * x * x * y for x, y in zip(t, g.data, strict=True)]
    assert factor == r
    assert e.layout == g.layout


@FEW
@given(problems, st.sampled_from([0.05, 1.0]), st.sampled_from([0.0, 0.01, 1.0]))
def test_a_normalised_adaptive_perturbation_has_length_rho_measured_in_t(
    p: Problem, rho: float, stabiliser: float
) -> None:
    w, g = p.f.weights, p.f.forward(p.batch).backward(p.selected)
    e, r = Adaptive(Normalised(rho), stabiliser).climb(w, g)
    t = np.abs(w.only(g.layout).data.astype(np.float64)) + stabiliser
    assert e.data.dtype == w.data.dtype
    assert ((e.data == 0) >= (t == 0)).all()
    measured = np.divide(e.data, t, out=np.zeros(t.shape), where=t > 0)
    expected = rho if (t * g.data).any() else 0
    # t, its product with g and both products of e are rounded in the entries' dtype
    assert np.sqrt((measured**2).sum()) == pytest.approx(expected, rel=8 * float(np.finfo(w.data.dtype).eps))
    length = np.sqrt(((t * g.data) ** 2).sum())
    assert float(r) == pytest.approx(expected / (length or 1), rel=4 * float(np.finfo(w.data.dtype).eps))


def rescaled(network: Network, exponents: list[int]) -> dict[str, int]:
    """Layer i times ``2^a_i``, the next one over it: the loss is the same. The exponent of each tensor."""
    found, before = {}, 0
    for layer, a in zip(network.layers, [*exponents, 0], strict=True):
        for t in network.weights.layout.tensors:
            if t.layer == layer:
                found[t.name] = a - before if t.ranked else a
                network.weights[t.name][...] *= 2.0 ** found[t.name]
        before = a
    return found


@given(chains(), st.sampled_from(["kernels", "all"]), st.booleans(), seeds, st.data())
def test_adaptive_sam_sees_the_same_sharpness_in_rescaled_weights(
    network: Network, perturb: str, normalised: bool, seed: int, data: Any
) -> None:
    """Powers of two, so all is exact: ``e`` scales as ``w`` does; the update as ``1 / w``, and so a step does not."""
    f, sample = NetworkObjective(network, perturb=perturb), batch(network, 4, seed)
    radius = Adaptive(Normalised(0.5) if normalised else Raw(0.5), 0.0)
    plain = generalized_sam(f, sample, radius, 0.7)
    exponents = data.draw(st.lists(st.integers(-6, 6), min_size=len(f.weights.layers) - 1, max_size=6))
    exponents = (exponents + [1] * len(f.weights.layers))[: len(f.weights.layers) - 1]
    scale = rescaled(network, exponents)
    step = generalized_sam(f, sample, radius, 0.7)
    assert step.loss == plain.loss
    assert step.loss_perturbed == plain.loss_perturbed
    assert step.r_effective == plain.r_effective
    for name, s in scale.items():
        assert np.array_equal(step.update[name], 2.0**-s * plain.update[name])


@pytest.mark.parametrize("plain", [Raw(0.5), Normalised(0.5)], ids=["raw", "normalised"])
def test_sam_and_any_update_tell_rescaled_weights_apart(plain: Raw | Normalised) -> None:
    b = Builder((5,))
    b.linear("b", b.relu("relu", b.linear("a", b.input, 8)), 3)
    network = b.network(Device.of("cpu", "float64"))
    f, sample, radii = NetworkObjective(network), batch(network, 6, 0), (plain, Adaptive(plain, 0.0))
    before = [generalized_sam(f, sample, radius, 1) for radius in radii]
    scale = rescaled(network, [3])
    assert scale == {"a.kernel": 3, "a.bias": 3, "b.kernel": -3, "b.bias": 0}
    after = [generalized_sam(f, sample, radius, 1) for radius in radii]
    assert [a.loss == b.loss for a, b in zip(before, after, strict=True)] == [True, True]
    assert [a.loss_perturbed == b.loss_perturbed for a, b in zip(before, after, strict=True)] == [False, True]
    for name in ("a.kernel", "b.kernel"):
        assert before[1].update[name].any()
        for factor in (1, 2.0 ** scale[name]):  # neither as it was, nor as the weights
            assert not np.allclose(after[1].update[name], factor * before[1].update[name], rtol=0.1)


# -- all methods ---------------------------------------------------------------------------------------------


@DEAR
@given(problems, anyhow)
def test_no_method_writes_into_the_state_that_it_was_given(p: Problem, radius: Radius) -> None:
    for name, method in every_method(p.f, radius).items():
        state = method.initial(p.f)
        for number in range(4):
            for array in state.values():
                array.flags.writeable = False
            before = {key: array.copy() for key, array in state.items()}
            _, after = method.step(p.f, p.batch, state, number)
            assert list(after) == list(before), name
            assert all(np.array_equal(state[key], before[key]) for key in before), name
            state = after


@DEAR
@given(problems, anyhow)
def test_a_step_of_any_method_is_a_function_of_weights_batch_state_and_number(p: Problem, radius: Radius) -> None:
    def step(method: Method, state: Any, number: int, running: float) -> tuple[Step, Any]:
        if isinstance(p.f, NetworkObjective):
            p.f.network.buffers.data[...] = running
        return method.step(p.f, at(p, number), state, number)

    for name, method in every_method(p.f, radius).items():
        states = [method.initial(p.f)]
        for number in range(3):
            states.append(step(method, states[-1], number, 1.0)[1])
        forwards = [step(method, states[i], i, 1.0) for i in range(4)]
        # the running statistics have no say but in the mask of sparse SAM, made as at test time
        backwards = [step(method, states[i], i, 1.0 if name == "sparse-sam" else 7.0) for i in (3, 2, 1, 0)][::-1]
        for (a, s), (b, t) in zip(forwards, backwards, strict=True):
            assert same(a, b), name
            assert all(np.array_equal(s[key], t[key]) for key in s), name


@DEAR
@given(problems, anyhow)
def test_every_method_leaves_the_weights_as_they_were_bit_for_bit(p: Problem, radius: Radius) -> None:
    before = p.f.weights.data.tobytes()
    for name, method in every_method(p.f, radius).items():
        state = method.initial(p.f)
        for number in range(3):
            _, state = method.step(p.f, p.batch, state, number)
            assert p.f.weights.data.tobytes() == before, name


def broken(p: Problem, method: Method, call: int) -> bool:
    """A step whose pass number ``call`` raises; false if it has fewer."""
    calls, kind = [], type(p.f.forward(p.batch))

    def fused(plain: Any) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            calls.append(plain)
            if len(calls) == call:
                raise ZeroDivisionError
            return plain(*args, **options)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((kind, "backward"), (kind, "resume"), (type(p.f), "forward")):
            patch.setattr(owner, name, fused(getattr(owner, name)))
        try:
            method.step(p.f, p.batch, method.initial(p.f), 0)
        except ZeroDivisionError:
            return True
    return False


@settings(max_examples=6)
@given(problems, anyhow)
def test_every_method_leaves_the_weights_as_they_were_when_any_pass_raises(p: Problem, radius: Radius) -> None:
    before = p.f.weights.data.tobytes()
    passes = {"sgd": 2, "esam": 5, "esam esam_by": 5, "sparse-sam": 4 + len(list(p.f.per_sample(p.batch, 3)))}
    for name, method in every_method(p.f, radius).items():
        call = 1
        while broken(p, method, call):
            assert p.f.weights.data.tobytes() == before, (name, call)
            call += 1
        if isinstance(p.f, NetworkObjective):
            assert call - 1 == passes.get(name, 4), name


@DEAR
@given(problems, anyhow)
def test_every_method_keeps_the_dtype(p: Problem, radius: Radius) -> None:
    dtype = p.f.weights.data.dtype
    kinds = {"mask": np.dtype(bool), "descent_norms": np.dtype(np.float64)}  # all else that is kept has the weights'
    for name, method in every_method(p.f, radius).items():
        state = method.initial(p.f)
        for number in range(3):
            step, state = method.step(p.f, p.batch, state, number)
            assert all(array.dtype == kinds.get(key, dtype) for key, array in state.items()), name
            losses = [step.loss, *([] if step.loss_perturbed is None else [step.loss_perturbed])]
            assert {step.update.data.dtype, *(loss.dtype for loss in losses)} == {dtype}, name
            assert step.descent_norms.dtype == np.float64, name
            assert np.isfinite(step.update.data).all(), name


def test_toys_and_networks_are_in_the_same_family() -> None:
    """The exact toys take every step that needs no root."""
    f = toy.quadratic({"a": (2,), "b": (1,)}, 0, object)
    for method in (SGD(), ESAM(Raw(Fraction(1, 3)), Fraction(1, 2), 0.5), SparseSAM(Raw(Fraction(1, 3)), 0.5, 1, 2)):
        step, _ = method.step(f, (0, 1, 3), method.initial(f), 0)
        assert all(isinstance(x, Fraction) for x in step.update.data)
