"""Data: what comes with the package, and epochs and augmentation as functions of the seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref import data
from lwsam_ref.algorithms.optimizer import Momentum, learning_rate
from lwsam_ref.data import digits
from lwsam_ref.errors import UserError
from lwsam_ref.vector import LayeredVector, Layout

SHA256 = "78a85852f7f6b2b5d209ab9b246a3f6783ba99bf264099704d8725980b7e0b97"


def test_the_digits_are_the_published_ones() -> None:
    assert hashlib.sha256(Path(digits.__file__).with_name("digits.npz").read_bytes()).hexdigest() == SHA256
    images, labels = digits.read()
    assert images.shape == (1797, 8, 8)
    assert images.max() == 16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_split_is_standardised_by_the_training_images() -> None:
    digits = data.load("digits")
    assert isinstance(digits, data.Images)
    assert (len(digits.train.targets), len(digits.test.targets)) == (1438, 359)
    images = digits.prepared(digits.train.inputs)
    mean, deviation = images.mean(axis=0), images.std(axis=0)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    assert np.all(np.isclose(deviation, 1) | (deviation == 0))
    assert not images[:, digits.moments[1] == 0].any()
    assert np.isfinite(digits.prepared(digits.test.inputs)).all()


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UserError, match=r"mnist.*digits"):
        data.load("mnist")


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 3), st.integers(0, 3), st.integers(1, 4))
def test_ranks_share_one_permutation(n: int, batch_size: int, seed: int, epoch: int, ranks: int) -> None:
    whole = list(data.batches(n, batch_size, seed=seed, epoch=epoch))
    assert len(whole) == data.batches_per_epoch(n, batch_size)
    assert all(len(b) == batch_size for b in whole)
    seen = np.concatenate([*whole, np.array([], int)])
    assert len(set(seen.tolist())) == len(seen)
    assert set(seen.tolist()) <= set(range(n))
    parts = [data.batches(n, batch_size, seed=seed, epoch=epoch, rank=p, ranks=ranks) for p in range(ranks)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(batch.tolist()) == sorted(np.concatenate(shares).tolist())


def test_epochs_and_seeds_differ() -> None:
    first = {(s, e): next(data.batches(1000, 8, seed=s, epoch=e)).tobytes() for s in range(3) for e in range(3)}
    assert len(set(first.values())) == 9


@given(st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_a_crop_is_a_window_of_the_padded_image(pad: int, flip: bool, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(5, 4, 6, 2))
    y = data.crop_and_flip(x, pad, flip, (seed, 7))
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for image, moved in zip(padded, y, strict=True):
        windows = [image[i : i + 4, j : j + 6] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
        windows += [w[:, ::-1] for w in windows] if flip else []
        assert any(np.array_equal(moved, w) for w in windows)
    assert np.array_equal(y, data.crop_and_flip(x, pad, flip, (seed, 7)))
    assert y.dtype == x.dtype


def test_flips_happen_half_of_the_time() -> None:
    x = np.random.default_rng(0).normal(size=(400, 2, 2, 1))
    flipped = data.crop_and_flip(x, 0, True, (0, 0))[:, 0, 0, 0] == x[:, 0, 1, 0]
    assert 150 < flipped.sum() < 250


def test_momentum_is_the_usual_recurrence() -> None:
    layout = Layout.of({"a": (2,)})
    w = LayeredVector(layout, np.array([1.0, -2.0]))
    decayed = LayeredVector(layout, np.array([0.5, 0.0]))
    optimizer = Momentum(w, 0.5, decayed)
    optimizer.step(LayeredVector(layout, np.array([1.0, 1.0])), 0.5)
    assert w.data.tolist() == [1 - 0.5 * 1.5, -2.5]
    optimizer.step(LayeredVector(layout, np.array([0.0, 1.0])), 1.0)
    assert w.data.tolist() == [0.25 - (0.75 + 0.125), -2.5 - 1.5]


def test_the_authors_schedules_are_fractions_of_the_run() -> None:
    rates = [learning_rate(1.0, (0.75, 0.9), 0.1, e, 200) for e in range(200)]
    assert [rates.count(r) for r in dict.fromkeys(rates)] == [150, 30, 20]
