"""Trials that can be killed, joined and spread; and results as files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tm2tf.errors import InputError
from tm2tf.learning import trials
from tm2tf.learning.results import mean_interval, save_csv, save_json, wilson
from tm2tf.learning.trials import STORE, run_trials

TASKS = [{"number": number, "seed": 7} for number in range(12)]


def draw(task):
    """Work of a module, which worker processes can import."""
    random = np.random.default_rng([task["seed"], task["number"]])
    return {"number": task["number"], "drawn": random.random(), "pair": (1, 2)}


def refuse(task):
    raise AssertionError(f"done again: {task}")


def die(task):
    os._exit(1)


def stop_at_five(task):
    if task["number"] == 5:
        raise KeyboardInterrupt
    return draw(task)


def slowly(task):
    """Leave a line for each time that it is done; work for the test that kills a run."""
    with Path(os.environ["DONE"]).open("a", encoding="utf-8") as file:
        file.write(f"{task['number']}\n")
    time.sleep(0.1)
    return draw(task)


def named(monkeypatch, work):
    """Let some work pass for `draw`, so that it finds what `draw` did."""
    monkeypatch.setattr(work, "__qualname__", draw.__qualname__)
    return work


def numbers(outcomes):
    return [outcome["number"] for outcome in outcomes]


def test_outcomes_are_in_the_order_of_tasks_and_what_json_makes_of_them():
    outcomes = run_trials(draw, TASKS)
    assert numbers(outcomes) == list(range(12))
    assert outcomes[0]["pair"] == [1, 2]
    assert outcomes == [json.loads(json.dumps(draw(task))) for task in TASKS]


def test_progress_counts_what_is_done():
    seen = []
    run_trials(draw, TASKS[:3], on_progress=seen.append)
    assert seen == [0, 1, 2, 3]


def test_a_task_that_stands_twice_is_done_once():
    seen = []

    def counted(task):
        seen.append(task)
        return draw(task)

    twice = run_trials(counted, [TASKS[0], TASKS[1], TASKS[0]])
    assert len(seen) == 2
    assert twice[0] == twice[2] != twice[1]


def test_nothing_is_done_twice(tmp_path, monkeypatch):
    first = run_trials(draw, TASKS, folder=tmp_path)
    stored = (tmp_path / STORE).read_bytes()
    seen = []
    again = run_trials(named(monkeypatch, refuse), TASKS, folder=tmp_path, on_progress=seen.append)
    assert again == first
    assert seen == [len(TASKS)]
    assert (tmp_path / STORE).read_bytes() == stored


def test_other_work_and_other_tasks_are_done_anew(tmp_path, monkeypatch):
    run_trials(draw, TASKS, folder=tmp_path)
    with pytest.raises(AssertionError, match="done again"):
        run_trials(refuse, TASKS, folder=tmp_path)
    with pytest.raises(AssertionError, match="'seed': 8"):
        run_trials(named(monkeypatch, refuse), [{**TASKS[0], "seed": 8}], folder=tmp_path)


def test_another_version_is_done_anew(tmp_path, monkeypatch):
    run_trials(draw, TASKS, folder=tmp_path)
    monkeypatch.setattr(trials, "__version__", "0.0.0")
    with pytest.raises(AssertionError, match="done again"):
        run_trials(named(monkeypatch, refuse), TASKS, folder=tmp_path)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run_trials(named(monkeypatch, stop_at_five), TASKS, folder=tmp_path)
    assert len((tmp_path / STORE).read_text().splitlines()) == 5
    seen = []
    outcomes = run_trials(draw, TASKS, folder=tmp_path, on_progress=seen.append)
    assert seen == list(range(5, 13))
    assert outcomes == run_trials(draw, TASKS)


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """Killed for good, by SIGKILL: no trial that was kept is done again, and none is missing."""
    script = (
        "from pathlib import Path\n"
        "from tests.test_learn_trials import TASKS, slowly\n"
        "from tm2tf.learning.trials import run_trials\n"
        f"print(len(run_trials(slowly, TASKS, folder=Path({str(tmp_path)!r}))))"
    )
    done = tmp_path / "done"
    environment = {**os.environ, "DONE": str(done)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL
    )
    store, until = tmp_path / STORE, time.monotonic() + 60
    while not store.exists() or len(store.read_bytes().splitlines()) < 3:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    kept = len([line for line in store.read_bytes().split(b"\n")[:-1] if line])
    assert 3 <= kept < len(TASKS)
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == b"12"
    times = done.read_text().split()
    assert set(times) == {str(number) for number in range(12)}
    assert len(times) <= 12 + 1  # the one that was under way may have begun twice
    assert all(times.count(str(number)) == 1 for number in range(kept))


@pytest.mark.parametrize("end", ['{"trial": "x", "outc', '{"trial": "', "{"])
def test_a_last_line_that_was_cut_short_counts_for_none(tmp_path, end):
    run_trials(draw, TASKS[:4], folder=tmp_path)
    with (tmp_path / STORE).open("a") as file:
        file.write(end)
    seen = []
    outcomes = run_trials(draw, TASKS, folder=tmp_path, on_progress=seen.append)
    assert seen[0] == 4
    assert outcomes == run_trials(draw, TASKS)
    # what was written after the damaged line can be read again
    assert run_trials(draw, TASKS, folder=tmp_path) == outcomes


def test_a_last_line_cut_within_a_character_counts_for_none(tmp_path):
    run_trials(draw, TASKS[:4], folder=tmp_path)
    with (tmp_path / STORE).open("ab") as file:
        file.write('{"trial": "é'.encode()[:-1])
    assert numbers(run_trials(draw, TASKS, folder=tmp_path)) == list(range(12))


def test_a_run_that_was_killed_twice_goes_on(tmp_path):
    for count in (2, 5):
        run_trials(draw, TASKS[:count], folder=tmp_path)
        with (tmp_path / STORE).open("a") as file:
            file.write('{"trial": "cut sho')
    assert numbers(run_trials(draw, TASKS, folder=tmp_path)) == list(range(12))


@pytest.mark.parametrize("line", ["something else", '{"trial": "x"}', "[1]", "1", '{"tried": 1'])
@pytest.mark.parametrize("ends", [True, False])
def test_a_line_of_something_else_is_refused(tmp_path, line, ends):
    """A run that was killed leaves the beginning of a line of ours, and nothing else."""
    lines = ['{"trial": "x", "outcome": {}}', line]
    (tmp_path / STORE).write_text("\n".join(lines if ends else reversed(lines)))
    with pytest.raises(InputError, match=rf"trials\.jsonl:{2 if ends else 1}: not a trial"):
        run_trials(draw, TASKS, folder=tmp_path)


def test_a_store_that_is_a_folder_is_said(tmp_path):
    (tmp_path / STORE).mkdir()
    with pytest.raises(InputError, match="cannot read the trials"):
        run_trials(draw, TASKS, folder=tmp_path)


def test_files_joined_where_one_was_cut_short_lose_a_trial_at_most(tmp_path):
    run_trials(draw, TASKS[:6], folder=tmp_path)
    whole = (tmp_path / STORE).read_bytes()
    (tmp_path / STORE).write_bytes(whole[:-20] + whole)
    seen = []
    outcomes = run_trials(draw, TASKS, folder=tmp_path, on_progress=seen.append)
    assert seen[0] >= 5
    assert outcomes == run_trials(draw, TASKS)


def test_files_of_several_machines_may_be_joined(tmp_path, monkeypatch):
    halves = [tmp_path / "a", tmp_path / "b"]
    for folder, half in zip(halves, (TASKS[:7], TASKS[5:]), strict=True):
        run_trials(draw, half, folder=folder)
    joined = tmp_path / "joined"
    joined.mkdir()
    (joined / STORE).write_bytes(b"".join((folder / STORE).read_bytes() for folder in halves))
    outcomes = run_trials(named(monkeypatch, refuse), TASKS, folder=joined)
    assert outcomes == run_trials(draw, TASKS)


def test_workers_find_the_same(tmp_path, monkeypatch):
    before = dict(os.environ)
    outcomes = run_trials(draw, TASKS, folder=tmp_path, workers=2)
    assert outcomes == run_trials(draw, TASKS)
    assert dict(os.environ) == before
    assert run_trials(named(monkeypatch, refuse), TASKS, folder=tmp_path) == outcomes


def test_what_fails_in_a_worker_is_raised(tmp_path):
    before = dict(os.environ)
    with pytest.raises(AssertionError, match="done again"):
        run_trials(refuse, TASKS, folder=tmp_path, workers=2)
    assert dict(os.environ) == before


def test_a_worker_that_is_killed_is_said(tmp_path):
    with pytest.raises(InputError, match="a worker process was killed"):
        run_trials(die, TASKS, folder=tmp_path, workers=2)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="cannot write the trials"):
        run_trials(draw, TASKS, folder=file)


# --- results --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634),
     (7, 1000, 0.003395, 0.014378)],
)  # fmt: skip
def test_wilson(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_of_wilson_solve_its_equation():
    """At either end the share lies 1.96 standard deviations of that end away."""
    for end in wilson(30, 200):
        assert abs(30 / 200 - end) == pytest.approx(1.959964 * (end * (1 - end) / 200) ** 0.5)


def test_mean_interval():
    mean, low, high = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    half = 1.959964 * (5 / 3) ** 0.5 / 2
    assert (mean - low, high - mean) == pytest.approx((half, half))
    assert mean_interval([3.0]) == (3.0, -np.inf, np.inf)


def test_results_are_written_and_read_again(tmp_path):
    folder = tmp_path / "new" / "folder"
    path = save_json(folder, "one", {"a": [1, 2.5]})
    assert path == folder / "one.json"
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    assert save_csv(folder, "two", [{"a": 1, "b": "x,y"}]).read_text() == 'a,b\n1,"x,y"\n'
    assert save_csv(folder, "none", []).read_text().strip() == ""


def test_results_without_a_number_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json(tmp_path, "bad", {"a": float("nan")})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_json(tmp_path / "file", "bad", {})
