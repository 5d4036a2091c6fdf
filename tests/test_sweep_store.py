"""Rows of sweeps are kept: a sweep that was stopped goes on, and nothing is done twice."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from tm2tf.errors import ExtraError, InputError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.tree import tree
from tm2tf.sweep import local, store
from tm2tf.sweep import sweep as sweeps
from tm2tf.sweep.store import ASKED, JOURNAL, Store
from tm2tf.sweep.sweep import as_json, sweep
from tm2tf.sweep.tasks import Asked
from tm2tf.sweep.work import COLUMNS, blank_row

HERE = local.engine(1)
SMALL = Asked(sizes=((2, 2),), max_steps=30)


@pytest.fixture
def counted(monkeypatch):
    """Return the numbers of the tasks that are done, as they are done; the work itself is quick."""
    done = []

    def work(batch, compare):
        done.extend(task.number for task in batch)
        return [blank_row(task, "agrees", f"é\u2028 {task.number}") for task in batch]

    monkeypatch.setattr(sweeps, "work", work)
    return done


def lines(path):
    """Return lines with their ends, as only \\n ends them."""
    return path.read_bytes().split(b"\n")[:-1]


def rows(made):
    return [json.loads(line) for line in lines(made.path)]


def test_results_are_in_the_order_of_tasks_however_they_came(tmp_path, counted):
    def backwards(batches, work):
        found = []
        while (batch := batches.next()) is not None:
            found.append(work.do(batch, work.compare))
        yield from reversed(found)

    seen = []
    made = sweep(SMALL, tmp_path / "a", backwards, together=5, on_progress=seen.append)
    other = sweep(SMALL, tmp_path / "b", HERE)
    assert made.path == tmp_path / "a" / "results.jsonl"
    assert made.path.read_bytes() == other.path.read_bytes()
    assert (tmp_path / "a" / JOURNAL).read_bytes() != (tmp_path / "b" / JOURNAL).read_bytes()
    assert [row["number"] for row in rows(made)] == list(range(61))
    assert all(list(row) == list(COLUMNS) for row in rows(made))
    assert seen == [1, *range(6, 62, 5)]  # the last batch had one task


def test_a_journal_cut_at_any_byte_goes_on(tmp_path, counted):
    """What is whole is not done again; results are the same bytes."""
    asked = Asked(random=6)
    whole = sweep(asked, tmp_path, HERE)
    results, journal = whole.path.read_bytes(), (tmp_path / JOURNAL).read_bytes()
    ends = [number + 1 for number, byte in enumerate(journal) if byte == ord("\n")]
    assert len(ends) == 6
    assert ends[-1] == len(journal)
    for cut in range(ends[-3], len(journal) + 1):
        (tmp_path / JOURNAL).write_bytes(journal[:cut])
        whole.path.unlink(missing_ok=True)
        counted.clear()
        made = sweep(asked, tmp_path, HERE)
        kept = sum(end <= cut for end in ends)
        assert counted == list(range(kept, 6))
        assert (made.rows, made.before) == (6, kept)
        assert made.path.read_bytes() == results
        assert (tmp_path / JOURNAL).read_bytes() == journal


def test_what_is_missing_in_the_middle_is_done(tmp_path, counted):
    whole = sweep(SMALL, tmp_path, HERE)
    results, kept = whole.path.read_bytes(), lines(tmp_path / JOURNAL)
    (tmp_path / JOURNAL).write_bytes(b"".join(line + b"\n" for line in kept[::-1] if b"3" in line))
    counted.clear()
    sweep(SMALL, tmp_path, HERE)
    assert counted == [number for number, line in enumerate(kept) if b"3" not in line]
    assert whole.path.read_bytes() == results


def test_a_sweep_that_was_stopped_goes_on(tmp_path, counted):
    def stopped(batches, work):
        for _ in range(2):
            yield work.do(batches.next(), work.compare)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(SMALL, tmp_path, stopped, together=4)
    assert not (tmp_path / "results.jsonl").exists()
    assert len(lines(tmp_path / JOURNAL)) == 8
    made = sweep(SMALL, tmp_path, HERE, together=100)
    assert counted == list(range(61))
    assert (made.rows, made.before) == (61, 8)


def test_an_engine_is_closed_when_rows_cannot_be_kept(tmp_path, monkeypatch, counted):
    closed = []

    def engine(batches, work):
        try:
            while True:
                yield work.do(batches.next(), work.compare)
        finally:
            closed.append(True)

    def full(self, rows):
        assert not closed
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(OSError, match="No space") as error:
        sweep(SMALL, tmp_path, engine)
    assert closed == [True]
    del error


def test_a_finished_sweep_does_nothing_again(tmp_path):
    """Nor is its summary another one."""
    first = sweep(SMALL, tmp_path, HERE)
    journal = (tmp_path / JOURNAL).read_bytes()

    def no_work(batches, work):
        assert batches.next() is None
        yield from ()

    again = sweep(SMALL, tmp_path, no_work)
    assert (first.before, again.before) == (0, 61)
    changing = {"rows_before", "seconds"}
    assert {k: v for k, v in as_json(first).items() if k not in changing} == {
        k: v for k, v in as_json(again).items() if k not in changing
    }
    assert (tmp_path / JOURNAL).read_bytes() == journal


def test_a_summary_is_what_the_simulator_says(tmp_path):
    made = sweep(SMALL, tmp_path, HERE, compare="ends")
    ends = []
    for machine in tree(2, 2, 30):
        simulation = Simulation(machine, machine.initial())
        while simulation.outcome is None and simulation.steps < 30:
            simulation.step()
        cells = simulation.configuration().tapes[0].nonblank("0")
        ends.append((simulation.outcome, simulation.steps, cells, machine.name))
    halted = [end for end in ends if end[0] == "halted"]
    assert made.rows == len(ends)
    assert made.outcomes == {"halted": len(halted), "step-limit": len(ends) - len(halted)}
    assert made.steps == made.forward_passes == sum(end[1] for end in ends)
    for column, champion in ((1, made.most_steps), (2, made.most_nonblank)):
        best = max(halted, key=lambda end, column=column: end[column])  # the first of several
        assert (champion["steps"], champion["nonblank"]) == best[1:3]
        assert champion["machine"] == best[3]
    assert (made.statuses, made.troubles) == ({"agrees": len(ends)}, ())


def test_a_summary_of_nothing_that_halts_has_no_champions(tmp_path):
    made = sweep(Asked(machines=("0RA---_------",), max_steps=5), tmp_path, HERE)
    assert (made.rows, made.most_steps, made.most_nonblank) == (1, None, None)
    asked = Asked(machines=("palindrome-2tape",), constructions=("queue",))
    made = sweep(asked, tmp_path / "b", HERE)
    assert (made.steps, made.outcomes, made.most_steps) == (0, {}, None)
    assert made.statuses == {"refused": made.rows}
    assert made.troubles == ()  # it is not wrong that a construction does not take a machine


# --- what stands in the way


@pytest.mark.parametrize(
    "edited",
    [
        b"nonsense",
        b"{}",
        b"[1]",
        b"7",
        b"",
        b'{"number": 3',
        b"\xff\xfe",
        json.dumps(dict.fromkeys(COLUMNS)).encode(),
        json.dumps(dict.fromkeys(COLUMNS, "3")).encode(),
        json.dumps({name: [3] for name in COLUMNS}).encode(),
    ],
)
def test_a_line_that_was_edited_is_named(tmp_path, counted, edited):
    sweep(SMALL, tmp_path, HERE)
    kept = lines(tmp_path / JOURNAL)
    kept[3] = edited
    (tmp_path / JOURNAL).write_bytes(b"".join(line + b"\n" for line in kept))
    with pytest.raises(InputError, match=r"line 4 of .*journal\.jsonl is not a row") as error:
        sweep(SMALL, tmp_path, HERE)
    assert "delete that line" in str(error.value)
    del kept[3]  # what the message says
    (tmp_path / JOURNAL).write_bytes(b"".join(line + b"\n" for line in kept))
    counted.clear()
    assert sweep(SMALL, tmp_path, HERE).rows == 61
    assert counted == [3]


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"max_steps": 31}, "max_steps"),
        ({"sizes": ((1, 2),)}, "sizes"),
        ({"random": 1, "seed": 4}, "random, seed"),
        ({"constructions": ("trace", "queue")}, "constructions"),
        ({"constructions": ("looped",), "options": {"window": 9}}, "constructions, options"),
        ({"machines": ("bb2",)}, "machines"),
    ],
)
def test_another_sweep_is_told_what_differs(tmp_path, counted, other, differs):
    made = sweep(SMALL, tmp_path, HERE)
    before = made.path.read_bytes()
    asked = Asked(**({"sizes": ((2, 2),), "max_steps": 30} | other))
    with pytest.raises(InputError) as error:
        sweep(asked, tmp_path, HERE)
    assert f"holds another sweep (it differs in: {differs})" in str(error.value)
    with pytest.raises(InputError, match="differs in: compare"):
        sweep(SMALL, tmp_path, HERE, compare="ends")
    assert made.path.read_bytes() == before


def test_another_version_is_another_sweep(tmp_path, counted, monkeypatch):
    sweep(SMALL, tmp_path, HERE)
    monkeypatch.setattr(store, "__version__", "0.0.0")
    with pytest.raises(InputError, match="differs in: tm2tf"):
        sweep(SMALL, tmp_path, HERE)


@pytest.mark.parametrize("what", ["machines", "folders", "corpora"])
def test_files_that_changed_since_are_another_sweep(tmp_path, counted, what):
    """Their rows would go under the numbers of others."""
    folder = tmp_path / "in"
    folder.mkdir()
    text = "1RB1LB_1LA1RZ"
    (folder / "m.txt").write_text(text + ("\t6\t4\n" if what == "corpora" else "\n"))
    asked = Asked(**{what: (str(folder if what == "folders" else folder / "m.txt"),)})
    sweep(asked, tmp_path / "out", HERE)
    assert sweep(asked, tmp_path / "out", HERE).before == 1
    text = "1RB1RB_1LA1RZ"
    (folder / "m.txt").write_text(text + ("\t6\t4\n" if what == "corpora" else "\n"))
    with pytest.raises(InputError, match="differs in: files"):
        sweep(asked, tmp_path / "out", HERE)


def test_what_was_asked_for_may_change_before_the_first_row(tmp_path, counted):
    """A wrong number in a command need not cost a folder."""
    with pytest.raises(InputError, match="states must be"):
        sweep(Asked(sizes=((99, 2),)), tmp_path, HERE)
    assert sweep(SMALL, tmp_path, HERE).rows == 61
    assert json.loads((tmp_path / ASKED).read_text())["sizes"] == [[2, 2]]


def test_a_note_of_what_was_asked_for_that_was_edited_is_said(tmp_path, counted):
    sweep(SMALL, tmp_path, HERE)
    (tmp_path / ASKED).write_text("{")
    with pytest.raises(InputError, match=r"sweep\.json was edited"):
        sweep(SMALL, tmp_path, HERE)


def test_two_at_once_are_refused(tmp_path, counted):
    def engine(batches, work):
        with pytest.raises(InputError, match="another sweep writes to"):
            sweep(SMALL, tmp_path, HERE)
        script = (
            "import sys\nfrom pathlib import Path\nfrom tm2tf.sweep.store import Store\n"
            "from tm2tf.errors import InputError\n"
            "try:\n    Store(Path(sys.argv[1]), {}, 'jsonl')\n"
            "except InputError as error:\n    print(error)\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "another sweep writes to" in told.stdout
        yield from HERE(batches, work)

    assert sweep(SMALL, tmp_path, engine).rows == 61
    assert sweep(SMALL, tmp_path, HERE).before == 61


def test_a_refused_folder_is_let_go(tmp_path, counted):
    """An error leaves no lock behind, even while it is looked at."""
    sweep(SMALL, tmp_path, HERE)
    with pytest.raises(InputError) as error:
        sweep(Asked(random=1), tmp_path, HERE)
    with (tmp_path / JOURNAL).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert error.value


@pytest.mark.parametrize("where", ["file", "file/x", "\0" if os.name == "nt" else "/proc/x"])
def test_a_folder_that_cannot_be_is_said(tmp_path, monkeypatch, where):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(InputError, match=f"cannot write to {where}: "):
        sweep(SMALL, Path(where), HERE)


def test_a_name_that_is_no_text_is_kept(tmp_path):
    """Names of files may be any bytes; results are UTF-8."""
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"a\xff.txt")).write_text("start: a\nrules: {a: {_: R}}\n")
    except OSError:
        pytest.skip("names of files are text here")
    asked = Asked(folders=(str(folder),), max_steps=5)
    made = sweep(asked, tmp_path / "out", HERE)
    assert [row["machine"] for row in rows(made)] == [r"a\udcff"]
    assert sweep(asked, tmp_path / "out", HERE).before == 1


# --- Parquet


def test_parquet_holds_the_same_rows(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `sweep` is not installed")
    asked = Asked(machines=("palindrome-2tape", "bb2"), constructions=("trace", "queue"))
    plain = sweep(asked, tmp_path / "a", HERE)
    made = sweep(asked, tmp_path / "b", HERE, kind="parquet")
    assert made.path.name == "results.parquet"
    table = parquet.read_table(made.path)
    assert table.to_pylist() == rows(plain)
    kinds = {int: "int64", str: "string"}
    assert {field.name: str(field.type) for field in table.schema} == {
        name: kinds[kind] for name, kind in COLUMNS.items()
    }
    assert {row["status"] for row in rows(plain)} == {"agrees", "refused"}
    other = sweep(asked, tmp_path / "a", HERE, kind="parquet")  # the same folder, another kind
    assert other.before == other.rows
    assert other.path.read_bytes() == made.path.read_bytes()


def test_parquet_without_pyarrow_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ExtraError, match=r"pyarrow.*sweep"):
        sweep(SMALL, tmp_path / "out", HERE, kind="parquet")
    assert not (tmp_path / "out").exists()
