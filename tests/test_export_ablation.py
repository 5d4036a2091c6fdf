"""A circuit is proved by taking parts out of the stock model, and a wrong one is refuted."""

from dataclasses import replace

import pytest

from tm2tf import api
from tm2tf.errors import InputError
from tm2tf.export.ablation import proof
from tm2tf.export.bundle import bundle
from tm2tf.export.circuit import Edge, carrying, circuit, possible
from tm2tf.export.contexts import contexts
from tm2tf.export.patching import Patched
from tm2tf.export.torch_model import stock_model
from tm2tf.machine import simulator

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the extra `export` is not installed")

SUMMARISED = {"tape": 8, "context": 40, "construction": "summarised-addressed"}


def made(name, architecture, **options):
    return bundle(api.load(name), architecture, **(options or {"tape": 8, "steps": 20}))


def prove(built, count=64):
    """Assert that the circuit of a bundle is proved, and return the proof."""
    found = circuit(built.checkpoint)
    given = proof(built, sequences=contexts(built, count))
    assert given.holds, given.failures
    assert given.silent == ()
    if built.checkpoint.architecture == "llama":
        assert given.rounding == 0
    edges = set(possible(found)) - {(e.source, e.target, e.port) for e in found.edges}
    assert (given.outside_nodes, given.outside_edges) == (len(found.outside), len(edges))
    parts = [effect.part for effect in given.inside]
    assert {node.id for node in found.nodes} - {"logits"} <= set(parts)
    assert {edge.id for edge in found.edges} <= set(parts)
    for effect in given.inside:
        if effect.level != "direction":
            assert effect.context
            assert effect.before != effect.after
    return given


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("name", ["bb2", "binary-increment"])
def test_one_tape(name, architecture):
    assert prove(made(name, architecture)).redundant == ()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_four_states(architecture):
    assert prove(made("bb4", architecture, tape=16, steps=40)).redundant == ()


@pytest.mark.parametrize("name", ["bb2", "binary-increment"])
def test_summaries_llama(name):
    assert prove(made(name, "llama", **SUMMARISED)).redundant == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bb2", "binary-increment"])
def test_summaries_gpt2(name):
    """The head that asks for position 29 reads all bits of positions, and needs not all of them.

    32 is one of these: the latest of 29, 30, 31 is late enough, whatever comes after them.
    """
    given = prove(made(name, "gpt2", **SUMMARISED))
    assert "pos_embed -> L0.H2.k: position.5" in given.redundant
    assert all(part.startswith("pos_embed -> L0.H2.k: position.") for part in given.redundant)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_two_tapes(architecture):
    """Padding ends a run by the first layer alone, and a head was placed before it is asked for."""
    given = prove(made("palindrome-2tape", architecture, tape=8, steps=10), 32)
    assert {part.split(": ")[1] for part in given.redundant} <= {"begin", "void"}


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_neuron_is_a_rule_of_the_machine(architecture):
    """Without a neuron, what changes are the steps that took its rule: the simulator says which."""
    machine = api.load("bb4")
    built = made("bb4", architecture, tape=32, steps=107)
    start = machine.initial([])
    prompt = built.prompt(start)
    run = prompt + built.expected(prompt, 107)
    steps = list(simulator.trace(machine, start))
    found = circuit(built.checkpoint)
    model = Patched(stock_model(built.checkpoint), built.checkpoint, found, torch.tensor([run]))
    assert model.best[0, len(prompt) - 1 : -1].tolist() == run[len(prompt) :]
    for number, called in enumerate(built.checkpoint.layers[0].neurons):
        best = model.logits([f"L0.N{number}"])[0, len(prompt) - 1 : -1].argmax(-1)
        changed = best != torch.tensor(run[len(prompt) :])
        taken = [called.startswith(f"transitions: {s.state}, {s.reads[0]} ->") for s in steps]
        assert changed.tolist() == taken
        assert not changed.any() or set(best[changed].tolist()) == {built.checkpoint.wiring.default}


def test_hooks_do_what_other_weights_do():
    """A head or neuron that says nothing is one whose weights are 0."""
    built = made("bb2", "llama")
    found = circuit(built.checkpoint)
    ids = torch.tensor(contexts(built, 8))
    hooked = Patched(stock_model(built.checkpoint), built.checkpoint, found, ids)
    block = "model.layers.0"
    for node, name, columns in (
        ("L0.N1", f"{block}.mlp.down_proj.weight", slice(1, 2)),
        ("L0.H0", f"{block}.self_attn.o_proj.weight", slice(None)),
    ):
        weights = built.checkpoint.tensors[name].copy()
        weights[:, columns] = 0
        tensors = built.checkpoint.tensors | {name: weights}
        changed = stock_model(replace(built.checkpoint, tensors=tensors))(ids).logits
        assert torch.equal(hooked.logits([node]), changed)
        assert not torch.equal(hooked.base, changed)
    # a port that reads nothing of a source: its rows of the weights are 0, and constants go on
    name = f"{block}.self_attn.q_proj.weight"
    weights = built.checkpoint.tensors[name].copy()
    at = [i for i, d in enumerate(built.checkpoint.directions) if d.startswith("tape0.at.")]
    one = built.checkpoint.directions.index("one")
    weights[:, one] -= weights[:, at].sum(1)
    weights[:, at] = 0
    tensors = built.checkpoint.tensors | {name: weights}
    changed = stock_model(replace(built.checkpoint, tensors=tensors))(ids).logits
    said = hooked.said("embed") * hooked.mask(found.reads("L0.H0", "q"))
    made_so = hooked.logits(ports={("L0.H0", "q"): lambda stream: stream - said})
    assert torch.equal(made_so, changed)


def without(found, part):
    return replace(found, edges=tuple(edge for edge in found.edges if edge.id != part))


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_circuit_without_an_edge_is_refuted(architecture):
    built = made("bb2", architecture)
    found = circuit(built.checkpoint)
    some = contexts(built, 8)
    for edge in found.edges[::2] if architecture == "llama" else found.edges[::6]:
        given = proof(built, without(found, edge.id), some)
        assert not given.holds
        assert any(edge.id in failure and "outside" in failure for failure in given.failures)


def test_a_circuit_without_a_direction_is_refuted():
    built = made("bb2", "llama")
    found = circuit(built.checkpoint)
    whole = next(edge for edge in found.edges if edge.id == "embed -> L0.H0.q")
    part = replace(whole, directions=whole.directions[1:])
    edges = tuple(part if edge is whole else edge for edge in found.edges)
    given = proof(built, replace(found, edges=edges), contexts(built, 16))
    assert not given.holds
    assert "embed -> L0.H0.q is outside but for tape0.at.0=1" in given.failures[0]


def test_a_circuit_without_a_node_is_refuted():
    built = made("bb2", "llama")
    found = circuit(built.checkpoint)
    gone = found.node("L0.N2")
    claimed = replace(
        found,
        nodes=tuple(node for node in found.nodes if node != gone),
        edges=tuple(edge for edge in found.edges if gone.id not in (edge.source, edge.target)),
        outside=(*found.outside, gone),
    )
    given = proof(built, claimed, contexts(built, 16))
    assert any(failure.startswith("L0.N2 is outside, and") for failure in given.failures)


@pytest.mark.parametrize(
    ("name", "architecture", "options", "idle", "reads"),
    [
        ("bb2", "llama", {}, "L0.N5", ("in", "state=A")),
        ("palindrome-2tape", "llama", {"tape": 8, "steps": 2}, "L1.H2", ("q", "turn=tape0")),
    ],
)
def test_an_idle_part_claimed_inside_is_refuted(name, architecture, options, idle, reads):
    built = made(name, architecture, **options)
    found = circuit(built.checkpoint)
    node = found.node(idle)
    port, direction = reads
    said = found.writes("L0.N0")[:1] or found.writes("L1.N0")[:1]
    into, out = Edge("embed", idle, port, (direction,)), Edge(idle, "logits", "in", said)
    first = next(i for i, edge in enumerate(found.edges) if edge.target == "logits")
    claimed = replace(
        found,
        nodes=(*found.nodes, node),
        edges=(*found.edges[:first], into, *found.edges[first:], out),
        outside=tuple(other for other in found.outside if other != node),
    )
    given = proof(built, claimed, contexts(built, 4))
    assert set(given.silent) >= {idle, into.id, out.id}
    assert any(failure.startswith(f"{idle} is inside, and") for failure in given.failures)


def test_an_output_said_to_rest_on_less_is_refuted():
    built = made("bb2", "llama")
    found = circuit(built.checkpoint)
    token = "1R>B@4"
    row = tuple(d for d in found.outputs[token] if d != "next.tape0.move=R")
    claimed = replace(found, outputs=found.outputs | {token: row})
    given = proof(built, claimed, contexts(built, 32))
    assert any(f"does not carry '{token}'" in failure for failure in given.failures)
    assert "L0.N0 -> logits" in {edge.id for edge in carrying(found, token).edges}


def test_contexts_that_come_to_nothing_are_reported():
    """A run of one rule: the other neurons are inside, and these contexts cannot show it."""
    built = made("bb2", "llama")
    prompt = built.prompt(built.machine.initial([]))
    given = proof(built, sequences=[prompt])
    assert not given.holds
    assert set(given.silent) >= {"L0.N1", "L0.N2", "L0.N3"}
    assert "L0.N0" not in given.silent


def test_contexts_are_as_said():
    built = made("bb2", "gpt2")
    found = contexts(built, 32)
    assert found == contexts(built, 32)
    assert {len(one) for one in found} == {built.checkpoint.limits.positions}
    assert all(built.begin not in one[1:] for one in found)
    assert {i for one in found for i in one} >= {built.begin, built.pad, built.unknown}
    run = built.prompt(built.machine.initial([]))
    assert found[0][: len(run)] == run


@pytest.mark.parametrize("sequences", [[], [[]], [[0, 1], [0]]])
def test_contexts_of_several_lengths(sequences):
    with pytest.raises(InputError, match="contexts of one length"):
        proof(made("bb2", "llama"), sequences=sequences)
