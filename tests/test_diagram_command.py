"""`tm2tf diagram`: JSON, what cannot be drawn, interrupted runs."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.diagrams import diagram, needs_matplotlib, pixels_of, shown
from tests.inspecting import bundled
from tm2tf.cli import diagram_command
from tm2tf.errors import ExtraError
from tm2tf.machine.simulator import Simulation
from tm2tf.pictures.spacetime import drawing
from tm2tf.pictures.spacetime.words import nice_step

# --- json, errors, interrupts ---------------------------------------------------------------------


def test_json_of_a_short_run():
    found = json.loads(shown("binary-increment", "--input", "1011", "--json"))
    assert (found["machine"], found["outcome"], found["steps"]) == ("binary-increment", "halted", 8)
    assert (found["steps_per_row"], found["cells_per_column"]) == (1, 1)
    machine = bundled("binary-increment")
    simulation = Simulation(machine, machine.initial(["1011"]))
    for number, row in enumerate(found["rows"]):
        tape = simulation.configuration().tapes[0]
        shown_tape = {"contents": "".join(tape.contents), "origin": tape.origin, "head": tape.head}
        assert row == {"step": number, "state": simulation.state, "tapes": [shown_tape]}
        simulation.step()
    assert simulation.steps == 8


def test_json_of_a_binned_run():
    machine, steps = bundled("turing-growing-runs"), 2000
    asked = ("--json", "--rows", 30, "--width", 20, "--steps", steps)
    found = json.loads(shown("turing-growing-runs", *asked))
    stride, wide = found["steps_per_row"], found["cells_per_column"]
    assert min(stride, wide) > 1
    simulation = Simulation(machine, machine.initial())
    for row in found["rows"]:
        assert (row["step"], row["state"]) == (simulation.steps, simulation.state)
        (tape,) = row["tapes"]
        for bin_, count in enumerate(tape["nonblank"]):
            first = tape["origin"] + wide * bin_
            cells = [simulation.cells[0].get(a, "_") for a in range(first, first + wide)]
            assert wide - cells.count("_") == count
        heads = []
        while simulation.steps < row["step"] + stride and len(heads) <= steps - row["step"]:
            heads.append(simulation.heads[0])
            simulation.step()
        assert (tape["head"], tape["leftmost"], tape["rightmost"]) == (
            heads[0], min(heads), max(heads)
        )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["-o", "run.gif"],
            "a name that ends in '.gif' does not say what to draw; known: .png, .svg",
        ),
        (["-o", "nowhere/run.png"], "there is no folder nowhere; make it first"),
        (["-o", "run.png", "--rows", "3"], "with -o give --size"),
        (["-o", "run.png", "--size", "12"], "'12' is not a size such as 1000x1200"),
        (["-o", "run.png", "--size", "10x9999999"], "400 to 10,000 pixels each"),
        (["--size", "500x500"], "--size goes with -o"),
        (["--simulate", "--construction", "looped"], "leave --construction looped out"),
        (["--input", "2"], "symbol '2' on tape 0 is not in the alphabet"),
        (["--steps", "-1"], "--steps"),
        (["--width", "3"], "--width"),
    ],
)
def test_what_cannot_be_drawn(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = diagram("bb2", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


@needs_matplotlib
def test_a_picture_that_cannot_be_written(monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing, "save", full)
    done = diagram("bb2", "-o", tmp_path / "run.png")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: cannot write {tmp_path}/run.png: No space left on device\n"


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[draw\]"):
        drawing.require_matplotlib()
    assert diagram("bb2").exit_code == 0  # text needs none


@needs_matplotlib
@pytest.mark.parametrize("how", [[], ["-o", "run.png"], ["--json"]], ids=["text", "png", "json"])
def test_an_interrupted_run_is_drawn_as_far_as_it_came(how, monkeypatch, tmp_path):
    @contextmanager
    def interrupting(*_):
        yield lambda _: os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(diagram_command, "progress", interrupting)
    monkeypatch.chdir(tmp_path)
    done = diagram("counter", *how)
    assert done.exit_code == 130
    assert done.stderr.endswith("interrupted\n")
    if how == ["--json"]:
        found = json.loads(done.stdout)
        assert (found["interrupted"], found["outcome"]) == (True, "step-limit")
        assert found["steps"] >= 1000
    elif how:
        assert pixels_of(Path("run.png")).size
    else:
        assert "interrupted after 1,024 steps" in done.stdout


def test_no_step_at_all():
    assert shown("counter", "--steps", 0).endswith("\n              |0\n0 increment  [_]\n")


@pytest.mark.parametrize(
    ("least", "step"), [(0.1, 1), (1, 1), (1.1, 2), (3, 5), (6, 10), (11, 20), (400_001, 500_000)]
)
def test_nice_steps(least, step):
    assert nice_step(least) == step


@needs_matplotlib
def test_what_was_run_is_drawn_before_an_error(tmp_path):
    path = tmp_path / "run.png"
    asked = ["turing-alternating", "--construction", "addressed", "--tape", "16"]
    done = diagram(*asked, "-o", path)
    assert done.exit_code == 2
    assert done.stdout == f"wrote {path}\n"
    assert done.stderr.startswith("error: in step ")
    assert path.stat().st_size > 1000
    text = diagram(*asked)
    assert text.exit_code == 2
    assert "stopped after 8 steps" in text.stdout
