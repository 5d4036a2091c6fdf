"""The looped torch model and the follower of its runs, against formulas, interpreter, simulator."""

import gc
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.faults import describe, places, with_weight
from tm2tf import api, formats
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.errors import BoundError, ConfigurationError, InputError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import OFFSET, Tape
from tm2tf.program.features import Categorical
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.program.program import Token
from tm2tf.runtime.cells import CellFollower
from tm2tf.runtime.follow import follow
from tm2tf.runtime.looped import LoopedTransformer, iterate
from tm2tf.runtime.told import Told
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, FeedForward, Head, Layer, Weights

BOTH = ["looped", "looped-neighbours"]
ONE_WAY = "start: a\nrules: {a: {_: 1 %s a}}"
SHUTTLE = """
start: right
rules:
  right: {0: 1 R right, 1: 0 R right, _: L left}
  left: {0: 1 L left, 1: 0 L left, _: R right}
"""


def compiled_for(name, construction="looped", window=64):
    return compile_machine(api.compile(name).machine, construction, options={"window": window})


def example(machine):
    return machine.initial(machine.examples[0].tapes)


def followed(compiled, start, dtype="float64", grow=True):
    return CellFollower(compiled, start, "cpu", dtype, grow)


# --- the model ------------------------------------------------------------------------------


def random_weights(seed):
    """Return looped weights of small random integers, with heads of every kind."""
    draw = np.random.default_rng(seed)
    d, vocab, columns = 7, 9, 5

    def matrix(*shape, share=0.4):
        numbers = draw.integers(-2, 3, shape)
        return Matrix.from_dense((numbers * (draw.random(shape) < share)).astype(float))

    def head(number, kind, offset=0, asks=True):
        width = 2 if kind == "latest" else 0
        values = int(draw.integers(1, 4))
        return Head(
            f"{kind} {number}",
            kind,
            matrix(d, width, share=0.6 * asks),
            draw.integers(-2, 3, width).astype(float),
            matrix(d, width),
            draw.integers(-2, 3, width).astype(float),
            matrix(d, values),
            matrix(values, d, share=0.2),
            offset,
        )

    def layer(heads, share):
        neurons = FeedForward(
            tuple(f"n{i}" for i in range(columns)),
            matrix(d, columns),
            draw.integers(-2, 3, columns).astype(float),
            matrix(d, columns, share=share),
            draw.choice([1.0, 2.0, 0.5], columns),
            matrix(columns, d, share=0.2),
            draw.random(columns) < 0.5 * bool(share),
        )
        return Layer("", heads, neurons)

    heads = (
        head(0, "latest", asks=False),
        head(1, "relative", 2),
        head(2, "latest"),
        head(3, "uniform"),
        head(4, "relative", -1),
        head(5, "latest", asks=False),
    )
    W_U = matrix(d, vocab).dense()
    W_U[:, 3:6] = 0  # logits that are the same everywhere
    return Weights(
        construction="looped",
        target="hard",
        directions=tuple(f"d{i}" for i in range(d)),
        tokens=tuple(Token(f"t{i}", "cell", {}) for i in range(vocab)),
        readouts=(),
        bounds=Bounds(99, 99),
        W_E=matrix(vocab, d, share=0.7),
        W_pos=draw.integers(0, 2, d).astype(float),
        layers=(layer(heads, 0.0), layer((), 0.3)),
        W_U=Matrix.from_dense(W_U),
        b_U=draw.integers(-3, 4, vocab).astype(float),
        W_loop=matrix(d, d, share=0.15),
        W_fixed=matrix(vocab, d, share=0.2),
    )


def by_formulas(weights, tokens, passes):
    """Yield stream and logits of each pass, as `weights.model` defines them, in numpy."""
    length = len(tokens)
    n = np.arange(1, length + 1)[:, None] * weights.W_pos
    x = weights.W_E.dense()[tokens] + n
    for _ in range(passes):
        for layer in weights.layers:
            added = np.zeros_like(x)
            for head in layer.heads:
                q = x @ head.W_Q.dense() + head.b_Q
                k = x @ head.W_K.dense() + head.b_K
                v = x @ head.W_V.dense()
                if head.kind == "relative":
                    v = v[[min(max(i - head.offset, 0), length - 1) for i in range(length)]]
                elif head.kind == "uniform":
                    v = np.repeat(v.mean(axis=0, keepdims=True), length, axis=0)
                else:
                    scores = q @ k.T
                    v = v[[max(range(length), key=lambda j: (row[j], j)) for row in scores]]
                added += v @ head.W_O.dense()
            x = x + added
            mlp = layer.feed_forward
            neurons = np.maximum(x @ mlp.W_gate.dense() + mlp.b_gate, 0)
            neurons = neurons * (x @ mlp.W_in.dense() + mlp.b_in)
            x = x + np.where(mlp.snap, np.rint(neurons), neurons) @ mlp.W_out.dense()
        yield x, x @ weights.W_U.dense() + weights.b_U
        x = x @ weights.W_loop.dense() + weights.W_fixed.dense()[tokens] + n


@pytest.mark.parametrize("seed", range(12))
def test_the_model_is_its_formulas(seed):
    weights = random_weights(seed)
    tokens = np.random.default_rng(seed).integers(0, 9, (3, 8))
    model = LoopedTransformer(weights)
    model.begin(torch.from_numpy(tokens))
    runs = [by_formulas(weights, row, 2) for row in tokens]
    for steps in zip(*runs, strict=True):
        logits = model()
        np.testing.assert_allclose(model.stream[-1].numpy(), [x for x, _ in steps], rtol=1e-12)
        np.testing.assert_allclose(logits.numpy(), [y for _, y in steps], rtol=1e-12, atol=1e-9)
        assert torch.equal(model.emitted(), logits.argmax(dim=-1))


def read(readout, x):
    number = readout.read(x)
    if not isinstance(readout.feature, Categorical):
        return number
    assert number != -2
    return None if number == -1 else readout.values[number][0]


@pytest.mark.parametrize("construction", BOTH)
@pytest.mark.parametrize("name", ["bb4", "sort", "palindrome-2tape", "random:5:1", "random:5:4"])
def test_every_feature_is_as_the_program_says(name, construction):
    machine = api.compile(name).machine
    if construction == "looped-neighbours" and machine.tapes > 1:
        return
    compiled = compile_machine(machine, construction, options={"window": 16})
    ids = compiled.prompt(example(machine))
    interpreter = LoopedInterpreter(
        compiled.program, [compiled.weights.tokens[i].name for i in ids]
    )
    model = LoopedTransformer(compiled.weights)
    model.begin(torch.tensor([ids]))
    for _ in range(8):
        interpreter.step()
        logits = model()
        names = [compiled.weights.tokens[i].name for i in logits[0].argmax(dim=-1)]
        assert names == interpreter.emitted
        for readout in compiled.weights.readouts:
            stream = model.stream[readout.layer + 1][0].numpy()
            got = [read(readout, x) for x in stream]
            assert got == [values[readout.feature.name] for values in interpreter.values]


def test_a_batch_is_its_sequences_one_by_one():
    for construction in BOTH:
        compiled = compiled_for("palindrome", construction, 16)
        words = ("", "a", "ab", "abcba", "abcabc", "aabbcbbaa")
        prompts = [compiled.prompt(compiled.machine.initial([word])) for word in words]
        prompts = torch.tensor(prompts)
        model = LoopedTransformer(compiled.weights)
        together = iterate(model, prompts, 40)
        assert together.shape == (6, 40, 18)
        for prompt, emitted in zip(prompts, together, strict=True):
            assert torch.equal(iterate(model, prompt[None], 40)[0], emitted)
        assert iterate(model, prompts, 0).shape == (6, 0, 18)


def test_what_the_model_refuses():
    compiled = compiled_for("bb2")
    decoder = api.compile("bb2").weights
    with pytest.raises(InputError, match="not looped"):
        LoopedTransformer(decoder)
    weights = replace(compiled.weights, bounds=replace(compiled.weights.bounds, bits=9))
    LoopedTransformer(weights, dtype="float16")
    with pytest.raises(InputError, match="bfloat16"):
        LoopedTransformer(weights, dtype="bfloat16")


# --- runs -----------------------------------------------------------------------------------


def simulated(machine, start, most):
    """Return the steps of a run as rows of numbers, and the simulation."""
    simulation, rows = Simulation(machine, start), []
    while len(rows) < most and (step := simulation.step()) is not None:
        to = step.transition
        rows.append(
            (
                machine.states.index(step.state),
                *map(machine.symbols.index, step.reads),
                *step.heads,
                machine.states.index(to.state),
                *map(machine.symbols.index, to.writes),
                *(OFFSET[move] for move in to.moves),
            )
        )
    return rows, simulation


def rows_of(told):
    columns = (told.states, told.reads, told.heads, told.next_states, told.writes, told.moves)
    return [tuple(row) for row in np.column_stack(columns).tolist()]


def differs(compiled, start, expected, dtype="float64", grow=True, chunks=(10**6,)):
    """Return how a run differs from the simulator's; None if it does not."""
    rows, simulation = expected
    follower = followed(compiled, start, dtype, grow)
    told = []
    for chunk in chunks:
        told.append(follower.tell(min(chunk, len(rows) - follower.steps)))
    if simulation.outcome is not None:
        follower.finish()
    if follower.trouble is not None:
        return follower.trouble
    together = Told.join(told, compiled.machine.tapes)
    if rows_of(together) != rows:
        return "steps"
    if together.passes.tolist() != list(range(len(rows))):
        return "passes"
    if (follower.steps, follower.outcome) != (len(rows), simulation.outcome):
        return "outcome"
    end = simulation.configuration()
    return None if follower.end() == (end.state, end.tapes) else "end"


@pytest.mark.parametrize(
    "name",
    [
        "bb4",
        "bb2x4",
        "binary-addition",
        "balanced-brackets",
        "stutter-left",
        "unary-multiplication-2tape",
        "matching-3tape",
        "binary-addition-3tape",
        "binary-multiplication-3tape",
    ],
)
def test_runs_of_bundled_machines(name):
    machine = api.compile(name).machine
    start = example(machine)
    expected = simulated(machine, start, 110)
    for construction in BOTH if machine.tapes == 1 else BOTH[:1]:
        compiled = compile_machine(machine, construction)
        assert differs(compiled, start, expected) is None


@pytest.mark.parametrize("number", range(20))
def test_runs_of_sampled_machines_from_narrow_windows(number):
    machine = sample(17, number)
    start = example(machine)
    expected = simulated(machine, start, 60)
    draw = random.Random(number)
    chunks = [*(draw.randint(0, 9) for _ in range(9)), 60]
    for construction in BOTH if machine.tapes == 1 else BOTH[:1]:
        compiled = compile_machine(machine, construction, options={"window": 4})
        assert differs(compiled, start, expected, chunks=chunks) is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("construction", BOTH)
def test_few_bits_are_enough(construction, dtype):
    compiled = compiled_for("bb4", construction, 24)
    start = compiled.machine.initial()
    assert differs(compiled, start, simulated(compiled.machine, start, 200), dtype) is None
    prompt = torch.tensor([compiled.prompt(start)])
    narrow, wide = (
        iterate(LoopedTransformer(compiled.weights, dtype=name), prompt, 110)
        for name in (dtype, "float64")
    )
    assert torch.equal(narrow, wide)


@pytest.mark.parametrize("construction", BOTH)
def test_the_window_doubles(construction):
    compiled = compiled_for("bb4", construction, 4)
    follower = followed(compiled, compiled.machine.initial())
    assert (follower.window, follower.widened, follower.peak) == (4, 0, 6)
    follower.advance(30)
    assert follower.widened > 0
    told = follower.tell(200)
    assert rows_of(told) == simulated(compiled.machine, compiled.machine.initial(), 200)[0][30:]
    assert (follower.window, follower.widened, follower.peak) == (32, 3, 34)
    assert (follower.steps, follower.passes, follower.outcome) == (107, 107, "halted")
    assert (follower.state, len(follower.begin.ids)) == ("Z", 34)


def test_the_window_is_as_wide_as_the_start_needs():
    compiled = compiled_for("bb4", window=4)
    start = compiled.machine.initial([Tape(("1",) * 2, 9, 0)])
    assert followed(compiled, start).window == 16
    with pytest.raises(ConfigurationError, match="compile with --window 11"):
        followed(compiled, start, grow=False)


@pytest.mark.parametrize("move", "LR")
@pytest.mark.parametrize("construction", BOTH)
def test_a_window_that_may_not_grow(construction, move):
    machine = formats.parse(ONE_WAY % move)
    compiled = compile_machine(machine, construction, options={"window": 64})
    inside = {"L": 31, "R": 32}[move]
    follower = followed(compiled, machine.initial(), grow=False)
    follower.advance(inside)
    assert (follower.steps, follower.outcome, follower.trouble) == (inside, None, None)
    message = f"step {inside + 1} a head leaves the window of 64 cells; compile with --window 128"
    for _ in range(2):
        with pytest.raises(BoundError, match=message) as caught:
            follower.tell(9)
        assert caught.value.bound == "tape"
    assert follower.steps == inside
    follower = followed(compiled, machine.initial())
    follower.advance(300)
    assert (follower.steps, follower.widened) == (300, 4)


def test_ways_to_end():
    machine = formats.parse(
        "start: a\nundefined: reject\naccept: y\nrules: {a: {_: 1 S a, 2: S y}}"
    )
    for construction in BOTH:
        compiled = compile_machine(machine, construction, options={"window": 2})
        follower = followed(compiled, machine.initial())
        follower.advance(1)
        assert (follower.outcome, follower.finish(), follower.outcome) == (None, True, "rejected")
        assert (follower.steps, follower.passes, follower.state) == (1, 2, "a")
        assert follower.end() == ("a", (Tape(("1",), 0, 0),))
        follower = followed(compiled, machine.initial())
        assert follower.finish() is False
        assert (follower.steps, follower.end()) == (0, ("a", (Tape((), 0, 0),)))
        follower = followed(compiled, machine.initial(["2"]))
        follower.advance(5)
        assert (follower.steps, follower.passes, follower.outcome) == (1, 1, "accepted")
        assert follower.finish() is True
        assert len(follower.tell(3).states) == 0


def test_the_follower_that_is_chosen():
    compiled = compiled_for("bb2")
    follower = follow(compiled, compiled.machine.initial(), dtype="bfloat16", device="cpu")
    assert isinstance(follower, CellFollower)
    assert (follower.runtime, follower.attention) == ("torch", "argmax over all cells")
    follower.advance(10)
    assert (follower.steps, follower.outcome) == (6, "halted")


def test_memory_does_not_grow_with_passes():
    machine = formats.parse(SHUTTLE)
    compiled = compile_machine(machine, "looped", options={"window": 16})
    follower = followed(compiled, machine.initial(["0101"]))
    counts = []
    for _ in range(3):
        follower.advance(400)
        gc.collect()
        objects = gc.get_objects()
        counts.append(sum(x.numel() for x in objects if issubclass(type(x), torch.Tensor)))
    assert follower.steps == 1200
    assert max(counts) - min(counts) < 10_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_same_run_on_cuda(dtype):
    compiled = compiled_for("bb4", window=4)
    start = compiled.machine.initial()
    here, there = (CellFollower(compiled, start, device, dtype, True) for device in ("cpu", "cuda"))
    assert rows_of(here.tell(200)) == rows_of(there.tell(200))
    assert here.end() == there.end()


# --- broken weights -------------------------------------------------------------------------

FLIPPER = """
start: right
accept: yes
rules:
  right: {0: 1 R right, 1: 0 R right, _: L left}
  left: {0: L, 1: L, _: R eat}
  eat: {0: _ R right, 1: 0 S yes}
"""
STARTS = [
    *(Tape(tuple(word)) for word in ("0101101", "1_00101_1", "110100", "0_1011_0", "", "10")),
    *(Tape(tuple(word), -3) for word in ("0101101", "1_00101", "101_0")),
]

IDLE = {
    "looped": ("attn.0.W_K[0, 0]", "attn.1.W_V", "attn.1.W_O", "attn.2.W_V", "attn.2.W_O"),
    "looped-neighbours": ("attn.0.W_V", "attn.0.W_O", "attn.1.W_V", "attn.1.W_O"),
}
"""Where weights may have no effect: the floor at the begin token while all heads are inside; and
words of a neighbour that no table asks for."""

IDLE_COUNT = {
    "looped": 1 + 2 * 2,  # the floor; on either side the way that no neighbour there can hold
    "looped-neighbours": 2 * (2 + 3),  # `left` and `yes` never go right, three states never left
}


def is_fed(weights, name, number):
    """Return whether a weight can matter: tokens of steps are never fed, and edges hold nothing."""
    if name not in ("W_E", "W_fixed"):
        return True
    return weights.tokens[int(dict(weights.tensors())[name].rows()[number])].role == "cell"


@pytest.mark.parametrize("construction", BOTH)
def test_broken_weights_are_noticed(construction):
    machine = formats.parse(FLIPPER)
    compiled = compile_machine(machine, construction, options={"window": 16})
    starts = [machine.initial([tape]) for tape in STARTS]
    runs = [(start, simulated(machine, start, 60)) for start in starts]
    for start, expected in runs:
        assert differs(compiled, start, expected, grow=False) is None
    every = [place for place in places(compiled.weights) if is_fed(compiled.weights, *place)]
    survived = []
    for place in every:
        broken = Compiled(machine, compiled.program, with_weight(compiled.weights, *place, -1.0))
        for start, expected in runs:
            try:
                if differs(broken, start, expected, grow=False) is not None:
                    break
            except BoundError:
                break
        else:
            survived.append(describe(broken.weights, *place))
    unexplained = [s for s in survived if not any(idle in s for idle in IDLE[construction])]
    assert unexplained == []
    assert len(survived) == IDLE_COUNT[construction]
