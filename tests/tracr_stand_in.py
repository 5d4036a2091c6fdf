"""What `lowering.tracr` uses of tracr, made anew from its description: for where tracr is missing.

The residual stream's directions, the heads and the neurons come in an order drawn at random, as
tracr's hangs on a counter; columns of queries and keys in tracr's own order.
"""

from __future__ import annotations

import random
import sys
from itertools import count, product
from types import ModuleType, SimpleNamespace

import numpy as np

BOS, PAD, ONE = "tokens:compiler_bos", "tokens:compiler_pad", "one"
_COUNTER = count()


class Sop:
    def __init__(self, kind, function=None, inputs=(), label=None):
        self.kind, self.function, self.inputs = kind, function, inputs
        self.label = label or f"{kind}_{next(_COUNTER)}"

    def named(self, name):
        self.label = f"{name}_{next(_COUNTER)}"
        return self


def relu(x):
    return np.maximum(x, 0)


def select(keys, queries, predicate):
    assert keys is queries is INDICES
    return predicate


TOKENS, INDICES = Sop("tokens", label="tokens"), Sop("indices", label="indices")
RASP = {
    "tokens": TOKENS,
    "indices": INDICES,
    "Map": lambda f, inner, simplify: Sop("map", f, (inner,)),
    "SequenceMap": lambda f, one, other: Sop("pair", f, (one, other)),
    "Select": select,
    "Aggregate": lambda selector, sop: Sop("aggregate", selector, (sop,)),
}


def ancestors(sop, found):
    for other in sop.inputs:
        ancestors(other, found)
    if sop not in found:
        found.append(sop)
    return found


def values_of(sops, vocabulary, length):
    values = {TOKENS: sorted(vocabulary), INDICES: list(range(length))}
    for sop in sops:
        if sop.kind == "aggregate":
            values[sop] = values[sop.inputs[0]]
        elif sop.function is not None:
            given = product(*(values[other] for other in sop.inputs))
            values[sop] = sorted({sop.function(*each) for each in given})
    return values


def layers_of(sops):
    """Return the layer of each: depths, where heads alone and then neurons alone share one."""
    depth = {TOKENS: 0, INDICES: 0}
    for sop in sops:
        if sop.function is not None:
            heads = [INDICES] if sop.kind == "aggregate" else []
            depth[sop] = 1 + max(depth[other] for other in (*sop.inputs, *heads))
    kinds = [
        {sop.kind == "aggregate" for sop in sops if depth[sop] == d}
        for d in range(1, max(depth.values()) + 1)
    ]
    layer, found = -1, []
    for number, there in enumerate(kinds):
        shared = number > 0 and kinds[number - 1] == {True} and there == {False}
        layer += not shared
        found.append(layer)
    return {sop: found[d - 1] for sop, d in depth.items() if d}


class Compiler:
    def __init__(self, program, vocab, max_seq_len, causal):
        assert not causal
        self.draw = random.Random(next(_COUNTER))
        self.length = max_seq_len
        self.out = program
        self.sops = [INDICES, *ancestors(program, [])]
        self.values = values_of(self.sops, vocab, max_seq_len)
        labels = [BOS, PAD, ONE]
        labels += {f"{sop.label}:{v}": 0 for sop in self.sops for v in self.values[sop]}
        self.labels = self.draw.sample(labels, len(labels))
        self.at = {label: place for place, label in enumerate(self.labels)}

    def model(self):
        layers = layers_of(self.sops)
        made = [[s for s in layers if layers[s] == n] for n in range(max(layers.values()) + 1)]
        heads = [[s for s in sops if s.kind == "aggregate"] for sops in made]
        self.heads, self.size = max(map(len, heads)), self.length + 2
        neurons = [self.neurons([s for s in sops if s.kind != "aggregate"]) for sops in made]
        self.width = max(map(len, neurons))
        params = self.embeddings()
        for number, (some, others) in enumerate(zip(heads, neurons, strict=True)):
            params |= self.attention(f"transformer/layer_{number}/attn", some)
            params |= self.mlp(f"transformer/layer_{number}/mlp", others)
        words = [*self.values[TOKENS], "compiler_bos", "compiler_pad"]
        out = self.draw.sample(self.values[self.out], len(self.values[self.out]))
        return SimpleNamespace(
            params=params,
            residual_labels=self.labels,
            model_config=SimpleNamespace(
                num_layers=len(made),
                num_heads=self.heads,
                key_size=self.size,
                mlp_hidden_size=self.width,
                dropout_rate=0.0,
                activation_function=relu,
                layer_norm=False,
                causal=False,
            ),
            input_encoder=SimpleNamespace(
                encoding_map={w: i for i, w in enumerate(words)},
                bos_token="compiler_bos",
                pad_token="compiler_pad",
            ),
            output_encoder=SimpleNamespace(encoding_map={w: i for i, w in enumerate(out)}),
        )

    def linear(self, rows, columns):
        return {"w": np.zeros((rows, columns), np.float32), "b": np.zeros(columns, np.float32)}

    def embeddings(self):
        words = [*self.values[TOKENS], "compiler_bos", "compiler_pad"]
        tokens = np.zeros((len(words), len(self.labels)), np.float32)
        tokens[:, self.at[ONE]] = 1
        for row, word in enumerate(words):
            tokens[row, self.at[f"tokens:{word}"]] = 1
        places = np.zeros((self.length + 1, len(self.labels)), np.float32)
        for index in range(self.length):
            places[index + 1, self.at[f"indices:{index}"]] = 1
        return {"token_embed": {"embeddings": tokens}, "pos_embed": {"embeddings": places}}

    def attention(self, module, heads):
        width, total = len(self.labels), self.heads * self.size
        found = {
            f"{module}/{part}": self.linear(width, total) for part in ("query", "key", "value")
        }
        found[f"{module}/linear"] = self.linear(total, width)
        for number, sop in enumerate(self.draw.sample(heads, len(heads))):
            first = number * self.size
            for key in range(self.length):
                found[f"{module}/key"]["w"][self.at[f"indices:{key}"], first + key] = 1
                for query in range(self.length):
                    if sop.function(key, query):
                        place = self.at[f"indices:{query}"], first + key
                        found[f"{module}/query"]["w"][place] = 100
            found[f"{module}/key"]["w"][self.at[BOS], first + self.length] = 1
            found[f"{module}/query"]["w"][self.at[ONE], first + self.length] = 50
            for column, value in enumerate(self.values[sop], first):
                source = self.at[f"{sop.inputs[0].label}:{value}"]
                found[f"{module}/value"]["w"][source, column] = 1
                found[f"{module}/linear"]["w"][column, self.at[f"{sop.label}:{value}"]] = 1
        return found

    def neurons(self, sops):
        """Return what each neuron adds up, less how much, and the direction that it writes."""
        found = []
        for sop in sops:
            labels = [other.label for other in sop.inputs]
            if sop.kind == "map":
                for value in self.values[sop]:
                    inner = self.values[sop.inputs[0]]
                    asked = [f"{labels[0]}:{v}" for v in inner if sop.function(v) == value]
                    found.append((asked, 0, f"{sop.label}:{value}"))
            else:
                for pair in product(*(self.values[other] for other in sop.inputs)):
                    asked = [f"{label}:{v}" for label, v in zip(labels, pair, strict=True)]
                    found.append((asked, 1, f"{sop.label}:{sop.function(*pair)}"))
        return self.draw.sample(found, len(found))

    def mlp(self, module, neurons):
        first = self.linear(len(self.labels), self.width)
        second = self.linear(self.width, len(self.labels))
        for number, (asked, less, out) in enumerate(neurons):
            for label in asked:
                first["w"][self.at[label], number] = 1
            first["w"][self.at[ONE], number] = -less
            second["w"][number, self.at[out]] = 1
        return {f"{module}/linear_1": first, f"{module}/linear_2": second}


def compile_rasp_to_model(program, vocab, max_seq_len, causal):
    return Compiler(program, vocab, max_seq_len, causal).model()


def install(patch):
    """Make this what `import tracr` finds."""
    for name, content in {
        "tracr": {},
        "tracr.compiler": {},
        "tracr.compiler.compiling": {"compile_rasp_to_model": compile_rasp_to_model},
        "tracr.rasp": {},
        "tracr.rasp.rasp": RASP,
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        patch.setitem(sys.modules, name, module)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
