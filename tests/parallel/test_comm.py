"""The contract of a communicator: alone, on ranks, with arrays on a device; what a step sends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lwsam_ref import comm as comms
from lwsam_ref.autodiff.layers import BatchNorm
from lwsam_ref.comm import MPI, RANKS, SERIAL, SIZES, Communicator, launched, world
from lwsam_ref.device import Device
from lwsam_ref.errors import UserError
from lwsam_ref.training.config import Config
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.training.trainer import Trainer
from parallel import jobs
from parallel.problems import BATCH, COMMON, NETWORKS, SIDE
from parallel.worker import COLLECTIVES, DTYPES, LAYOUTS, SENT, SHAPES, STAGED, TEXTS, sample
from support import fakes

Find = Callable[[int], list[jobs.Arrays]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """By each of n ranks."""
    folder = jobs.shared(tmp_path_factory)
    return lambda n: jobs.found(folder, n)


# -- alone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.array(2), fakes.device().put(np.ones(3))])
def test_one_process_is_the_identity(array: Any) -> None:
    comm = Communicator()
    assert comm.sum(array) is array
    assert comm.mean(array) is array
    assert comm.gather(array).shape == (1, *array.shape)
    assert np.asarray(comm.gather(array).get() if isinstance(array, fakes.DeviceArray) else comm.gather(array)).size
    assert comm.gather_text("words") == ["words"]
    assert comm.abort(3) is None
    assert (comm.rank, comm.size, comm.local_rank, comm.local_size) == (0, 1, 0, 1)
    assert (comm.sent, comm.seconds) == (0, 0)


@pytest.mark.parametrize(
    ("left", "several"),
    [
        ({}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"}, True),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, True),
        ({"PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "8"}, True),
        ({"PMIX_RANK": "0"}, True),
        ({"PMI_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, False),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, False),
        ({"SLURM_STEP_NUM_TASKS": "1", "PMIX_RANK": "0"}, False),
        ({"SLURM_STEP_NUM_TASKS": "1", "OMPI_COMM_WORLD_SIZE": "2"}, True),  # mpirun in the one task of a step
    ],
)
def test_ranks_are_told_by_what_a_launcher_leaves(
    monkeypatch: pytest.MonkeyPatch, left: dict[str, str], several: bool
) -> None:
    """One rank alone is a process like any other, and needs no MPI."""
    for each in (*SIZES, *RANKS):
        monkeypatch.delenv(each, raising=False)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    assert launched() == several
    if not several:
        monkeypatch.setattr(comms, "_world", None)
        assert world() is world() is SERIAL


# -- on ranks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", jobs.ANY)
def test_ranks_know_their_places(found: Find, n: int) -> None:
    places = [each["place"].tolist() for each in found(n)]
    assert [place[:2] for place in places] == [[rank, n] for rank in range(n)]
    assert sorted(place[2] for place in places) == list(range(n))  # all are on this machine
    assert {place[3] for place in places} == {n}


@pytest.mark.parametrize("n", jobs.ANY)
def test_collectives_give_sum_mean_and_all(found: Find, n: int) -> None:
    """Of every shape and type; from views too."""
    inputs = {f"{d}/{s}": [sample(rank, d, s) for rank in range(n)] for d in DTYPES for s in SHAPES}
    for d in DTYPES:
        for name, view in LAYOUTS.items():
            inputs[f"{d}/{name}"] = [view(sample(rank, d, (4, 6))) for rank in range(n)]
    for name, arrays in inputs.items():
        (dtype, shape), exact = (arrays[0].dtype, arrays[0].shape), np.stack(arrays)
        total, mean, gathered = (found(n)[-1][f"{collective}/{name}"] for collective in COLLECTIVES)
        assert (gathered.dtype, gathered.shape) == (dtype, (n, *shape)), name
        assert np.array_equal(gathered, exact), name
        assert (total.dtype, total.shape, mean.shape) == (dtype, shape, shape), name
        bound = 0 if dtype.kind == "i" else 2 * np.finfo(dtype).eps * np.abs(exact).sum(axis=0)
        assert np.all(np.abs(total - exact.sum(axis=0)) <= bound), name
        assert dtype.kind == "i" or mean.dtype == dtype
        assert np.array_equal(mean, total / n), name
    assert 0 <= found(n)[-1]["large/error"] <= n * np.finfo("float32").eps * 2e4  # the largest of the sums is below


@pytest.mark.parametrize("n", jobs.ANY)
def test_texts_of_any_length_come_to_all(found: Find, n: int) -> None:
    for each in found(n):
        for i in range(len(TEXTS)):
            texts = [bytes.fromhex(text).decode() for text in each[f"texts/{i}"]]
            assert texts == [TEXTS[(i + rank) % len(TEXTS)] for rank in range(n)]


# -- what a step sends ---------------------------------------------------------------------------------------


def formula(name: str, n: int, step: int) -> int:
    """Bytes that each of n ranks hands in, from the config alone (and the layers that the step selects)."""
    config = Config.of(COMMON | SENT[name])
    network = NETWORKS["normed"](Device.of("cpu", config.dtype))
    weights = NetworkObjective(network, perturb=config.perturb).weights
    size, layers = np.dtype(config.dtype).itemsize, weights.layers
    whole, kernels = (part.size * size for part in (weights.layout, weights.layout.only(layers)))
    chosen = weights.layout.only(layers[-config.k :])
    record, statistics = 5 * 8, network.buffers.data.nbytes
    match config.method:
        case "sgd":
            gradients = whole
        case "sam":
            gradients = kernels + whole
        case "looksam":
            gradients = (1 if step else 2) * whole
        case "layerwise-sam":
            gradients = chosen.size * size + whole
        case "esam":  # the rise of each sample's loss, images, labels
            gradients = kernels + whole + BATCH // n * (size + SIDE * SIDE * size + 8)
        case "sparse-sam":  # the Fisher information, where the mask is made anew
            gradients = (1 if step else 2) * kernels + whole
    if config.bn_batch == "rank":
        return record + statistics + gradients
    channels = {i: node.layer.channels for i, node in enumerate(network.nodes) if isinstance(node.layer, BatchNorm)}
    there = 3 * 8 * sum(channels.values())  # a mean; then what is missed of it, and squares
    back = 2 * 8 * sum(channels.values())  # of gamma and beta
    if config.method == "sgd":
        return record + gradients + there + back
    cone = network.cone(chosen)
    again = 3 * 8 * sum(count for i, count in channels.items() if i in cone)
    through = 2 * 8 * sum(c for i, c in channels.items() if i in cone and network.nodes[i].inputs[0] in cone)
    return record + gradients + there + through + again + back


@pytest.mark.parametrize("n", jobs.ANY)
@pytest.mark.parametrize("name", SENT)
def test_a_step_sends_what_the_formula_says(found: Find, n: int, name: str) -> None:
    """One rank alone sends nothing."""
    expected = [formula(name, n, step) if n > 1 else 0 for step in range(2)]
    compared = 1 if "layerwise" in name else 2  # its next step takes whichever layers were steepest
    for each in found(n):
        assert each[f"sent/{name}"].tolist()[:compared] == expected[:compared]


# -- arrays on a device --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", jobs.ANY)
def test_arrays_on_a_device_come_to_the_same_bits_through_the_host(found: Find, n: int) -> None:
    for each in found(n):
        for collective in COLLECTIVES:
            for dtype in DTYPES:
                for shape in SHAPES:
                    name = f"{collective}/{dtype}/{shape}"
                    assert each[f"staged/{name}"].tobytes() == each[name].tobytes(), name


def test_steps_on_a_device_come_to_the_same_bits(found: Find) -> None:
    for each in found(2):
        host, device = (
            {name: array for name, array in each.items() if name.startswith(f"staged/{kind}/")}
            for kind in ("host", "device")
        )
        assert {name.split("/")[2] for name in host} == set(STAGED)
        same = [a.tobytes() == b.tobytes() for a, b in zip(host.values(), device.values(), strict=True)]
        assert [name for name, equal in zip(host, same, strict=True) if not equal] == []


class World:
    """MPI's ranks as mpi4py shows them: rank 1 of 3, whose neighbours hand in the same; it notes what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.ended: list[int] = []

    def Get_rank(self) -> int:
        return 1

    def Get_size(self) -> int:
        return 3

    def Split_type(self, kind: str, key: int) -> World:
        assert kind == "one machine"
        return self

    def Allreduce(self, a: Any, b: Any, op: str) -> None:
        assert op == "sum"
        self.given.append((a, b))
        b[...] = a + a + a

    def Allgather(self, a: Any, b: Any) -> None:
        self.given.append((a, b))
        for i in range(3):
            b[i] = a

    def Abort(self, status: int) -> None:
        self.ended.append(status)


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> World:
    """What an ``MPI`` talks to that is made now."""
    there = World()
    mpi = SimpleNamespace(COMM_WORLD=there, COMM_TYPE_SHARED="one machine", SUM="sum", Get_processor_name=str)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    return there


def made(ranks: World, direct: bool = False) -> MPI:
    """What it asked to find its place is not of interest."""
    comm = MPI(direct)
    ranks.given.clear()
    return comm


@pytest.mark.parametrize("shape", SHAPES)
def test_an_mpi_that_can_is_handed_the_array_on_the_device_itself(
    ranks: World, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.delattr(comms, "staging")
    monkeypatch.setattr(comms, "settle", lambda array: None)
    comm, host = made(ranks, direct=True), sample(0, "float32", shape)
    array = fakes.device().put(host)
    results = [comm.sum(array), comm.mean(array), comm.gather(array)]
    assert [given is array for given, _ in ranks.given] == [True] * 3
    assert all(isinstance(result, fakes.DeviceArray) for result in results)
    assert results[0] is ranks.given[0][1]
    assert results[2] is ranks.given[2][1]
    assert comm.sent == 3 * host.nbytes
    total = host + host + host
    expected = [total, total / 3, np.stack([host] * 3)]
    assert [result.get().tobytes() for result in results] == [each.tobytes() for each in expected]


def test_a_view_of_an_array_on_the_device_is_handed_over_in_one_piece(
    ranks: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comms, "settle", lambda array: None)
    comm, host = made(ranks, direct=True), sample(0, "float32", (4, 6))
    view = fakes.device().put(host).swapaxes(0, 1)
    assert comm.gather(view).get().tolist() == [host.T.tolist()] * 3
    assert ranks.given[0][0].flags.c_contiguous
    assert ranks.given[0][1].flags.c_contiguous


def test_host_arrays_are_never_staged(ranks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(comms, "staging")
    monkeypatch.setattr(comms, "settle", lambda array: None)
    for direct in (False, True):
        comm, host = made(ranks, direct), sample(0, "float64", (3, 4))
        assert comm.sum(host).tolist() == (host + host + host).tolist()
        assert ranks.given.pop()[0] is host


def test_a_rank_that_aborts_ends_the_others_with_its_status(ranks: World) -> None:
    MPI().abort(7)
    assert ranks.ended == [7]


def test_one_machine_is_asked_for_once(ranks: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks of it share its cores and GPUs; the first call makes the communicator of the whole process."""
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setattr(comms, "_world", None)
    comm = world(direct=True)
    assert isinstance(comm, MPI)
    assert comm.direct
    assert world() is comm
    assert (comm.rank, comm.size, comm.local_rank, comm.local_size) == (1, 3, 1, 3)


def test_without_mpi4py_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setattr(comms, "_world", None)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(UserError, match=r"but mpi4py cannot be used .*: pip install 'lwsam-ref\[mpi\]'"):
        world()


@pytest.mark.parametrize(
    ("asked", "cores", "sharing", "threads"), [(8, 16, 2, 8), (8, 4, 2, 2), (8, 4, 1, 4), (8, 1, 2, 1), (1, 16, 2, 1)]
)
def test_ranks_on_the_same_cores_share_them(
    monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, sharing: int, threads: int
) -> None:
    """BLAS threads: as many as were asked for, but no more than a rank's share; bound ranks have their cores alone."""
    monkeypatch.setattr("lwsam_ref.training.trainer.cores", lambda: list(range(cores)))
    comm = Communicator()
    trainer = SimpleNamespace(config=SimpleNamespace(threads=asked), comm=comm)
    assert vars(Trainer)["threads"].fget(trainer) == asked
    comm.size, comm.sharing = 4, sharing
    assert vars(Trainer)["threads"].fget(trainer) == threads


def test_of_several_gpus_a_rank_takes_that_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(getDeviceCount=lambda: 2),
            Device=lambda ordinal: SimpleNamespace(use=lambda: used.append(ordinal)),
        )
    )
    monkeypatch.setattr("lwsam_ref.device._cupy", lambda required: cupy)
    for local_rank in range(4):
        assert Device.of("cuda", ordinal=local_rank).name == "cuda"
    assert used == [1, 0, 1]  # the first one has the first GPU without asking
