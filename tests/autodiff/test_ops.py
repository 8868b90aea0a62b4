"""What kernels must bear that no network of ours gives them: any memory order, channels far from zero, any rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lwsam_ref.autodiff import ops
from lwsam_ref.device import Device
from lwsam_ref.rng import generator


@example(order=[3, 0, 1, 2], stride=1, size=1)
@given(order=st.permutations(range(4)), stride=st.sampled_from([1, 2]), size=st.sampled_from([1, 3]))
def test_the_memory_order_of_an_image_does_not_matter(order: list[int], stride: int, size: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 5, 4, 2)), rng.normal(size=(size, size, 2, 3))
    odd = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    y = ops.convolution(x, w, stride)
    assert np.array_equal(ops.convolution(odd, w, stride), y)
    g = np.ascontiguousarray(y.transpose(order)).transpose(np.argsort(order))
    for want, given_g, given_x in ((y, y, x), (y, g, odd)):
        gw = np.empty_like(w)
        gx: Any = ops.convolution_gradient(given_x, w, given_g, stride, True, gw)
        if given_g is want:
            expected = gx, gw
    assert all(np.array_equal(a, b) for a, b in zip((gx, gw), expected, strict=True))
    assert Device.of("cpu", "float64").put(odd).flags.c_contiguous


@given(st.floats(-1e6, 1e6), st.sampled_from(["float32", "float64"]))
def test_a_constant_channel_has_no_variance(constant: float, dtype: str) -> None:
    x = np.full((3, 4, 4, 9), constant, dtype)
    mean, variance = ops.batch_statistics(x)
    assert np.array_equal(mean, np.full(9, x.flat[0], np.float64))
    assert not variance.any()


@pytest.mark.parametrize("offset", [0.0, 1e3, 3e4])
def test_batch_norm_is_exact_far_from_zero(offset: float) -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(8, 4, 4, 3)) + offset).astype("float32")
    gy = rng.normal(size=x.shape).astype("float32")
    gamma = rng.normal(size=3).astype("float32")
    wide = [a.astype(np.float64) for a in (x, gamma, gy)]
    mean, variance = ops.batch_statistics(x)
    exact_mean, exact_variance = wide[0].mean(axis=(0, 1, 2)), wide[0].var(axis=(0, 1, 2))
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-7, atol=1e-7)  # float32 rounds at 2^-24
    np.testing.assert_allclose(variance, exact_variance, rtol=1e-6)
    gx, ggamma, _ = ops.batch_norm_gradient(x, gamma, 1e-3, mean, variance, gy, True)
    assert gx is not None
    slow: Any = ops.batch_norm_gradient(wide[0], wide[1], 1e-3, exact_mean, exact_variance, wide[2], True)
    np.testing.assert_allclose(ggamma, slow[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gx, slow[0], rtol=1e-3, atol=1e-3)  # the centre is a float32: off by up to 2^-9 at 3e4


def test_batch_norm_takes_any_number_of_axes() -> None:
    x = np.random.default_rng(2).normal(size=(6, 5, 4))
    y, _ = ops.batch_norm(x, np.ones(4), np.zeros(4), 0.0)
    np.testing.assert_allclose(y, (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1)), atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3, 3e4])
def test_a_running_norm_is_exact_far_from_zero(offset: float) -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(8, 4, 4, 3)) + offset).astype("float32")
    gy = rng.normal(size=x.shape).astype("float32")
    gamma, mean, variance = (a.astype("float32") for a in (rng.normal(size=3), offset + rng.normal(size=3), np.ones(3)))
    found = []
    for dtype in ("float32", "float64"):
        wide: list[Any] = [a.astype(dtype) for a in (x, mean, variance, gamma, gy)]
        sums = np.empty(3, dtype), np.empty(3, dtype)
        gx = ops.standardise_gradient(wide[0], wide[1], wide[2], 1e-3, wide[3], wide[4], True, *sums)
        assert gx is not None
        assert gx.dtype == dtype
        found.append((gx, *sums))
    for narrow, exact in zip(*found, strict=True):
        # x - mean is exact, or rounded once; sums of 128 products in float32 pieces
        np.testing.assert_allclose(narrow, exact, rtol=1e-5, atol=1e-4)


def test_a_running_norm_writes_what_it_is_given_and_computes_what_is_wanted() -> None:
    rng = np.random.default_rng(2)
    x, gy, gamma, mean = (rng.normal(size=shape) for shape in ((5, 4, 3), (5, 4, 3), 3, 3))
    arguments, before = (x, mean, np.ones(3), 1e-3, gamma, gy), [a.copy() for a in (x, mean, gamma, gy)]
    both = np.empty(3), np.empty(3)
    gx = ops.standardise_gradient(*arguments, True, *both)
    assert gx is not None
    alone = np.empty(3), np.empty(3)
    assert ops.standardise_gradient(*arguments, False, alone[0], None) is None
    assert ops.standardise_gradient(*arguments, False, None, alone[1]) is None
    assert ops.standardise_gradient(*arguments, False, None, None) is None
    assert np.array_equal(both, alone)
    again = ops.standardise_gradient(*arguments, True, None, None)
    assert again is not None
    assert np.array_equal(again, gx)
    assert all(np.array_equal(a, b) for a, b in zip((x, mean, gamma, gy), before, strict=True))


@given(st.lists(st.integers(0, 2**40), max_size=3), st.lists(st.integers(0, 2**40), max_size=3))
def test_different_keys_give_different_numbers(a: list[int], b: list[int]) -> None:
    same = generator("x", *a).random() == generator("x", *b).random()
    assert same == (a == b)
