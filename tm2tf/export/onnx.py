"""A checkpoint as an ONNX graph with a key-value cache, for onnxruntime and its like.

The graph is built from the tensors, operator by operator, of ONNX's own operators (opset 18) and in
float32. Inputs and outputs are called as optimum calls them, for all sizes of batch, sequence and
past; a past of length 0 begins a run:

    input_ids, position_ids          [batch, sequence]                  int64
    attention_mask                   [batch, past + sequence]           int64, 0 at padding
    past_key_values.N.key, .value    [batch, heads, past, d_head]       float32
    logits                           [batch, sequence, vocabulary]      float32
    present.N.key, .value            [batch, heads, past + sequence, d_head]

A query that may attend to nothing, which is one at padding, attends to everything alike: what it
says is finite, and nobody is to look at it.

silu(x) is x / (1 + exp(-x)) here, and gelu_new(x) is x / (1 + exp(-2 y)) with its y, which is
x (1 + tanh y) / 2. So both are exact at +-8 and beyond, or +-32, with any exp that is
good to some digits, while tanh and sigmoid are often polynomials that need not reach 1. Where exp
overflows, they are 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tm2tf.errors import ExtraError, InputError
from tm2tf.export.bundle import Bundle
from tm2tf.export.card import shown_start
from tm2tf.lowering.stock.checkpoint import Checkpoint

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET, IR_VERSION = 18, 8
"""The first opset in which means take their axes as an input, and the format of its release, so
that versions of onnxruntime from 1.14 on load it."""

GREATEST = 2**31 - 2**20
"""Bytes of weights: a protobuf message ends at 2^31, and the graph takes some."""

LOWEST = float(np.finfo(np.float32).min)
"""A score that is not to be attended to: finite, so that a row of them has a softmax."""


def files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of the folder by name: `model.onnx`, a tokenizer, and what says what it is.

    Raises:
        ExtraError: the package `onnx` or `tokenizers` is not installed.
        InputError: the checkpoint is not in float32, or too large for one file.
    """
    from tm2tf.export.huggingface import config, described, generation, text
    from tm2tf.export.tokenizer import tokenizer_files

    return {
        "model.onnx": model(bundle.checkpoint).SerializeToString(deterministic=True),
        "config.json": text(config(bundle)),
        "generation_config.json": text(generation(bundle)),
        **tokenizer_files(bundle),
        **described(bundle),
        "README.md": _readme(bundle).encode(),
    }


def model(checkpoint: Checkpoint) -> ModelProto:
    """Return the graph of a checkpoint, with its weights.

    Raises:
        ExtraError: the package `onnx` is not installed.
        InputError: the checkpoint is not in float32, or too large for one file.
    """
    try:
        from onnx import helper
    except ModuleNotFoundError:
        raise ExtraError("an export to ONNX", "onnx", "onnx") from None
    dtype, size = checkpoint.limits.dtype, 4 * checkpoint.parameters
    if dtype != "float32":
        raise InputError(
            f"an ONNX graph computes in float32 here, and the checkpoint is made for {dtype}: "
            "take --dtype float32, which is exact in longer contexts too"
        )
    if size > GREATEST:
        raise InputError(
            f"an ONNX file has at most {GREATEST:,} bytes of weights, and these are {size:,}: "
            "take fewer steps or a shorter tape, or --to llama"
        )
    graph = _Graph()
    inputs, outputs = _transformer(graph, checkpoint)
    made = helper.make_graph(graph.nodes, "transformer", inputs, outputs, graph.weights)
    return helper.make_model(
        made,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="tm2tf",
    )


@dataclass
class _Graph:
    """Nodes and weights of a graph that is being built."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operator and return what its output is called."""
        from onnx import helper

        out = name or f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def weight(self, name: str, value: np.ndarray) -> str:
        """Add a weight and return what it is called."""
        from onnx import numpy_helper

        if name not in self.known:
            self.known.add(name)
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        """Return what a number of float32 is called."""
        return self.weight(f"number.{value!r}", np.array(value, dtype=np.float32))

    def whole(self, *values: int) -> str:
        """Return what a list of whole numbers is called."""
        return self.weight(f"whole.{values}", np.array(values, dtype=np.int64))

    def size(self, of: str, axis: int) -> str:
        """Return the size of an axis, as a scalar."""
        shape = self.op("Shape", of, start=axis, end=axis + 1)
        return self.op("Squeeze", shape, self.whole(0))


@dataclass(frozen=True)
class _Shared:
    """What all layers compute with.

    `seen`: whether a query attends to a key, `[batch, 1, sequence, past + sequence]`; `turn`:
    cosine and sine of a Llama's positions, `[batch, 1, sequence, d_head / 2]`.
    """

    tensors: dict[str, np.ndarray]
    heads: int
    d_head: int
    epsilon: float
    seen: str
    turn: tuple[str, str] | None


def _transformer(
    graph: _Graph, checkpoint: Checkpoint
) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """Add all of a transformer; return its inputs and outputs."""
    from onnx import TensorProto, helper

    config, tensors = checkpoint.config, checkpoint.tensors
    llama = checkpoint.architecture == "llama"
    heads = config["num_attention_heads" if llama else "n_head"]
    d_head = config["head_dim"] if llama else config["n_embd"] // heads
    ids = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ids),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"]),
        helper.make_tensor_value_info("position_ids", TensorProto.INT64, ids),
    ]
    vocabulary = ["batch", "sequence", config["vocab_size"]]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, vocabulary)]
    for layer in range(len(checkpoint.layers)):
        for kind in ("key", "value"):
            for found, name, length in (
                (inputs, f"past_key_values.{layer}.{kind}", "past"),
                (outputs, f"present.{layer}.{kind}", "total"),
            ):
                shape = ["batch", heads, length, d_head]
                found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    shared = _Shared(
        tensors,
        heads,
        d_head,
        config["rms_norm_eps" if llama else "layer_norm_epsilon"],
        _seen(graph),
        _turn(graph, d_head, config["rope_theta"]) if llama else None,
    )
    x = _embedded(graph, tensors, llama)
    block = _llama_block if llama else _gpt2_block
    for layer in range(len(checkpoint.layers)):
        x = block(graph, shared, x, layer)
    last = _rms_norm if llama else _layer_norm
    x = last(graph, shared, x, "model.norm" if llama else "transformer.ln_f")
    unembed = graph.weight("lm_head.weight", tensors["lm_head.weight"].T)
    graph.op("MatMul", x, unembed, name="logits")
    return inputs, outputs


def _embedded(graph: _Graph, tensors: dict[str, np.ndarray], llama: bool) -> str:
    """Add the embedding of tokens, and of positions in a GPT-2."""
    words = "model.embed_tokens.weight" if llama else "transformer.wte.weight"
    x = graph.op("Gather", graph.weight(words, tensors[words]), "input_ids", axis=0)
    if llama:
        return x
    positions = "transformer.wpe.weight"
    at = graph.op("Gather", graph.weight(positions, tensors[positions]), "position_ids", axis=0)
    return graph.op("Add", x, at)


def _seen(graph: _Graph) -> str:
    """Add which keys a query attends to: none that come later, and no padding."""
    from onnx import TensorProto

    past, sequence = graph.size("past_key_values.0.key", 2), graph.size("input_ids", 1)
    zero = graph.weight("zero", np.array(0, dtype=np.int64))
    one = graph.weight("one", np.array(1, dtype=np.int64))
    total = graph.op("Add", past, sequence)
    queries = graph.op("Unsqueeze", graph.op("Range", past, total, one), graph.whole(1))
    causal = graph.op("LessOrEqual", graph.op("Range", zero, total, one), queries)
    real = graph.op("Cast", "attention_mask", to=TensorProto.BOOL)
    return graph.op("And", causal, graph.op("Unsqueeze", real, graph.whole(1, 2)))


def _turn(graph: _Graph, d_head: int, theta: float) -> tuple[str, str]:
    """Add the cosines and sines of rotary positions."""
    from onnx import TensorProto

    frequencies = theta ** -(np.arange(0, d_head, 2) / d_head)
    w = graph.weight("rotary.frequencies", frequencies.astype(np.float32))
    places = graph.op("Cast", "position_ids", to=TensorProto.FLOAT)
    angles = graph.op("Mul", graph.op("Unsqueeze", places, graph.whole(1, 3)), w)
    return graph.op("Cos", angles), graph.op("Sin", angles)


def _llama_block(graph: _Graph, shared: _Shared, x: str, layer: int) -> str:
    """Add a layer of a Llama; `x` and what is returned: the residual stream."""
    block = f"model.layers.{layer}"

    def project(read: str, name: str) -> str:
        found = shared.tensors[f"{block}.{name}.weight"]
        return graph.op("MatMul", read, graph.weight(f"{block}.{name}.weight", found.T))

    read = _rms_norm(graph, shared, x, f"{block}.input_layernorm")
    q, k, v = (_to_heads(graph, shared, project(read, f"self_attn.{name}_proj")) for name in "qkv")
    q, k = _turned(graph, shared, q), _turned(graph, shared, k)
    x = graph.op("Add", x, project(_attended(graph, shared, layer, q, k, v), "self_attn.o_proj"))
    read = _rms_norm(graph, shared, x, f"{block}.post_attention_layernorm")
    gate = project(read, "mlp.gate_proj")
    post = graph.op("Mul", _gated(graph, gate, gate), project(read, "mlp.up_proj"))
    return graph.op("Add", x, project(post, "mlp.down_proj"), name=f"stream.{layer}")


def _gpt2_block(graph: _Graph, shared: _Shared, x: str, layer: int) -> str:
    """Add a layer of a GPT-2; `x` and what is returned: the residual stream."""
    block = f"transformer.h.{layer}"

    def project(read: str, name: str) -> str:
        names = [f"{block}.{name}.{part}" for part in ("weight", "bias")]
        weight, bias = (graph.weight(part, shared.tensors[part]) for part in names)
        return graph.op("Add", graph.op("MatMul", read, weight), bias)

    read = _layer_norm(graph, shared, x, f"{block}.ln_1")
    qkv = project(read, "attn.c_attn")
    width = shared.heads * shared.d_head
    parts = [
        graph.op("Slice", qkv, graph.whole(i * width), graph.whole((i + 1) * width), graph.whole(2))
        for i in range(3)
    ]
    q, k, v = (_to_heads(graph, shared, part) for part in parts)
    x = graph.op("Add", x, project(_attended(graph, shared, layer, q, k, v), "attn.c_proj"))
    pre = project(_layer_norm(graph, shared, x, f"{block}.ln_2"), "mlp.c_fc")
    cube = graph.op("Mul", graph.op("Mul", pre, pre), pre)
    y = graph.op("Add", pre, graph.op("Mul", cube, graph.number(0.044715)))
    twice = graph.op("Mul", y, graph.number(2 * math.sqrt(2 / math.pi)))
    post = _gated(graph, pre, twice)
    return graph.op("Add", x, project(post, "mlp.c_proj"), name=f"stream.{layer}")


def _gated(graph: _Graph, x: str, gate: str) -> str:
    """Add x / (1 + exp(-gate))."""
    odds = graph.op("Exp", graph.op("Neg", gate))
    return graph.op("Div", x, graph.op("Add", odds, graph.number(1.0)))


def _rms_norm(graph: _Graph, shared: _Shared, x: str, name: str) -> str:
    mean = graph.op("ReduceMean", graph.op("Mul", x, x), graph.whole(-1))
    root = graph.op("Sqrt", graph.op("Add", mean, graph.number(shared.epsilon)))
    weight = graph.weight(f"{name}.weight", shared.tensors[f"{name}.weight"])
    return graph.op("Mul", graph.op("Div", x, root), weight)


def _layer_norm(graph: _Graph, shared: _Shared, x: str, name: str) -> str:
    names = [f"{name}.{part}" for part in ("weight", "bias")]
    weights = [graph.weight(part, shared.tensors[part]) for part in names]
    return graph.op("LayerNormalization", x, *weights, axis=-1, epsilon=shared.epsilon)


def _to_heads(graph: _Graph, shared: _Shared, x: str) -> str:
    """Add `[batch, sequence, heads * d_head]` to `[batch, heads, sequence, d_head]`."""
    apart = graph.op("Reshape", x, graph.whole(0, 0, shared.heads, shared.d_head))
    return graph.op("Transpose", apart, perm=[0, 2, 1, 3])


def _turned(graph: _Graph, shared: _Shared, x: str) -> str:
    """Add the rotation of dimension i, i < d_head / 2, together with dimension i + d_head / 2."""
    if shared.turn is None:
        return x
    cosine, sine = shared.turn
    half, last = shared.d_head // 2, graph.whole(3)
    first = graph.op("Slice", x, graph.whole(0), graph.whole(half), last)
    second = graph.op("Slice", x, graph.whole(half), graph.whole(2 * half), last)
    return graph.op(
        "Concat",
        graph.op("Sub", graph.op("Mul", first, cosine), graph.op("Mul", second, sine)),
        graph.op("Add", graph.op("Mul", second, cosine), graph.op("Mul", first, sine)),
        axis=3,
    )


def _attended(graph: _Graph, shared: _Shared, layer: int, q: str, k: str, v: str) -> str:
    """Add softmax attention over the past and the sequence; return it with heads side by side."""
    past = f"past_key_values.{layer}"
    k = graph.op("Concat", f"{past}.key", k, axis=2, name=f"present.{layer}.key")
    v = graph.op("Concat", f"{past}.value", v, axis=2, name=f"present.{layer}.value")
    scaled = graph.op("Mul", q, graph.number(1 / math.sqrt(shared.d_head)))
    scores = graph.op("MatMul", scaled, graph.op("Transpose", k, perm=[0, 1, 3, 2]))
    masked = graph.op("Where", shared.seen, scores, graph.number(LOWEST))
    pattern = graph.op("Softmax", masked, axis=-1, name=f"pattern.{layer}")
    brought = graph.op("Transpose", graph.op("MatMul", pattern, v), perm=[0, 2, 1, 3])
    return graph.op("Reshape", brought, graph.whole(0, 0, shared.heads * shared.d_head))


def _readme(bundle: Bundle) -> str:
    """Return `README.md`: what the graph is, and code that runs it."""
    _, plain = shown_start(bundle)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    steps = min(64, bundle.checkpoint.limits.positions)
    name = {"gpt2": "GPT-2", "llama": "Llama"}[bundle.checkpoint.architecture]
    return f"""# {bundle.machine.name}: a Turing machine as an ONNX graph

`model.onnx` is a {name} of {bundle.checkpoint.parameters:,} parameters in float32, computed and not
trained, for contexts of up to {bundle.checkpoint.limits.positions:,} tokens. Inputs are input_ids,
attention_mask, position_ids and past_key_values.N.key/.value (of length 0 at first); outputs are
logits and present.N.key/.value. Its tokenizer is `tokenizer.json`; `labels.json` has names for
every direction, head and neuron, `certificate.json` the bounds.

```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
ends = json.load(open("generation_config.json"))["eos_token_id"]

run = tokenizer.encode("{quoted}").ids
caches = [i for i in session.get_inputs() if i.name.startswith("past_key_values")]
past = {{i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32) for i in caches}}
new = run
for _ in range({steps}):
    feed = {{
        "input_ids": np.array([new]),
        "attention_mask": np.ones((1, len(run)), np.int64),
        "position_ids": np.arange(len(run) - len(new), len(run))[None],
    }}
    logits, *present = session.run(None, {{**feed, **past}})
    past = dict(zip(past, present))
    new = [int(logits[0, -1].argmax())]
    run += new
    if new[0] in ends:
        break
print(*map(tokenizer.id_to_token, run))
```

Batches are padded on the left: attention_mask is 0 there, and position_ids are numbers of the real
tokens, from 0.
"""
