"""The page's evaluator gives, number by number, what the plain torch model gives."""

import json

import numpy as np
import pytest
import torch

from tests.inspecting import SMALL, compiled
from tests.javascript import evaluate
from tests.random_weights import random_prompt, random_weights
from tests.test_softmax import soft_weights
from tm2tf.page.payload import of_examples, payload
from tm2tf.page.tensors import tensors
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.runtime.model import LatestHead, MeanHead, RelativeHead, Transformer

KINDS = (
    [("latest",), ("latest",)],
    [("uniform",), ("latest", "relative")],
    [("mean",), ("latest",)],
    [("relative", "relative"), ("uniform", "mean")],
    [(), ("latest", "latest")],
)

PASSES = """
return given.map(({ model, tokens }) => {
  const transformer = new Transformer(model);
  const fed = tokens.map((token) => transformer.feed(token));
  const again = tokens.map((_, position) => transformer.pass(position));
  return [fed, again].map((passes) => passes.map((pass) => ({
    streams: pass.streams.map((stream) => [...stream]),
    logits: [...pass.logits],
    emits: pass.emits,
    margin: pass.margin,
    attended: pass.heads.flat().map((head) => head.positions),
  })));
});
"""


def by_torch(weights, tokens):
    """Return streams [positions, layers + 1, d_model], logits and what each head attended to."""
    model = Transformer(weights)
    logits = model(torch.tensor([tokens]))[0].numpy()
    streams = np.stack([x[0].numpy() for x in model.stream], axis=1)
    attended = []
    for head in model.heads:
        if isinstance(head, LatestHead | RelativeHead):
            attended.append([[int(i)] for i in head.attended[0]])
        elif isinstance(head, MeanHead):
            attended.append([np.flatnonzero(row).tolist() for row in head.attended[0].numpy()])
        else:
            attended.append([None] * len(tokens))
    return streams, logits, attended


def check(cases):
    """Compare both on (weights, tokens) pairs, fed and looked at again."""
    given = [{"model": tensors(weights), "tokens": tokens} for weights, tokens in cases]
    for (weights, tokens), runs in zip(
        cases, evaluate(("evaluator.js",), PASSES, given), strict=True
    ):
        streams, logits, attended = by_torch(weights, tokens)
        for passes in runs:
            assert np.array_equal([it["streams"] for it in passes], streams)
            assert np.array_equal([it["logits"] for it in passes], logits)
            assert [it["emits"] for it in passes] == logits.argmax(axis=1).tolist()
            top = np.sort(logits, axis=1)
            assert [it["margin"] for it in passes] == (top[:, -1] - top[:, -2]).tolist()
            for head, positions in enumerate(attended):
                assert [it["attended"][head] for it in passes] == positions


def test_random_weights_of_every_kind_of_head():
    cases = []
    for seed in range(12):
        for kinds in KINDS:
            weights = random_weights(seed, kinds)
            cases.append((weights, random_prompt(seed, weights, 33)))
    check(cases)


@pytest.mark.parametrize("construction", [c for c in SMALL if "looped" not in c])
def test_runs_of_every_decoder(construction):
    cases = []
    for name, words in (("bb3", [""]), ("binary-increment", ["1011"])):
        model = compiled(name, construction, **SMALL[construction])
        prompt = list(model.start(model.machine.initial(words)).ids)
        run = evaluate(("evaluator.js", "run.js"), RUN, [payload_of(model), [prompt]])[0]
        cases.append((model.weights, [*prompt, *run["emitted"][:-1]][:400]))
    check(cases)


LOOP = """
const { model, tokens, passes } = given;
const transformer = new LoopedTransformer(model, tokens);
const numbers = (streams) => streams.map((x) => x.map((vector) => [...vector]));
const turns = [];
for (let pass = 0; pass < passes; pass++) turns.push(numbers(transformer.turn()));
const seen = [];
for (let pass = passes - 1; pass >= 0; pass -= 7) {
  const position = pass % tokens.length;
  const found = transformer.pass(pass, position);
  const streams = found.streams.map((x) => [...x]);
  seen.push({ pass, position, streams, emits: found.emits, logits: [...found.logits] });
}
return { turns, seen };
"""


def check_loop(weights, tokens, passes, exact=True):
    """Compare all streams of some passes, and passes that are looked at again, with torch."""
    given = {"model": tensors(weights), "tokens": tokens, "passes": passes}
    found = evaluate(("evaluator.js", "run.js", "looped.js"), LOOP, given)
    near = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-9, "atol": 1e-9}
    model = LoopedTransformer(weights)
    model.begin(torch.tensor([tokens]))
    turns, logits, emitted = [], [], []
    for streams in found["turns"]:
        model.turn()
        turns.append(np.stack([x[0].numpy() for x in model.stream]))
        logits.append(model.logits()[0].numpy())
        emitted.append(model.emitted()[0].tolist())
        np.testing.assert_allclose(streams, turns[-1], **near)
    for it in found["seen"]:
        number, position = it["pass"], it["position"]
        np.testing.assert_allclose(it["streams"], turns[number][:, position], **near)
        np.testing.assert_allclose(it["logits"], logits[number][position], **near)
        assert it["emits"] == emitted[number][position]


@pytest.mark.parametrize("name", ["looped", "looped-neighbours"])
def test_passes_of_looped_weights(name):
    model = compiled("bb3", name, window=12)
    check_loop(model.weights, list(model.start(model.machine.initial()).ids), 21)


def test_passes_far_back_are_made_again():
    """Streams are kept of every second, fourth, ... pass only, once there are many."""
    model = compiled("counter", "looped", window=8)
    check_loop(model.weights, list(model.start(model.machine.initial()).ids), 600)


@pytest.mark.parametrize("seed", range(4))
def test_softmax_heads_and_a_table_of_positions(seed):
    weights = soft_weights(seed)
    tokens = np.random.default_rng(seed).integers(0, 9, 7).tolist()
    check_loop(weights, tokens, 1, exact=False)


def test_halves_are_rounded_to_even_numbers():
    numbers = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994, 2**52 + 1, -0.2, 7.0]
    found = evaluate(("evaluator.js",), "return given.map(nearest);", numbers)
    assert found == np.rint(numbers).tolist()


def test_a_changed_weight_shows():
    """The comparison can fail: one entry of one matrix is enough."""
    weights = random_weights(3, [("latest",), ("uniform",)])
    tokens = random_prompt(3, weights, 20)
    model = tensors(weights)
    model["layers"][0]["heads"][0]["W_O"]["values"][0] += 1
    given = [{"model": model, "tokens": tokens}]
    passes = evaluate(("evaluator.js",), PASSES, given)[0][0]
    assert not np.array_equal([it["streams"] for it in passes], by_torch(weights, tokens)[0])


RUN = """
const [payload, prompts] = given;
return prompts.map((prompt) => {
  const run = new Run(payload, { ...payload.starts[0], prompt });
  run.advance(3000);
  return { emitted: run.passes.map((pass) => pass.emits), contexts: run.contexts.length };
});
"""


def payload_of(model):
    found = payload(model, of_examples(model.machine))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


BOUND = """
const transformer = new Transformer(given.model);
const made = [];
try {
  for (const token of given.tokens) made.push(transformer.feed(token).emits);
} catch (error) {
  return { made: made.length, error: error.message, bound: error instanceof BoundError };
}
return { made: made.length };
"""


def test_past_a_bound_it_refuses():
    """The context's length, and the farthest address: a machine that walks right for ever."""
    weights = compiled("counter").weights
    model = tensors(weights)
    model["bounds"]["position"] = 5
    tokens = [0, weights.ids()["<start>"], *[6] * 10]
    found = evaluate(("evaluator.js",), BOUND, {"model": model, "tokens": tokens})
    assert found == {"made": 5, "error": "the context is longer than 5 tokens", "bound": True}
    right = next(i for i, t in enumerate(weights.tokens) if t.values.get("tape0.move") == 1)
    model["bounds"] = {"position": 2**40, "key": 3}
    tokens = [0, weights.ids()["<start>"], *[right] * 10]
    found = evaluate(("evaluator.js",), BOUND, {"model": model, "tokens": tokens})
    assert found["bound"]
    assert found["error"] == "a lookup went further than address 3"
    assert found["made"] == 5  # <bos>, <start>, and three moves: the head is on 3
