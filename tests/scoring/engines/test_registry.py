"""The engines: each gives the same parts, and loses nothing if a worker or the driver is killed."""

import socket
import subprocess
import sys
import time
import warnings

import pytest

import rnn_deploy
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.scoring.engines import local
from rnn_deploy.scoring.engines.base import cores
from tests.support.errors import raises
from tests.support.scoring import write_lists

SMALL = 1e-4  # a shard for each row group


@pytest.fixture
def data(rows, tmp_path):
    return write_lists(tmp_path / "in.parquet", rows, group=4)


def parts_in(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


@pytest.fixture
def undisturbed(bundle, data, tmp_path, request):
    """The parts that one process writes in one go."""
    engine = request.getfixturevalue("engine")
    assert rnn_deploy.score(bundle, data, tmp_path / "u", sequence="id", shard_size=SMALL).ok
    request.getfixturevalue("monkeypatch").undo()
    assert len(engine.ran) == 10
    return parts_in(tmp_path / "u")


def test_the_pool_writes_what_one_process_writes(bundle, data, undisturbed, tmp_path):
    lines = []
    result = rnn_deploy.score(
        bundle, data, tmp_path / "out", sequence="id", shard_size=SMALL, workers=2,
        progress=lines.append,
    )  # fmt: skip
    assert result.ok
    assert parts_in(tmp_path / "out") == undisturbed
    assert "10 of 10 shards" in lines[-1]


def test_a_killed_worker_is_replaced(bundle, data, undisturbed, tmp_path, monkeypatch):
    started = []

    class Noted(local.WorkerProcess):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self._process)

    monkeypatch.setattr(local, "WorkerProcess", Noted)

    def kill(line):
        if line.startswith("3 of"):
            started[0].kill()

    result = rnn_deploy.score(
        bundle, data, tmp_path / "out", sequence="id", shard_size=SMALL, workers=1, progress=kill
    )
    assert result.ok
    assert len(started) == 2
    assert parts_in(tmp_path / "out") == undisturbed


class Poisoned(local.ShardServer):
    """Ends its process at one shard."""

    def score(self, shard):
        if shard.number == 4:
            sys.exit(9)
        return super().score(shard)


def test_a_shard_that_ends_every_worker_fails_alone(bundle, data, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "ShardServer", Poisoned)
    result = rnn_deploy.score(
        bundle, data, tmp_path / "out", sequence="id", shard_size=SMALL, workers=2, retries=1
    )
    assert (result.exit_code, result.scored) == (3, 36)
    ((name, fault),) = result.failed_shards.items()
    assert "part-00004" in name
    assert fault.code == "E-SCORE-WORKER"
    assert len(parts_in(tmp_path / "out")) == 9


def test_a_killed_driver_continues_where_it_was(bundle, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    words = ["score", bundle, "--input", data, "--sequence", "id", "--output", out]
    command = [sys.executable, "-m", "rnn_deploy", *map(str, words), "--shard-size", str(SMALL)]
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not parts_in(out) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert parts_in(out)
    ended = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert parts_in(out) == undisturbed


def test_cores_are_at_least_one():
    assert cores() >= 1


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_cluster_that_cannot_be_reached_is_one_line(bundle, data, tmp_path, monkeypatch, engine):
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[engine])
    monkeypatch.setattr("rnn_deploy.scoring.engines.dask.CONNECT", 1.0)
    with raises(RuntimeUnavailableError, "E-SCORE-CLUSTER", "127.0.0.1:9"):
        rnn_deploy.score(
            bundle, data, tmp_path / "out", sequence="id", engine=engine, address="127.0.0.1:9"
        )


QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def two_nodes():
    """A Dask scheduler and two workers, which stand for two machines: address, workers."""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = [*dask, "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard"]
    worker += ["--no-nanny"]
    started = [subprocess.Popen(words, **QUIET) for words in (scheduler, worker, worker)]
    yield f"tcp://127.0.0.1:{port}", started[1:]
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_loss_of_one_of_two_dask_nodes_changes_nothing(
    bundle, data, undisturbed, tmp_path, two_nodes
):
    address, nodes = two_nodes
    killed = []

    def kill(line):
        if line.startswith("3 of"):
            nodes[0].kill()
            killed.append(line)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Dask and its packages
        result = rnn_deploy.score(
            bundle, data, tmp_path / "out", sequence="id", shard_size=SMALL, engine="dask",
            address=address, progress=kill,
        )  # fmt: skip
    assert result.ok
    assert killed
    assert parts_in(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["dask", "ray"])
def test_a_cluster_on_this_machine_writes_the_same(bundle, data, undisturbed, tmp_path, cluster):
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[cluster])
    words = ["score", bundle, "--input", data, "--sequence", "id", "--output", tmp_path / "out"]
    words += ["--shard-size", SMALL, "--workers", "2", "--engine", cluster]
    ended = subprocess.run(
        [sys.executable, "-m", "rnn_deploy", *map(str, words)],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert parts_in(tmp_path / "out") == undisturbed
    assert "Traceback" not in ended.stderr
