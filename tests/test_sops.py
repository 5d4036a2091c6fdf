"""S-ops: what a looped program is to tracr, within which bound, and what is none. No tracr here."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_looped_interpreter import BEGIN, BITS, automaton
from tm2tf import api, formats
from tm2tf.compiler import compile_machine
from tm2tf.constructions import tracr
from tm2tf.constructions.looped_neighbours import program as program_neighbours
from tm2tf.errors import (
    ConstructionError,
    TargetError,
)
from tm2tf.lowering import lower
from tm2tf.lowering.sops import graph_of
from tm2tf.lowering.tracr import largest, leak
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Tape
from tm2tf.program.features import Categorical
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.program.operations import Relative, Row, Table
from tm2tf.program.program import Layer


def program_of(name, window=24):
    return program_neighbours(api.load(name), {"window": window})


def one_tape(seed, most):
    machines = (sample(seed, number) for number in range(most))
    return [machine for machine in machines if machine.tapes == 1]


# --- S-ops ----------------------------------------------------------------------------------


def evaluated(graph, row):
    """Return the value of each S-op at each cell, by definition."""
    held = {graph.cell: row, graph.index: list(range(graph.cells))}
    for sop in graph.sops:
        given = [held[other] for other in sop.inputs]
        match sop.kind:
            case "map":
                held[sop] = [sop.table[value] for value in given[0]]
            case "pair":
                held[sop] = [sop.table[pair] for pair in zip(*given, strict=True)]
            case "bring":
                held[sop] = [given[0][sop.table[place]] for place in range(graph.cells)]
    assert all(set(held[sop]) <= set(sop.values) for sop in graph.sops)
    return held


def assert_same_passes(program, tokens, passes):
    graph = graph_of(program, len(tokens) - 1)
    row = [graph.value(program.token(name)) for name in tokens[1:]]
    interpreter = LoopedInterpreter(program, tokens)
    for _ in range(passes):
        held = evaluated(graph, row)
        interpreter.step()
        for name, sop in graph.features.items():
            assert held[sop] == [values[name] for values in interpreter.values[1:]], name
        row = held[graph.next_cell]


@settings(max_examples=50, deadline=None)
@given(
    rule=st.integers(0, 255),
    cells=st.lists(st.sampled_from(BITS), min_size=1, max_size=12),
    offset=st.integers(-3, 3).filter(bool),
)
def test_sops_of_an_automaton_are_its_program(rule, cells, offset):
    program = automaton(rule)
    layer = program.layers[0]
    _, right = layer.attention
    changed = replace(layer, attention=(Relative("left", offset, "cell", "1"), right))
    for each in (program, replace(program, layers=(changed,))):
        assert_same_passes(each, [BEGIN.name, *cells], 6)


@pytest.mark.parametrize("number", range(12))
def test_sops_of_a_machine_are_its_program(number):
    machine = one_tape(29, 60)[number]
    compiled = compile_machine(machine, "looped-neighbours", options={"window": 16})
    ids = compiled.prompt(machine.initial([Tape(machine.symbols)]))
    names = [compiled.weights.tokens[i].name for i in ids]
    assert_same_passes(compiled.program, names, 12)


# --- the bound ------------------------------------------------------------------------------


@pytest.mark.parametrize(("cells", "size"), [(1, 3), (3, 5), (25, 27), (225, 227), (25, 300)])
def test_what_a_head_leaves_elsewhere(cells, size):
    scores = np.array([100.0, 50.0, *[0.0] * (cells - 1)]) / math.sqrt(size)
    shares = np.exp(scores - scores.max())
    exact = 1 - shares[0] / shares.sum()
    assert exact < leak(cells, size) <= exact + 1e-11


def test_the_widest_window_is_the_bound():
    for name in ("bb2", "universal"):
        program = program_of(name)
        assert largest(program, graph_of(program, 9)) == tracr.MOST + 1
    assert 2 * leak(225, 227) < 1 / 2 < 2 * leak(226, 228)
    with pytest.raises(ConstructionError, match="window is 300; it must be from 2 to 224"):
        compile_machine(api.load("bb2"), "tracr", options={"window": 300})


def test_programs_that_tracr_cannot_take():
    machine = api.load("bb2")
    program = program_of("bb2")
    for positions in (227, 302):
        with pytest.raises(TargetError, match=r"up to 226 positions \(.* window of 224 cells\)"):
            lower(program, "looped-neighbours", "tracr", positions)
    with pytest.raises(TargetError, match="how many positions"):
        lower(program, "looped-neighbours", "tracr")
    with pytest.raises(TargetError, match=r"uses Number, Latest, which.*that can: hard"):
        compile_machine(machine, "looped", "tracr")
    with pytest.raises(TargetError, match="CausalSum"):
        compile_machine(machine, "trace", "tracr")
    decoder = replace(program, loop=(), name="decoder", layers=program.layers[:1])
    with pytest.raises(TargetError, match="no looped model"):
        lower(decoder, "decoder", "tracr", 26)
    with pytest.raises(ConstructionError, match="machines of one tape"):
        compile_machine(api.load("palindrome-2tape"), "tracr")


def test_what_hangs_on_the_begin_token_is_refused():
    program = automaton(110)
    layer = program.layers[0]
    back = Layer((Relative("left more", 1, "right"),), layer.feed_forward)
    layers = (replace(layer, feed_forward=()), back)
    features = (*program.features, Categorical("left more", BITS))
    with pytest.raises(TargetError, match="'left more' can be what 'right' is at the begin token"):
        graph_of(
            replace(program, features=features, layers=(replace(layer, feed_forward=()), back)), 9
        )
    table = replace(layer.feed_forward[0], rows=(Row((None, None, "1"), ("1",)),))
    with pytest.raises(
        TargetError, match="'next' can have a value at the begin token, and the loo"
    ):
        graph_of(replace(program, layers=(replace(layer, feed_forward=(table,)),)), 9)
    table = Table("more", ("cell",), ("left more",), (Row(("1",), ("1",)),))
    layers = (replace(layer, feed_forward=(*layer.feed_forward, table)),)
    unembed = replace(program.unembed, features=("left more",))
    more = replace(program, features=features, layers=layers)
    assert "left more" not in graph_of(more, 9).features
    with pytest.raises(TargetError, match="the unembedding reads 'left more'"):
        graph_of(replace(more, unembed=unembed), 9)


def test_too_many_states_are_refused():
    rules = "\n".join(
        f"  q{i}: {{0: 1 {'LR'[i % 2]} q{i + 1}, 1: 0 S q{i // 2}}}" for i in range(60)
    )
    machine = formats.parse(f"start: q0\nsymbols: [0, 1]\nblank: 0\nrules:\n{rules}\nhalt: q60")
    with pytest.raises(ConstructionError, match=r"1,\d\d\d pairs of values at once"):
        compile_machine(machine, "tracr")
