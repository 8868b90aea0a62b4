"""Sharpness on problems whose Hessian is known, and of runs on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.analysis.sharpness import rise, top_eigenvalue
from lwsam_ref.training import checkpoint
from lwsam_ref.vector import LayeredVector, Layout
from support import toy
from support.command import QUICK, lwsam, refused
from support.strategies import seeds

LAYERS = {"a": (2, 2), "b": (3,)}


def gradient_of(f: toy.FiniteSum, batch: tuple[int, ...] = (0, 1, 2)) -> Any:
    def gradient() -> tuple[Any, LayeredVector]:
        at_w = f.forward(batch)
        return at_w.loss, at_w.backward()

    return gradient


@given(seeds)
def test_the_top_eigenvalue_of_an_indefinite_quadratic(seed: int) -> None:
    """A quadratic's gradient differences are exact but for rounding; 1e-3 is what was asked for."""
    f = toy.quadratic(LAYERS, seed, np.float64)
    before = f.weights.data.copy()
    found = top_eigenvalue(f.weights, gradient_of(f), tolerance=1e-9)
    values = np.linalg.eigvalsh(f.hessian_of((0, 1, 2)))
    assert abs(found.value - values[-1]) <= 1e-6 * np.abs(values).max()
    assert (f.weights.data == before).all()


@given(seeds)
def test_the_top_eigenvalue_where_the_hessian_moves(seed: int) -> None:
    """The difference quotient is wrong by about h^2 = 1e-8 times third derivatives of order |a|^4."""
    f = toy.waves(LAYERS, seed)
    values = np.linalg.eigvalsh(f.hessian_of((0, 1, 2)))
    found = top_eigenvalue(f.weights, gradient_of(f), tolerance=1e-6)
    assert abs(found.value - values[-1]) <= 1e-4 * np.abs(values).max()


@pytest.mark.parametrize(
    "diagonal", [[3.0, -3.0, 1.0], [-1.0, -2.0, -5.0], [2.0, -9.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
)
def test_the_largest_eigenvalue_not_the_one_of_largest_magnitude(diagonal: list[float]) -> None:
    w = LayeredVector(Layout.of({"a": (3,)}), np.ones(3))
    found = top_eigenvalue(w, lambda: (0.0, LayeredVector(w.layout, np.array(diagonal) * w.data)), tolerance=1e-9)
    assert abs(found.value - max(diagonal)) <= 1e-7
    assert found.residual <= 1e-7


def test_too_few_products_are_told_by_the_residual() -> None:
    f = toy.quadratic({"a": (30,)}, 0, np.float64)
    assert top_eigenvalue(f.weights, gradient_of(f), products=2).residual > 1e-3
    enough = top_eigenvalue(f.weights, gradient_of(f), products=30)
    assert enough.residual < 1e-3
    assert enough.products <= 30


@given(seeds, st.sampled_from([0.01, 0.3, 2.0]))
def test_the_rise_of_a_quadratic_is_nearly_the_largest_in_the_ball(seed: int, rho: float) -> None:
    """Never above what Cauchy-Schwarz and the top eigenvalue allow, never below SAM's own step."""
    f = toy.quadratic(LAYERS, seed, np.float64)
    loss, g = gradient_of(f)()
    found = rise(f.weights, gradient_of(f), rho)
    length, hessian = np.sqrt(g.squared_norm()), f.hessian_of((0, 1, 2))
    e = rho / length * g.data
    assert found.loss == loss
    assert found.value >= max(0.0, e @ g.data + e @ hessian @ e / 2) - 1e-9 * (1 + abs(loss))
    assert found.value <= rho * length + max(0.0, np.linalg.eigvalsh(hessian)[-1]) * rho**2 / 2 + 1e-9 * (1 + abs(loss))


def test_the_rise_climbs_on_from_sams_step() -> None:
    """l = 4 y^2 / 2 + x / 100: the first step goes along x, the way up is along y."""
    w = LayeredVector(Layout.of({"a": (2,)}), np.array([0.0, 1e-4]))

    def gradient() -> tuple[float, LayeredVector]:
        x, y = w.data
        return 2 * y * y + x / 100, LayeredVector(w.layout, np.array([0.01, 4 * y]))

    assert rise(w, gradient, 1.0, iterations=1).value < 0.02
    assert rise(w, gradient, 1.0, iterations=50).value > 1.99


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sgd"
    assert lwsam("train", *QUICK, "--method", "sgd", "--out", out).returncode == 0
    return out


def test_a_run_on_disk_is_measured_where_it_ended(run: Path) -> None:
    done = lwsam("sharpness", run, "--images", 128)
    assert done.returncode == 0, done.stderr
    assert "sgd" in done.stdout
    again = lwsam("sharpness", run.parent, "--images", 128)  # a folder of runs stands for its runs
    assert again.stdout == done.stdout


def test_what_is_no_run_is_refused_in_one_sentence(run: Path, tmp_path: Path) -> None:
    assert "no config.toml" in refused("sharpness", tmp_path)
    (tmp_path / "config.toml").write_bytes((run / "config.toml").read_bytes())
    assert "checkpoint.npz" in refused("sharpness", tmp_path)
    whole = (run / "checkpoint.npz").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:3000] + b"\xff" * 40 + whole[3040:], b"PK\x03\x04 no"):
        (tmp_path / "checkpoint.npz").write_bytes(damaged)
        assert "damaged" in refused("sharpness", tmp_path)
    arrays = checkpoint.read(run / "checkpoint.npz")
    for wrong in ({"weights": arrays["weights"][1:]}, {"weights": arrays["weights"] * np.nan}):
        checkpoint.write(tmp_path, arrays | wrong)
        assert "no weights of mlp" in refused("sharpness", tmp_path)
    checkpoint.write(tmp_path, {"buffers": arrays["buffers"]})
    assert "no weights of mlp" in refused("sharpness", tmp_path)
