"""The empirical construction: the next token is as probable as it is frequent in the prompt."""

import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.artifacts import assert_same, compiled, manifest_of, saved
from tests.faults import with_weight
from tests.test_universal import FITTING, SAMPLED, bundled, follow, starts
from tm2tf import api
from tm2tf.constructions import universal
from tm2tf.constructions.empirical import CONSTRUCTION, sizes
from tm2tf.lowering import lower
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.runtime.torch_runner import TorchRunner
from tm2tf.weights import folder

OPTIONS = CONSTRUCTION.resolve({"states": 6, "symbols": 4, "halting": 2})
SMALL = [m for m in (*FITTING, *SAMPLED) if CONSTRUCTION.refusal(m, OPTIONS) is None]
BB3 = bundled("bb3")


@pytest.fixture(scope="module")
def program():
    return CONSTRUCTION.program(BB3, OPTIONS)


@pytest.fixture(scope="module")
def weights(program):
    return lower(program, "empirical")


def mixed(seed, most=6):
    """Return examples of bb3's pairs that contradict each other, and what was drawn by pair."""
    draw = random.Random(seed)
    listed, drawn = [], {}
    for state, symbol, arrow, *_ in universal.examples(BB3, OPTIONS):
        for _ in range(draw.randint(1, most)):
            to = (draw.choice("ABC"), draw.choice("01"), draw.choice(["left", "right"]))
            says = to if draw.random() < 0.9 else ("<stuck:halted>",)
            listed.append((state, symbol, arrow, *says))
            move = {"left": "L", "right": "R"}
            name = says[0] if len(says) == 1 else f"{to[1]}{move[to[2]]}>{to[0]}"
            drawn.setdefault((state, symbol), Counter())[name] += 1
    draw.shuffle(listed)
    return listed, drawn


def shares_of(program, interpreter):
    """Return the shares above 0 that the interpreter holds, by token."""
    words = next(f.values for f in program.features if f.name == "next.step")
    pairs = zip(words, interpreter.values["next.step"], strict=True)
    return {word: share for word, share in pairs if share}


# --- what the program does ------------------------------------------------------------------


@pytest.mark.parametrize("machine", SMALL[::3], ids=lambda machine: machine.name)
def test_machines_run_step_by_step(program, machine):
    interpreter = Interpreter(program)
    for start in starts(machine)[:2]:
        follow(interpreter, machine, start, OPTIONS, limit=60)


@pytest.mark.parametrize("seed", range(6))
def test_probabilities_are_the_frequencies_among_the_examples(program, weights, seed):
    listed, drawn = mixed(seed)
    tokens = universal.prompt_of(listed, BB3.initial(), BB3).tokens
    interpreter, model, ids = Interpreter(program), Transformer(weights), weights.ids()
    for token in tokens:
        emitted = interpreter.feed(token)
    order = {token.name: number for number, token in enumerate(program.tokens)}
    for _ in range(12):
        values = interpreter.values
        counts = drawn[values["state"], values["tape0.read"]]
        total = counts.total()
        assert shares_of(program, interpreter) == {
            name: Fraction(count, total) for name, count in counts.items()
        }
        model.reset()
        logits = model(torch.tensor([[ids[token] for token in tokens]]))[0, -1].numpy()
        expected = np.zeros(weights.d_vocab)
        expected[ids["<unknown>"]] = 2.0**-52
        for name, count in counts.items():
            expected[ids[name]] = count / total
        assert np.array_equal(logits, expected)
        assert emitted == min(counts, key=lambda name: (-counts[name], order[name]))
        assert weights.tokens[int(logits.argmax())].name == emitted
        if emitted.startswith("<"):
            break
        tokens = (*tokens, emitted)
        emitted = interpreter.feed(emitted)


def test_the_most_frequent_of_contradicting_examples_counts(program):
    interpreter, start = Interpreter(program), BB3.initial()
    listed = universal.examples(BB3, OPTIONS)

    def emitted(examples):
        return interpreter.generate(universal.prompt_of(examples, start, BB3).tokens, 40)

    right = emitted(listed)
    first = listed[0]
    lie = (*first[:3], "A", "0", "stay")
    assert emitted([*listed, first, lie]) == emitted([lie, first, *listed]) == right
    assert emitted([*listed, lie, lie])[0] == "0S>A"
    # of equally frequent ones the first in the vocabulary, wherever they stand
    order = [token.name for token in program.tokens]
    tie = emitted([*listed, lie])[0]
    assert tie == emitted([lie, *listed])[0] == min("0S>A", right[0], key=order.index)


def test_what_is_missing_is_unknown(program, weights):
    listed = universal.examples(BB3, OPTIONS)
    interpreter = Interpreter(program)
    for examples in ([], listed[1:]):
        tokens = universal.prompt_of(examples, BB3.initial(), BB3).tokens
        assert interpreter.generate(tokens, 5) == ["<unknown>"]
        assert not shares_of(program, interpreter)
        ids = [weights.ids()[token] for token in tokens]
        for make in (SparseRunner, TorchRunner):
            runner = make(weights, ids, ("next.step",))
            emitted = runner.advance(1)
            assert weights.tokens[emitted.tokens[0]].name == "<unknown>"
            assert emitted.probes.tolist() == [[-1]]


def test_examples_that_say_nothing_count_and_have_no_share(program):
    vague = ("A", "0", "->", "right")  # no state to enter, no symbol to write
    listed = [*universal.examples(BB3, OPTIONS), vague]
    interpreter = Interpreter(program)
    for token in universal.prompt_of(listed, BB3.initial(), BB3).tokens:
        emitted = interpreter.feed(token)
    assert shares_of(program, interpreter) == {emitted: Fraction(1, 2)}


# --- the weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["kernel", "torch"])
@pytest.mark.parametrize("name", ["bb2", "anbncn", "binary-increment"])
def test_weights_agree_with_the_machine(name, runtime):
    options = {"states": 8, "symbols": 7, "halting": 1}
    model = api.compile(name, "empirical", **options)
    start = starts(model.machine)[0]
    check = api.Model(model.compiled).verify(*start.tapes, runtime=runtime, max_steps=60)
    assert check.divergence is None
    assert check.steps > 5


@pytest.mark.parametrize("seed", range(3))
def test_runtimes_agree_on_contradicting_examples(weights, seed):
    listed, _ = mixed(seed)
    prompt = universal.prompt_of(listed, BB3.initial(), BB3).tokens
    ids = [weights.ids()[token] for token in prompt]
    names = tuple(readout.feature.name for readout in weights.readouts)
    kernel, model = (make(weights, ids, names) for make in (SparseRunner, TorchRunner))
    one, other = kernel.advance(30), model.advance(30)
    assert one.tokens.tolist() == other.tokens.tolist()
    assert one.probes.tolist() == other.probes.tolist()
    again = [make(weights, ids) for make in (SparseRunner, TorchRunner)]
    assert np.array_equal(again[0].streams(), again[1].streams())


def test_a_wrong_share_is_found_where_it_is_made():
    model = api.compile("bb2", "empirical", states=2, symbols=2, halting=1)
    number = len(model.weights.layers) - 1
    weights = with_weight(model.weights, f"blocks.{number}.attn.0.W_O", 0, 0.5)
    broken = api.Model(replace(model.compiled, weights=weights))
    found = broken.verify().divergence
    assert found is None or found.feature == "next.step"
    every = range(weights.layers[number].heads[0].W_O.nonzeros)
    caught = []
    for which in every:
        changed = with_weight(model.weights, f"blocks.{number}.attn.0.W_O", which, -1.0)
        divergence = api.Model(replace(model.compiled, weights=changed)).verify().divergence
        caught += [] if divergence is None else [divergence.feature]
    assert set(caught) == {"next.step"}
    assert len(caught) == len(set(model.machine.transitions.values()))


def test_logits_are_known_to_be_probabilities(weights):
    assert weights.emits_probabilities
    assert not api.compile("bb2").weights.emits_probabilities
    assert not with_weight(weights, "W_U", 0, 0.5).emits_probabilities


def test_artifacts_of_version_2_are_read(tmp_path):
    for name, data in saved("bb2").items():
        (tmp_path / name).write_bytes(data)
    value = manifest_of("bb2")
    value.pop("manifest_sha256")
    value["format_version"] = 2
    (tmp_path / folder.MANIFEST).write_bytes(folder._sealed(value))
    assert_same(folder.load(tmp_path)[0], compiled("bb2")[0])


def test_artifacts_hold_distributions(weights, tmp_path):
    folder.save(tmp_path / "kept", weights, BB3)
    loaded, _ = folder.load(tmp_path / "kept")
    assert loaded.readouts == weights.readouts
    kinds = [[head.kind for head in layer.heads] for layer in loaded.layers]
    assert kinds[-1] == ["mean"]
    assert loaded.emits_probabilities


@pytest.mark.parametrize(
    "asked", [{}, {"states": 1, "symbols": 1, "halting": 1}, {"states": 30, "symbols": 11}]
)
def test_sizes_are_those_of_the_formulas(asked):
    options = CONSTRUCTION.resolve(asked)
    made = lower(CONSTRUCTION.program(BB3, options), "empirical")
    assert sizes(BB3, options) == {
        "layers": len(made.layers),
        "heads": made.heads,
        "d_model": made.d_model,
        "d_mlp": made.d_mlp,
        "vocab": made.d_vocab,
    }
