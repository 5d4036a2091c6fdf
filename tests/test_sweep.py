"""Sweeps: what they do, the rows that come of it, and that none of them is lost or done twice."""

from dataclasses import replace
from itertools import islice

import pytest

from tests.faults import places, with_weight
from tm2tf import api, formats
from tm2tf.errors import FormatError, InputError, InternalError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape
from tm2tf.machine.tree import tree
from tm2tf.sweep import local
from tm2tf.sweep.sweep import sweep
from tm2tf.sweep.tasks import TREE_STEPS, Asked, Task, how_many, tasks
from tm2tf.sweep.work import COLUMNS, LAST_LINES, work

HERE = local.engine(1)
MACHINE = "start: a\nhalt: z\nrules: {a: {_: 1 R z}}\n"
SMALL = Asked(sizes=((2, 2),), max_steps=30)
FACTS = """\
# code, steps, cells
1RB1LB_1LA1RZ\t6\t4
1RB1LB_1LA1RZ\t7\t4
1RB1LB_1LA1RZ\t5\t4
1RB1LB_1LA1RZ\t6\t3
1RB1LB_1LA1RZ\tinfinite
0RB---_0LA---\t9\t1
0RB---_0LA---\tinfinite
"""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "facts.tsv"
    path.write_text(FACTS)
    return str(path)


@pytest.fixture
def machines(tmp_path):
    """A folder with two machines, one of them in a folder of its own."""
    folder = tmp_path / "machines"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "b.txt").write_text("1RB1LB_1LA1RZ\n")
    (folder / "a.yaml").write_text(MACHINE)
    return folder


def listed(**asked):
    return list(tasks(Asked(**asked)))


def told(machine, tapes, limit):
    """Return how a run ends by the reference simulator."""
    simulation = Simulation(machine, machine.initial(tapes))
    while simulation.outcome is None and simulation.steps != limit:
        simulation.step()
    end = simulation.configuration()
    cells = sum(machine.plain(tape).nonblank(machine.blank) for tape in end.tapes)
    return simulation.outcome or "step-limit", end.state, simulation.steps, cells


# --- tasks


def test_tasks_are_made_as_they_are_asked_for(corpus):
    """What comes later may be endless, or no machine at all."""
    codes = [machine.name for machine in islice(tree(5, 3, 10), 7)]
    found = tasks(Asked(sizes=((5, 3), (99, 2)), max_steps=10))
    assert [task.name for task in islice(found, 7)] == codes
    found = tasks(Asked(machines=("bb2",), corpora=(corpus, "nowhere.tsv"), sizes=((99, 2),)))
    assert len(list(islice(found, 8))) == 8
    with pytest.raises(InputError, match=r"cannot read the corpus nowhere\.tsv"):
        next(found)


def test_tasks_come_in_the_same_order_each_time(corpus, machines):
    asked = {
        "machines": ("palindrome", "bb3"),
        "folders": (str(machines),),
        "corpora": (corpus,),
        "sizes": ((2, 2), (1, 3)),
        "random": 5,
        "seed": 3,
        "constructions": ("trace", "looped"),
    }
    first = listed(**asked)
    assert first == listed(**asked)
    assert [task.number for task in first] == list(range(len(first)))
    parts = [
        listed(**{name: asked[name] for name in names}, constructions=asked["constructions"])
        for names in (["machines"], ["folders"], ["corpora"], ["sizes"], ["random", "seed"])
    ]
    joined = [replace(task, number=0) for part in parts for task in part]
    assert [replace(task, number=0) for task in first] == joined


def test_machines_run_on_their_examples_and_others_on_a_blank_tape():
    palindrome = api.load("palindrome")
    found = listed(machines=("palindrome", "1RB1LB_1LA1RZ"))
    assert len(found) == len(palindrome.examples) + 1
    for task, example in zip(found, palindrome.examples, strict=False):
        assert (task.tapes, task.max_steps) == (example.tapes, example.max_steps)
        assert task.expected == example.expected
    assert found[-1].tapes == (Tape(()),)


def test_a_task_carries_its_machine():
    """The text in it reads as the machine, of any sort, but for its examples."""
    for number, task in enumerate(listed(random=20, seed=5)):
        machine = sample(5, number)
        assert formats.parse(task.machine, task.name, task.name) == replace(machine, examples=())
        assert (task.name, task.tapes) == (machine.name, machine.examples[0].tapes)


def test_files_of_a_folder_are_taken_in_the_order_of_their_paths(machines):
    found = listed(folders=(str(machines),))
    assert [task.name for task in found] == ["a", "1RB1LB_1LA1RZ"]


def test_sizes_are_trees():
    names = [machine.name for machine in tree(2, 2, 30)]
    assert [task.name for task in listed(sizes=((2, 2),), max_steps=30)] == names
    assert {task.max_steps for task in listed(sizes=((1, 2),))} == {TREE_STEPS}


def test_each_machine_comes_by_each_construction():
    found = listed(machines=("bb2", "bb3"), constructions=("queue", "addressed", "trace"))
    assert [(task.name, task.construction) for task in found] == [
        (name, how) for name in ("bb2", "bb3") for how in ("queue", "addressed", "trace")
    ]
    (one,) = listed(machines=("bb2",), constructions=("looped",), options={"window": 9})
    assert one.options == {"window": 9}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to sweep over"),
        ({"random": 0, "constructions": ("queue",)}, "nothing to sweep over"),
        ({"machines": ("bb2", "nope")}, "'nope'"),
        ({"folders": ("nowhere",)}, "no such folder: nowhere"),
        ({"folders": (".",)}, r"the folder \. is empty"),
        ({"machines": ("bb2",), "constructions": ("trac",)}, "unknown construction 'trac'"),
        ({"machines": ("bb2",), "options": {"tape": 9}}, "'trace' has no option 'tape'"),
    ],
)
def test_what_cannot_be_swept_over_is_told_at_once(asked, message, tmp_path, monkeypatch):
    """Before any task, and before there is a folder for results."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        tasks(Asked(**asked))
    with pytest.raises(InputError, match=message):
        sweep(Asked(**asked), tmp_path / "out", HERE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_machine_is_told_of_before_any_row(machines, tmp_path):
    (machines / "more" / "z.yaml").write_text("start: a\nrules: {a: {_: R nowhere}}\n")
    with pytest.raises(FormatError, match=r"z\.yaml:2:.*unknown state 'nowhere'"):
        sweep(Asked(machines=("bb2",), folders=(str(machines),)), tmp_path / "out", HERE)
    assert not (tmp_path / "out").exists()


# --- work


@pytest.mark.parametrize(
    "asked",
    [
        Asked(random=12, seed=1, max_steps=150),
        Asked(random=2, seed=4, constructions=("looped", "queue"), max_steps=40),
        pytest.param(
            Asked(random=40, seed=2, constructions=("looped", "queue", "addressed"), max_steps=60),
            marks=pytest.mark.slow,
        ),
        SMALL,
    ],
)
def test_rows_say_how_runs_end_whichever_way_they_are_compared(asked):
    """The ends are those of the reference simulator."""
    found = list(tasks(asked))
    rows = work(found, "steps")
    assert work(found, "ends") == rows
    for task, row in zip(found, rows, strict=True):
        assert list(row) == list(COLUMNS)
        assert (row["number"], row["machine"]) == (task.number, task.name)
        assert row["construction"] == task.construction
        if row["status"] == "refused":
            assert task.construction != "trace"
            continue
        assert (row["status"], row["message"]) == ("agrees", None)
        machine = formats.parse(task.machine)
        ended = told(machine, task.tapes, task.max_steps)
        assert (row["outcome"], row["state"], row["steps"], row["nonblank"]) == ended
        assert row["forward_passes"] >= row["steps"]


def test_facts_that_are_wrong_are_seen(corpus):
    found = listed(corpora=(corpus,), max_steps=20)
    steps, ends = work(found, "steps"), work(found, "ends")
    assert [row["status"] for row in steps] == ["agrees", *["differs"] * 5, "agrees"]
    for one, other in zip(steps, ends, strict=True):
        assert one | {"message": 0} == other | {"message": 0}
        assert (one["message"] is None) == (other["message"] is None) == (one["status"] == "agrees")
    words = (("7", "6"), ("5", "6"), ("3", "4"), ("step-limit", "halted"), ("halted", "step-limit"))
    for row, (expected, got) in zip(ends[1:6], words, strict=True):
        assert f"expected {expected}, got {got}" in row["message"]


def test_a_run_longer_than_the_limit_says_where_it_is_said_to_end(tmp_path):
    (tmp_path / "long.tsv").write_text("1RB1LB_1LA1RZ\t6\t4\n")
    (task,) = listed(corpora=(str(tmp_path / "long.tsv"),), max_steps=5)
    for compare in ("steps", "ends"):
        (row,) = work([task], compare)
        assert (row["status"], row["outcome"], row["ends_after"]) == ("agrees", "step-limit", 6)


def test_weights_with_a_fault_differ(monkeypatch):
    """What ends show is shown by steps too; each shows something."""
    model, found = api.compile("bb3"), listed(machines=("bb3",), max_steps=40)
    seen = {"steps": set(), "ends": set()}
    for place in islice(places(model.weights), 0, None, 7):
        weights = with_weight(model.weights, *place, -1.0)
        broken = api.Model(replace(model.compiled, weights=weights))
        monkeypatch.setattr(api, "compile", lambda *_, broken=broken, **__: broken)
        for compare, places_seen in seen.items():
            (row,) = work(found, compare)
            if row["status"] != "agrees":
                assert row["message"]
                places_seen.add(place)
    assert seen["ends"]
    assert seen["ends"] <= seen["steps"]


def failing(monkeypatch, name, error):
    """Let machines of a name fail to compile."""
    right = api.compile

    def compile_(machine, *args, **options):
        if machine.name == name:
            raise error
        return right(machine, *args, **options)

    monkeypatch.setattr(api, "compile", compile_)


@pytest.mark.parametrize("compare", ["steps", "ends"])
@pytest.mark.parametrize("error", [ZeroDivisionError("why"), InternalError("why")])
def test_a_fault_of_ours_is_in_its_row_and_the_others_are_there(monkeypatch, compare, error):
    found = listed(random=5)
    right = work(found, compare)
    failing(monkeypatch, found[2].name, error)
    rows = work(found, compare)
    assert rows[:2] + rows[3:] == right[:2] + right[3:]
    assert (rows[2]["status"], rows[2]["outcome"]) == ("error", None)
    lines = rows[2]["message"].splitlines()
    assert len(lines) == LAST_LINES
    assert "raise error" in rows[2]["message"]
    assert lines[-1].endswith(f"{type(error).__name__}: why")


def test_a_fault_while_many_run_costs_one_of_them(monkeypatch):
    from tm2tf.runtime import streams

    found, right = listed(random=5), streams.run_many
    fault = formats.parse(found[3].machine).name

    def run_many(jobs, **asked):
        if any(compiled.machine.name == fault for compiled, _ in jobs):
            raise MemoryError("why")
        return right(jobs, **asked)

    monkeypatch.setattr(streams, "run_many", run_many)
    rows = work(found, "ends")
    assert [row["status"] for row in rows] == ["agrees"] * 3 + ["error", "agrees"]
    assert rows[3]["message"].endswith("MemoryError: why")


@pytest.mark.parametrize("compare", ["steps", "ends"])
def test_what_a_construction_does_not_take_is_refused(compare):
    found = listed(machines=("palindrome-2tape", "bb2"), constructions=("queue",))
    rows = work(found, compare)
    assert {row["status"] for row in rows[:-1]} == {"refused"}
    assert "'queue' cannot take machine 'palindrome-2tape'" in rows[0]["message"]
    assert rows[-1]["status"] == "agrees"


def test_a_start_that_is_too_far_out_is_refused_alone():
    good = listed(machines=("bb2",))[0]
    far = replace(good, number=1, tapes=(Tape(("1",), 99_999_999),))
    for compare in ("steps", "ends"):
        rows = work([good, far, replace(good, number=2)], compare)
        assert [row["status"] for row in rows] == ["agrees", "refused", "agrees"]
        assert "too far out" in rows[1]["message"]
        assert rows[1]["input"] == "1 from 99999999, head 0"


def test_ctrl_c_while_many_run_makes_no_rows(monkeypatch):
    """Runs that were stopped, or not begun, are not results."""
    from tm2tf.runtime import streams

    found, right = listed(random=2), streams.run_many
    for stop in (lambda end: replace(end, interrupted=True), lambda end: None):

        def run_many(jobs, stop=stop, **asked):
            first, second = right(jobs, **asked)
            return [first, stop(second)]

        monkeypatch.setattr(streams, "run_many", run_many)
        with pytest.raises(KeyboardInterrupt):
            work(found, "ends")


def test_no_tasks_are_no_rows():
    assert work([], "steps") == work([], "ends") == []


@pytest.mark.parametrize(
    ("tapes", "shown"),
    [
        ((Tape(()),), ""),
        ((Tape(("1", "0")),), "10"),
        ((Tape(("one", "0")), Tape(("a",), -2, 3)), "one 0; a from -2, head 3"),
    ],
)
def test_inputs_are_shown_in_a_few_words(tapes, shown):
    from tm2tf.sweep.work import blank_row

    row = blank_row(Task(3, "m", "", tapes, "queue", {}, 7, ends=9), "died", "why")
    assert row == dict.fromkeys(COLUMNS) | {
        "number": 3, "machine": "m", "construction": "queue", "input": shown, "max_steps": 7,
        "status": "died", "ends_after": 9, "message": "why",
    }  # fmt: skip


def test_how_many_tasks_there_are(corpus, machines):
    """Known beforehand, for the time left; but not of a size, whose machines grow as a tree."""
    asked = Asked(machines=("bb2",), folders=(str(machines),), corpora=(corpus,), random=3)
    assert how_many(asked) == len(list(tasks(asked))) == 1 + 2 + 7 + 3
    assert how_many(SMALL) is None
    with pytest.raises(InputError, match="nothing to sweep over"):
        how_many(Asked())
