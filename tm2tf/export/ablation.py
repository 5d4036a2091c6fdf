"""The proof of a circuit: parts of the stock model are taken out, and outputs change or do not.

An output is a next token, after any prefix of any context of a set (`contexts`): runs, and drawn
sequences of tokens that no run writes, as the next token is a function of those too. What is shown
over that set, on `transformers`' own model (`patching`):

1. What is outside changes no output: every logit stays as it is, but for `ROUNDING`, when
   - a node outside says nothing, one at a time;
   - all that a source says but what its edges carry is taken from all that read after it, one
     source at a time (and one edge at a time, to name the culprit, if a logit changes);
   - all at once: nodes outside say nothing, and every port reads noise, +1 or -1 at random at each
     position, in every direction that anything says and its edges do not carry.
2. What is inside is needed: some next token changes when a node says nothing, one at a time, and
   when a port reads an edge's directions as they are where the source says nothing.
3. Each output has its part (`carrying`): what is taken out changes the logits of no other tokens
   than those that the circuit says it carries. This holds wherever the stream is still one of +1
   and -1. It is not where a head is left with a tie: it brings a half of each, which is no word,
   and the last norm, no longer idle, scales everything.

Of an edge's directions, each is taken out alone as well; it has to change some logit. Here the
tensors say more than what outputs depend on, and `redundant` lists what changed nothing: a head
that asks for one position reads all of a position's bits, and is right without some of them. That
refutes no circuit. A node or an edge that changes nothing does: it is not inside, or the contexts
never come to it; `silent` lists it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tm2tf.errors import InputError
from tm2tf.export.bundle import Bundle
from tm2tf.export.circuit import Circuit, Edge, circuit, entry, ports, possible
from tm2tf.export.contexts import contexts
from tm2tf.export.patching import Patch, Patched
from tm2tf.export.tensors import LOGITS
from tm2tf.export.torch_model import stock_model
from tm2tf.lowering.stock.precision import LOGIT

CHUNK = 8
"""Contexts that are run together: most of what is inside shows in the first few."""

ROUNDING = 2.0**-8
"""Logits nearer than this are the same: a word that flips changes them by 2 `LOGIT`. Nothing at all
changes where norms are exact, as Llama's is; torch's layer norm is off by 2^-22 in some streams,
and then sums depend on their order, which may differ between two calls of one kernel."""

WORD = 2.0**-8
"""An entry this near to +1 or -1 is one: norms of some kernels are off by 2^-22, ties by 1/3."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What taking out one part inside did first.

    Attributes:
        part: a node, `embed -> L0.H0.q`, or `embed -> L0.H0.q: state=B`.
        level: node, edge or direction.
        context: the tokens before the output that changed, by name; empty if none did.
        before, after: the next token with and without the part; the same if only logits changed.
    """

    part: str
    level: str
    context: tuple[str, ...]
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether any output changed, if only its logit."""
        return bool(self.context)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was tried.

    Attributes:
        contexts: how many there were; `outputs`: next tokens that were compared for each part.
        outside_nodes, outside_edges: how many parts outside were taken out.
        rounding: the most that a logit changed by taking out what is outside; 0 if to the bit.
        inside: for each node, edge and direction inside, what taking it out changed first.
        failures: what refutes the circuit, in words.
    """

    contexts: int
    outputs: int
    outside_nodes: int
    outside_edges: int
    rounding: float
    inside: tuple[Effect, ...]
    failures: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing refutes the circuit."""
        return not self.failures

    @property
    def silent(self) -> tuple[str, ...]:
        """The nodes and edges claimed inside whose ablation changed no next token."""
        return tuple(e.part for e in self.inside if e.level != "direction" and e.before == e.after)

    @property
    def redundant(self) -> tuple[str, ...]:
        """The single directions that are read, and changed no logit."""
        return tuple(e.part for e in self.inside if e.level == "direction" and not e.changed)


def proof(
    bundle: Bundle,
    claimed: Circuit | None = None,
    sequences: Sequence[Sequence[int]] | None = None,
) -> Proof:
    """Return what ablation says of a circuit, `claimed` or the checkpoint's own.

    Args:
        bundle: the checkpoint, as a bundle, whose machine gives runs.
        claimed: the circuit to be proved or refuted; its nodes, inside and outside, are all
            nodes of the model.
        sequences: token ids of contexts, all of one length (default: `contexts(bundle)`).

    Raises:
        ExtraError: the package `transformers` is not installed.
        InputError: there is no context, or they are not of one length.
        NotFoundError: the circuit names a node that it does not list.
    """
    found = circuit(bundle.checkpoint) if claimed is None else claimed
    ids = contexts(bundle) if sequences is None else [list(ids) for ids in sequences]
    if not ids or len({len(one) for one in ids}) > 1 or not ids[0]:
        raise InputError("a proof needs contexts of one length: give one or more, all as long")
    model = stock_model(bundle.checkpoint)
    batches = [
        Patched(model, bundle.checkpoint, found, torch.tensor(ids[i : i + CHUNK]))
        for i in range(0, len(ids), CHUNK)
    ]
    trial = _Trial(bundle, found, batches)
    edges = trial.outside()
    inside = tuple(trial.inside())
    return Proof(
        contexts=len(ids),
        outputs=len(ids) * len(ids[0]),
        outside_nodes=len(found.outside),
        outside_edges=edges,
        rounding=trial.rounding,
        inside=inside,
        failures=tuple(trial.failures),
    )


@dataclass
class _Trial:
    """A circuit, and the model at all contexts."""

    bundle: Bundle
    circuit: Circuit
    batches: list[Patched]
    failures: list[str] = field(default_factory=list)
    rounding: float = 0.0

    def outside(self) -> int:
        """Take out what is outside, and return how many edges that were."""
        for node in self.circuit.outside:
            for batch in self.batches:
                if self._same(f"{node.id} is outside", batch, batch.logits([node.id])):
                    break
        carried = {(e.source, e.target, e.port): e.directions for e in self.circuit.edges}
        later: dict[str, list[tuple[str, str]]] = {}
        for source, target, port in possible(self.circuit):
            later.setdefault(source, []).append((target, port))
        for source, targets in later.items():
            for batch in self.batches:
                if self._unread(batch, source, targets, carried):
                    break
        for batch in self.batches:
            if self._same("what is outside is noise", batch, self._noise(batch)):
                break
        return sum(map(len, later.values())) - len(carried)

    def inside(self) -> Iterator[Effect]:
        """Take out what is inside, and yield what it changed."""
        carried = _Carried(self.circuit)
        for node in self.circuit.nodes:
            if node.id != LOGITS:
                yield self._effect(node.id, "node", None, carried.by_node[node.id])
        for edge in self.circuit.edges:
            yield self._effect(edge.id, "edge", edge, carried.by_edge(edge))
            for direction in edge.directions if len(edge.directions) > 1 else ():
                wire = Edge(edge.source, edge.target, edge.port, (direction,))
                part = f"{edge.id}: {direction}"
                yield self._effect(part, "direction", wire, carried.by_edge(wire))

    def _effect(self, part: str, level: str, edge: Edge | None, tokens: set[str]) -> Effect:
        """Return what taking out an edge, or a node, changes first: a next token if any does."""
        first = Effect(part, level, (), "", "")
        for batch in self.batches:
            if edge is None:
                made = batch.logits([part])
            else:
                said = batch.said(edge.source) * batch.mask(edge.directions)
                made = batch.logits(ports={(edge.target, edge.port): _without(said)})
            self._only(part, batch, made, tokens)
            changed = made.argmax(-1) != batch.best
            if changed.any():
                return self._shown(part, level, batch, made, changed)
            changed = _flipped(made, batch).any(-1)
            if level == "direction" and changed.any() and not first.changed:
                first = self._shown(part, level, batch, made, changed)
        if level != "direction":
            self.failures.append(f"{part} is inside, and taking it out changes no next token")
        return first

    def _unread(
        self,
        batch: Patched,
        source: str,
        targets: list[tuple[str, str]],
        carried: dict[tuple[str, str, str], tuple[str, ...]],
    ) -> bool:
        """Take from each target what a source says and no edge carries; return if one needs it."""
        said = batch.said(source)
        patches: dict[tuple[str, ...], Patch] = {}
        reading: dict[tuple[str, str], Patch] = {}
        for target, port in targets:
            kept = carried.get((source, target, port), ())
            if kept not in patches:
                patches[kept] = _without(said * (1 - batch.mask(kept)))
            reading[target, port] = patches[kept]
        if not self._moved(batch, batch.logits(ports=reading)).any():
            return False
        before = len(self.failures)
        for (target, port), patch in reading.items():
            kept = carried.get((source, target, port), ())
            what = f"{source} -> {entry(target, port)} is outside"
            if kept:
                what += f" but for {', '.join(kept)}"
            self._same(what, batch, batch.logits(ports={(target, port): patch}))
        if len(self.failures) == before:  # none of them alone
            self._same(f"what {source} says is outside", batch, batch.logits(ports=reading))
        return True

    def _noise(self, batch: Patched) -> Tensor:
        """Return the logits where all that is outside is taken out, and ports read noise."""
        generator = torch.Generator().manual_seed(0)
        everything = (*self.circuit.nodes, *self.circuit.outside)
        said = torch.zeros_like(batch.mask(()))
        for node in everything:
            if node.id != LOGITS:
                said += (batch.said(node.id) != 0).flatten(0, -2).any(0)
        reading: dict[tuple[str, str], Patch] = {}
        for node in everything:
            for port in ports(node):
                free = (said > 0) & (batch.mask(self.circuit.reads(node.id, port)) == 0)
                reading[node.id, port] = _noisy(free, batch.level(node.id), batch.ids, generator)
        return batch.logits([node.id for node in self.circuit.outside], reading)

    def _same(self, what: str, batch: Patched, made: Tensor) -> bool:
        """Note a failure if any logit changed, and return whether one did."""
        changed = self._moved(batch, made)
        if not changed.any():
            return False
        shown = self._shown(what, "", batch, made, changed)
        last = shown.context[-1]
        self.failures.append(
            f"{what}, and taking it out changes what comes after {len(shown.context)} tokens, the "
            f"last of them {last!r}: {shown.before!r} becomes {shown.after!r}"
        )
        return True

    def _moved(self, batch: Patched, made: Tensor) -> Tensor:
        """Return after which prefixes a logit changed, and keep the most by which one did."""
        most = (made - batch.base).abs().amax(-1)
        self.rounding = max(self.rounding, float(most.max()))
        return most >= ROUNDING

    def _only(self, part: str, batch: Patched, made: Tensor, tokens: set[str]) -> None:
        """Note a failure if the logit of another token than some changed."""
        words = ((batch.stream.abs() - 1).abs() < WORD).all(-1, keepdim=True)
        changed = (_flipped(made, batch) & words).flatten(0, -2).any(0).nonzero().flatten()
        names = [self.bundle.tokens[i].name for i in changed.tolist()]
        others = [name for name in names if name not in tokens]
        if others:
            self.failures.append(f"{part} does not carry {others[0]!r}, and changes its logit")

    def _shown(
        self, part: str, level: str, batch: Patched, made: Tensor, changed: Tensor
    ) -> Effect:
        row, last = (int(i) for i in changed.nonzero()[0])
        names = [self.bundle.tokens[i].name for i in batch.ids[row, : last + 1].tolist()]
        before, after = int(batch.best[row, last]), int(made[row, last].argmax())
        called = self.bundle.tokens
        return Effect(part, level, tuple(names), called[before].name, called[after].name)


class _Carried:
    """The outputs that each part of a circuit carries, by `carrying`."""

    def __init__(self, found: Circuit) -> None:
        self._by_direction: dict[str, set[str]] = {}
        for token, row in found.outputs.items():
            for direction in row:
                self._by_direction.setdefault(direction, set()).add(token)
        self.by_node: dict[str, set[str]] = {node.id: set() for node in found.nodes}
        for edge in reversed(found.edges):  # targets come in order
            self.by_node.setdefault(edge.source, set()).update(self.by_edge(edge))

    def by_edge(self, edge: Edge) -> set[str]:
        """Return the tokens whose logits rest on an edge."""
        if edge.target != LOGITS:
            return self.by_node.get(edge.target, set())
        empty: set[str] = set()
        return empty.union(*(self._by_direction.get(d, empty) for d in edge.directions))


def _flipped(made: Tensor, batch: Patched) -> Tensor:
    """Return which logits changed by more than a rounding: a word that flips is 2 `LOGIT`."""
    return (made - batch.base).abs() > LOGIT / 2


def _without(said: Tensor) -> Patch:
    return lambda stream: stream - said


def _noisy(free: Tensor, level: Tensor, ids: Tensor, generator: torch.Generator) -> Patch:
    """Return a patch with +1 or -1 at random in some directions."""
    drawn = torch.randint(0, 2, (*ids.shape, len(free)), generator=generator) * 2 - 1

    def patch(stream: Tensor) -> Tensor:
        return torch.where(free, drawn.to(stream.dtype) + level, stream)

    return patch
