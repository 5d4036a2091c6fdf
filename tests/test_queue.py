"""The queue construction: its rows against the simulator, its sizes, and its weights."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import places, with_weight
from tests.queue_rows import CELLS, MACHINE, PASSES, starts, taken, texts, word
from tests.strategies import ODD, configurations, machines
from tm2tf import formats
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions import queue
from tm2tf.errors import BoundError, ConfigurationError, ConstructionError
from tm2tf.formats import native
from tm2tf.machine import library
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.run import run
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.verify.lockstep import lockstep
from tm2tf.weights.matrix import Matrix


def load(name) -> Machine:
    return native.parse(library.find(name).path.read_text(), name=name)


ONE_TAPE = [
    entry.name
    for entry in library.entries()
    if entry.topic not in ("two-tapes", "three-tapes", "programs", "universal")
]


def assert_writes_the_run(machine, start, cells, passes=PASSES):
    options = {"tape": cells}
    prompt, emitted = texts(machine, start, cells, passes)
    assert queue.prompt(machine, start, options).tokens == tuple(prompt)
    program = queue.program(machine, options)
    assert Interpreter(program).generate(prompt, len(emitted)) == emitted
    return emitted


@pytest.mark.parametrize("name", ONE_TAPE)
def test_the_interpreter_writes_the_rows_of_bundled_machines(name):
    machine = load(name)
    for example in machine.examples[:2]:
        assert_writes_the_run(machine, machine.initial(example.tapes), 64)


def test_the_interpreter_writes_the_rows_of_sampled_machines():
    ends = set()
    for number in range(60):
        machine = sample(7, number)
        if machine.tapes == 1:
            start = machine.initial(machine.examples[0].tapes)
            ends.add(assert_writes_the_run(machine, start, 24, 600)[-1])
    assert {"<halted>", "<stuck>", "<tape-full>"} <= ends


@st.composite
def cases(draw):
    """Return a one-tape machine, a start, and the length of a tape that it fits on."""
    words = draw(st.sampled_from([ODD, st.sampled_from("#_01")]))
    machine = draw(machines(tapes=(1, 1), words=words))
    start = draw(configurations(machine, cells=4, reach=3))
    return machine, start, max(2, taken(start)[1] + draw(st.integers(0, 5)))


@settings(max_examples=120, deadline=None)
@given(cases())
def test_the_interpreter_writes_the_rows_of_any_machine(case):
    machine, start, cells = case
    assert_writes_the_run(machine, start, cells, 200)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_sizes_bits_and_kernel(case):
    machine, start, cells = case
    prompt, emitted = texts(machine, start, cells, 100)
    compiled = compile_machine(machine, "queue", options={"tape": cells})
    weights = compiled.weights
    assert queue.sizes(machine, {"tape": cells}) == {
        "layers": len(weights.layers),
        "heads": weights.heads,
        "d_model": weights.d_model,
        "d_mlp": weights.d_mlp,
        "vocab": weights.d_vocab,
    }
    assert weights.bounds.bits == 3  # of integers up to 3: inputs of a table, of the unembedding
    assert np.array_equal(weights.W_pos, np.zeros(weights.d_model))
    begin = compiled.start(start)
    assert [weights.tokens[number].name for number in begin.ids] == prompt
    if emitted:
        found = SparseRunner(weights, begin.ids).advance(len(emitted)).tokens
        assert [weights.tokens[number].name for number in found] == emitted
    if machine.outcome_of(machine.start) is not None:
        assert weights.tokens[begin.ids[-1]].outcome == machine.outcome_of(machine.start)


def test_no_weight_depends_on_the_tape():
    machine = load("bb4")
    short, long = (compile_machine(machine, "queue", options={"tape": n}).weights for n in (8, 999))
    for (name, one), (_, other) in zip(short.tensors(), long.tensors(), strict=True):
        both = (x.dense() if isinstance(x, Matrix) else x for x in (one, other))
        assert np.array_equal(*both), name
    offsets = [[head.offset for head in weights.layers[1].heads] for weights in (short, long)]
    assert offsets == [[8, 8, 9, 7], [999, 999, 1000, 998]]


# --- what cannot be ---------------------------------------------------------------------------


def test_several_tapes_are_refused():
    with pytest.raises(ConstructionError, match="machines of one tape, and this one has 2"):
        compile_machine(load("matching"), "queue")


def test_a_start_that_does_not_fit_names_the_tape_needed():
    compiled = compile_machine(load("binary-increment"), "queue", options={"tape": 4})
    assert len(compiled.prompt(compiled.machine.initial(["1011"]))) == 6
    with pytest.raises(ConfigurationError, match="--tape 5"):
        compiled.prompt(compiled.machine.initial(["10110"]))
    with pytest.raises(ConfigurationError, match="--tape 9"):
        compiled.prompt(compiled.machine.initial([Tape(("1",), 8, 0)]))


RUNNER = "start: go\nblank: 0\nhalt: [end]\nrules: {go: {0: 1 R go, 1: 0 R end}}"


@pytest.mark.parametrize("move", "LR")
@pytest.mark.parametrize("cells", [2, 3, 8])
def test_the_tape_is_full_just_when_the_head_leaves_it(move, cells):
    machine = formats.parse(RUNNER.replace(" R ", f" {move} "))
    compiled = compile_machine(machine, "queue", options={"tape": cells})
    start = machine.initial()
    head = -compiled.start(start).origins[0]
    room = cells - 1 - head if move == "R" else head
    within = run(compiled, start, max_steps=room)
    assert (within.outcome, within.steps, within.nonblank) == ("step-limit", room, room)
    assert within.forward_passes == room * (cells + 1)
    assert abs(within.tapes[0].head) == room
    with pytest.raises(BoundError, match=f"the tape of {cells} cells"):
        run(compiled, start)


# --- weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled():
    return compile_machine(MACHINE, "queue", options={"tape": CELLS})


def labels(machine):
    """Yield what tokens embed that nothing reads: for the reader of the rows alone.

    Cells in a halting state, those after them, and those where a rule is missing: their marks are
    looked at, but no row of the table is theirs, and none is if the mark is another.
    """
    for symbol in map(word, machine.symbols):
        for state in machine.states:
            if machine.outcome_of(state) is not None:
                yield from ((f"{state}:{symbol}", label) for label in ("tape0.symbol", "state"))
                yield f"<{machine.outcome_of(state)}>:{symbol}", "tape0.symbol"
    for state in machine.states:
        for symbol in machine.symbols:
            known = (state, (symbol,)) in machine.transitions
            if machine.outcome_of(state) is None and not known:
                for label in ("tape0.symbol", "state", "mark"):
                    yield f"{state}:{word(symbol)}", label


def of_token(weights, name, number):
    """Return the token and the feature of a weight of the embedding."""
    tensor = dict(weights.tensors())[name]
    feature = weights.directions[tensor.columns[number]].split("=")[0]
    return weights.tokens[tensor.rows()[number]].name, feature


def caught(weights, runs):
    """Return whether the kernel emits anything but the run after one of these prompts."""
    return any(
        SparseRunner(weights, ids).advance(len(expected)).tokens.tolist() != expected
        for ids, expected in runs
    )


@pytest.fixture(scope="module")
def runs(compiled):
    """Return prompts and what is to be emitted after them, as token ids."""
    ids = compiled.weights.ids()
    emitted = ([ids[token] for token in texts(MACHINE, start, CELLS)[1]] for start in starts())
    return list(zip((compiled.start(start).ids for start in starts()), emitted, strict=True))


def test_every_sign_matters_but_those_of_labels(compiled, runs):
    weights = compiled.weights
    ends = {weights.tokens[expected[-1]].name for _, expected in runs}
    assert ends == {"<accepted>", "<stuck>", "<tape-full>"}
    assert not caught(weights, runs)
    survived = [
        (name, number)
        for name, number in places(weights)
        if not caught(with_weight(weights, name, number, -1.0), runs)
    ]
    found = {of_token(weights, *place) for place in survived if place[0] == "W_E"}
    assert found == set(labels(MACHINE))
    # what an edge becomes: a word must stand there, and no token asks for it
    (rest,) = (place for place in survived if place[0] != "W_E")
    assert rest[0] == "blocks.0.mlp.W_out"
    assert weights.directions[weights.layers[0].feed_forward.W_out.columns[rest[1]]] == "becomes=_"


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("by", [-1, 1])
def test_an_offset_is_right_alone(compiled, runs, number, by):
    layer = compiled.weights.layers[1]
    heads = list(layer.heads)
    heads[number] = replace(heads[number], offset=heads[number].offset + by)
    layers = (compiled.weights.layers[0], replace(layer, heads=tuple(heads)))
    assert caught(replace(compiled.weights, layers=layers), runs)


def test_lockstep_agrees_and_says_where_weights_are_wrong(compiled):
    for start in starts():
        if texts(MACHINE, start, CELLS)[1][-1] == "<tape-full>":
            with pytest.raises(BoundError, match="the tape of 9 cells"):
                lockstep(compiled, start)
            continue
        end = Simulation(MACHINE, start)
        while end.step():
            pass
        check = lockstep(compiled, start)
        assert (check.divergence, check.outcome, check.steps) == (None, end.outcome, end.steps)
    weights = compiled.weights
    neuron = weights.layers[0].feed_forward.neurons.index(
        "transitions: head, left, 1 -> 1, left, >left, none"
    )
    at = weights.layers[0].feed_forward.W_out.rows().tolist().index(neuron)
    broken = with_weight(weights, "blocks.0.mlp.W_out", at, -1.0)
    found = lockstep(Compiled(MACHINE, compiled.program, broken), MACHINE.initial(["0101"]))
    assert (found.divergence.layer, found.divergence.feature) == ("layer 0", "becomes")
