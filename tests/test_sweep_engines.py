"""Engines of sweeps: a process that dies or hangs costs its task a try, and nothing else."""

import os
import signal
import sys
import threading
import time
from collections import Counter

import pytest

from tests import sweep_faults
from tests.sweep_faults import arm, some, swept, tries
from tm2tf.errors import ExtraError, InputError
from tm2tf.sweep import local, ray_engine
from tm2tf.sweep.engine import IN_FLIGHT, TRIES, WHY, Batches, Work
from tm2tf.sweep.sweep import sweep
from tm2tf.sweep.tasks import Asked
from tm2tf.sweep.work import COLUMNS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(sweep_faults.VARIABLE, str(tmp_path_factory.mktemp("faults")))
        yield


@pytest.fixture
def faults(folder):
    sweep_faults.disarm()


@pytest.fixture(scope="module")
def cluster(folder):
    """A Ray cluster of two workers, which inherit the folder of faults."""
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def engine(request, faults):
    if request.param == "ray":
        request.getfixturevalue("cluster")
        return ray_engine.engine(None, 2)
    pytest.importorskip("pebble", reason="the extra `sweep` is not installed")
    return local.engine(2)


def statuses(rows):
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert all(list(row) == list(COLUMNS) for row in rows)
    return {row["number"]: row["status"] for row in rows if row["status"] != "agrees"}


# --- batches


def test_batches_take_tasks_as_they_are_asked_for():
    asked = []

    batches = Batches((asked.append(task.number) or task for task in some(7)), 3)
    assert [task.number for task in batches.next()] == [0, 1, 2]
    assert asked == [0, 1, 2]
    assert [len(batches.next()) for _ in range(2)] == [3, 1]
    assert batches.next() is None


def test_a_lost_batch_comes_again_task_by_task_and_each_is_given_up_by_itself():
    batches = Batches(some(4), 3)
    first = batches.next()
    assert batches.lost(first, "died") == []
    for number in range(3):
        (task,) = batch = batches.next()
        assert task.number == number
        for _ in range(TRIES - 1 if number == 1 else 0):
            assert batches.lost(batch, "hung") == []
    left = [batches.next(), batches.next()]
    assert sorted(task.number for batch in left for task in batch) == [1, 3]
    (again,) = (batch for batch in left if batch[0].number == 1)
    (row,) = batches.lost(again, "died")
    assert (row["number"], row["status"], row["message"]) == (1, "died", WHY["died"])
    assert batches.next() is None


# --- here


def test_one_process_does_all_here(faults):
    arm(2, "raise")
    with pytest.raises(ValueError, match="task 2"):
        swept(local.engine(1), 5)
    assert statuses(swept(local.engine(1), 5)) == {}
    assert tries() == [0, 1, 2, 0, 1, 2, 3, 4]


# --- processes


def test_several_processes_do_each_task_once(engine):
    rows = swept(engine, 9)
    assert rows == swept(local.engine(1), 9)
    assert Counter(tries()) == dict.fromkeys(range(9), 2)
    assert swept(engine, 0) == []


def test_whose_process_dies_once_is_done_again(engine):
    """By its own hand, in two ways; the rows are those of a sweep that nothing befell."""
    arm(0, "exit")
    arm(3, "kill")
    rows = swept(engine, 6)
    assert Counter(tries())[0] == Counter(tries())[3] == 2
    assert rows == swept(local.engine(1), 6)


def test_a_worker_killed_from_outside_costs_a_try(engine):
    """Not its own fault: a signal from another process, in the middle of the sweep."""
    arm(2, "wait")
    killed = []

    def kill():
        path = sweep_faults.folder() / "waiting"
        until = time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.02)
        killed.append(int(path.read_text()))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    rows = swept(engine, 6)
    thread.join()
    assert killed != [os.getpid()]
    assert rows == swept(local.engine(1), 6)


def test_whose_process_always_dies_gets_a_row_that_says_so(engine):
    arm(1, "exit", times=None)
    rows = swept(engine, 6, together=3)
    assert statuses(rows) == {1: "died"}
    assert rows[1]["message"] == WHY["died"]
    assert Counter(tries())[1] == 1 + TRIES  # with others, and then alone
    assert Counter(tries())[5] == 1


def test_what_takes_too_long_gets_a_row_that_says_so(engine, monkeypatch):
    monkeypatch.setattr(ray_engine, "LOOK", 0.1)
    arm(4, "hang", times=None)
    began = time.monotonic()
    rows = swept(engine, 6, seconds=1.0)
    assert time.monotonic() - began < 60
    assert statuses(rows) == {4: "hung"}
    assert rows[4]["message"] == WHY["hung"]
    assert Counter(tries())[4] == 1 + TRIES


@pytest.mark.slow
def test_to_wait_for_a_worker_is_not_to_hang(cluster, faults):
    """The limit counts from where a task begins, not from where it is handed to the cluster."""
    for number in range(18):
        arm(number, "slow", times=None)
    arm(0, "exit")
    rows = swept(ray_engine.engine(None, 2), 18, together=6, seconds=0.8)
    assert statuses(rows) == {}


def test_what_work_raises_ends_the_sweep(engine):
    """Work has its faults in rows; an error that comes through is none of a single task."""
    arm(3, "raise", times=None)
    with pytest.raises(ValueError, match="task 3"):
        swept(engine, 6)
    time.sleep(0.3)
    assert Counter(tries())[3] == 1


def test_a_sweep_that_is_left_ends_its_processes_and_asks_for_nothing_more(engine):
    asked = []
    tasks = (asked.append(task) or task for task in some(100))
    doing = engine(Batches(tasks, 1), Work("steps", 1, 60.0, sweep_faults.do))
    next(doing)
    doing.close()
    time.sleep(0.3)
    assert 1 <= len(tries()) <= len(asked) <= 1 + 3 * IN_FLIGHT


def test_results_are_the_same_bytes_however_they_were_made(cluster, tmp_path):
    """Real work, on a cluster, and in this process."""
    engine = ray_engine.engine(None, 2)
    asked = Asked(sizes=((2, 2),), max_steps=50)
    made = sweep(asked, tmp_path / "many", engine, together=7)
    here = sweep(asked, tmp_path / "one", local.engine(1))
    assert made.statuses == here.statuses == {"agrees": 61}
    assert made.path.read_bytes() == here.path.read_bytes()


# --- what is missing


def test_packages_that_are_missing_are_named(monkeypatch, faults):
    monkeypatch.setitem(sys.modules, "pebble", None)
    with pytest.raises(ExtraError, match=r"pebble.*sweep"):
        swept(local.engine(2), 1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtraError, match=r"ray.*cluster"):
        swept(ray_engine.engine(None, 2), 1)


def test_a_cluster_that_is_not_there_is_said(monkeypatch, faults):
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")

    def init(address, **_):
        raise ConnectionError(f"nothing at {address}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"no Ray cluster at 'here:1'.*ray start --head"):
        swept(ray_engine.engine("here:1", 2), 1)


def test_what_a_cluster_begun_here_is_asked_for(monkeypatch, faults):
    """So many CPUs, on this computer, whatever the environment says; of another one: nothing."""
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    given = []

    def init(**asked):
        given.append(asked)
        raise ValueError("no")

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:1")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    for address in (None, "auto"):
        with pytest.raises(InputError):
            swept(ray_engine.engine(address, 3), 1)
    assert (given[0]["address"], given[0]["num_cpus"]) == ("local", 3)
    assert given[1]["address"] == "auto"
    assert "num_cpus" not in given[1]
