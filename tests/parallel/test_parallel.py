"""Several ranks: the same weights as one by every method, the same bits everywhere; and no rank fails alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.comm import Communicator, require_equal
from lwsam_ref.data import DATASETS, load
from lwsam_ref.device import Device
from lwsam_ref.errors import UserError
from lwsam_ref.training import checkpoint
from lwsam_ref.training.config import OPTIONS, Config
from lwsam_ref.training.loop import run
from lwsam_ref.training.methods import METHODS as ALL
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.training.trainer import Trainer
from lwsam_ref.vector import Array
from parallel import jobs
from parallel.faulty import STEP
from parallel.problems import CASES, CLIMBING, METHODS, NETWORKS
from parallel.worker import FIRST, HALVES, REAL
from support import launch
from support.tables import another

TIMES = {"seconds", "images_per_second"}
Find = Callable[[int], list[jobs.Arrays]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jobs.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def found(folder: Path) -> Find:
    """By each of n ranks."""
    return lambda n: jobs.found(folder, n)


def part(arrays: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}


def off(a: Any, b: Any) -> float:
    """``max |a - b| / max |b|``."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    if a.dtype == bool:
        return float((a != b).any())
    return float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), np.finfo(float).tiny))


def numbers(value: Any) -> Iterator[Any]:
    """The leaves of a record, names among them, in order."""
    for each in value.items() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from numbers(each)
    if not isinstance(value, (dict, list, tuple)):
        yield value


def near(a: Any, b: Any) -> bool:
    leaves = list(numbers(a)), list(numbers(b))
    return len(leaves[0]) == len(leaves[1]) and all(
        abs(x - y) <= 1e-10 * abs(y) if isinstance(y, float) else x == y for x, y in zip(*leaves, strict=True)
    )


def records(arrays: jobs.Arrays, name: str) -> list[dict[str, Any]]:
    return json.loads(str(arrays[f"{name}/lines"]))


# -- as one --------------------------------------------------------------------------------------------------


def test_every_method_is_among_them() -> None:
    for names in CASES.values():
        assert {METHODS[name].get("method", "layerwise-sam") for name in names} == set(ALL)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("n", jobs.SEVERAL)
def test_twenty_steps_end_at_the_weights_of_one_rank(found: Find, n: int, network: str) -> None:
    """Velocity, running statistics and the method's state too; and every step is recorded alike."""
    (one,), (several, *_) = found(1), found(n)
    errors = {}
    for method in CASES[network]:
        here, there = (part(each, f"{network}/{method}") for each in (several, one))
        assert here.keys() == there.keys() >= {"weights", "buffers", "velocity", "norms"}
        assert here["step"] == there["step"] == 20
        assert here["accuracy"] == there["accuracy"]
        assert near(*(records(each, f"{network}/{method}") for each in (several, one))), method
        for name in here.keys() - {"lines", "accuracy"}:
            errors[method, name] = off(here[name], there[name])
    assert {key: error for key, error in errors.items() if not error <= 1e-12} == {}
    assert any(error > 0 for error in errors.values())


@pytest.mark.parametrize("n", jobs.SEVERAL)
def test_a_whole_run_is_recorded_as_that_of_one_rank(folder: Path, found: Find, n: int) -> None:
    """Steps, epochs with accuracies and probed norms, and once."""
    lines = []
    for ranks in (1, n):
        assert found(ranks)
        records = (folder / f"ranks-{ranks}" / "run" / "metrics.jsonl").read_text().splitlines()
        lines.append([{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in records])
    one, several = lines
    assert [line["kind"] for line in several] == ["step", "step", "epoch"] * 2
    assert len(several[-1]["gradient_norms"]) == 4
    assert near(several, one)


def test_the_steps_of_one_rank_are_worth_comparing(found: Find) -> None:
    """Each method ends elsewhere; layers, masks and samples are really selected; statistics move."""
    (one,) = found(1)
    for network, methods in CASES.items():
        for method, other in combinations(methods, 2):
            assert off(one[f"{network}/{method}/weights"], one[f"{network}/{other}/weights"]) > 1e-6, (method, other)
        for method in ("layerwise", "layerwise at random"):
            assert len({tuple(line["selected"]) for line in records(one, f"{network}/{method}")}) > 1, network
        assert 0 < one[f"{network}/sparse/state.mask"].mean() < 1
    assert len({tuple(line["selected"]) for line in records(one, "plain/budget")}) > 1
    for method, other in combinations(CASES["normed"], 2):
        assert off(one[f"normed/{method}/buffers"], one[f"normed/{other}/buffers"]) > 1e-6, (method, other)


@pytest.mark.parametrize("n", jobs.SEVERAL)
def test_all_ranks_have_the_same_bits(found: Find, n: int) -> None:
    """Whatever they compute, in every mode; only their places differ."""
    first, *others = found(n)
    for other in others:
        assert other.keys() == first.keys()
        differ = [name for name, array in first.items() if array.tobytes() != other[name].tobytes()]
        assert differ == ["place"]


# -- each up its own hill ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", jobs.SEVERAL)
def test_ranks_that_climb_by_themselves_end_elsewhere(found: Find, n: int) -> None:
    """Than one rank, and than those that climb together; but not by SGD, which does not climb."""
    (one,), (several, *_) = found(1), found(n)
    for method in CLIMBING:
        name = f"local/{method}/weights"
        assert off(several[name], one[name]) > 1e-6, method
        assert off(several[name], several[f"plain/{method}/weights"]) > 1e-6, method
    assert off(several["local/sgd/weights"], one["local/sgd/weights"]) <= 1e-12
    assert np.array_equal(several["local/sgd/weights"], several["plain/sgd/weights"])


def test_one_rank_that_climbs_by_itself_climbs_as_all_do(found: Find) -> None:
    (one,) = found(1)
    for method in CLIMBING:
        for name, array in part(one, f"local/{method}").items():
            assert array.tobytes() == one[f"plain/{method}/{name}"].tobytes(), (method, name)


@pytest.mark.parametrize("case", FIRST)
@pytest.mark.parametrize("n", jobs.SEVERAL)
def test_a_step_up_hills_of_their_own_is_the_mean_of_steps_made_by_hand(found: Find, n: int, case: str) -> None:
    """``(1 - alpha) g + alpha h``, each h taken at w + r g of its own part; the same for batch norm's statistics."""
    (one,), (several, *_) = found(1), found(n)
    by_hand = part(one, f"hand/{n}/{case}")
    assert by_hand.keys() == {"weights", "velocity", "buffers", "numbers"}
    for name, expected in by_hand.items():
        assert off(several[f"first/{case}/{name}"], expected) <= 1e-13, name
    assert off(by_hand["velocity"], one[f"first/{case}/velocity"]) > 1e-3


# -- two halves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", HALVES)
@pytest.mark.parametrize("model", REAL)
def test_two_ranks_do_what_two_half_batches_averaged_by_hand_do_bit_for_bit(
    found: Find, model: str, method: str
) -> None:
    """In float32: loss, velocity, weights and running statistics after each of three steps."""
    by_hand, *two = (each[f"halves/{model}/{method}"].tolist() for each in (*found(1), *found(2)))
    assert len(by_hand) == len(set(by_hand)) == 12
    assert two == [by_hand, by_hand]


# -- a fault of one is the end of all ------------------------------------------------------------------------

MLP = ("--model", "mlp", "--k", "2", "--batch-size", "72")
FAULTY = ("-m", "parallel.faulty")
OTHERS = """
import os, sys
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The launcher in the place of a rank: what it starts need not all be the same."""

Said = subprocess.CompletedProcess[str]


def apart(*groups: tuple[int, tuple[Any, ...]], **environment: str) -> Said:
    """So many ranks of each command."""
    words: list[Any] = [launch.BIN / "mpirun"]
    for i, (n, command) in enumerate(groups):
        words += [*([":"] if i else []), "-n", n, launch.BIN / "python", *command]
    return launch.run(1, "-c", OTHERS, *words, **jobs.ENVIRONMENT | environment)


def alive(word: str) -> list[int]:
    """The processes that have it in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def in_time(said: Said, stamp: Path) -> Said:
    """It failed, and all of it was over within ten seconds."""
    until = float(stamp.read_text()) + 10
    while alive(str(stamp)):
        assert time.time() < until, said.stderr
        time.sleep(0.02)
    assert time.time() < until, said.stderr
    assert said.returncode != 0, said.stderr
    return said


def struck(stamp: Path, n: int, rank: int, fault: str, *arguments: Any) -> Said:
    command = (*FAULTY, rank, fault, stamp, "train", *MLP, *arguments)
    return in_time(launch.run(n, *command, **jobs.ENVIRONMENT), stamp)


@pytest.mark.parametrize(("n", "rank"), [(2, 1), pytest.param(4, 0, marks=pytest.mark.slow)])
def test_a_rank_that_raises_ends_all_and_says_why(tmp_path: Path, n: int, rank: int) -> None:
    said = struck(tmp_path / "stamp", n, rank, "raises")
    assert said.returncode == 1
    assert f"lwsam, rank {rank}: Traceback" in said.stderr
    assert said.stderr.count("RuntimeError: a fault of this rank alone") == 1


@pytest.mark.parametrize(("n", "rank"), [(3, 2), pytest.param(2, 0, marks=pytest.mark.slow)])
def test_a_rank_that_is_killed_ends_all(tmp_path: Path, n: int, rank: int) -> None:
    struck(tmp_path / "stamp", n, rank, "killed")


def test_a_rank_whose_loss_is_no_number_ends_all(tmp_path: Path) -> None:
    said = struck(tmp_path / "stamp", 2, 1, "nan")
    assert said.returncode == 2
    assert f": training stopped at step {STEP}: loss is nan; " in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("fault", ["drifts", "drifts_and_is_asked_to_end"])
def test_a_rank_whose_weights_drift_ends_all_after_the_epoch(tmp_path: Path, fault: str) -> None:
    """Or before a checkpoint is written for another reason."""
    said = struck(tmp_path / "stamp", 2, 1, fault, "--epochs", "2", "--out", tmp_path / "out")
    assert said.returncode == 2
    assert "asked 2 ranks to train together, but the state is not the same: " in said.stderr
    assert "Traceback" not in said.stderr
    assert int(checkpoint.read(tmp_path / "out")["step"]) == 0  # it does not get into a checkpoint


def test_a_rank_with_other_data_ends_all(tmp_path: Path) -> None:
    said = struck(tmp_path / "stamp", 2, 1, "other_data")
    assert said.returncode == 2
    assert "asked 2 ranks to train together, but the data set is not the same: " in said.stderr
    assert "Traceback" not in said.stderr


def test_a_rank_with_another_option_ends_all_and_both_are_named(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    command = (*FAULTY, 0, "none", stamp, "train", *MLP, "--lr")
    said = in_time(apart((2, (*command, "0.5")), (1, (*command, "0.25"))), stamp)
    assert said.returncode == 2
    assert "rank 0: asked 3 ranks to train together, but the config is not the same: " in said.stderr
    assert (
        " same: lr = 0.5 of rank 0, lr = 0.25 of rank 2: start all ranks with the same files and options" in said.stderr
    )
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--nonsense",), "no such option"),
        pytest.param(("--k", "99"), "asked for k = 99, but the network has", marks=pytest.mark.slow),
        pytest.param(("--config", "nowhere.toml"), "asked for config file nowhere.toml", marks=pytest.mark.slow),
    ],
)
def test_a_rank_whose_own_options_are_refused_ends_all(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    stamp = tmp_path / "stamp"
    command = (*FAULTY, 1, "none", stamp, "train", *MLP)
    said = in_time(apart((1, command), (1, (*command, *arguments))), stamp)
    assert said.returncode == 2
    assert "lwsam, rank 1: " in said.stderr
    assert sentence.lower() in said.stderr.lower()
    assert "Traceback" not in said.stderr


def test_a_first_rank_that_cannot_write_ends_all(tmp_path: Path) -> None:
    """The others never look at the folder."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.toml").touch()
    said = struck(tmp_path / "stamp", 2, 0, "none", "--out", tmp_path / "out")
    assert said.returncode == 2
    assert "lwsam, rank 0: asked " in said.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("n", "arguments", "sentence"),
    [
        (
            2,
            ("--batch-size", "63"),
            "asked 2 ranks to share batch_size = 63, but each must have as many: use a multiple of 2",
        ),
        (
            3,
            ("--batch-size", "72", "--method", "esam", "--esam-gamma", "0.7"),
            "asked 3 ranks to share esam_gamma = 0.7, that is samples = 50, but each must have as many: use a multiple"
            " of 3",
        ),
    ],
)
def test_what_the_ranks_cannot_divide_is_refused(n: int, arguments: tuple[str, ...], sentence: str) -> None:
    said = launch.lwsam(n, "train", "--model", "mlp", *arguments, **jobs.ENVIRONMENT)
    assert said.returncode == 2
    assert said.stderr.count(f"lwsam, rank 0: {sentence}\n") == 1
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("cost", "--model", "mlp"),
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in (
                ("compare", "--out", "nowhere"),
                ("trace",),
                ("sharpness", "nowhere"),
                ("verify",),
                ("data", "path", "digits"),
            )
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_do_not_run_as_ranks(arguments: tuple[str, ...]) -> None:
    said = launch.lwsam(2, *arguments, **jobs.ENVIRONMENT)
    assert said.returncode == 2
    assert f"asked 2 ranks for lwsam {arguments[0]}, but only lwsam train shares its work: start" in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_a_launcher_that_starts_one_rank_is_no_hindrance(tmp_path: Path) -> None:
    command = ("-m", "lwsam_ref.cli")
    assert apart((1, (*command, "data", "path", "digits"))).returncode == 0
    said = apart((1, (*command, "train", *MLP, "--epochs", "1", "--out", tmp_path / "out")))
    assert said.returncode == 0, said.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ranks"] == 1


# -- any two options that differ are named -------------------------------------------------------------------


class Told(Communicator, BaseException):
    """A rank of two that ends at the first thing that it has to say to the other."""

    size = 2

    def gather_text(self, text: str) -> list[str]:
        self.text = text
        raise self


class Two(Communicator):
    """A rank, and what the other one has to say."""

    size = 2

    def __init__(self, other: str) -> None:
        super().__init__()
        self.other = other

    def gather_text(self, text: str) -> list[str]:
        return [text, self.other]


def told(config: Config) -> str:
    """What a rank says of its config."""
    network = nets.resnet20((8, 8, 1), 10)
    trainer = Trainer(config, network, load("digits"))
    trainer.comm = told = Told()
    with pytest.raises(Told):
        run(trainer)
    return told.text


BESIDE: dict[str, dict[str, Any]] = {"stabiliser": {"adaptive": True}, "budget": {"budget": 0.3}, "rho": {"rho": 0.3}}


def others() -> Iterator[tuple[str, Config, Config]]:
    """A config that uses an option, and the same with another value of it."""
    for name, option in OPTIONS.items():
        value = another(option)
        kinds: dict[str, Any] = {"method": ALL, "model": MODELS, "dataset": DATASETS}
        owners = {what: owner for what, table in kinds.items() for owner, kind in table.items() if name in kind.options}
        if name in ALL["layerwise-sam"].options:
            owners["method"] = "layerwise-sam"
        one = Config.of({"model": "wrn16-2", "dataset": "digits", **owners, **BESIDE.get(name, {})})
        yield name, one, one.but(**{name: value})


@pytest.mark.parametrize(("option", "one", "other"), list(others()), ids=list(OPTIONS))
def test_an_option_that_differs_is_named(option: str, one: Config, other: Config) -> None:
    first, second = told(one), told(other)
    require_equal(Two(first), {"the config": lambda: first})
    of = rf"(?:[^\n]*, )?{option} = [^\n]* of rank"
    with pytest.raises(UserError, match=rf"the config is not the same: {of} 0, {of} 1: start"):
        require_equal(Two(second), {"the config": lambda: first})


# -- running statistics --------------------------------------------------------------------------------------


class Three(Communicator):
    """A rank of three that all have the same: and a mean that is off, so that what it moved is seen."""

    size = 3

    def mean(self, array: Array) -> Array:
        return (array + array + array) / 3 + 1e-3


def test_the_statistics_of_frozen_nodes_stay_to_the_bit() -> None:
    b = Builder((5,))
    with b.frozen():
        still = b.batch_norm("still", b.input)
    b.linear("output", b.batch_norm("moving", still), 2)
    network = b.network(Device.of("cpu", "float64"))
    network.buffers.data[...] = np.random.default_rng(0).uniform(0.1, 1.0, network.buffers.data.shape)
    before = network.buffers.copy()
    NetworkObjective(network, comm=Three()).average_buffers()
    for tensor in network.buffers.layout.tensors:
        same = np.array_equal(network.buffers[tensor.name], before[tensor.name])
        assert same == tensor.name.startswith("still."), tensor.name


# -- without MPI ---------------------------------------------------------------------------------------------

ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def python(code: str, *arguments: str, **environment: str) -> Said:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | ALONE | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module
import lwsam_ref, nets, proofs
count = 0
for package in (lwsam_ref, nets, proofs):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            import_module(module.name)
            count += 1
        except ModuleNotFoundError as error:
            assert error.name in ("z3", "PEPit", "cvxpy"), error
assert count > 60, count
print([name for name in sys.modules if name.split(".")[0] == "mpi4py"])
"""

TRAIN = """
import sys
from lwsam_ref.cli import main as cli
sys.argv = ["lwsam", "train", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as done:
    assert done.code == 0
print([name for name in sys.modules if name.split(".")[0] == "mpi4py"])
"""


def test_nothing_imports_mpi_but_ranks() -> None:
    """Not the packages, in whole, even where a launcher is at work; and not the command without one."""
    assert python(IMPORT_ALL, PMI_RANK="0", PMI_SIZE="2").stdout == "[]\n"
    said = python(TRAIN, *MLP, "--epochs", "1")
    assert said.stdout.splitlines()[-1] == "[]", said.stderr


MISSING = """
import sys
from types import ModuleType

class Broken(ModuleType):
    def __getattr__(self, name):
        raise RuntimeError("cannot load MPI library")

sys.modules["mpi4py"] = None if sys.argv.pop() == "none" else Broken("mpi4py")
from lwsam_ref.cli import main as cli
sys.argv = ["lwsam", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("command", [("train", *MLP), ("cost",)], ids=lambda words: words[0])
@pytest.mark.parametrize("kind", ["none", "broken"])
def test_a_launcher_without_an_mpi_to_use_is_told_in_one_sentence(kind: str, command: tuple[str, ...]) -> None:
    """mpi4py is not installed, or finds no MPI."""
    said = python(MISSING, *command, kind, PMI_RANK="0")
    assert said.stderr.startswith("lwsam: asked to run as one of several ranks, but mpi4py cannot be used ("), said
    assert said.stderr.count("\n") == 1
    assert said.returncode == 2


# -- little room, few rights ---------------------------------------------------------------------------------

WITHIN = """
import os, sys
core, *command = sys.argv[1:]
if core == "one":
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
os.execvp(command[0], command)
"""

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def trained(cores: str, *prefix: str, **environment: str) -> None:
    """Two ranks train, and leave what they should."""
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:  # tests' own folders are for their user alone
        os.chmod(folder, 0o777)  # noqa: S103
        out = Path(folder) / "out"
        environment = {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"} | environment
        command = (launch.BIN / "mpirun", "-n", 2, "env", launch.BIN / "python", "-m", "lwsam_ref.cli")
        options = (*MLP, "--epochs", "2", "--out", out)
        said = launch.run(
            1, "-c", WITHIN, cores, *prefix, *command, "train", *options, **jobs.ENVIRONMENT | environment
        )
        assert said.returncode == 0, said.stderr
        summary = json.loads((out / "summary.json").read_text())
        assert summary["ranks"] == 2
        assert [line for line in said.stderr.splitlines() if line.startswith("rank ")] == [
            f"rank {rank} of 2: cpu, 1 BLAS thread(s)" for rank in range(2)
        ]
        assert said.stdout.count("\n") == 1
        assert {path.stat().st_uid for path in out.iterdir()} == {65534 if prefix else os.getuid()}


def test_two_ranks_do_with_one_core() -> None:
    trained("one")


def test_a_user_who_is_not_root_can_start_ranks() -> None:
    """Started by root, the test is nobody's; and may read, no more, an interpreter that is root's own."""
    if os.getuid():
        return trained("all")
    ways = [*Path(sys.executable).resolve().parents, *(launch.BIN / "python").resolve().parents]
    closed = any(folder.stat().st_mode & 0o005 != 0o005 for folder in ways)
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search") if closed else ()
    allowed = {name: "" for name in launch.ENVIRONMENT if "ROOT" in name}
    return trained("all", *NOBODY, *rights, **allowed)


# -- the scripts -------------------------------------------------------------------------------------------------

SCRIPTS = jobs.TESTS.parent / "scripts"


def shell(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{launch.BIN}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", str(SCRIPTS / script), *map(str, arguments)]
    environment = os.environ | launch.ENVIRONMENT | {"PATH": path} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("spelling", [("--resume", "{}"), ("--resume={}",)])
def test_two_gpus_begins_a_run_and_goes_on_with_it(tmp_path: Path, spelling: tuple[str, ...]) -> None:
    """Here on two cores."""
    out = tmp_path / "run"
    begun = shell("two_gpus.sh", *MLP, "--epochs", 1, "--out", out, DEVICE="cpu")
    assert begun.returncode == 0, begun.stderr
    assert json.loads((out / "summary.json").read_text())["ranks"] == 2
    again = shell("two_gpus.sh", *(word.format(out) for word in spelling), DEVICE="cpu")
    assert again.stdout == f"{out} is finished: nothing is left to do\n", again


@pytest.mark.parametrize(
    ("restarts", "status", "spelling", "handed"),
    [
        (0, 0, ("--out", "{}"), "--preset digits --out {}"),
        (1, 0, ("--out", "{}"), "--resume {}"),
        (2, 0, ("--out={}", "--data-dir", "data"), "--resume {} --data-dir data"),
        (0, 143, ("--out", "{}"), "--preset digits --out {}"),
        (1, 2, ("--out", "{}"), "--resume {}"),
    ],
)
def test_a_slurm_job_that_starts_again_goes_on(
    tmp_path: Path, restarts: int, status: int, spelling: tuple[str, ...], handed: str
) -> None:
    """With commands of Slurm that write down what they are asked for; one that ended by SIGTERM is queued again."""
    out, log = tmp_path / "run", tmp_path / "log"
    out.mkdir()
    (out / "config.toml").touch()
    for name, body in (("srun", f'echo "$@" >>{log}; exit {status}'), ("scontrol", f'echo "$@" >>{log}')):
        stub = tmp_path / name
        stub.write_text(f"#!/bin/sh\n{body}\n")
        stub.chmod(0o755)
    slurm = {"SLURM_RESTART_COUNT": f"{restarts}", "SLURM_JOB_ID": "7", "PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin"}
    done = shell("slurm.sbatch", "--preset", "digits", *(word.format(out) for word in spelling), **slurm)
    assert done.returncode == status
    first, *then = log.read_text().splitlines()
    assert first.endswith(f" lwsam train {handed.format(out)}")
    assert "--kill-on-bad-exit=1" in first
    assert then == (["requeue 7"] if status == 143 else [])


def test_the_benchmark_of_ranks_counts_what_the_formula_says() -> None:
    options = ("--ranks", "1,2", "--model", "mlp", "--batch-size", "4", "--image", "4", "--rounds", "1", "--k", "2")
    said = launch.run(1, SCRIPTS / "benchmark.py", *options, limit=120)
    assert said.returncode == 0, said.stderr
    rows = [line.split("│")[1:-1] for line in said.stdout.splitlines() if line.startswith("│")]
    assert [(name.strip(), int(ranks)) for name, ranks, *_ in rows] == [
        (name, ranks) for name in ("SGD", "layer-wise SAM, last 2") for ranks in (1, 2)
    ]
    for _, ranks, _, _, _, sent, formula in rows:
        assert float(sent) == float(formula)
        assert (float(sent) > 0) == (int(ranks) > 1)
