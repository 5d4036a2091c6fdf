"""The looped constructions: prompts, sizes, and passes that are the machine's steps."""

import pytest

from tm2tf import api, formats
from tm2tf.compiler import compile_machine
from tm2tf.constructions.looped import CONSTRUCTION as LOOPED
from tm2tf.constructions.looped import cell_token, span
from tm2tf.constructions.looped_neighbours import CONSTRUCTION as NEIGHBOURS
from tm2tf.constructions.tokens import step_token
from tm2tf.errors import ConfigurationError, ConstructionError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.weights.folder import weights_sha256

BOTH = [LOOPED, NEIGHBOURS]
NAMES = ["bb4", "bb2x4", "sort", "palindrome-2tape", "matching-3tape", "binary-addition-3tape"]


def tokens(compiled, start, **options):
    return [compiled.weights.tokens[i].name for i in compiled.start(start, **options).ids]


def taken(machine):
    """Return the constructions that take a machine."""
    return BOTH if machine.tapes == 1 else [LOOPED]


# --- prompts --------------------------------------------------------------------------------


@pytest.mark.parametrize("construction", BOTH, ids=lambda c: c.name)
def test_the_prompt_of_one_tape(construction):
    rules = {("a", ("_",)): Transition("a", ("[1",), ("R",))}
    machine = Machine("m", ("_", "0", "[1"), "_", ("a",), "a", rules)
    compiled = compile_machine(machine, construction.name, options={"window": 7})
    prompt = tokens(compiled, machine.initial([Tape(("0", "[1", "_"), 10, 11)]))
    assert " ".join(prompt) == "<bos> _> _> 0> [[1] <_ <_ <_ <edge>"
    assert compiled.start(machine.initial([Tape(("0", "[1", "_"), 10, 11)])).origins == (8,)
    short = tokens(compiled, machine.initial(["0"]), window=2)
    assert " ".join(short) == "<bos> [0] <_ <edge>"


def test_all_heads_begin_at_one_cell():
    machine = Machine("m", ("_", "a", "b", "c"), "_", ("q",), "q", {}, tapes=2)
    compiled = compile_machine(machine, "looped", options={"window": 6})
    start = machine.initial([Tape(("a", "b"), 5, 4), Tape(("c",), -9, -8)])
    blank = machine.blank
    row = [(blank, blank), (blank, "c"), (blank, blank), ("a", blank), ("b", blank)]
    ways = ["right", "right", "yes", "left", "left"]
    assert span(machine, start) == (-1, 2)
    names = [cell_token(cells, way) for cells, way in zip(row, ways, strict=True)]
    assert tokens(compiled, start)[1:-1] == [*names, cell_token((blank, blank), "left")]
    assert compiled.start(start).origins == (4 - 2, -8 - 2)


def test_contents_stand_in_the_middle():
    machine = formats.parse("start: a\nrules: {a: {_: 1 R a}}")
    compiled = compile_machine(machine, "looped", options={"window": 9})
    for tape, first, last in (
        (Tape(("1",) * 3, 0, 0), 3, 5),
        (Tape(("1",) * 3, 0, 4), 2, 4),
        (Tape(("1",) * 3, 3, 0), 4, 6),
        (Tape(("1",) * 9, -4, 0), 0, 8),
    ):
        prompt = tokens(compiled, machine.initial([tape]))
        ones = [i for i, name in enumerate(prompt[1:-1]) if "1" in name]
        assert (ones[0], ones[-1]) == (first, last)
        assert compiled.start(machine.initial([tape])).origins[0] + first == tape.origin


def test_what_does_not_fit_is_refused():
    machine = formats.parse("start: a\nrules: {a: {_: 1 R a}}")
    compiled = compile_machine(machine, "looped", options={"window": 4})
    start = machine.initial([Tape(("1",), 6, 2)])
    with pytest.raises(ConfigurationError, match=r"take 5 cells, and the window has 4.*--window 5"):
        compiled.start(start)
    assert len(compiled.start(start, window=5).ids) == 7
    with pytest.raises(ConfigurationError, match="start state"):
        compiled.start(type(start)("b", start.tapes))


# --- what is taken, and its sizes -----------------------------------------------------------


def test_machines_that_are_refused():
    two = api.compile("palindrome-2tape").machine
    with pytest.raises(ConstructionError, match="has 2; construction 'looped' takes several"):
        compile_machine(two, "looped-neighbours")
    symbols = tuple(f"s{i}" for i in range(300))
    many = Machine("many", symbols, "s0", ("a",), "a", {}, tapes=2)
    with pytest.raises(ConstructionError, match="makes 270,000 with 300 symbols"):
        compile_machine(many, "looped")
    with pytest.raises(ConstructionError, match="window is 1; it must be from 2"):
        compile_machine(two, "looped", options={"window": 1})


@pytest.mark.parametrize("name", [*NAMES, *(f"random:3:{i}" for i in range(8))])
def test_sizes_are_those_of_the_formulas(name):
    machine = api.compile(name).machine
    for construction in taken(machine):
        weights = compile_machine(machine, construction.name).weights
        found = {
            "layers": len(weights.layers),
            "heads": weights.heads,
            "d_model": weights.d_model,
            "d_mlp": weights.d_mlp,
            "vocab": weights.d_vocab,
        }
        assert found == construction.sizes(machine, weights.options)
        assert weights.bounds.bits == 4


@pytest.mark.parametrize("construction", BOTH, ids=lambda c: c.name)
def test_weights_do_not_depend_on_the_window(construction):
    machine = api.compile("bb4").machine
    narrow, wide = (
        compile_machine(machine, construction.name, options={"window": cells}) for cells in (8, 64)
    )
    assert weights_sha256(narrow.weights) == weights_sha256(wide.weights)
    start = machine.initial()
    assert narrow.start(start, window=64) == wide.start(start)


# --- passes ---------------------------------------------------------------------------------


def held(values, machine):
    """Return state, heads' cells and symbols that an interpreter's values mean."""
    cells, k = values[1:-1], range(machine.tapes)
    symbols = [tuple(cell[f"tape{t}.symbol"] for cell in cells) for t in k]
    if "tape0.here" in cells[0]:
        places = [[i for i, c in enumerate(cells) if c[f"tape{t}.here"] == "yes"] for t in k]
        (state,) = {cell["state"] for cell in cells}
        return state, places, symbols
    (place,) = [[i for i, cell in enumerate(cells) if cell["state"] in machine.states]]
    return cells[place[0]]["state"] if place else None, [place], symbols


def follow(compiled, start, most):
    """Let simulator and interpreter run beside each other, all cells compared."""
    machine, begin = compiled.machine, compiled.start(start)
    simulation = Simulation(machine, start)
    interpreter = LoopedInterpreter(compiled.program, tokens(compiled, start))
    while simulation.steps < most and simulation.outcome is None:
        cells, heads, state = [dict(c) for c in simulation.cells], simulation.heads[:], ""
        state, step = simulation.state, simulation.step()
        interpreter.step()
        width = len(begin.ids) - 2
        found, places, symbols = held(interpreter.values, machine)
        assert found == state
        assert places == [[h - o] for h, o in zip(heads, begin.origins, strict=True)]
        for tape, origin, row in zip(cells, begin.origins, symbols, strict=True):
            assert row == tuple(tape.get(origin + i, machine.blank) for i in range(width))
        emitted = interpreter.emitted[1 + places[0][0]]
        assert emitted == ("<stuck>" if step is None else step_token(machine, step.transition))
        if compiled.weights.construction == "looped":
            assert set(interpreter.emitted[1:-1]) == {emitted}
        for edge in (interpreter.values[0], interpreter.values[-1]):
            kept = {n: v for n, v in edge.items() if not n.endswith(("read", "left", "right"))}
            assert {v for n, v in kept.items() if n != "position"} <= {None, 0}
        for token in compiled.program.tokens:
            if token.name == emitted:
                assert token.outcome == simulation.outcome
    return simulation


@pytest.mark.parametrize("name", NAMES)
def test_passes_are_steps_of_bundled_machines(name):
    machine = api.compile(name).machine
    for construction in taken(machine):
        compiled = compile_machine(machine, construction.name, options={"window": 128})
        follow(compiled, machine.initial(machine.examples[0].tapes), 60)


@pytest.mark.parametrize("number", range(16))
def test_passes_are_steps_of_sampled_machines(number):
    machine = sample(23, number)
    for construction in taken(machine):
        compiled = compile_machine(machine, construction.name, options={"window": 128})
        follow(compiled, machine.initial(machine.examples[0].tapes), 50)


ODD = Machine(
    name="odd",
    symbols=("-", ">", "<edge>", "a b"),
    blank="-",
    states=("<", ">", "-", "--"),
    start="<",
    accept=("--",),
    transitions={
        ("<", ("-",)): Transition(">", (">",), ("R",)),
        ("<", ("<edge>",)): Transition("-", ("a b",), ("S",)),
        (">", ("-",)): Transition("-", ("<edge>",), ("L",)),
        ("-", (">",)): Transition("<", ("<edge>",), ("S",)),
        ("-", ("a b",)): Transition("--", ("-",), ("L",)),
    },
)


@pytest.mark.parametrize("construction", BOTH, ids=lambda c: c.name)
def test_words_that_are_marks_elsewhere(construction):
    compiled = compile_machine(ODD, construction.name, options={"window": 5})
    simulation = follow(compiled, ODD.initial(), 60)
    assert (simulation.outcome, simulation.steps) == ("accepted", 5)


@pytest.mark.parametrize("construction", BOTH, ids=lambda c: c.name)
def test_a_start_that_is_over_at_once(construction):
    machine = formats.parse("start: a\naccept: a\nsymbols: [_, 1]\nrules: {}")
    compiled = compile_machine(machine, construction.name)
    last = compiled.weights.tokens[compiled.prompt(machine.initial())[-1]]
    assert (last.name, last.outcome) == ("<edge>", "accepted")


@pytest.mark.parametrize("move", "LR")
@pytest.mark.parametrize("construction", BOTH, ids=lambda c: c.name)
def test_a_head_that_leaves_the_window_is_nowhere_and_stays_away(construction, move):
    machine = formats.parse(f"start: a\nrules: {{a: {{_: 1 {move} a, 1: 1 {move} a}}}}")
    compiled = compile_machine(machine, construction.name, options={"window": 4})
    interpreter = LoopedInterpreter(compiled.program, tokens(compiled, machine.initial()))
    inside = {"L": 2, "R": 3}[move]
    for number in range(8):
        interpreter.step()
        cells = interpreter.values[1:-1]
        if construction is LOOPED:
            here = [cell["tape0.here"] for cell in cells].count("yes")
        else:
            here = [cell["state"] for cell in cells].count("a")
        assert here == (number < inside)
        steps = {name for name in interpreter.emitted if name != "<stuck>"}
        assert bool(steps) == (number < inside)
