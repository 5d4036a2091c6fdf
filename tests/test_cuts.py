"""Tokens that cut: the context begins anew with the last summary, and nobody else notices."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.faults import with_weight
from tests.random_weights import forced, random_prompt, random_weights
from tm2tf import api
from tm2tf.errors import ArtifactError, BoundError, InputError
from tm2tf.runtime.model import Transformer, generate
from tm2tf.runtime.sparse import FIRST_ROWS, SparseRunner
from tm2tf.runtime.torch_runner import TorchRunner
from tm2tf.weights.matrix import Matrix

KINDS = (("latest", "relative", "uniform"), ("relative", "latest", "latest", "uniform"))
ROLES = ("step", "step", "part", "summary", "summary", "cut")
RUNTIMES = [SparseRunner, TorchRunner]


def contexts(weights, tokens):
    """Return the whole context at each of these tokens, fed one after the other."""
    context, found = [], []
    for token in tokens:
        context.append(token)
        if weights.tokens[token].role == "cut":
            roles = [weights.tokens[t].role for t in context]
            opened = len(roles) - 1 - roles[::-1].index("summary")
            context = [context[0], *context[opened:]]
        found.append(list(context))
    return found


def plainly(model, context):
    """Return stream and best token at the end of a context that a model sees all at once."""
    model.reset()
    logits = model(torch.tensor([context]))
    stream = np.stack([x[0, -1].numpy() for x in model.stream])
    return stream, int(logits[0, -1].argmax())


def generated(weights, prompt, count):
    """Return the tokens that follow a prompt, and the lengths of contexts, cut by hand."""
    model, tokens, lengths, context = Transformer(weights), [], [], list(prompt)
    for _ in range(count):
        lengths.append(len(context))
        tokens.append(plainly(model, context)[1])
        context = contexts(weights, [*context, tokens[-1]])[-1]
    return tokens, lengths


def falls(lengths):
    """Return how often a length is less than the one before."""
    return sum(after < before for before, after in pairwise(lengths))


def drawn(seed):
    """Return random weights, and tokens for them that cut no context without a summary."""
    weights = random_weights(seed, KINDS, ROLES, vocab=12)
    first, *others = random_prompt(seed, weights, 70)
    kept, opened = [first], False
    for token in others:
        role = weights.tokens[token].role
        opened = opened or role == "summary"
        if role != "cut" or opened:
            kept.append(token)
    return weights, kept


def cutting(name, seed):
    """Return a bundled machine's weights where some steps begin and end summaries, and a prompt.

    It holds a summary. What a step means is no longer what it does, and no step ends the run.
    """
    model = api.compile(name)
    rng = np.random.default_rng(seed)
    tokens, summary = [], 0
    for number, token in enumerate(model.weights.tokens):
        role = str(rng.choice(["step", "step", "summary", "cut"]))
        role = role if token.role == "step" else token.role
        summary = number if role == "summary" else summary
        tokens.append(replace(token, role=role, outcome=None))
    start = model.machine.initial(model.machine.examples[0].tapes)
    prompt = [*model.compiled.prompt(start), summary]
    return replace(model.weights, tokens=tuple(tokens)), prompt


# --- streams --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_streams_are_those_of_the_context_that_is_left(seed):
    weights, tokens = drawn(seed)
    expected, model = contexts(weights, tokens), Transformer(weights)
    streams = np.array([plainly(model, context)[0] for context in expected])
    for make in RUNTIMES:
        runner = make(weights, tokens[:1])
        assert np.array_equal(forced(runner, tokens), streams)
        assert runner.context == len(expected[-1])
        assert runner.peak_context == max(map(len, expected))


def test_these_contexts_are_cut_often_and_grow():
    lengths = [[len(context) for context in contexts(*drawn(seed))] for seed in range(15)]
    assert sum(map(falls, lengths)) > 50
    assert max(map(max, lengths)) > 25


def test_what_grew_in_one_context_is_empty_in_the_next():
    weights = random_weights(2, KINDS, ("step", "summary", "cut"), vocab=60)
    roles = np.array([token.role for token in weights.tokens])
    steps, summary, cut = (np.flatnonzero(roles == r) for r in ("step", "summary", "cut"))
    long = np.random.default_rng(0).choice(steps, 3 * FIRST_ROWS).tolist()
    tokens = [0, *long, int(summary[0]), *long[:5], int(cut[0]), *long[-40:]]
    kernel, model = (make(weights, tokens[:1]) for make in RUNTIMES)
    assert np.array_equal(forced(kernel, tokens), forced(model, tokens))
    assert kernel.context == model.context == 48
    assert kernel.peak_context == model.peak_context == 3 * FIRST_ROWS + 7
    assert len(kernel.state.vals) > FIRST_ROWS > max(kernel.state.distinct)


def test_the_index_of_one_context_is_empty_in_the_next():
    weights, _ = cutting("bb4", 12)
    tokens, ids, embedding = list(weights.tokens), weights.ids(), weights.W_E.dense()
    high, opening, closing = ids["<stuck>"], ids["<start>"], ids["0"]
    embedding[high, weights.directions.index("begin")] = 1.5  # its floor is above that of <bos>
    tokens[opening] = replace(tokens[opening], role="summary")
    tokens[closing] = replace(tokens[closing], role="cut")
    weights = replace(weights, tokens=tuple(tokens), W_E=Matrix.from_dense(embedding))
    steps = [i for i, token in enumerate(tokens) if token.role == "step"]
    before, after = [0, high, *steps, opening], [closing, *steps]
    kernel, model = (make(weights, [0]) for make in RUNTIMES)
    expected = forced(model, before + after)
    assert np.array_equal(forced(kernel, before), expected[: len(before)])
    assert kernel.state.floor.max() == -0.25
    kernel = SparseRunner(weights, [0])
    assert np.array_equal(forced(kernel, before + after), expected)
    assert kernel.state.floor.max() == -0.5
    assert kernel.attention == "index"


# --- runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "seed"), [("bb4", 12), ("bb5", 122), ("gcd", 51)])
def test_runs_in_calls_of_any_size_are_the_same(name, seed):
    weights, prompt = cutting(name, seed)
    expected, lengths = generated(weights, prompt, 60)
    assert falls(lengths) > 2
    names = [readout.feature.name for readout in weights.readouts]
    ends = []
    for make in RUNTIMES:
        for counts in ([60], [1] * 60, [7, 0, 13, 1, 39]):
            runner = make(weights, prompt, names)
            parts = [runner.advance(count) for count in counts]
            assert np.concatenate([part.tokens for part in parts]).tolist() == expected
            assert (runner.context, runner.peak_context) == (lengths[-1], max(lengths))
            probes = np.concatenate([part.probes for part in parts]).tolist()
            ends.append((probes, runner.settle(), runner.context, runner.memory("tape0.read")))
    assert all(end == ends[0] for end in ends)


@pytest.mark.parametrize("when", [0, 5, 30])
def test_a_run_begun_again_without_an_index_is_cut_alike(when):
    weights, prompt = cutting("bb5", 122)
    runner, other = SparseRunner(weights, prompt), SparseRunner(weights, prompt)
    runner.advance(when)
    other.advance(when)
    # as if a key lacked the form only now; b_K[1] moves all scores alike
    damaged = with_weight(weights, "blocks.2.attn.0.b_K", 1, -1.0)
    runner.plan.bias[:] = SparseRunner(damaged, prompt).plan.bias
    for count in (1, 50):
        assert runner.advance(count).tokens.tolist() == other.advance(count).tokens.tolist()
        assert (runner.context, runner.peak_context) == (other.context, other.peak_context)
    assert (runner.attention, other.attention) == ("scan", "index")
    assert runner.settle() == other.settle()
    assert runner.memory("tape0.read") == other.memory("tape0.read")


@pytest.mark.parametrize("make", RUNTIMES)
def test_a_prompt_that_ends_in_a_cut_is_fed_as_given(make):
    weights = random_weights(1, KINDS, ROLES, vocab=12)
    roles = [token.role for token in weights.tokens]
    prompt = [0, roles.index("step"), roles.index("summary"), roles.index("cut")]
    runner = make(weights, prompt)
    assert np.array_equal(runner.streams(), plainly(Transformer(weights), prompt)[0])
    assert (runner.context, runner.peak_context) == (4, 4)


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", RUNTIMES)
def test_a_cut_of_a_context_without_a_summary_is_refused(make):
    weights, (*prompt, _) = cutting("bb4", 12)
    tokens = [replace(t, role="part") if t.role == "summary" else t for t in weights.tokens]
    emitted = make(replace(weights, tokens=tuple(tokens)), prompt).advance(1).tokens.tolist()
    tokens[emitted[0]] = replace(tokens[emitted[0]], role="cut")
    runner = make(replace(weights, tokens=tuple(tokens)), prompt)
    assert runner.advance(1).tokens.tolist() == emitted
    assert runner.advance(0).tokens.tolist() == []
    name = tokens[emitted[0]].name
    for feed in (lambda: runner.advance(1), runner.settle, runner.streams):
        with pytest.raises(ArtifactError) as refused:
            feed()
        assert str(refused.value).startswith(
            f"{name!r} was emitted, which ends a summary, and no token of the {len(prompt)} before "
            "it begins one: the weights are damaged or foreign"
        )


@pytest.mark.parametrize("make", RUNTIMES)
def test_the_bound_on_positions_is_one_on_the_context(make):
    weights, prompt = cutting("bb5", 122)
    expected, lengths = generated(weights, prompt, 60)
    longest = max(lengths)
    assert longest < 40
    for position in (longest, longest - 1):
        runner = make(replace(weights, bounds=replace(weights.bounds, position=position)), prompt)
        if position == longest:
            assert runner.advance(60).tokens.tolist() == expected
        else:
            told = f"after {lengths.index(longest)} tokens the context is longer than {position}, "
            with pytest.raises(BoundError, match=told):
                runner.advance(60)


def test_a_batch_is_refused():
    weights = random_weights(0, KINDS, ("cut",))
    with pytest.raises(InputError, match="a batch cannot be cut, and 't1' cuts a context; run the"):
        generate(Transformer(weights), weights, [[0], [0, 1]], 3)
