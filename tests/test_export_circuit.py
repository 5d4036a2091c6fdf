"""The circuit of a checkpoint: what its tensors say is what the wiring says."""

import json
from dataclasses import replace

import networkx as nx
import pytest

from tm2tf import api
from tm2tf.errors import FormatError, NotFoundError
from tm2tf.export.bundle import bundle
from tm2tf.export.circuit import (
    carrying,
    circuit,
    components,
    from_json,
    graph,
    possible,
    to_json,
)
from tm2tf.export.tensors import LOGITS
from tm2tf.lowering.stock.wiring import BEGIN, ONE

CASES = [
    ("bb2", {"tape": 8, "steps": 20}),
    ("bb4", {"tape": 16, "steps": 20}),
    ("binary-increment", {"tape": 8, "steps": 20}),
    ("palindrome-2tape", {"tape": 8, "steps": 10}),
    ("binary-increment", {"tape": 8, "context": 40, "construction": "summarised-addressed"}),
    ("bb4", {"tape": 300, "steps": 20}),  # three digits an address
]
every = pytest.mark.parametrize(
    ("name", "options", "architecture"),
    [(*case, architecture) for case in CASES for architecture in ("gpt2", "llama")],
)


def made(name, options, architecture):
    return bundle(api.load(name), architecture, **options).checkpoint


def wired(checkpoint):
    """Return what the wiring says: for each edge, the directions it carries."""
    wiring, names, gpt2 = (
        checkpoint.wiring,
        checkpoint.directions,
        checkpoint.architecture == "gpt2",
    )
    positions = {name for name in names if name.startswith("position.")}
    says, found = {}, {}

    def read_by(target, directions):
        for source, said in says.items():
            if said & directions:
                found[target.replace("?", source)] = said & directions

    begin = {names[BEGIN]}
    asked_for = {i for row in wiring.rows.values() for i in row}
    for layer in wiring.layers:
        asked_for |= {i for neuron in layer.conjunctions for i in neuron.inputs}
        asked_for |= {i for lookup in layer.lookups for pair in lookup.pairs for i in pair}
    says["embed"] = {names[i] for held in wiring.embedding for i in held}
    if gpt2:
        says["embed"] -= begin
        says["pos_embed"] = begin | positions
    for number, (layer, place) in enumerate(zip(wiring.layers, checkpoint.layers, strict=True)):
        heads = {}
        for h, head in enumerate(place.heads):
            lookup = layer.lookups[head.lookup]
            asked = {names[q] for q, _ in lookup.pairs if q is not None}
            keys = {names[k] for _, k in lookup.pairs} | (positions if gpt2 else set())
            keys |= {"void"} if lookup.pairs else set()
            keys |= begin if lookup.at_begin or lookup.until is not None else set()
            brought = asked_for.intersection(head.destinations)  # a final state is not asked for
            values = {names[i] for i, to in lookup.moves if to in brought and i != ONE}
            if any(to in brought for to, _ in lookup.defaults):
                # GPT-2's begin is a position, and padding there begins nothing
                values |= begin | ({"void"} if gpt2 else set())
            for port, directions in (("q", asked), ("k", keys), ("v", values)):
                read_by(f"? -> L{number}.H{h}.{port}", directions)
            heads[f"L{number}.H{h}"] = {names[to] for to in head.destinations}
        says |= heads
        for n, neuron in enumerate(layer.conjunctions):
            read_by(f"? -> L{number}.N{n}", {names[i] for i in neuron.inputs})
        says |= {
            f"L{number}.N{n}": {names[i] for i in neuron.outputs}
            for n, neuron in enumerate(layer.conjunctions)
        }
    read_by("? -> logits", {names[i] for row in wiring.rows.values() for i in row})
    return found


@every
def test_the_tensors_say_what_the_wiring_says(name, options, architecture):
    checkpoint = made(name, options, architecture)
    found = circuit(checkpoint)
    assert {edge.id: set(edge.directions) for edge in found.edges} == wired(checkpoint)


@every
def test_names_are_those_of_the_checkpoint(name, options, architecture):
    checkpoint = made(name, options, architecture)
    found = circuit(checkpoint)
    config = checkpoint.config
    count = config["n_head"] if architecture == "gpt2" else config["num_attention_heads"]
    inner = config["n_inner"] if architecture == "gpt2" else config["intermediate_size"]
    inside = {node.id: node for node in found.nodes}
    outside = {node.id for node in found.outside}
    expected = {"embed", "logits"} | ({"pos_embed"} if architecture == "gpt2" else set())
    everything = set(expected)
    for number, layer in enumerate(checkpoint.layers):
        everything |= {f"L{number}.H{h}" for h in range(count)}
        everything |= {f"L{number}.N{n}" for n in range(inner)}
        for h, head in enumerate(layer.heads):
            node = inside[f"L{number}.H{h}"]
            lookup = checkpoint.wiring.layers[number].lookups[head.lookup]
            assert (node.kind, node.name, node.lookup) == ("head", head.name, lookup.name)
            expected.add(node.id)
        for n, called in enumerate(layer.neurons):
            assert inside[f"L{number}.N{n}"].name == called
            expected.add(f"L{number}.N{n}")
    assert set(inside) == expected
    assert outside == everything - expected
    assert all(node.name == node.lookup == "" for node in found.outside)
    said = {direction for edge in found.edges for direction in edge.directions}
    assert said <= set(checkpoint.directions)
    assert not any(d == "one" or d.startswith(("-", "idle.")) for d in said)
    rows = {
        checkpoint.wiring.tokens[token].name: {checkpoint.directions[i] for i in row}
        for token, row in checkpoint.wiring.rows.items()
    }
    # where every rule is defined nobody says `next.tape0.move=none`
    assert {token: set(row) for token, row in found.outputs.items()} == {
        token: row & said for token, row in rows.items()
    }


@every
def test_json_and_graph(name, options, architecture):
    found = circuit(made(name, options, architecture))
    data = json.loads(json.dumps(to_json(found)))
    assert from_json(data) == found
    drawn = graph(found)
    assert nx.utils.graphs_equal(nx.node_link_graph(data, edges="edges"), drawn)
    assert nx.is_directed_acyclic_graph(drawn)
    for edge in found.edges:
        source, target = edge.id.split(" -> ")
        assert tuple(drawn.edges[source, target]["directions"]) == edge.directions
    for node in found.nodes:  # everything inside is on a way from an embedding to the logits
        assert node.id == LOGITS or nx.has_path(drawn, node.id, LOGITS)
        assert node.kind == "embedding" or any(
            nx.has_path(drawn, e.id, node.id) for e in found.nodes if e.kind == "embedding"
        )
        assert set(drawn.nodes[node.id]["writes"]) == set(found.writes(node.id))
    edges = {(edge.source, edge.target, edge.port) for edge in found.edges}
    assert edges <= set(possible(found))


def test_a_neuron_that_is_cut_off_leaves_the_circuit():
    """The circuit is read off the tensors: the wiring does not know of this."""
    checkpoint = made("bb2", {"tape": 8, "steps": 20}, "llama")
    name = "model.layers.0.mlp.down_proj.weight"
    down = checkpoint.tensors[name].copy()
    down[:, 2] = 0
    found = circuit(replace(checkpoint, tensors=checkpoint.tensors | {name: down}))
    assert "L0.N2" in {node.id for node in found.outside}
    assert not any("L0.N2" in (edge.source, edge.target) for edge in found.edges)
    head = checkpoint.tensors["lm_head.weight"].copy()
    head[:, checkpoint.directions.index("next.state=Z")] = 0
    found = circuit(replace(checkpoint, tensors=checkpoint.tensors | {"lm_head.weight": head}))
    assert found.writes("L0.N3") == ("next.tape0.write=1", "next.tape0.move=R")


def test_the_circuit_of_one_output():
    found = circuit(
        made("bb2", {"tape": 8, "context": 40, "construction": "summarised-addressed"}, "llama")
    )
    part = carrying(found, "<stuck@5>")
    heads = {node.name for node in part.nodes if node.kind == "head"}
    assert heads == {"due"}  # no rule is missing, so nothing says that one is
    assert {e.id: e.directions for e in part.edges if e.target == LOGITS} == {
        "embed -> logits": ("phase=run", "tape0.at.0=5"),
        "L0.H2 -> logits": ("due=negative",),
    }
    close = carrying(found, "</summary:A@2>")
    assert {node.name for node in close.nodes if node.kind == "head"} == {"now.state"}
    assert not any(node.kind == "neuron" for node in close.nodes)
    assert {node.id for node in close.outside} >= {node.id for node in found.outside}
    with pytest.raises(NotFoundError, match="nothing carries the logit of '<bos>'"):
        carrying(found, "<bos>")


def test_components_have_the_neurons_of_a_layer_as_one():
    found = circuit(made("palindrome-2tape", {"tape": 8, "steps": 10}, "gpt2"))
    whole = components(found)
    assert {node.id for node in whole.nodes if node.kind == "mlp"} == {"L1.MLP"}
    assert {node.id for node in whole.outside} == {"L0.MLP", "L1.H2"}
    table = {d for e in found.edges if e.target.startswith("L1.N") for d in e.directions}
    assert set(whole.reads("L1.MLP")) == table
    assert "L1.MLP -> logits" in {edge.id for edge in whole.edges}
    assert nx.is_directed_acyclic_graph(graph(whole))
    assert from_json(to_json(whole)) == whole


def test_what_is_no_circuit():
    data = to_json(circuit(made("bb2", {"tape": 8, "steps": 20}, "llama")))
    with pytest.raises(FormatError, match="this is no circuit"):
        from_json({"nodes": []})
    with pytest.raises(FormatError, match="this is no circuit"):
        from_json(data | {"graph": data["graph"] | {"version": 2}})
    with pytest.raises(FormatError, match="lacks something"):
        from_json({key: data[key] for key in data if key != "edges"})
    with pytest.raises(FormatError, match="lacks something"):
        from_json(data | {"edges": [{"source": "embed", "target": "L9.H0.q", "directions": ["a"]}]})
    with pytest.raises(NotFoundError, match=r"no node 'L0\.H7'"):
        from_json(data).node("L0.H7")
