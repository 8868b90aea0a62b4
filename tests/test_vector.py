"""Vectors with named layers: parts and wholes, norms, dtypes, exactness."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.vector import PERTURBED, LayeredVector, Layout, TensorSpec
from support.strategies import DTYPES, seeds, selections
from support.toy import entries

shapes = st.sampled_from([(), (1,), (3,), (2, 2)])
OBJECT = st.just(object)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Tensors of at least one layer, in any order, some of no layer."""
    owners = draw(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=6))
    flags = st.tuples(st.booleans(), st.booleans(), st.booleans())
    rest = [TensorSpec(f"t{i}", draw(shapes), o, *draw(flags)) for i, o in enumerate(owners)]
    return Layout(draw(st.permutations([*rest, TensorSpec("first", (2,), "a")])))


@st.composite
def vectors(draw: st.DrawFn, dtypes: st.SearchStrategy = DTYPES | OBJECT) -> LayeredVector:
    layout = draw(layouts())
    return LayeredVector(layout, entries(np.random.default_rng(draw(seeds)), (layout.size,), draw(dtypes)))


@given(st.data())
def test_a_part_taken_and_put_back_changes_nothing(data: st.DataObject) -> None:
    v = data.draw(vectors())
    part = v.layout.only(data.draw(selections(v.layers)))
    taken, w = v.only(part), v.copy()
    for t in part.tensors:
        assert np.array_equal(taken[t.name], v[t.name])
        assert t.layer in part.layers
    w.assign(taken)
    assert np.array_equal(w.data, v.data)
    assert taken.data.dtype == v.data.dtype
    taken.data[...] = 0
    assert np.array_equal(w.data, v.data)  # a copy, not a view


@given(st.data())
def test_add_and_assign_touch_the_part_and_nothing_else(data: st.DataObject) -> None:
    v = data.draw(vectors())
    part = v.layout.only(data.draw(selections(v.layers)))
    u = LayeredVector(part, entries(np.random.default_rng(1), (part.size,), v.data.dtype))
    added, assigned = v.copy(), v.copy()
    added.add(u)
    assigned.assign(u)
    for t in v.layout.tensors:
        inside = t.name in part.slices
        assert np.array_equal(added[t.name], v[t.name] + u[t.name] if inside else v[t.name])
        assert np.array_equal(assigned[t.name], u[t.name] if inside else v[t.name])


@given(vectors())
def test_squared_norms_are_sums_of_squares_by_layer(v: LayeredVector) -> None:
    exact = [
        sum(Fraction(x) ** 2 for t in v.layout.tensors if t.layer == layer for x in v[t.name].ravel().tolist())
        for layer in v.layers
    ]
    whole = sum(Fraction(x) ** 2 for x in v.data.tolist())
    if v.data.dtype == object:
        assert v.squared_norms().tolist() == exact
        assert v.squared_norm() == whole == v.dot(v)
    else:  # at most 30 float64 additions of positive numbers
        assert v.squared_norms().dtype == np.float64
        np.testing.assert_allclose(v.squared_norms(), [float(x) for x in exact], rtol=1e-14)
        np.testing.assert_allclose([v.squared_norm(), v.dot(v)], float(whole), rtol=1e-14)


@given(vectors(DTYPES), st.sampled_from([2, 0.1, np.float64(0.1), np.float32(0.1), np.array(0.1), np.int64(2)]))
def test_a_scalar_factor_keeps_the_dtype(v: LayeredVector, c: object) -> None:
    expected = v.data * v.data.dtype.type(c)
    for product in (c * v, v * c):
        assert isinstance(product, LayeredVector)
        assert product.data.dtype == v.data.dtype
        assert np.array_equal(product.data, expected)


@given(vectors(OBJECT), st.fractions(max_denominator=9), st.fractions(max_denominator=9))
def test_algebra_on_fractions_is_exact(v: LayeredVector, a: Fraction, b: Fraction) -> None:
    assert np.array_equal((a * v + b * v).data, ((a + b) * v).data)
    assert np.array_equal((a * v - b * v).data, ((a - b) * v).data)
    assert all(isinstance(x, Fraction) for x in (a * v).data)
    assert v.dot(a * v) == a * v.squared_norm()


@given(vectors())
def test_algebra_leaves_its_operands_alone(v: LayeredVector) -> None:
    before = v.data.copy()
    _ = v + v, v - v, 2 * v, v.copy().add(v)
    assert np.array_equal(v.data, before)


def test_vectors_of_different_layouts_do_not_mix() -> None:
    ab, ba = Layout.of({"a": (1,), "b": (1,)}), Layout.of({"b": (1,), "a": (1,)})
    v, w = LayeredVector(ab, np.ones(2)), LayeredVector(ba, np.ones(2))
    for operation in (v.__add__, v.__sub__, v.dot):
        with pytest.raises(ValueError, match="different layouts"):
            operation(w)
    with pytest.raises(ValueError, match="entries"):
        LayeredVector(ab, np.ones(3))
    with pytest.raises(KeyError):
        ab.only(["c"])
    with pytest.raises(KeyError):
        v.add(LayeredVector(Layout.of({"c": (1,)}), np.ones(1)))
    with pytest.raises(ValueError, match="twice"):
        Layout([TensorSpec("a", (1,), "a"), TensorSpec("a", (2,), "a")])
    assert v.__mul__(np.ones(2)) is NotImplemented


@given(layouts())
def test_layouts_are_equal_when_their_tensors_are(layout: Layout) -> None:
    again = Layout(layout.tensors)
    assert again == layout
    assert hash(again) == hash(layout)


@given(layouts(), st.sampled_from(sorted(PERTURBED)))
def test_what_a_rule_leaves_out_has_no_layer_and_keeps_its_place(layout: Layout, rule: str) -> None:
    found = layout.perturbing(rule)
    assert found.slices == layout.slices
    keeps = {"kernels": "ranked", "norms": "normalises"}.get(rule)
    for before, after in zip(layout.tensors, found.tensors, strict=True):
        assert after.layer == (before.layer if keeps is None or getattr(before, keeps) else None)
