"""The picture of a run shows what its records say; what is no run, or damaged, is refused in one sentence."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lwsam_ref.analysis import run_picture
from lwsam_ref.analysis.history import histories, history, smoothed
from lwsam_ref.errors import UserError
from support.command import QUICK, lwsam, refused

RUNS = {
    "sgd": ("--method", "sgd"),
    "sam": ("--method", "sam"),
    "layerwise": ("--k", 1),
    "probed": ("--k", 2, "--probe"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, options in RUNS.items():
        assert lwsam("train", *QUICK, *options, "--out", folder / name).returncode == 0
    return folder


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    return [r for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if r["kind"] == kind]


def artists(figure: Any) -> dict[str, Any]:
    """Lines and bars by their names."""
    found = [a for panel in figure.axes for a in (*panel.lines, *panel.patches) if a.get_gid()]
    assert len({a.get_gid() for a in found}) == len(found)
    return {a.get_gid(): a for a in found}


@pytest.mark.parametrize("name", RUNS)
def test_what_is_drawn_is_what_the_records_say(runs: Path, name: str) -> None:
    drawn = artists(run_picture.picture([history(runs / name)]))
    steps, epochs = records(runs / name, "step"), records(runs / name, "epoch")
    summary = json.loads((runs / name / "summary.json").read_text())
    for value in ("loss", "loss_perturbed", "captured", "cost"):
        expected = [step[value] for step in steps]
        if any(v is not None for v in expected):
            line = drawn[f"{name}.{value}"]
            assert line.get_xdata().tolist() == list(range(1, len(steps) + 1))
            assert np.array_equal(line.get_ydata(), np.array(expected, np.float64), equal_nan=True)
        else:
            assert f"{name}.{value}" not in drawn
    accuracy = drawn[f"{name}.accuracy"]
    assert list(zip(accuracy.get_xdata(), accuracy.get_ydata(), strict=True)) == [
        (line["epoch"] + 1, line["accuracy"]) for line in epochs
    ]
    for layer in summary["layers"]:
        norms = [step["descent_norms"][layer] for step in steps]
        assert min(norms) <= drawn[f"norm.{layer}"].get_ydata().min()
        assert drawn[f"norm.{layer}"].get_ydata().mean() == pytest.approx(np.mean(norms), rel=0.1)
        bar = drawn.get(f"{name}.count.{layer}")
        assert (bar.get_width() if bar else 0) == summary["perturbation_counts"][layer]
    assert (f"{name}.probe" in drawn) == (name == "probed")
    if name == "probed":
        assert list(drawn["probed.probe"].get_ydata()) == [line["gradient_norm"] for line in epochs]


@pytest.mark.parametrize("names", [["layerwise"], ["probed"], ["sgd", "sam", "probed"]], ids=" ".join)
def test_no_legend_lies_on_a_panel(runs: Path, names: list[str]) -> None:
    """Nor does a panel with its labels lie on another, nor the title on any."""
    figure = run_picture.picture(histories([runs / name for name in names]))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [panel.get_tightbbox(renderer) for panel in figure.axes]
    boxes += [figure.legends[0].get_window_extent(renderer), figure._suptitle.get_window_extent(renderer)]
    assert not any(panel.get_legend() for panel in figure.axes)
    for a, b in combinations(boxes, 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) <= 1 or min(a.y1, b.y1) - max(a.y0, b.y0) <= 1


@given(st.lists(st.none() | st.floats(-9, 9), max_size=30), st.integers(1, 40))
def test_a_smooth_line_is_made_of_means_of_what_is_there(values: list[float | None], window: int) -> None:
    known = [(i + 1, v) for i, v in enumerate(values) if v is not None]
    size = min(window, len(known))
    x, y = smoothed(np.array(values, np.float64), window)
    assert len(x) == len(y) == (len(known) - size + 1 if known else 0)
    for i in range(len(x)):
        assert x[i] == pytest.approx(np.mean([place for place, _ in known[i : i + size]]))
        assert y[i] == pytest.approx(np.mean([v for _, v in known[i : i + size]]), abs=1e-12)


def test_the_command_draws_one_run_into_its_folder_and_several_where_it_is_told(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "layerwise", tmp_path / "one")
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    assert lwsam("plot", run).stdout == f"picture: {run / 'run.png'}\n"
    after = {p.name: p.read_bytes() for p in run.iterdir()}
    assert after.pop("run.png").startswith(b"\x89PNG\r\n\x1a\n")
    assert after == before
    assert "give --out" in refused("plot", run, runs / "sgd")
    both = tmp_path / "both.svg"
    assert lwsam("plot", run, runs / "sgd", "--out", both).returncode == 0
    tree = ET.fromstring(both.read_bytes())  # noqa: S314
    said = ["".join(e.itertext()).strip() for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    for words in ("hidden1", "hidden2", "output", "one", "sgd", "loss at w + e"):
        assert words in said
    assert not list(tmp_path.rglob("*.tmp"))


def part(run: Path, to: Path, keep: int, tail: bytes = b"") -> Path:
    """A copy of the run as it was after so many records, ``tail`` written of the next."""
    shutil.copytree(run, to)
    (to / "summary.json").unlink()
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (to / "metrics.jsonl").write_bytes(b"".join(lines[:keep]) + tail)
    return to


@pytest.mark.parametrize("keep", [1, 2, 22, 23, 30])
def test_a_run_that_is_not_over_is_drawn_as_far_as_it_is(runs: Path, tmp_path: Path, keep: int) -> None:
    """Of the last line, half was written."""
    run = history(part(runs / "probed", tmp_path / "cut", keep, b'{"kind": "step", "st'))
    epochs = int(keep > 22)
    assert (run.steps, len(run.epochs)) == (keep - epochs, epochs)
    assert run_picture.title(run).endswith(f"unfinished: {run.steps} steps, {epochs} of 2 epochs are over")
    run_picture.draw([run], tmp_path / "cut.png")
    assert (tmp_path / "cut.png").stat().st_size > 1000


def test_what_cannot_be_plotted_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    assert "there is no run" in refused("plot", tmp_path)
    assert "no record of a step" in refused("plot", part(runs / "sgd", tmp_path / "begun", 0))
    damaged = part(runs / "sgd", tmp_path / "damaged", 3, b"{]\n")
    assert "damaged (line 4" in refused("plot", damaged)
    assert not (damaged / "run.png").exists()
    assert ".png, .svg or .pdf" in refused("plot", runs / "sgd", "--out", tmp_path / "run.gif")
    deep = tmp_path / "deep"
    options = ("--model", "resnet20", "--epochs", 1, "--batch-size", 1438)
    assert lwsam("train", *options, "--out", deep).returncode == 0
    assert "layers differ" in refused("plot", runs / "sgd", deep, "--out", tmp_path / "both.png")


def test_two_runs_of_the_same_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    other = shutil.copytree(runs / "sgd", tmp_path / "sgd")
    assert [run.name for run in histories([runs / "sgd", other])] == [str(runs / "sgd"), str(other)]


ODD = [None, True, "x", "1", -1, 0, 2.5, 10**400, float("nan"), [], [1], {}, {"a": 1}, "hidden1"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_record_is_drawn_or_refused(
    runs: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = shutil.copytree(runs / "probed", tmp_path_factory.mktemp("damaged") / "run")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    line = lines[data.draw(st.sampled_from([0, 1, 21, 22, 30, len(lines) - 1]))]
    name = data.draw(st.sampled_from(sorted(line)))
    if data.draw(st.booleans()):
        line[name] = data.draw(st.sampled_from(ODD))
    else:
        del line[name]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = ""
    try:
        run_picture.picture([history(run)])
    except UserError as error:
        said = str(error)
    assert ("damaged" in said and "\n" not in said) or not said
