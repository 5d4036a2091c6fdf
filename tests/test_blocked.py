"""Block machines as transformers: run, verified, saved, in the base machine's cells and steps."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inspecting import bundled
from tests.strategies import configurations, machines
from tm2tf import api
from tm2tf.blocked import model as blocked
from tm2tf.blocked.artifact import FILE, open_blocks
from tm2tf.errors import ArtifactError, InputError
from tm2tf.machine import simulator
from tm2tf.machine.spec import Expected, Machine, Tape, Transition


@pytest.mark.parametrize("block", [1, 3, 24, "auto"])
@pytest.mark.parametrize(("name", "steps", "ones"), [("bb4", 107, 13), ("bb2x3", 38, 9)])
def test_busy_beavers_through_the_weights(name, steps, ones, block):
    model = blocked.compile(name, block)
    result = model.run()
    assert (result.outcome, result.steps, result.nonblank) == ("halted", steps, ones)
    assert result.macro.steps == model.found.first_run.macro_steps
    assert (model.choice is None) == (block != "auto")
    assert model.finding > 0
    assert model.compiling > 0


@pytest.mark.parametrize("table", ["run", "closure"])
@pytest.mark.parametrize("word", ["abcba", "abcb", "", "c"])
def test_inputs_end_as_the_machine_does(word, table):
    machine = bundled("palindrome")
    for tape in (Tape(tuple(word)), Tape(tuple(word), 5, 5), Tape(tuple(word), -9, -9)):
        reference = simulator.run(machine, machine.initial([tape]))
        result = blocked.compile(machine, 2, tape, table=table).run()
        assert (result.outcome, result.steps) == (reference.outcome, reference.steps)
        assert (result.state, result.tapes) == (
            reference.configuration.state, reference.configuration.tapes
        )  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(st.data(), st.integers(1, 4), st.integers(0, 80), st.sampled_from(["run", "closure"]))
def test_random_machines_through_the_weights(data, block, most, table):
    machine = data.draw(machines(tapes=(1, 1), states=(2, 4), symbols=(2, 3)))
    start = data.draw(configurations(machine))
    model = blocked.compile(
        machine, block, *start.tapes, table=table, most_rules=10**5, max_steps=most
    )
    result = model.run(max_steps=most)
    assert result.steps <= most
    reference = simulator.run(machine, start, result.steps)
    assert reference.steps == result.steps
    assert reference.configuration.tapes == result.tapes
    assert reference.configuration.state == result.state
    whole = simulator.run(machine, start, most + 1)
    if whole.steps <= most and whole.outcome != "step-limit":
        assert (result.outcome, result.steps) == (whole.outcome, whole.steps)
    else:
        assert result.outcome == "step-limit"
    check = model.verify(max_steps=most, expected=Expected())
    assert check.divergence is None
    assert (check.steps, check.unfolded.base_steps) == (result.macro.steps, result.steps)


@pytest.mark.parametrize("table", ["run", "closure"])
def test_base_steps_are_counted_by_what_the_weights_did_or_else_by_the_table(table):
    """bb4 in blocks of 3: 35 macro steps, and some tokens stand for several numbers of steps."""
    model = blocked.compile("bb4", 3, table=table)
    start = model.found.start(model.begin)
    taken = list(simulator.trace(model.found.machine, start))
    cases = Counter((step.state, step.reads[0]) for step in taken)
    assert (len(taken), model.found.base_steps(cases)) == (35, 107)
    of_token = {}
    for rule, steps in model.found.steps.items():
        to = model.found.machine.transitions[rule[0], (rule[1],)]
        of_token.setdefault(to, set()).add(steps)
    assert max(map(len, of_token.values())) > 1
    for kernel, how in (
        ("dense", "table"), ("sparse", "table"), ("evaluated", "weights"), ("folded", "weights")
    ):  # fmt: skip
        result = model.run(kernel=kernel)
        assert (result.steps, result.counted, result.macro.kernel) == (107, how, kernel)
        assert result.macro.cases == (cases if how == "weights" else None)
        limited = model.run(kernel=kernel, max_steps=60)
        done = model.found.base_steps(limited.macro.cases or {})
        assert limited.counted == how
        assert done == (limited.steps if how == "weights" else 0)
        assert 50 < limited.steps <= 60


def test_counts_that_are_not_those_of_the_rules_are_not_believed():
    model = blocked.compile("bb4", 3)
    (rule, steps), *_ = model.found.steps.items()
    for cases in (None, {}, {rule: 34}, {("A>", "nothing"): 35}):
        result = SimpleNamespace(steps=35, cases=cases)
        assert model._base_steps(result, model.begin) == (107, "table")
    result = SimpleNamespace(steps=35, cases={rule: 35})
    assert model._base_steps(result, model.begin) == (35 * steps, "weights")


def test_a_run_from_another_start_is_not_passed_off_as_the_machines():
    machine = bundled("binary-increment")
    model = blocked.compile(machine, 2, "1011")
    assert model.run("1011").steps == simulator.run(machine, machine.initial(["1011"])).steps
    for word in ("11", "1111"):
        with pytest.raises(InputError, match=r"has no rule for state 'carry<' on the block '__'"):
            model.run(word)
        with pytest.raises(InputError, match="has no rule for state"):
            model.run(word, max_steps=1000)
        with pytest.raises(InputError, match="has no rule for state"):
            model.verify(word)
    with pytest.raises(InputError, match="of the start is none that this block machine knows"):
        model.run("0100")


def test_a_first_run_that_was_stopped_is_no_end():
    model = blocked.compile("bb4", 4, max_steps=50)
    assert not model.found.first_run.over
    assert model.run(max_steps=50).outcome == "step-limit"
    with pytest.raises(InputError, match="by a run from another start, or by a shorter one"):
        model.run()


def test_a_run_that_never_ends_is_refused_where_that_is_known():
    right = Transition("A", ("1",), ("S",))
    base = Machine("stays", ("0", "1"), "0", ("A",), "A", {("A", (x,)): right for x in "01"})
    model = blocked.compile(base, 3)
    assert model.found.first_run.loops
    with pytest.raises(InputError, match=r"goes round within a block.* and never ends"):
        model.run()
    with pytest.raises(InputError, match=r"goes round within a block.* and never ends"):
        model.verify()
    result = model.run(max_steps=1000)
    assert (result.outcome, result.tapes[0].contents) == ("step-limit", ("1",))
    assert result.steps == 1000
    assert model.verify(max_steps=1000).unfolded.base_steps == 1000


def test_closure_and_choice_do_not_go_together():
    with pytest.raises(InputError, match="take --table run, or a number"):
        blocked.compile("bb4", "auto", table="closure")
    with pytest.raises(InputError, match="blocks are of one tape"):
        blocked.compile("palindrome-2tape", "auto")


@pytest.mark.parametrize(
    ("construction", "options"),
    [
        ("addressed", {}),
        ("queue", {"tape": 16}),
        ("looped", {}),
        pytest.param("universal", {}, marks=pytest.mark.slow),
    ],
)
def test_other_constructions(construction, options):
    model = blocked.compile("bb3", 2, construction=construction, **options)
    result = model.run()
    assert (result.outcome, result.steps, result.nonblank) == ("halted", 21, 5)


def test_another_runtime():
    result = blocked.compile("bb3", 2).run(runtime="torch")
    assert (result.outcome, result.steps, result.macro.runtime) == ("halted", 21, "torch")


# --- verification -------------------------------------------------------------------------


def test_what_is_verified_and_what_is_seen():
    model = blocked.compile("bb4", 3)
    good = model.verify(expected=Expected(outcome="halted", state="Z", steps=107, nonblank=13))
    assert good.divergence is None
    assert (good.base, good.block, good.rules) == ("bb4", 3, len(model.found.steps))
    for wrong in (
        Expected(steps=106), Expected(nonblank=12), Expected(outcome="accepted"),
        Expected(state="A"), Expected(tapes=(("1",),)),
    ):  # fmt: skip
        check = model.verify(expected=wrong)
        assert check.divergence is not None
        assert check.divergence.feature.startswith("expected ")


def test_a_block_machine_that_is_none_of_its_base_machine():
    """Its weights do what it says; only unfolding shows that this is not what bb4 does."""
    model = blocked.compile("bb4", 3)
    found = model.found
    key = next(key for key, steps in found.steps.items() if steps > 3)
    steps = dict(found.steps) | {key: found.steps[key] - 1}
    check = replace(model, found=replace(found, steps=steps)).verify()
    assert check.divergence is not None
    assert check.divergence.feature == "unfolding"
    assert "macro step" in check.divergence.got


# --- artifacts ----------------------------------------------------------------------------


def test_an_artifact_tells_the_base_machines_steps(tmp_path):
    model = blocked.compile("bb4", 4, table="closure")
    digest = model.save(tmp_path / "a")
    opened = open_blocks(tmp_path / "a")
    assert opened.found == model.found
    assert opened.model.weights_sha256 == digest
    assert opened.run().steps == 107
    assert api.open_model(tmp_path / "a").run().steps == 24
    other = blocked.compile("bb2x4", "auto")
    other.save(tmp_path / "a")
    assert open_blocks(tmp_path / "a").run().steps == 3_932_964


def test_an_artifact_of_odd_symbols(tmp_path):
    machine = replace(bundled("bb2x3"), examples=())
    names = {"0": "a,b", "1": "'", "2": "語"}
    odd = replace(
        machine,
        symbols=tuple(names[s] for s in machine.symbols),
        blank=names[machine.blank],
        transitions={
            (q, tuple(names[r] for r in reads)): replace(to, writes=(names[to.writes[0]],))
            for (q, reads), to in machine.transitions.items()
        },
    )
    blocked.compile(odd, 3).save(tmp_path / "a")
    opened = open_blocks(tmp_path / "a")
    assert set(opened.found.blocks) >= {"block0", "block1"}
    result = opened.run()
    assert (result.steps, result.nonblank) == (38, 9)
    assert result.tapes[0].contents[0] in names.values()


def test_a_folder_without_blocks_or_with_others(tmp_path):
    api.compile("bb4").save(tmp_path / "plain")
    assert open_blocks(tmp_path / "plain") is None
    blocked.compile("bb4", 4).save(tmp_path / "a")
    api.compile("bb3").save(tmp_path / "a")  # block.json is of weights that are gone
    assert open_blocks(tmp_path / "a") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "expected a JSON object with"),
        ({"format_version": 2}, "knows format_version 1 only"),
        ({"block": 3}, "are not those of the machine"),
        ({"block": "4"}, "has something else in its place"),
        ({"found": "guess"}, "has something else in its place"),
        ({"places": {}}, "are not those of the machine"),
        ({"places": None}, "has something else in its place"),
        ({"steps": [["A>", "0000", 3]]}, "are not those of the machine"),
        ({"first_run": {"x": 1}}, "has something else in its place"),
        ({"base": "no machine"}, "the base machine"),
    ],
)
def test_a_file_that_is_not_that_of_the_machine(tmp_path, change, said):
    blocked.compile("bb4", 4).save(tmp_path)
    path = tmp_path / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match=said):
        open_blocks(tmp_path)


def test_a_file_with_a_false_rule_or_base(tmp_path):
    blocked.compile("bb4", 4).save(tmp_path)
    path = tmp_path / FILE
    said = json.loads(path.read_text())
    steps = [[q, s, n + 1] for q, s, n in said["steps"]]
    path.write_text(json.dumps(said | {"steps": steps}))
    with pytest.raises(ArtifactError, match="is not the base machine's; compile"):
        open_blocks(tmp_path)
    base = said["base"].replace("1 R B", "0 R B")
    assert base != said["base"]
    path.write_text(json.dumps(said | {"base": base}))
    with pytest.raises(ArtifactError, match="is not the base machine's; compile"):
        open_blocks(tmp_path)
    for text in ("{", "[]", "\udcff".encode("utf-8", "surrogatepass")):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ArtifactError, match=FILE):
            open_blocks(tmp_path)


# --- BB(5) --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", [24, "auto"])
def test_bb5_in_blocks(block):
    model = blocked.compile("bb5", block)
    result = model.run()
    assert (result.outcome, result.steps, result.nonblank) == ("halted", 47_176_870, 4098)
    assert result.macro.steps < 2_000_000
    check = model.verify(expected=bundled("bb5").examples[0].expected)
    assert check.divergence is None
    assert check.unfolded.base_steps == 47_176_870
