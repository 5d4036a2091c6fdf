"""Taking parts out of a stock model: what a node says, or what a port reads, replaced by hooks.

What a port reads stands in the stream behind the norm, which gives back the +1 and -1 that it is
given, with a constant added in GPT-2; so a port is patched there, and nothing else reads what is
patched. A source that says
nothing leaves its directions as they were before it: a head or neuron adds 0, and an embedding has
every direction that it says at -1 (and copies like `-state=B` at +1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from typing import Any, TypeAlias

import torch
from torch import Tensor

from tm2tf.export.circuit import Circuit, Node
from tm2tf.export.tensors import LOGITS, tensors_of
from tm2tf.lowering.stock.checkpoint import Checkpoint

Patch: TypeAlias = Callable[[Tensor], Tensor]
Ports: TypeAlias = Mapping[tuple[str, str], Patch]


class Patched:
    """A stock model at some contexts of one length, `[contexts, tokens]`, to be run again.

    What the untouched model computes is kept, so that a run begins at the first layer that a patch
    can change; all that runs are the model's own modules.

    Attributes:
        base: the untouched logits, `[contexts, tokens, vocab]`; `best`: the next tokens.
        stream: what the unembedding was given in the latest run, `[contexts, tokens, d_model]`.
    """

    def __init__(self, model: Any, checkpoint: Checkpoint, found: Circuit, ids: Tensor) -> None:
        self.ids = ids
        self._model = model
        self._config = checkpoint.config
        self._circuit = found
        self._gpt2 = checkpoint.architecture == "gpt2"
        self._body = model.transformer if self._gpt2 else model.model
        self._blocks = self._body.h if self._gpt2 else self._body.layers
        self._norm = self._body.ln_f if self._gpt2 else self._body.norm
        self._names = checkpoint.directions
        self._embedded = tensors_of(checkpoint).embedded
        self._calls: list[tuple[Tensor, dict[str, Any]]] = []
        self._spoken: dict[tuple[int, str], Tensor] = {}
        self._last = self.stream = torch.empty(0)
        self.base = self._record()
        self.best = self.base.argmax(-1)

    def logits(self, silenced: Collection[str] = (), ports: Ports | None = None) -> Tensor:
        """Return the logits where some nodes say nothing, and some ports read something else.

        Args:
            silenced: nodes by id.
            ports: for each (node, port), what it reads as a function of what is there.
        """
        patches = ports or {}
        nodes = [self._circuit.node(name) for name in silenced]
        targets = [self._circuit.node(name) for name, _ in patches]
        first = min(node.layer for node in (*nodes, *targets))
        hooks: dict[Any, list[tuple[slice, Patch]]] = {}
        for (_, port), target, patch in zip(patches, targets, patches.values(), strict=True):
            for module, columns in self._reading(target, port):
                hooks.setdefault(module, []).append((columns, patch))
        with torch.no_grad(), ExitStack() as stack:
            stack.enter_context(self._model.lm_head.register_forward_pre_hook(self._see))
            for module, listed in hooks.items():
                stack.enter_context(module.register_forward_hook(_read_otherwise(listed)))
            for node in nodes:
                stack.enter_context(self._silence(node))
            if first < 0:
                return self._run(self.ids)
            return self._resume(first)

    def said(self, source: str) -> Tensor:
        """Return what a source adds to the stream over saying nothing, `[contexts, tokens, d]`."""
        node = self._circuit.node(source)
        with torch.no_grad():
            if node.kind == "embedding":
                ids = self.ids if source == "embed" else torch.arange(self.ids.shape[1])
                added = self._said_by_embedding(source, self._embedding(source).weight[ids])
                return added.expand(*self.ids.shape, added.shape[-1])
            module, columns = self._speaking(node)
            weight = module.weight if self._gpt2 else module.weight.T
            kind = "attn" if node.kind == "head" else "mlp"
            found: Tensor = self._spoken[node.layer, kind][..., columns] @ weight[columns]
            return found

    def level(self, name: str) -> Tensor:
        """Return what the norm before a node adds to the stream's +1 and -1, `[d_model]`."""
        node = self._circuit.node(name)
        norm = self._norm
        if self._gpt2 and node.id != LOGITS:
            block = self._blocks[node.layer]
            norm = block.ln_1 if node.kind == "head" else block.ln_2
        found: Tensor = norm.bias if self._gpt2 else torch.zeros_like(norm.weight)
        return found

    def mask(self, directions: Collection[str]) -> Tensor:
        """Return 1 where the stream has one of some directions, 0 elsewhere."""
        wanted = set(directions)
        return torch.tensor([float(name in wanted) for name in self._names], dtype=self.base.dtype)

    def _record(self) -> Tensor:
        def keep(layer: int, kind: str) -> Callable[[Any, Any], None]:
            def hook(_: Any, args: Any) -> None:
                self._spoken[layer, kind] = args[0]

            return hook

        def call(_: Any, args: Any, kwargs: Any) -> None:
            self._calls.append((args[0] if args else kwargs["hidden_states"], kwargs))

        with torch.no_grad(), ExitStack() as stack:
            for number, block in enumerate(self._blocks):
                stack.enter_context(block.register_forward_pre_hook(call, with_kwargs=True))
                for kind in ("attn", "mlp"):
                    module = self._out(block, kind)
                    stack.enter_context(module.register_forward_pre_hook(keep(number, kind)))
            stack.enter_context(self._model.lm_head.register_forward_pre_hook(self._see))
            found = self._run(self.ids)
            self._last = self.stream
            return found

    def _see(self, _: Any, args: Any) -> None:
        self.stream = args[0]

    def _run(self, ids: Tensor) -> Tensor:
        seen = torch.ones_like(ids)  # everything is attended to, padding too
        found: Tensor = self._model(ids, attention_mask=seen, use_cache=False).logits
        return found

    def _resume(self, first: int) -> Tensor:
        """Run from a layer on, or the unembedding alone, from what it was given untouched."""
        stream = self._last
        if first < len(self._blocks):
            stream = self._calls[first][0]
            for block, (_, kwargs) in zip(self._blocks[first:], self._calls[first:], strict=True):
                rest = {key: kwargs[key] for key in kwargs if key != "hidden_states"}
                made = block(stream, **rest)
                stream = made[0] if isinstance(made, tuple) else made
            stream = self._norm(stream)
        found: Tensor = self._model.lm_head(stream)
        return found

    def _embedding(self, source: str) -> Any:
        if source == "pos_embed":
            return self._body.wpe
        return self._body.wte if self._gpt2 else self._body.embed_tokens

    def _said_by_embedding(self, source: str, embedded: Tensor) -> Tensor:
        silent = torch.tensor([1.0 if name[0] == "-" else -1.0 for name in self._names])
        says = torch.from_numpy(self._embedded[source])
        return torch.where(says, embedded - silent.to(embedded.dtype), 0.0)

    def _out(self, block: Any, kind: str) -> Any:
        if kind == "attn":
            return block.attn.c_proj if self._gpt2 else block.self_attn.o_proj
        return block.mlp.c_proj if self._gpt2 else block.mlp.down_proj

    def _width(self) -> int:
        config = self._config
        found: int = config["n_embd"] // config["n_head"] if self._gpt2 else config["head_dim"]
        return found

    def _speaking(self, node: Node) -> tuple[Any, slice]:
        """Return the module through which a head or neuron writes, and which inputs it has."""
        block = self._blocks[node.layer]
        if node.kind == "neuron":
            return self._out(block, "mlp"), slice(node.index, node.index + 1)
        width = self._width()
        return self._out(block, "attn"), slice(node.index * width, (node.index + 1) * width)

    def _reading(self, node: Node, port: str) -> list[tuple[Any, slice]]:
        """Return the modules through which a port reads, and which of their outputs it has."""
        if node.id == LOGITS:
            return [(self._model.lm_head, slice(None))]
        block = self._blocks[node.layer]
        if node.kind == "neuron":
            columns = slice(node.index, node.index + 1)
            if self._gpt2:
                return [(block.mlp.c_fc, columns)]
            return [(block.mlp.gate_proj, columns), (block.mlp.up_proj, columns)]
        width, index = self._width(), node.index
        if self._gpt2:
            start = "qkv".index(port) * self._config["n_embd"] + index * width
            return [(block.attn.c_attn, slice(start, start + width))]
        if port != "q":
            keys = self._config["num_key_value_heads"]
            index = index * keys // self._config["num_attention_heads"]
        module = getattr(block.self_attn, f"{port}_proj")
        return [(module, slice(index * width, (index + 1) * width))]

    def _silence(self, node: Node) -> Any:
        """Hook a node so that it says nothing."""
        if node.kind == "embedding":

            def unsaid(_: Any, __: Any, embedded: Tensor) -> Tensor:
                return embedded - self._said_by_embedding(node.id, embedded)

            return self._embedding(node.id).register_forward_hook(unsaid)
        module, columns = self._speaking(node)

        def zero(_: Any, args: Any) -> tuple[Tensor]:
            inputs = args[0].clone()
            inputs[..., columns] = 0
            return (inputs,)

        return module.register_forward_pre_hook(zero)


def _read_otherwise(listed: list[tuple[slice, Patch]]) -> Callable[[Any, Any, Tensor], Tensor]:
    """Return a hook by which some outputs of a linear map are those of other inputs."""

    def hook(module: Any, args: Any, output: Tensor) -> Tensor:
        # the whole map is computed again, so that sums are in the same order as they were
        found: dict[Patch, Tensor] = {}
        made = output.clone()
        for columns, patch in listed:
            if patch not in found:
                found[patch] = module.forward(patch(args[0]))
            made[..., columns] = found[patch][..., columns]
        return made

    return hook
