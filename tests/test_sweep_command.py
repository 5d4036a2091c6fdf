"""`tm2tf sweep`: what it prints, how it ends, and that it may be killed at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from tm2tf.cli import INTERRUPTED, group
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.tree import tree

TREE = ["--states", "2", "--symbols", "2", "--max-steps", "200"]
LONG = ["--random", "120", "--max-steps", "100"]
ENDLESS = ["0RB---_0LA---", "--max-steps", str(10**15)]


def invoke(*words):
    return CliRunner().invoke(group, ["sweep", *map(str, words)])


@contextmanager
def begin(folder, *words):
    """Begin a sweep as a shell does, as a group of processes; none is left, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tm2tf", "sweep", *words, "-o", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        for number in living(process.pid):
            os.kill(number, signal.SIGKILL)


def until(answer, seconds=60):
    """Wait until something is so; return whether it came to be."""
    end = time.monotonic() + seconds
    while not answer():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def kept(folder):
    path = folder / "journal.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def living(group_id):
    """Return the processes of a group that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group_id and state not in "ZX":
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def ended():
    """Return how the best machines of 2 states and 2 symbols end, by the reference simulator."""
    ends = []
    for machine in tree(2, 2, 200):
        simulation = Simulation(machine, machine.initial())
        while simulation.outcome is None and simulation.steps < 200:
            simulation.step()
        cells = simulation.configuration().tapes[0].nonblank("0")
        ends.append((machine.name, simulation.outcome or "step-limit", simulation.steps, cells))
    return ends


# --- what it prints


def test_the_tree_as_text(tmp_path, ended):
    made = invoke(*TREE, "-o", tmp_path, "--workers", 1)
    assert (made.exit_code, made.stderr) == (0, "")
    halted = [end for end in ended if end[1] == "halted"]
    steps = max(halted, key=lambda end: end[2])
    cells = max(halted, key=lambda end: end[3])
    total = sum(end[2] for end in ended)
    lines = made.stdout.splitlines()
    assert lines[:6] == [
        f"runs            {len(ended)}",
        f"                {len(ended)} agrees",
        f"ends            {len(halted)} halted, {len(ended) - len(halted)} step-limit",
        f"steps           {total:,}, in {total:,} forward passes",
        f"most steps      {steps[2]} by {steps[0]}",
        f"most nonblank   {cells[3]} by {cells[0]}",
    ]
    assert lines[6].startswith("time ")
    assert lines[7:] == [f"results         {tmp_path / 'results.jsonl'}"]
    again = invoke(*TREE, "-o", tmp_path, "--workers", 1)
    assert f"runs            {len(ended)}, {len(ended)} from before" in again.stdout


def test_the_tree_as_json(tmp_path, ended):
    made = invoke(*TREE, "-o", tmp_path, "--workers", 1, "--compare", "ends", "--json")
    assert (made.exit_code, made.stderr) == (0, "")
    told = json.loads(made.stdout)
    halted = [end for end in ended if end[1] == "halted"]
    assert told["rows"] == len(ended)
    assert told["statuses"] == {"agrees": len(ended)}
    assert told["outcomes"] == {"halted": len(halted), "step-limit": len(ended) - len(halted)}
    assert told["steps"] == sum(end[2] for end in ended)
    assert told["most_steps"]["steps"] == max(end[2] for end in halted)
    assert told["most_nonblank"]["nonblank"] == max(end[3] for end in halted)
    assert (told["troubles"], told["rows_before"]) == ([], 0)
    text = Path(told["path"]).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(r["machine"], r["outcome"], r["steps"], r["nonblank"]) for r in rows] == ended


def test_troubles_are_shown_and_the_exit_code_is_1(tmp_path):
    (tmp_path / "wrong.tsv").write_text("1RB1LB_1LA1RZ\t7\t4\n" * 25)
    words = ["--corpus", tmp_path / "wrong.tsv", "-o", tmp_path / "out", "--workers", 1]
    made = invoke(*words)
    assert made.exit_code == 1
    lines = made.stdout.splitlines()
    assert lines[0] == "1RB1LB_1LA1RZ by trace on (blank): differs"
    assert "expected 7, got 6" in lines[1]
    assert lines[40] == "... and 5 more"
    assert "25 differs" in made.stdout
    made = invoke(*words, "--json")
    assert made.exit_code == 1
    assert len(json.loads(made.stdout)["troubles"]) == 25


def test_all_options_reach_the_sweep(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "m.txt").write_text("1RB1LB_1LA1RZ")
    (tmp_path / "c.tsv").write_text("1RB1LB_1LA1RZ\t6\t4\n")
    made = invoke(
        "bb2", "--folder", folder, "--corpus", tmp_path / "c.tsv", "--states", 1, "--symbols", 2,
        "--random", 2, "--seed", 7, "--construction", "looped", "--construction",
        "looped-neighbours", "--set", "window=12", "--max-steps", 20, "-o", tmp_path / "out",
        "--workers", 1, "--json",
    )  # fmt: skip
    assert json.loads(made.stdout)["rows"] == 2 * (1 + 1 + 1 + len(list(tree(1, 2, 20))) + 2)
    asked = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert asked["options"] == {"window": 12}
    assert asked["constructions"] == ["looped", "looped-neighbours"]
    assert (asked["seed"], asked["compare"], asked["max_steps"]) == (7, "steps", 20)


def test_results_as_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `sweep` is not installed")
    made = invoke("bb2", "-o", tmp_path, "--workers", 1, "--format", "parquet", "--json")
    path = Path(json.loads(made.stdout)["path"])
    assert path == tmp_path / "results.parquet"
    assert parquet.read_table(path).to_pylist()[0]["steps"] == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "there is nothing to sweep over"),
        ("--states 2", "--states and --symbols go together"),
        ("--symbols 2", "--states and --symbols go together"),
        ("--states 99 --symbols 2", "states must be from 1 to 25, got 99"),
        ("bb2 --set x", "--set takes NAME=NUMBER, such as tape=64; got 'x'"),
        ("bb2 --set window=-3", "--set takes NAME=NUMBER"),
        ("bb2 --set window=²", "--set takes NAME=NUMBER"),
        (f"bb2 --set window={'9' * 5000}", "--set takes NAME=NUMBER"),
        ("bb2 --construction trac", "unknown construction 'trac'; known: trace,"),
        ("bb2 --set tape=64", "construction 'trace' has no option 'tape'"),
        ("bb2 --construction looped --set window=0", "window is 0; it must be from"),
        ("bb2 --address auto", "--address goes with --engine ray"),
        ("bb2 --workers 0", "0 is not in the range"),
        ("bb2 --seconds 0", "0.0 is not in the range"),
        ("bb22", "'bb22'"),
        ("--folder .", "the folder . is empty"),
        ("--folder nowhere", "no such folder: nowhere"),
        ("--corpus nowhere.tsv", "cannot read the corpus nowhere.tsv"),
        ("bb2 -o ../file", "cannot write to ../file"),
        ("bb2 -o ../file/x", "cannot write to ../file/x"),
    ],
)
def test_bad_input_is_one_message(tmp_path, monkeypatch, words, message):
    (tmp_path / "here").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    made = invoke(*words.split())
    assert (made.exit_code, made.stdout) == (2, "")
    assert message in made.stderr
    assert made.stderr.lower().count("error") == 1
    assert "Traceback" not in made.stderr


# --- how it ends

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def undisturbed(folder, *words):
    made = invoke(*words, "-o", folder, "--workers", 1)
    assert made.exit_code == 0
    return (folder / "results.jsonl").read_bytes()


@needs_proc
def test_a_sweep_killed_in_the_middle_goes_on_and_leaves_no_process(tmp_path):
    pytest.importorskip("pebble", reason="the extra `sweep` is not installed")
    words = (*TREE, "--workers", "2")
    with begin(tmp_path / "out", *words) as process:
        assert until(lambda: kept(tmp_path / "out") > 0)
        assert len(living(process.pid)) >= 3
        process.kill()
        process.wait(60)
        assert until(lambda: not living(process.pid), 20)
    before = kept(tmp_path / "out")
    made = invoke(*TREE, "--workers", 1, "-o", tmp_path / "out", "--json")
    assert made.exit_code == 0
    assert 0 < before <= json.loads(made.stdout)["rows_before"] < 61
    results = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert results == undisturbed(tmp_path / "whole", *TREE)


@pytest.mark.slow
@needs_proc
def test_workers_in_the_middle_of_a_run_end_with_their_parent(tmp_path):
    """They would go on for days, and nobody would hear of their rows."""
    pytest.importorskip("pebble", reason="the extra `sweep` is not installed")
    words = (*ENDLESS, "--construction", "trace", "--workers", "2")
    with begin(tmp_path, *words) as process:
        assert until(lambda: len(living(process.pid)) >= 3)
        time.sleep(4.0)
        process.kill()
        process.wait(60)
        assert until(lambda: not living(process.pid), 20)
    assert kept(tmp_path) == 0


def test_ctrl_c_while_runs_go_on_side_by_side(tmp_path):
    """In one process, where the runs themselves hear of it."""
    with begin(tmp_path, *ENDLESS, "--compare", "ends", "--workers", "1") as process:
        assert until((tmp_path / "journal.jsonl").exists)
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=20)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert told.splitlines()[-1] == "interrupted"
    assert "Traceback" not in told
    assert kept(tmp_path) == 0


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("compare", ["steps", "ends"])
def test_ctrl_c_keeps_the_journal(tmp_path, workers, compare):
    """As a terminal sends it: to all processes of the sweep."""
    words = (*LONG, "--compare", compare, "--workers", workers)
    with begin(tmp_path / "out", *words) as process:
        assert until(lambda: kept(tmp_path / "out") > 0)
        os.killpg(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=60)
        assert until(lambda: not living(process.pid), 20)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert told.splitlines()[-1] == "interrupted"
    assert "Traceback" not in told
    before = kept(tmp_path / "out")
    made = invoke(*words, "-o", tmp_path / "out", "--json")
    assert json.loads(made.stdout)["rows_before"] == before < 120
    results = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert results == undisturbed(tmp_path / "whole", *LONG, "--compare", compare)


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_again_and_again_at_any_moment(tmp_path):
    draw, killed = random.Random(8), 0
    words = (*LONG, "--workers", "2")
    for number in range(10):
        with begin(tmp_path / "out", *words) as process:
            time.sleep(draw.uniform(0.3, 3.5))
            os.kill(process.pid, signal.SIGINT if number % 3 == 2 else signal.SIGKILL)
            killed += process.wait(60) != 0
            assert until(lambda process=process: not living(process.pid), 20)
    assert killed > 3
    assert invoke(*words, "-o", tmp_path / "out").exit_code == 0
    results = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert results == undisturbed(tmp_path / "whole", *LONG)
