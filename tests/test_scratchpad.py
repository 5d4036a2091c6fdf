"""The scratchpad construction: its rows against the simulator, its sizes, and its weights."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import places, with_weight
from tests.scratchpad_rows import texts, written
from tests.strategies import ODD, configurations, machines
from tm2tf import formats
from tm2tf.api import verify
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions import scratchpad
from tm2tf.errors import BoundError, ConfigurationError, ConstructionError
from tm2tf.formats import native
from tm2tf.machine import library
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.simulator import run as simulate
from tm2tf.machine.spec import Configuration, Machine, Tape
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.run import run
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.verify.lockstep import lockstep


def load(name) -> Machine:
    return native.parse(library.find(name).path.read_text(), name=name)


ONE_TAPE = [entry.name for entry in library.entries() if load(entry.name).tapes == 1]


def assert_writes_the_run(machine, start, passes=4000):
    prompt, emitted = texts(machine, start, passes)
    assert scratchpad.prompt(machine, start, {}).tokens == tuple(prompt)
    program = scratchpad.program(machine, {})
    assert Interpreter(program).generate(prompt, len(emitted)) == emitted
    return emitted


@pytest.mark.parametrize("name", ONE_TAPE)
def test_the_interpreter_writes_the_rows_of_bundled_machines(name):
    machine = load(name)
    for example in machine.examples[:2]:
        assert_writes_the_run(machine, machine.initial(example.tapes), 1500)


def test_the_interpreter_writes_the_rows_of_sampled_machines():
    ends = set()
    for machine in (sample(7, number) for number in range(60)):
        if machine.tapes == 1:
            start = machine.initial(machine.examples[0].tapes)
            ends.add(assert_writes_the_run(machine, start, 600)[-1])
    assert {"<halted>", "<accepted>", "<rejected>", "<stuck>"} <= ends


@st.composite
def cases(draw):
    """Return a one-tape machine and a start."""
    words = draw(st.sampled_from([ODD, st.sampled_from("|_01")]))
    machine = draw(machines(tapes=(1, 1), words=words))
    return machine, draw(configurations(machine, cells=4, reach=3))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_interpreter_writes_the_rows_of_any_machine(case):
    assert_writes_the_run(*case, 200)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_sizes_and_kernel(case):
    machine, start = case
    prompt, emitted = texts(machine, start, 200)
    compiled = compile_machine(machine, "scratchpad")
    weights = compiled.weights
    assert scratchpad.sizes(machine, {}) == {
        "layers": len(weights.layers),
        "heads": weights.heads,
        "d_model": weights.d_model,
        "d_mlp": weights.d_mlp,
        "vocab": weights.d_vocab,
    }
    begin = compiled.start(start)
    assert [weights.tokens[number].name for number in begin.ids] == prompt
    if emitted:
        found = SparseRunner(weights, begin.ids).advance(len(emitted)).tokens
        assert [weights.tokens[number].name for number in found] == emitted
    if machine.outcome_of(machine.start) is not None:
        assert weights.tokens[begin.ids[-1]].outcome == machine.outcome_of(machine.start)


# --- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bb4", "palindrome", "binary-increment", "unary-addition"])
def test_lockstep_agrees_on_bundled_machines(name):
    machine = load(name)
    for example in machine.examples[:3]:
        check = verify(machine, *example.tapes, construction="scratchpad")
        assert check.divergence is None
        assert check.steps == simulate(machine, machine.initial(example.tapes)).steps


def test_lockstep_agrees_on_sampled_machines():
    for machine in (sample(3, number) for number in range(40)):
        if machine.tapes == 1:
            start = machine.initial(machine.examples[0].tapes)
            check = lockstep(compile_machine(machine, "scratchpad"), start, max_steps=200)
            assert check.divergence is None


def test_lockstep_agrees_on_torch():
    for name in ("bb2", "bb3", "binary-increment"):
        check = verify(load(name), construction="scratchpad", runtime="torch")
        assert (check.divergence, check.outcome) == (None, "halted")


ZIGZAG = """
start: right
blank: 0
rules:
  right: {0: 1 L left, 1: R}
  left: {0: 1 R right, 1: L}
"""


def test_the_tape_grows_at_both_ends():
    machine = formats.parse(ZIGZAG)
    compiled, start = compile_machine(machine, "scratchpad"), machine.initial([Tape((), 0, 5)])
    found = run(compiled, start, max_steps=400)
    simulation = Simulation(machine, start)
    for _ in range(400):
        simulation.step()
    assert found.tapes == simulation.configuration().tapes
    rows = list(islice(written(machine, start), 401))
    assert found.forward_passes == sum(map(len, rows[1:]))
    assert found.peak_context == sum(map(len, rows)) - 1  # the last one is not fed
    assert {len(row) for row in rows[1:]} == set(range(3, 30))
    check = lockstep(compiled, start, max_steps=400)
    assert (check.divergence, check.steps) == (None, 400)


@pytest.mark.parametrize("move", "LR")
def test_a_cell_a_step(move):
    machine = formats.parse(f"start: go\nblank: 0\nrules: {{go: {{0: 1 {move} go}}}}")
    compiled = compile_machine(machine, "scratchpad")
    check = lockstep(compiled, machine.initial(), max_steps=300)
    assert (check.divergence, check.steps) == (None, 300)
    assert check.forward_passes == 300 * 2 + 300 * 301 // 2  # no run takes more
    assert check.interpreted == 120


def test_a_run_that_is_over_at_once():
    machine = formats.parse("start: end\naccept: end\nblank: 0\nrules: {other: {0: 0 R end}}")
    compiled = compile_machine(machine, "scratchpad")
    assert scratchpad.prompt(machine, machine.initial(), {}).tokens == (
        "<bos>",
        "end:0",
        "<accepted>",
    )
    found = run(compiled, machine.initial())
    assert (found.outcome, found.state, found.forward_passes) == ("accepted", "end", 0)
    assert lockstep(compiled, machine.initial()).divergence is None


@pytest.mark.parametrize(("head", "passes"), [(-2, 1), (0, 1), (1, 1), (2, 2), (5, 5)])
def test_a_missing_rule_is_met_a_cell_before_the_head(head, passes):
    machine = Machine("none", ("0", "1"), "0", ("go",), "go", {}, undefined="reject")
    compiled = compile_machine(machine, "scratchpad")
    start = machine.initial([Tape(("1",), 0, head)])
    found = run(compiled, start)
    assert (found.outcome, found.steps, found.forward_passes) == ("rejected", 0, passes)
    assert found.tapes == (Tape(("1",), 0, head),)
    assert lockstep(compiled, start).divergence is None


def test_a_start_is_written_without_the_blanks_around_it():
    machine = load("binary-increment")
    starts = (("__1_0__", -2, 0), ("___", 0, 7), ("1", 5, 2))
    rows = [
        scratchpad.prompt(machine, machine.initial([Tape(tuple(cells), origin, head)]), {})
        for cells, origin, head in starts
    ]
    state = machine.start
    assert [(" ".join(row.tokens[1:-1]), row.origins) for row in rows] == [
        (f"{state}:1 _ 0", (0,)),
        (f"{state}:_", (7,)),
        (f"{state}:_ _ _ 1", (2,)),
    ]
    (tape,) = machine.initial().tapes
    with pytest.raises(ConfigurationError, match="begins in the start state"):
        scratchpad.prompt(machine, Configuration("nowhere", (tape,)), {})


def test_several_tapes_are_refused():
    with pytest.raises(ConstructionError, match="machines of one tape, and this one has 2"):
        compile_machine(load("matching"), "scratchpad")


def test_a_state_that_is_called_none():
    machine = formats.parse("start: None\nblank: 0\nrules: {None: {0: 1 R None, 1: 0 L None}}")
    for construction in ("scratchpad", "queue"):
        compiled = compile_machine(machine, construction)
        check = lockstep(compiled, machine.initial(["101"]), max_steps=20)
        assert (check.divergence, check.interpreted) == (None, 20)


# --- weights ------------------------------------------------------------------------------------

MACHINE = formats.parse("""
start: turn
accept: yes
rules:
  turn:           # on a 1 it is stuck
    _: 0 L left
    0: 1 S yes
  left:
    _: 1 R right
    0: 1 L left
    1: 0 L left
  right:
    _: _ S turn
    0|1: R
""")
WORDS = (("0", 0), ("1", 0), ("10", 1), ("01", -1), ("1_0", 3), ("1_1", -3), ("0110_1", -9))
PASSES = 500


@pytest.fixture(scope="module")
def compiled():
    return compile_machine(MACHINE, "scratchpad")


@pytest.fixture(scope="module")
def runs(compiled):
    """Return prompts and what is to be emitted after them, as token ids."""
    ids, found = compiled.weights.ids(), []
    for cells, head in WORDS:
        start = MACHINE.initial([Tape(tuple(cells), 0, head)])
        emitted = texts(MACHINE, start, PASSES)[1]
        found.append((compiled.start(start).ids, [ids[token] for token in emitted]))
    return found


def caught(weights, runs):
    """Return whether the kernel emits anything but the run after one of these prompts."""
    try:
        return any(
            SparseRunner(weights, ids).advance(len(expected)).tokens.tolist() != expected
            for ids, expected in runs
        )
    except BoundError:
        return True


def concerns(weights, name, number):
    """Return the token and the direction that a weight joins; for other tensors their name."""
    if name not in ("W_E", "W_U"):
        return None, name
    tensor = dict(weights.tensors())[name]
    row, column = int(tensor.rows()[number]), int(tensor.columns[number])
    token, direction = (row, column) if name == "W_E" else (column, row)
    return weights.tokens[token].name, weights.directions[direction]


def test_every_sign_matters_but_those_of_labels(compiled, runs):
    weights = compiled.weights
    assert not caught(weights, runs)
    emitted = {weights.tokens[number].name for _, tokens in runs for number in tokens}
    assert {"<left:_", "0>right", "<accepted>", "<stuck>"} <= emitted
    survived = {
        concerns(weights, name, number)
        for name, number in places(weights)
        # lookups by address are the same in all constructions
        if not name.startswith(("blocks.1", "blocks.2.attn"))
        and not caught(with_weight(weights, name, number, -1.0), runs)
    }
    assert {place for place in survived if place[0] in {*emitted, None}} == {
        ("yes:1", "tape0.symbol=1"),
        ("yes:1", "state=yes"),
        (None, "blocks.0.attn.2.W_K"),  # for `over.now` where there is no head yet
    }


def test_lockstep_says_where_weights_are_wrong(compiled):
    weights, start = compiled.weights, MACHINE.initial()
    neurons = weights.layers[0].feed_forward
    neuron = neurons.neurons.index("transitions: head, left, 0 -> 1, left:left, left:left")
    at = neurons.W_out.rows().tolist().index(neuron)
    broken = with_weight(weights, "blocks.0.mlp.W_out", at, -1.0)
    found = lockstep(Compiled(MACHINE, compiled.program, broken), start, max_steps=50)
    assert (found.divergence.layer, found.divergence.feature) == ("layer 0", "becomes")
    grow = next(
        number
        for number in range(len(weights.W_E.values))
        if concerns(weights, "W_E", number) == ("<left:_", "tape0.grow")
    )
    broken = with_weight(weights, "W_E", grow, 2.0)
    found = lockstep(Compiled(MACHINE, compiled.program, broken), start, max_steps=50)
    assert (found.divergence.layer, found.divergence.feature) == ("embedding", "tape0.grow")
