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
from tm2tf.program.features import Categorical
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.torch_runner import TorchRunner


@st.composite
def cases(draw):
    """Return a program and a sequence for it."""
    program = draw(programs())
    return program, draw(sequences(program))


def meaning(program, sequence):
    """Return, for each position, the features as integers and the id of the next token."""
    ids = {token.name: i for i, token in enumerate(program.tokens)}
    interpreter = Interpreter(program)
    found = []
    for token in sequence:
        following = ids[interpreter.feed(token)]
        numbers = {}
        for feature in program.features:
            value = interpreter.values[feature.name]
            if isinstance(feature, Categorical):
                value = -1 if value is None else feature.values.index(value)
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


@settings(max_examples=150, deadline=None)
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
    names = [feature.name for feature in program.features]
    for length in {len(sequence), (len(sequence) + 1) // 2}:
        prompt = encode(weights, sequence[:length])
        model = Transformer(weights)
        runner, other = (KernelRunner(weights, prompt, names) for _ in range(2))
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
