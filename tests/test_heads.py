"""Heads of every kind: both runtimes bring the same, and what the kind says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.faults import places, with_weight
from tests.random_weights import MEANS, PLAIN, forced, random_prompt, random_weights
from tm2tf import api
from tm2tf.errors import InputError, NotFoundError
from tm2tf.runtime.model import Transformer, generate
from tm2tf.runtime.runner import DTYPES
from tm2tf.runtime.scans import MIX
from tm2tf.runtime.sparse import FIRST_ROWS, SparseRunner
from tm2tf.runtime.torch_runner import BLOCK, TorchRunner
from tm2tf.weights.matrix import Matrix

KINDS = (("latest", "relative", "uniform"), ("relative", "latest", "latest", "uniform"))
MIXED = (("latest", "mean", "relative"), ("mean", "latest"))


def only_head(offset=0, width=None, seed=0):
    """Return weights of one head, whose value is the position: relative, or latest of a width.

    A latest head's keys and queries are those that the tokens embed.
    """
    weights = random_weights(seed, [("relative",) if width is None else ("latest",)], vocab=500)
    head = weights.layers[0].heads[0]
    d_model = PLAIN + MEANS
    if width is not None:
        rng = np.random.default_rng(seed)
        reads = np.vstack([np.zeros(width), rng.integers(-1, 2, size=(d_model - 1, width))])
        asks = np.vstack([np.zeros(width), rng.integers(-1, 2, size=(d_model - 1, width))])
        head = replace(
            head,
            W_Q=Matrix.from_dense(asks.astype(np.float64)),
            b_Q=np.zeros(width),
            W_K=Matrix.from_dense(reads.astype(np.float64)),
            b_K=np.zeros(width),
        )
    unit = np.zeros((d_model, 1))
    unit[0] = 1
    out = np.zeros((1, d_model))
    out[0, -1] = 1
    value = {"W_V": Matrix.from_dense(unit), "W_O": Matrix.from_dense(out), "offset": offset}
    layer = replace(weights.layers[0], heads=(replace(head, **value),))
    return replace(weights, layers=(layer,))


def brought(weights, tokens):
    """Return the position whose value the only head brings, at each position, by each runtime."""
    kernel, model = (make(weights, tokens[:1]) for make in (SparseRunner, TorchRunner))
    return [forced(runner, tokens)[:, 1, -1].astype(int).tolist() for runner in (kernel, model)]


# --- the same, whatever the weights ---------------------------------------------------------


@pytest.mark.parametrize("kinds", [KINDS, MIXED, (("uniform", "relative"), ()), ((),), ()])
@pytest.mark.parametrize("seed", range(12))
def test_both_runtimes_have_the_same_streams(seed, kinds):
    weights = random_weights(seed, kinds)
    tokens = random_prompt(seed, weights, 90)
    kernel, model = (make(weights, tokens[:1]) for make in (SparseRunner, TorchRunner))
    assert np.array_equal(forced(kernel, tokens), forced(model, tokens))
    assert kernel.attention == ("scan" if kinds in (KINDS, MIXED) else "index")
    assert kernel.context == model.context == kernel.peak_context == model.peak_context == 90


@pytest.mark.parametrize(
    ("seed", "kinds", "each"),
    [
        (0, KINDS, 3),
        (2, MIXED, 3),
        *(
            pytest.param(seed, kinds, 1, marks=pytest.mark.slow)
            for seed, kinds in enumerate([KINDS, KINDS, MIXED])
        ),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_both_runtimes_have_the_same_streams_with_any_weight_damaged(seed, kinds, each):
    """Every weight, or every third."""
    rng = np.random.default_rng(seed)
    sound = random_weights(seed, kinds)
    tokens = random_prompt(seed, sound, 25)
    for name, number in list(places(sound))[::each]:
        weights = with_weight(sound, name, number, rng.choice([-1.0, 0.5, 3.0]))
        kernel, model = (make(weights, tokens[:1]) for make in (SparseRunner, TorchRunner))
        assert np.array_equal(forced(kernel, tokens), forced(model, tokens)), (name, number)


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(i, marks=pytest.mark.slow) for i in range(5, 10))]
)
def test_tokens_fed_at_once_or_one_by_one(seed):
    weights = random_weights(seed, KINDS, vocab=40)
    tokens = random_prompt(seed, weights, 2 * BLOCK + 9)
    steps = forced(TorchRunner(weights, tokens[:1]), tokens)
    for length in (BLOCK - 1, BLOCK + 1, len(tokens)):
        for make in (SparseRunner, TorchRunner):
            assert np.array_equal(make(weights, tokens[:length]).streams(), steps[length - 1])
    model, sizes = Transformer(weights), [1, 7, 2, 300, 211]
    for block in torch.tensor([tokens]).split(sizes, dim=1):
        model(block)
        assert np.array_equal(model.stream[-1][0, -1].numpy(), steps[model.seen - 1, -1])


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_is_its_sequences_one_by_one(seed):
    weights = random_weights(seed, KINDS)
    prompts = [random_prompt(i, weights, length) for i, length in enumerate((1, 4, 4, 30))]
    together = generate(Transformer(weights), weights, prompts, 20)
    assert together == [SparseRunner(weights, p).advance(20).tokens.tolist() for p in prompts]


# --- relative -------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, 2, FIRST_ROWS - 1, FIRST_ROWS, 3 * FIRST_ROWS, 10**15])
def test_a_relative_head_brings_the_value_so_far_back_or_the_first(offset):
    weights = only_head(offset)
    tokens = random_prompt(0, weights, 5 * FIRST_ROWS)
    expected = [max(1, n - offset) for n in range(1, len(tokens) + 1)]
    assert brought(weights, tokens) == [expected, expected]


# --- scanned --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0, 1, 3, 20])
def test_a_scanned_head_brings_the_latest_of_the_greatest_scores(width):
    weights = only_head(width=width)
    tokens = random_prompt(0, weights, 3 * FIRST_ROWS)
    head, x = weights.layers[0].heads[0], weights.W_E.dense()[tokens]
    scores = (x @ head.W_Q.dense()) @ (x @ head.W_K.dense()).T
    expected = []
    for n, row in enumerate(scores):
        best = np.flatnonzero(row[: n + 1] == row[: n + 1].max())
        expected.append(int(best[-1]) + 1)
    assert brought(weights, tokens) == [expected, expected]


def test_a_scanned_head_keeps_each_key_once():
    weights = only_head(width=20)
    tokens = random_prompt(0, weights, 4 * FIRST_ROWS)
    runner = SparseRunner(weights, tokens)
    runner.advance(1)
    keys = weights.W_E.dense()[tokens] @ weights.layers[0].heads[0].W_K.dense()
    different = len({tuple(key) for key in keys.tolist()})
    assert FIRST_ROWS < different < 3 * FIRST_ROWS / 2
    assert runner.state.distinct.tolist() == [different]
    assert len(runner.state.vals) == 2 * FIRST_ROWS


def hashed(key):
    """Return what the kernel hashes a key to."""
    found = 0
    for bits in np.array(key, dtype=np.float64).view(np.uint64).tolist():
        found = (found ^ bits) * int(MIX) % 2**64
        found ^= found >> 32
    return found


def test_keys_with_the_same_hash_are_told_apart():
    one, aim = (1.0, 1.0), int(np.float64(1.0).view(np.uint64)) ^ hashed([1.0])
    seconds = {first: np.uint64(aim ^ hashed([first])).view(np.float64) for first in range(2, 5000)}
    other = next((float(f), float(s)) for f, s in seconds.items() if 1e-3 < abs(s) < 1e3)
    assert hashed(one) == hashed(other)
    weights = only_head(width=2)
    embedding = np.zeros((weights.d_vocab, weights.d_model))
    embedding[1, 1:3], embedding[2, 1:3] = one, other
    head = replace(
        weights.layers[0].heads[0],
        W_Q=Matrix.from_dense(np.zeros((weights.d_model, 2))),
        b_Q=np.array([1.0, 0.0]),
        W_K=Matrix.from_dense(np.eye(weights.d_model)[:, 1:3]),
    )
    layer = replace(weights.layers[0], heads=(head,))
    weights = replace(weights, W_E=Matrix.from_dense(embedding), layers=(layer,))
    expected = [1, 2, 3, 3, 3, 6]
    assert brought(weights, [0, 1, 2, 1, 0, 2]) == [expected, expected]


def test_memory_of_a_scanned_head_is_what_stands_last_at_an_address():
    weights = api.compile("bb4").weights
    number = next(i for i, layer in enumerate(weights.layers) if layer.heads[:1] and i > 1)
    head = weights.layers[number].heads[0]
    keys = head.W_K.dense()
    keys[weights.directions.index("position"), 1] = 1  # at each position another key
    layers = list(weights.layers)
    layers[number] = replace(layers[number], heads=(replace(head, W_K=Matrix.from_dense(keys)),))
    weights = replace(weights, layers=tuple(layers))
    tokens = random_prompt(0, weights, 80)
    kernel, model = (make(weights, tokens[:1]) for make in (SparseRunner, TorchRunner))
    assert np.array_equal(forced(kernel, tokens), forced(model, tokens))
    assert kernel.state.distinct.max() == 80
    assert kernel.memory("tape0.read") == model.memory("tape0.read")
    assert len(kernel.memory("tape0.read")) < 20


def test_one_head_may_be_scanned_beside_others_with_an_index():
    model = api.compile("palindrome-2tape")
    weights, start = model.weights, model.machine.initial(["0110110"])
    # b_K[1] moves all scores alike: nothing changes, but keys lack the form that is indexed
    number = next(i for i, layer in enumerate(weights.layers) if len(layer.heads) == 2)
    weights = with_weight(weights, f"blocks.{number}.attn.1.b_K", 1, -1.0)
    prompt = model.compiled.prompt(start)
    indexed, mixed = SparseRunner(model.weights, prompt), SparseRunner(weights, prompt)
    for count in (1, 3, 20):
        assert mixed.advance(count).tokens.tolist() == indexed.advance(count).tokens.tolist()
    assert (indexed.attention, mixed.attention) == ("index", "index and scan")
    for tape in (0, 1):
        assert mixed.memory(f"tape{tape}.read") == indexed.memory(f"tape{tape}.read")


# --- floating-point formats -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_fits_is_computed_in_any_format(dtype):
    weights = random_weights(3, (("latest", "relative"),), bits=8)
    (layer,) = weights.layers
    nothing = Matrix.from_dense(np.zeros(layer.feed_forward.W_out.shape))
    layer = replace(layer, feed_forward=replace(layer.feed_forward, W_out=nothing))
    weights = replace(weights, W_pos=np.zeros(PLAIN + MEANS), layers=(layer,))
    tokens = random_prompt(3, weights, 40)
    exact = forced(TorchRunner(weights, tokens[:1]), tokens)
    assert np.abs(exact).max() < 2**8
    runner = TorchRunner(weights, tokens[:1], dtype=dtype)
    assert np.array_equal(forced(runner, tokens), exact)
    assert {x.dtype for x in runner.model.stream} == {getattr(torch, dtype)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_format_with_too_few_bits_is_refused(dtype):
    bits = DTYPES[dtype]
    enough, too_few = (random_weights(0, KINDS, bits=bits + more) for more in (0, 1))
    TorchRunner(enough, [0], dtype=dtype)
    if dtype != "float64":
        named = f"{dtype} has {bits} significant bits, .* from {bits + 1} on; take float64"
        with pytest.raises(InputError, match=named):
            TorchRunner(too_few, [0], dtype=dtype)
        with pytest.raises(InputError, match=named):
            Transformer(too_few, dtype=getattr(torch, dtype))


def test_an_unknown_format_is_refused():
    with pytest.raises(NotFoundError, match="unknown dtype 'int8'; known: float64, float32"):
        TorchRunner(random_weights(0, KINDS), [0], dtype="int8")
