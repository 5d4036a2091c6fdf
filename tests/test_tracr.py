"""The tracr construction: its weights and runs, by tracr itself and by a stand-in for it."""

import importlib.util
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests import tracr_stand_in
from tests.artifacts import assert_same
from tests.faults import places, with_weight
from tm2tf import api, formats
from tm2tf.cli import group
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions import tracr
from tm2tf.errors import (
    BoundError,
    ConfigurationError,
    ExtraError,
    InputError,
)
from tm2tf.lowering.sops import graph_of
from tm2tf.lowering.tracr import compiled as by_tracr
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Tape
from tm2tf.runtime.cells import CellFollower
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.verify.lockstep import lockstep
from tm2tf.weights.folder import load, weights_sha256

needs_tracr = pytest.mark.skipif(
    importlib.util.find_spec("tracr") is None, reason="the extra `tracr` is not installed"
)
ONE_TAPE = ["bb2", "bb3", "bb4", "binary-increment", "palindrome"]


@pytest.fixture
def stand_in(monkeypatch):
    tracr_stand_in.install(monkeypatch)


def one_tape(seed, most):
    machines = (sample(seed, number) for number in range(most))
    return [machine for machine in machines if machine.tapes == 1]


# --- weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ONE_TAPE, *(f"random:3:{i}" for i in (2, 12, 13, 15, 17, 21))])
def test_sizes_are_those_of_the_formulas(name, stand_in):
    machine = api.load(name)
    for window in (2, 24):
        weights = compile_machine(machine, "tracr", options={"window": window}).weights
        found = {
            "layers": len(weights.layers),
            "heads": weights.heads,
            "d_model": weights.d_model,
            "d_mlp": weights.d_mlp,
            "vocab": weights.d_vocab,
        }
        assert found == tracr.CONSTRUCTION.sizes(machine, weights.options)


def test_the_weights_do_not_hang_on_the_order_that_tracr_chose(stand_in):
    once, again = (compile_machine(api.load("bb3"), "tracr").weights for _ in range(2))
    assert weights_sha256(once) == weights_sha256(again)
    assert_same(once, again)


@needs_tracr
@pytest.mark.slow
@pytest.mark.parametrize(("name", "window"), [("bb4", 24), ("palindrome", 12), ("bb2", 2)])
def test_the_stand_in_is_what_tracr_is(name, window, monkeypatch):
    machine, options = api.load(name), {"window": window}
    real = compile_machine(machine, "tracr", options=options).weights
    with monkeypatch.context() as patch:
        tracr_stand_in.install(patch)
        other = compile_machine(machine, "tracr", options=options).weights
    assert_same(real, other)
    assert weights_sha256(real) == weights_sha256(other)


@needs_tracr
@pytest.mark.slow
def test_another_process_gives_the_same_hash():
    code = """
import sys
from tm2tf import api
api.compile("counter", "tracr")  # moves tracr's counter on
sys.stdout.write(api.compile("bb2", "tracr", window=6).weights_sha256)
"""
    root = Path(__file__).parent.parent
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert done == [api.compile("bb2", "tracr", window=6).weights_sha256] * 2


@needs_tracr
@pytest.mark.slow
@pytest.mark.parametrize(("name", "window"), [("bb3", 24), ("bb2", 224)])
def test_streams_are_those_of_tracr_itself(name, window):
    machine = api.load(name)
    made = compile_machine(machine, "tracr", options={"window": window})
    weights, program = made.weights, made.program
    graph = graph_of(program, window + 1)
    theirs, labels = by_tracr(graph, "tracr")
    numbers = {value: str(i) for i, value in enumerate(graph.cell.values)}
    at = [theirs.residual_labels.index(label) for label in ("tokens:compiler_bos", "one")]
    for sop in graph.sops:
        for i, value in enumerate(sop.values):
            number = value if sop is graph.index else i
            at.append(theirs.residual_labels.index(f"{labels[sop]}:{number}"))
    free = replace(
        weights,
        layers=tuple(
            replace(
                x, feed_forward=replace(x.feed_forward, snap=np.zeros_like(x.feed_forward.snap))
            )
            for x in weights.layers
        ),
    )
    ids = made.prompt(machine.initial())
    words = [numbers[graph.value(weights.tokens[i])] for i in ids[1:]]
    ours = LoopedTransformer(weights)
    ours.begin(torch.tensor([ids]))
    for _ in range(12):
        single = LoopedTransformer(free)
        single.begin(torch.tensor([ids]))
        single.start = ours.start
        single.turn()
        out = theirs.apply(["compiler_bos", *words])
        streams = [out.input_embeddings, *out.residuals[1::2]]
        for mine, stream in zip(single.stream, streams, strict=True):
            assert np.abs(mine[0].numpy() - np.asarray(stream)[0][:, at]).max() < 3e-5
        ours.turn()
        words = out.decoded[1:]
        shown = ours.start[0, 1:, : 2 + len(graph.cell.values)]
        assert [str(int(i)) for i in shown[:, 2:].argmax(dim=-1)] == words


# --- runs -----------------------------------------------------------------------------------


def agreed(compiled, start, most=300):
    check = lockstep(compiled, start, max_steps=most, grow=False)
    assert check.divergence is None
    return check


@needs_tracr
@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_TAPE)
def test_tracr_in_lockstep(name):
    machine = api.load(name)
    for example in machine.examples[:2]:
        model = api.compile(machine, "tracr")
        check = model.verify(*example.tapes, expected=example.expected)
        assert (check.construction, check.divergence) == ("tracr", None)


@pytest.mark.parametrize("name", ONE_TAPE)
def test_bundled_machines_in_lockstep(name, stand_in):
    machine = api.load(name)
    for example in machine.examples[:2]:
        check = api.verify(machine, *example.tapes, construction="tracr")
        assert check.divergence is None


@pytest.mark.parametrize("number", range(10))
def test_sampled_machines_in_lockstep(number, stand_in):
    machine = one_tape(31, 60)[number]
    made = compile_machine(machine, "tracr", options={"window": 72})
    agreed(made, machine.initial([Tape(machine.symbols[:6])]), 30)  # none leaves in so few steps


def test_the_widest_window_is_exact(stand_in):
    made = compile_machine(api.load("bb2x4"), "tracr", options={"window": tracr.MOST})
    agreed(made, made.machine.initial(), 150)
    furthest = max(readout.tolerance for readout in made.weights.readouts)
    assert 0.49 < furthest < 0.5


def test_the_window_does_not_grow(stand_in):
    machine = formats.parse("start: a\nrules: {a: {_: 1 R a}}")
    made = compile_machine(machine, "tracr", options={"window": 12})
    message = r"step 7 a head leaves the window of 12 cells; compile with --window 24$"
    for grow in (False, True):
        follower = CellFollower(made, machine.initial(), "cpu", "float64", grow)
        with pytest.raises(BoundError, match=message):
            follower.advance(50)
        assert (follower.steps, follower.window) == (6, 12)
    made = compile_machine(machine, "tracr", options={"window": 224})
    follower = CellFollower(made, machine.initial(), "cpu", "float64", grow=True)
    with pytest.raises(BoundError, match="has none wider; take another"):
        follower.advance(300)
    with pytest.raises(ConfigurationError, match="compile with --window 225"):
        CellFollower(made, machine.initial(["1" * 225]), "cpu", "float64", grow=True)


def test_few_bits_are_refused(stand_in):
    made = compile_machine(api.load("bb2"), "tracr", options={"window": 6})
    with pytest.raises(InputError, match="float32 has 24 significant bits"):
        CellFollower(made, made.machine.initial(), "cpu", "float32", True)


def test_broken_weights_are_noticed(stand_in):
    machine = api.load("bb3")
    made = compile_machine(machine, "tracr", options={"window": 9})
    start = machine.initial()
    agreed(made, start)
    weights = made.weights
    head = weights.layers[2].heads[0]
    assert head.name == "from.left.brought"
    row = list(weights.directions).index("leaves.right=B")
    number = int(np.flatnonzero(head.W_V.rows() == row)[0])
    broken = with_weight(weights, "blocks.2.attn.0.W_V", number, -1.0)
    found = lockstep(Compiled(machine, made.program, broken), start).divergence
    assert found is not None
    assert (found.layer, found.feature, found.expected) == ("layer 2", "from.left", "B")
    for name in ("W_E", "W_fixed", "W_loop", "W_positions", "blocks.2.attn.1.W_Q", "W_U"):
        noticed = 0
        every = [place for place in places(weights) if place[0] == name]
        for place in random.Random(1).sample(every, min(8, len(every))):
            broken = Compiled(machine, made.program, with_weight(weights, *place, -1.0))
            try:
                noticed += lockstep(broken, start, explain=False).divergence is not None
            except BoundError:
                noticed += 1
        assert noticed, name


# --- without tracr --------------------------------------------------------------------------


def test_without_tracr_compiling_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tracr", None)
    monkeypatch.setitem(sys.modules, "tracr.compiler", None)
    with pytest.raises(
        ExtraError, match=r"construction 'tracr' needs.*pip install 'tm2tf\[tracr\]'"
    ):
        api.compile("bb2", "tracr")
    run = CliRunner().invoke
    made = run(group, ["compile", "bb2", "--construction", "tracr", "-o", str(tmp_path / "x")])
    assert (made.exit_code, "tm2tf[tracr]" in made.stderr) == (2, True)
    every = run(group, ["verify", "bb2", "--construction", "all", "--json"])
    assert every.exit_code == 0
    assert "tracr" in {each["construction"] for each in json.loads(every.stdout)["skipped"]}


def test_an_artifact_needs_no_tracr(monkeypatch, tmp_path):
    folder = str(tmp_path / "bb3")
    with monkeypatch.context() as patch:
        tracr_stand_in.install(patch)
        model = api.compile("bb3", "tracr", window=9)
        digest = model.save(folder)
    monkeypatch.setitem(sys.modules, "tracr", None)
    weights, machine = load(Path(folder))
    assert_same(model.weights, weights)
    assert (machine, weights_sha256(weights)) == (model.machine, digest)
    opened = api.open_model(folder)
    assert opened.verify().divergence is None
    result = opened.run()
    assert (result.outcome, result.steps, result.peak_context) == ("halted", 21, 11)
    assert result.attention == "softmax over all cells"
    run = CliRunner(catch_exceptions=False).invoke
    for line in (["run"], ["verify"], ["inspect"], ["inspect", "--layer", "2", "--head", "0"]):
        done = run(group, [line[0], folder, *line[1:], "--json"])
        assert (done.exit_code, bool(json.loads(done.stdout))) == (0, True), line
