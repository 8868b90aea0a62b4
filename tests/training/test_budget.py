"""A budget against all sets of layers: nothing affordable captures more, and nothing equally good is smaller."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms import SGD, GeneralizedSAM, LayerwiseSAM, Normalised, Raw
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device
from lwsam_ref.training.budget import Budget
from lwsam_ref.training.objective import NetworkObjective
from nets import resnet20, wrn16_2
from support.strategies import alphas, networks, objectives, seeds, wide_networks

UNLIMITED = 1000.0


class Case(NamedTuple):
    """A network's costs, and what each set of its layers costs above a step of SGD: layers as numbers."""

    costs: Costs
    sets: dict[tuple[int, ...], int]

    @property
    def layers(self) -> tuple[str, ...]:
        return self.costs.layout.layers

    def choose(self, norms: list[Any], share: Any) -> tuple[int, ...]:
        return tuple(self.layers.index(name) for name in Budget(self.costs, share)(self.layers, norms, 0, ()))

    def affordable(self, share: Any) -> list[tuple[int, ...]]:
        return [chosen for chosen, cost in self.sets.items() if cost <= share * self.costs.sgd]


def case(network: Network, perturb: str, among: tuple[str, ...] | None = None) -> Case:
    costs = Costs(network, NetworkObjective(network, perturb=perturb).weights.layout)
    layers = costs.layout.layers
    numbers = range(len(layers)) if among is None else [layers.index(name) for name in among]
    every = (chosen for k in range(len(numbers) + 1) for chosen in combinations(numbers, k))
    return Case(costs, {chosen: costs.extra(layers[i] for i in chosen) for chosen in every})


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any random network of at most eight layers; of a larger one all sets are too many."""
    network = draw(networks(st.just("float32")).filter(lambda network: len(network.layers) <= 8))
    return case(network, draw(st.sampled_from(["kernels", "all"])))


def captured(norms: list[Any], chosen: tuple[int, ...]) -> tuple[Any, int]:
    return sum(norms[i] for i in chosen), len(chosen)


KINDS: dict[str, Callable[[np.random.Generator, int], list[Any]]] = {
    "none": lambda rng, n: [0] * n,
    "ties": lambda rng, n: rng.integers(0, 4, n).tolist(),
    "fractions": lambda rng, n: [Fraction(p, q) for p, q in rng.integers(1, 60, (n, 2)).tolist()],
    "far apart": lambda rng, n: (4 ** rng.integers(0, 40, n).astype(object)).tolist(),
}
"""Norms whose sums are exact."""


@st.composite
def norms_and_share(draw: st.DrawFn, case: Case) -> tuple[list[Any], Any]:
    """Exact norms; a budget of any size, or the very cost of some set, or one operation less."""
    norms = KINDS[draw(st.sampled_from(list(KINDS)))](np.random.default_rng(draw(seeds)), len(case.layers))
    prices = sorted(case.sets.values())
    price = prices[draw(st.integers(0, len(prices) - 1))] - draw(st.sampled_from([0, 0, 1]))
    exact = Fraction(max(0, price), case.costs.sgd)
    return norms, draw(st.sampled_from([0, 0.01, 0.1, 0.3, 0.5, 1.0, 10.0]) | st.just(exact))


# -- against all sets ----------------------------------------------------------------------------------------


@given(cases(), st.data())
def test_no_affordable_set_captures_more_or_as_much_with_more_layers(case: Case, data: Any) -> None:
    for _ in range(5):
        norms, share = data.draw(norms_and_share(case))
        chosen = case.choose(norms, share)
        assert case.sets[chosen] <= share * case.costs.sgd
        assert captured(norms, chosen) == max(captured(norms, other) for other in case.affordable(share))
        assert list(chosen) == sorted(set(chosen))


@settings(max_examples=3)
@given(wide_networks(st.just("float32")), st.sampled_from(["kernels", "all"]), st.data())
def test_nor_does_one_on_a_wide_network(network: Network, perturb: str, data: Any) -> None:
    found = case(network, perturb)
    assert len(found.layers) >= 8
    for _ in range(5):
        norms, share = data.draw(norms_and_share(found))
        chosen = found.choose(norms, share)
        assert captured(norms, chosen) == max(captured(norms, other) for other in found.affordable(share))


def branches() -> Network:
    """A stem, then two branches of which one has a convolution more; sorted by size, their cones interleave."""
    b = Builder((4, 4, 2))
    x = b.relu("relu", b.convolution("stem", b.input, 3))
    left = b.convolution("left2", b.relu("left.relu", b.convolution("left1", x, 3)), 3)
    left = b.dropout("left.dropout", b.batch_norm("left.bn", left), 0.3)
    x = b.sum("sum", left, b.batch_norm("right.bn", b.convolution("right", x, 3, 1)))
    b.linear("fc", b.average_pool("pool", b.relu("out", x)), 3)
    return b.network(Device.of())


@example((case(branches(), "kernels"), ([0] * 5, 0.9)))
@given(cases().flatmap(lambda case: st.tuples(st.just(case), norms_and_share(case))))
def test_among_sets_that_are_equally_good_a_cheapest_is_taken(given: tuple[Case, tuple[list[Any], Any]]) -> None:
    case, (norms, share) = given
    chosen = case.choose(norms, share)
    equals = [other for other in case.affordable(share) if captured(norms, other) == captured(norms, chosen)]
    assert case.sets[chosen] == min(case.sets[other] for other in equals)


@settings(max_examples=20)
@given(cases(), seeds)
def test_a_larger_budget_never_captures_less(case: Case, seed: int) -> None:
    norms = KINDS["fractions"](np.random.default_rng(seed), len(case.layers))
    shares = [Fraction(price, case.costs.sgd) for price in sorted(set(case.sets.values()))][:: 1 + len(case.sets) // 20]
    found = [captured(norms, case.choose(norms, share)) for share in shares]
    assert found == sorted(found)
    assert [case.choose(norms, share) for share in shares] == [case.choose([9 * x for x in norms], s) for s in shares]


@settings(max_examples=15)
@given(cases(), seeds)
def test_floats_are_captured_as_well_as_exact_numbers_are(case: Case, seed: int) -> None:
    norms = np.random.default_rng(seed).lognormal(0, 4, len(case.layers)).tolist()
    for share in (0.1, 0.4, 0.8):
        taken, _ = captured([Fraction(x) for x in norms], case.choose(norms, share))
        most, _ = captured([Fraction(x) for x in norms], case.choose([Fraction(x) for x in norms], share))
        # sums of at most eight numbers, each sum rounded
        assert most * (1 - 8 * Fraction(1, 2**53)) <= taken <= most


# -- the ends ------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(objectives(), alphas, seeds)
def test_nothing_to_spend_is_sgd_and_no_limit_is_generalized_sam(p: Any, alpha: float, seed: int) -> None:
    costs, layers = Costs(p.f.network, p.f.weights.layout), p.f.weights.layers
    state = {"descent_norms": np.random.default_rng(seed).uniform(0.1, 1, len(layers))}
    for radius in (Raw(0.1), Normalised(0.5)):
        step, _ = LayerwiseSAM(0, radius, alpha, Budget(costs, 0.0)).step(p.f, p.batch, state, 1)
        assert costs.extra(step.selected) == 0
        if not step.selected:
            assert np.array_equal(step.update.data, SGD().step(p.f, p.batch, {}, 1)[0].update.data)
        every, _ = LayerwiseSAM(0, radius, alpha, Budget(costs, UNLIMITED)).step(p.f, p.batch, state, 1)
        sam, _ = GeneralizedSAM(radius, alpha).step(p.f, p.batch, {}, 1)
        assert every.selected == sam.selected == layers
        assert np.array_equal(every.update.data, sam.update.data)
        assert np.array_equal(every.descent_norms, sam.descent_norms)
        assert (every.loss, every.loss_perturbed, every.r_effective) == (sam.loss, sam.loss_perturbed, sam.r_effective)


@given(cases())
def test_the_first_step_with_all_norms_0_takes_as_many_layers_as_it_can_pay(case: Case) -> None:
    for share in (0.0, 0.1, 0.4, UNLIMITED):
        chosen = case.choose([0.0] * len(case.layers), share)
        assert len(chosen) == max(map(len, case.affordable(share)))
        assert case.sets[chosen] <= share * case.costs.sgd


def test_no_limit_takes_layers_without_norm_too_whatever_the_sums_round_to() -> None:
    costs = case(branches(), "kernels", ()).costs
    budget, layers, rng = Budget(costs, UNLIMITED), costs.layout.layers, np.random.default_rng(0)
    for _ in range(300):
        norms = rng.uniform(size=len(layers))
        norms[:2] = 0  # "stem" and "left1"
        assert budget(layers, norms.tolist(), 0, ()) == layers


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_norms_that_cannot_be_summed_are_refused(bad: float) -> None:
    costs = case(branches(), "kernels", ()).costs
    for share in (0.0, 0.2, UNLIMITED):
        with pytest.raises(FloatingPointError, match="left2"):
            Budget(costs, share)(costs.layout.layers, [1.0, 0.0, bad, 1.0, 1.0], 0, ())
        with pytest.raises(ValueError, match="shorter"):
            Budget(costs, share)(costs.layout.layers, [1.0] * 4, 0, ())


@given(cases(), st.integers(0, 9), seeds)
def test_k_and_key_have_no_say(case: Case, k: int, seed: int) -> None:
    norms = np.random.default_rng(seed).uniform(size=len(case.layers)).tolist()
    budget = Budget(case.costs, 0.4)
    assert budget(case.layers, norms, k, (seed, k)) == budget(case.layers, norms, 0, ())


# -- at full depth -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("perturb", ["kernels", "all"])
@pytest.mark.parametrize(("net", "most"), [(resnet20, 30), (wrn16_2, 24)])
def test_the_cones_of_a_deep_network_are_few(net: Callable[..., Network], most: int, perturb: str) -> None:
    costs = Costs(net((8, 8, 3)), NetworkObjective(net((8, 8, 3)), perturb=perturb).weights.layout)
    assert len(Budget(costs, UNLIMITED).cones) == most  # 23 and 17 layers have 2^23 and 2^17 sets
    assert len(Budget(costs, 0.0).cones) == 1


@pytest.mark.parametrize("share", [0.03, 0.05, 0.1, 0.2, 0.24])
@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_resnet20_against_all_sets_of_the_layers_that_can_be_paid(share: float, perturb: str) -> None:
    network = resnet20((32, 32, 3))
    costs = Costs(network, NetworkObjective(network, perturb=perturb).weights.layout)
    payable = tuple(layer for layer in network.layers if costs.extra([layer]) <= share * costs.sgd)
    assert 1 <= len(payable) <= 9
    found, rng = case(network, perturb, payable), np.random.default_rng(0)
    for kind in KINDS.values():
        norms = kind(rng, len(network.layers))
        chosen = found.choose(norms, share)
        assert captured(norms, chosen) == max(captured(norms, other) for other in found.affordable(share))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_resnet20_cannot_be_mended_by_one_layer_more_or_by_another(share: float) -> None:
    network, rng = resnet20((32, 32, 3)), np.random.default_rng(1)
    costs = Costs(network, network.weights.layout.perturbing("kernels"))
    layers, budget = costs.layout.layers, Budget(costs, share)
    for _ in range(3):
        norms = rng.lognormal(0, 2, len(layers))
        chosen = set(budget(layers, norms.tolist(), 0, ()))
        value = dict(zip(layers, norms, strict=True))
        for out in (None, *chosen):
            for new in set(layers) - chosen:
                if out is None or value[new] > value[out]:
                    assert costs.extra(chosen - {out} | {new}) > budget.limit
