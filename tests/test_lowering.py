"""The hard target: on any program, the weights compute what the interpreter does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.program_strategies import programs, sequences
from tm2tf.errors import BoundError
from tm2tf.lowering import lower
from tm2tf.program.features import Categorical, Distribution, Integer
from tm2tf.program.interpreter import Interpreter
from tm2tf.program.operations import CausalSum, Latest, reads
from tm2tf.program.program import Layer, Program, Token, Unembed
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.runtime.torch_runner import TorchRunner
from tm2tf.weights.model import Bounds


@st.composite
def cases(draw):
    """Return a program and a sequence for it."""
    program = draw(programs())
    return program, draw(sequences(program))


def meaning(program, sequence):
    """Return, for each position, the features as integers and the id of the next token.

    The position is left out where nothing in the program reads it: then weights have none.
    """
    operations = [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]
    told = any(isinstance(op, CausalSum) or "position" in reads(op) for op in operations)
    ids = {token.name: i for i, token in enumerate(program.tokens)}
    interpreter = Interpreter(program)
    found = []
    for token in sequence:
        following = ids[interpreter.feed(token)]
        numbers = {}
        for feature in program.features:
            if feature.name == "position" and not told:
                continue
            value = interpreter.values[feature.name]
            if isinstance(feature, Categorical):
                value = -1 if value is None else feature.values.index(value)
            if isinstance(feature, Distribution):
                value = value.index(max(value)) if any(value) else -1
            numbers[feature.name] = value
        found.append((numbers, following))
    return found


def carried(weights, model, logits):
    """Return the same as `meaning` does, of the positions that the model processed last."""
    streams = [x[0].numpy() for x in model.stream]
    return [
        (
            {r.feature.name: r.read(streams[r.layer + 1][place]) for r in weights.readouts},
            int(logits[0, place].argmax()),
        )
        for place in range(logits.shape[1])
    ]


def encode(weights, sequence):
    ids = weights.ids()
    return [ids[token] for token in sequence]


def stacked(model):
    """Return the residual stream at the last position, by layer."""
    return np.stack([x[0, -1].numpy() for x in model.stream])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_weights_compute_what_the_interpreter_does(case):
    program, sequence = case
    weights = lower(program, "random")
    tokens = torch.tensor([encode(weights, sequence)])
    model = Transformer(weights)
    expected = meaning(program, sequence)
    assert carried(weights, model, model(tokens)) == expected
    model.reset()
    for place, (numbers, following) in enumerate(expected):
        logits = model(tokens[:, place : place + 1])
        assert carried(weights, model, logits) == [(numbers, following)]


@pytest.mark.parametrize("scanning", [False, True], ids=["index", "scan"])
@settings(max_examples=80, deadline=None)
@given(cases())
def test_kernel_agrees_with_the_model(scanning, case):
    program, sequence = case
    weights = lower(program, "random")
    names = [readout.feature.name for readout in weights.readouts]
    for length in {len(sequence), (len(sequence) + 1) // 2}:
        prompt = encode(weights, sequence[:length])
        model = Transformer(weights)
        runner, other = (SparseRunner(weights, prompt, names) for _ in range(2))
        if scanning:
            runner.scanning = other.scanning = True
            runner._begin()
            other._begin()
        emitted = int(model(torch.tensor([prompt]))[0, -1].argmax())
        assert np.array_equal(other.streams(), stacked(model))
        found = runner.advance(1)
        assert found.tokens.tolist() == [emitted]
        numbers, _ = meaning(program, sequence[:length])[-1]
        assert dict(zip(names, found.probes[0].tolist(), strict=True)) == numbers
        model(torch.tensor([[emitted]]))
        assert np.array_equal(runner.streams(), stacked(model))
        assert runner.scanning == scanning


@settings(max_examples=60, deadline=None)
@given(cases())
def test_shares_are_the_nearest_numbers_to_the_fractions(case):
    program, sequence = case
    weights = lower(program, "random")
    model = Transformer(weights)
    model(torch.tensor([encode(weights, sequence)]))
    interpreter = Interpreter(program)
    for place, token in enumerate(sequence):
        interpreter.feed(token)
        for readout in weights.readouts:
            if isinstance(readout.feature, Distribution):
                expected = [float(share) for share in interpreter.values[readout.feature.name]]
                x = model.stream[readout.layer + 1][0, place].numpy()
                assert readout.shares(x).tolist() == expected


def walker(*steps):
    """Return a program whose tokens write their name where a head stands, and move it first."""
    moves = {f"{step:+d}": step for step in steps}
    words = ("nothing", *moves)
    features = (
        Integer("position", low=1),
        Integer("move"),
        Integer("writes", 0, 1),
        Categorical("write", words),
        Integer("head"),
        Categorical("read", words),
    )
    tokens = [
        Token(name, "prompt", {"move": step, "writes": 1, "write": name})
        for name, step in moves.items()
    ]
    look = Token("look", "prompt", {})
    layers = (
        Layer((CausalSum("head", "move"),)),
        Layer((Latest(("read",), ("write",), "writes", ("head",), ("head",), ("nothing",)),)),
    )
    unembed = Unembed(("read",), {name: (name,) for name in moves}, "look")
    return Program(
        "walker", features, (Token("<bos>", "begin", {}), look, *tokens), layers, unembed
    )


def runs(weights, prompt):
    """Yield what each runtime emits first after a prompt, as functions to call."""
    kernel, scan = SparseRunner(weights, prompt), SparseRunner(weights, prompt)
    scan.scanning = True
    scan._begin()
    for runner in (TorchRunner(weights, prompt), kernel, scan):
        yield lambda runner=runner: weights.tokens[int(runner.advance(1).tokens[0])].name


def test_sums_are_integers_although_means_are_rounded():
    assert 1 / 49 * 49 != 1
    weights = lower(walker(1), "walker")
    model = Transformer(weights)
    model(torch.tensor([encode(weights, ["<bos>", "+1", *["look"] * 198])]))
    head = weights.directions.index("head")
    assert model.stream[-1][0, :, head].tolist() == [0] + [1] * 199


@pytest.mark.parametrize("step", [1, -1])
def test_a_head_within_the_bound_is_right_and_one_past_it_is_refused(step):
    program = walker(1, -1)
    weights = replace(lower(program, "walker"), bounds=Bounds(position=100, key=5))
    token, back = f"{step:+d}", f"{-step:+d}"
    within = ["<bos>", *[token] * 5, "look"]
    for first in runs(weights, encode(weights, within)):
        assert first() == token
    for first in runs(weights, encode(weights, [*within, back, "look", token])):
        assert first() == token
    for first in runs(weights, encode(weights, [*within, token])):
        with pytest.raises(BoundError, match="a head went further than 5"):
            first()


def test_lookups_are_right_up_to_the_bound_that_the_target_states():
    far = 2**26
    program = walker(far, -far, 1, -1)
    weights = lower(program, "walker")
    assert weights.bounds.key == far
    sequence = f"<bos> +{far} -1 +1 look -1 look -{far} +1 -{far} look +1 look -1 look".split()
    model = Transformer(weights)
    logits = model(torch.tensor([encode(weights, sequence)]))
    assert carried(weights, model, logits) == meaning(program, sequence)
    # the kernel's index would hold a row for each address between
    on_torch, _, scanning = runs(weights, encode(weights, sequence))
    assert on_torch() == scanning() == "-1"
    on_torch, _, scanning = runs(weights, encode(weights, [*sequence, "-1"]))
    for first in (on_torch, scanning):
        with pytest.raises(BoundError, match="a head went further than 67,108,864"):
            first()
