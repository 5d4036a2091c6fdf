"""Every kernel emits what the plain torch model does, whatever the basis of the residual stream."""

import pytest
import torch

from tests.faults import describe, places, with_weight
from tests.shapes import shapes_checked
from tm2tf import api
from tm2tf.bench.disguise import disguised
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError
from tm2tf.machine.sampling import sample
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.runner import KERNELS

FAST = ("evaluated", "folded")
slow = pytest.mark.slow
PROGRAMS, PARTS, STEPS = 500, 10, 60


def probes_of(weights):
    """Return the features that runs are followed by."""
    names = [readout.feature.name for readout in weights.readouts]
    return tuple(n for n in names if n == "state" or n.endswith((".read", ".head")))


def plainly(weights, prompt, tokens):
    """Return what the torch model emits at each place, given what was emitted before it."""
    model = Transformer(weights)
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens[:-1]]]))
    return logits[0, len(prompt) - 1 :].argmax(dim=-1).tolist()


def agreed(weights, prompt, steps=STEPS):
    """Check all kernels against each other, and one of them against torch; return the tokens."""
    names = probes_of(weights)
    runners = {name: KernelRunner(weights, prompt, names, name) for name in KERNELS}
    emitted = {name: runner.advance(steps) for name, runner in runners.items()}
    first = emitted["dense"]
    for name, other in emitted.items():
        assert runners[name].kernel == name, runners[name].reason
        assert other.tokens.tolist() == first.tokens.tolist(), name
        assert other.probes.tolist() == first.probes.tolist(), name
        assert runners[name].context == runners["dense"].context
    settled = [runner.settle() for runner in runners.values()]
    assert all(other == settled[0] for other in settled)
    tokens = first.tokens.tolist()
    assert tokens == plainly(weights, prompt, tokens)
    return tokens


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs(part):
    """500 random programs of 1 to 3 tapes, as they are and permuted, rescaled and flipped.

    Of each, and of its disguise: the first 60 tokens of all four kernels, their probes at every
    token and after the last are equal, and each token is the one that the plain torch model of the
    same weights emits, given the tokens before it. A disguise emits what the program does. Shapes
    in signatures are checked for one program in ten.
    """
    each = PROGRAMS // PARTS
    for number in range(part * each, (part + 1) * each):
        machine = sample(7, number)
        compiled = compile_machine(machine)
        start = machine.initial(machine.examples[0].tapes)
        prompt = compiled.start(start).ids
        with shapes_checked(number % 10 == 0):
            tokens = agreed(compiled.weights, prompt)
            assert agreed(disguised(compiled.weights, number), prompt) == tokens


def ran(weights, prompt, kernel, steps=40):
    """Return the kernel that ran, the tokens and the probes (None: a bound was left)."""
    runner = KernelRunner(weights, prompt, probes_of(weights), kernel)
    try:
        found = runner.advance(steps)
    except BoundError:
        return runner.kernel, None, None
    return runner.kernel, found.tokens.tolist(), found.probes.tolist()


QUICK = (-1.0, 0.0, 1 + 2**-52)
FACTORS = (*QUICK, 1.01, 1 + 2**-40, 2.0, 0.5, 3.0)
CODES = ("1RB1LB_1LA1RZ", "1RB---_0LB1RA")


@pytest.mark.parametrize(
    ("code", "factor"),
    [
        pytest.param(c, f, marks=() if (c, f) in [(CODES[0], q) for q in QUICK] else slow)
        for c in CODES
        for f in FACTORS
    ],
)
def test_any_one_weight_changed(code, factor):
    """The fast kernels do what the sparse one does, by themselves or by giving up."""
    model = api.compile(code)
    prompt = model.compiled.start(model.machine.initial(("101",))).ids
    kernels = set()
    for name, number in places(model.weights):
        weights = with_weight(model.weights, name, number, factor)
        _, *expected = ran(weights, prompt, "sparse")
        for kernel in FAST:
            which, *found = ran(weights, prompt, kernel)
            assert found == expected, f"{which}, {describe(weights, name, number)} times {factor}"
            kernels.add(which)
    assert kernels == {"sparse", *FAST}  # some faults are seen beforehand, some are evaluated
