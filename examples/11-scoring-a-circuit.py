"""Scores three ways to find a circuit against the true one, which is known here.

A compiled model comes with its circuit: which edges carry its outputs, and, as everything else is
known too, which do not. So methods that look for circuits can be given marks, edge by edge.
"""

import torch

from tm2tf import api
from tm2tf.export.ablation import proof
from tm2tf.export.bundle import bundle
from tm2tf.export.circuit import circuit, possible
from tm2tf.export.contexts import contexts
from tm2tf.export.patching import Patched
from tm2tf.export.torch_model import stock_model

made = bundle(api.load("bb2"), "llama", tape=8, steps=20)
truth = circuit(made.checkpoint)
edges = list(possible(truth))
real = {(edge.source, edge.target, edge.port) for edge in truth.edges}
print("1. The circuit of bb2, a Llama of one layer with one head and 32 neurons:\n")
for edge in truth.edges:
    name = truth.node(edge.target).name
    carried = " ".join(edge.directions[:2]) + (" ..." if len(edge.directions) > 2 else "")
    print(f"   {edge.id:18}{carried:40}{name}".rstrip())

found = proof(made)
print(f"\n   {len(real)} of {len(edges)} possible edges. Proved by ablation over {found.outputs:,}")
print(f"   outputs: {found.holds}; taking out what is outside changes logits by {found.rounding}.")

model = stock_model(made.checkpoint).requires_grad_(True)
start = made.prompt(made.machine.initial(["01"]))
RUN = [start + made.expected(start, 20)]  # two steps
DRAWN = contexts(made, 16)  # sequences of tokens, most of which no run writes


def by_ablation(ids):
    """Take what a source says from what one port reads: does any next token change?"""
    patched = Patched(model, made.checkpoint, truth, torch.tensor(ids))
    kept = set()
    for source, target, port in edges:
        said = patched.said(source)
        logits = patched.logits(ports={(target, port): lambda stream, said=said: stream - said})
        if not torch.equal(logits.argmax(-1), patched.best):
            kept.add((source, target, port))
    return kept


def by_gradient(ids):
    """Multiply what a source says with the gradient at a port (attribution patching)."""
    patched = Patched(model, made.checkpoint, truth, torch.tensor(ids))
    layer, outputs = model.model.layers[0], {}
    modules = {
        "q": [layer.self_attn.q_proj],
        "k": [layer.self_attn.k_proj],
        "v": [layer.self_attn.v_proj],
        "in": [layer.mlp.gate_proj, layer.mlp.up_proj],
    }
    hooks = [
        module.register_forward_hook(lambda m, _, out: outputs.update({m: out}))
        for listed in modules.values()
        for module in listed
    ]
    model(torch.tensor(ids)).logits.amax(-1).sum().backward(inputs=list(outputs.values()))
    for hook in hooks:
        hook.remove()
    kept = set()
    for source, target, port in edges:
        node, slope = truth.node(target), 0
        for module in modules[port] if target != "logits" else ():
            columns = slice(node.index, node.index + 1) if port == "in" else slice(None)
            slope = slope + outputs[module].grad[..., columns] @ module.weight[columns]
        if target == "logits":
            slope = model.lm_head.weight[patched.best]
        if ((patched.said(source) * slope).sum(-1).abs() > 1e-6).any():
            kept.add((source, target, port))
    return kept


print("\n2. Three methods, and what they are worth:\n")
print("   method                      edges  precision  recall  missed")
for method, kept in {
    "ablation, on the run of 01": by_ablation(RUN),
    "gradient, on drawn contexts": by_gradient(DRAWN),
    "ablation, on drawn contexts": by_ablation(DRAWN),
}.items():
    hits = real & kept
    precision, recall = len(hits) / len(kept), len(hits) / len(real)
    missed = [edge.id for edge in truth.edges if (edge.source, edge.target, edge.port) not in kept]
    shown = ", ".join(missed[:2]) + (", ..." if len(missed) > 2 else "")
    print(f"   {method:28}{len(kept):5}{precision:11.2f}{recall:8.2f}  {shown}".rstrip())
print(
    "\n   A run does not show all that a model can do. And a softmax with all of its weight on one"
)
print("   token is flat: there is no gradient by what the head compares.")
