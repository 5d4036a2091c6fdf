"""Constructions without arithmetic: the same weights, exact in every floating-point format."""

from functools import cache

import pytest
import torch

from tm2tf import constructions
from tm2tf.compiler import compile_machine
from tm2tf.errors import InputError
from tm2tf.formats import native
from tm2tf.machine import library, simulator
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.run import run
from tm2tf.runtime.runner import DTYPES
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.weights.matrix import Matrix

RUNS = (("bb3", ""), ("binary-increment", "1011"), ("balanced-brackets", "())"))
TAPE = 16


@cache
def compiled(construction, name):
    """Return a bundled one-tape machine, compiled for a short tape where the tape is bounded."""
    known = {option.name for option in constructions.by_name(construction).options}
    machine = native.parse(library.find(name).path.read_text(), name=name)
    return compile_machine(machine, construction, options={"tape": TAPE} if "tape" in known else {})


BOOLEAN = [
    chosen.name
    for chosen in constructions.CONSTRUCTIONS
    if "hard" in chosen.targets
    and compiled(chosen.name, "bb3").weights.bounds.bits <= DTYPES["bfloat16"]
]
DECODERS = [name for name in BOOLEAN if constructions.by_name(name).view != "cells"]


def test_they_are_these():
    assert {"queue"} <= set(BOOLEAN)
    assert "trace" not in BOOLEAN


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("construction", BOOLEAN)
def test_runs_are_the_machines_in_every_format(construction, dtype):
    for name, given in RUNS:
        model = compiled(construction, name)
        start = model.machine.initial([given])
        ended = simulator.run(model.machine, start)
        found = run(model, start, runtime="torch", device="cpu", dtype=dtype)
        assert found.dtype == dtype
        assert (found.outcome, found.steps) == (ended.outcome, ended.steps)
        assert (found.state, found.tapes) == (ended.configuration.state, ended.configuration.tapes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("construction", BOOLEAN)
def test_weights_are_numbers_of_every_format(construction, dtype):
    for name, _ in RUNS:
        for tensor, values in compiled(construction, name).weights.tensors():
            exact = torch.from_numpy(values.values if isinstance(values, Matrix) else values)
            assert torch.equal(exact.to(getattr(torch, dtype)).to(exact.dtype), exact), tensor


def streams(weights, tokens, dtype):
    """Return logits and residual streams, after each layer, at all positions."""
    model = Transformer(weights, dtype=getattr(torch, dtype))
    logits = model(tokens)
    return [x.to(torch.float64) for x in (logits, *model.stream)]


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "float64"])
@pytest.mark.parametrize("construction", DECODERS)
def test_every_activation_is_the_same_number_in_every_format(construction, dtype):
    for name, given in RUNS:
        model = compiled(construction, name)
        prompt = model.prompt(model.machine.initial([given]))
        emitted = SparseRunner(model.weights, prompt).advance(300).tokens.tolist()
        tokens = torch.tensor([[*prompt, *emitted]])
        exact = streams(model.weights, tokens, "float64")
        for one, other in zip(exact, streams(model.weights, tokens, dtype), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("construction", DECODERS)
def test_positions_that_nothing_reads_do_no_harm(construction, dtype):
    """Float16 ends at 65,504, which is no bound on the context."""
    weights = compiled(construction, "bb3").weights
    model = Transformer(weights, dtype=getattr(torch, dtype))
    tokens = torch.arange(weights.d_vocab)[None]
    early = model(tokens)
    model.reset()
    model.seen = 10**6
    assert torch.equal(model(tokens), early)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_counts_is_refused_in_a_format_too_short_for_it(dtype):
    counting = compiled("trace", "bb3")
    assert counting.weights.bounds.bits == DTYPES["float64"]
    with pytest.raises(InputError, match=f"{dtype} has {DTYPES[dtype]} significant bits"):
        run(counting, counting.machine.initial(), runtime="torch", dtype=dtype)


def test_the_kernel_has_one_format():
    model = compiled("queue", "bb3")
    with pytest.raises(InputError, match="the kernel computes in float64; for bfloat16 take"):
        run(model, model.machine.initial(), dtype="bfloat16")
