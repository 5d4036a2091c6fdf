"""The views as tables of text, for people. Where the tables go is the command line's business."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

from tm2tf.inspect.forms import number, scaled, shown
from tm2tf.inspect.snapshot import BEGAN
from tm2tf.inspect.tensors import LARGEST

if TYPE_CHECKING:
    from tm2tf.inspect.directions import DirectionView, Link
    from tm2tf.inspect.forms import Form, Term
    from tm2tf.inspect.heads import HeadSummary, HeadView
    from tm2tf.inspect.neurons import Neuron
    from tm2tf.inspect.snapshot import FeatureValue, HeadStep, Place, StepView
    from tm2tf.inspect.tables import LayerSummary, LayerView, Overview, TokenView

Rows = Sequence[tuple[str, ...]]

DECODER = "decoder: one token a pass, and each position sees those up to it"
LOOPED = "looped: a pass for all positions at once, which all see each other, and then the next"

ROLES = {
    "begin": "the first of every sequence",
    "prompt": "given by the user",
    "step": "stands for one machine step",
    "part": "belongs to a step or a summary",
    "summary": "opens a summary",
    "cut": "closes a summary, with which the context then begins anew",
    "cell": "a cell of a configuration",
    "row": "ends a row of cells, which is a configuration",
    "end": "stands for no step and ends the run",
}
"""What the roles of tokens mean."""

MOST = 20
"""Rows shown of the links by one tensor; `--json` has them all."""

NOBODY: Mapping[str, Sequence[str]] = MappingProxyType({})
"""Where it is not known what reads which feature."""

NUMBERS = ("heads", "neurons", "nonzeros", "weight", "activation", "score", "margin", "logit", "at")
"""Headings of columns that hold numbers."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a title; without `headings` its first column says what the second is."""

    title: str
    headings: tuple[str, ...]
    rows: Rows


def overview(view: Overview, machine: str) -> list[Section]:
    """Return the sections of an overview; `machine` is the machine's name."""
    heads = [head for layer in view.layers for head in layer.heads]
    layers = [("embed", ", ".join(view.embedded), "", "", "")]
    layers += [
        (
            str(layer.number),
            _makes(layer),
            str(len(layer.heads)),
            f"{layer.neurons:,}",
            f"{layer.nonzeros:,}",
        )
        for layer in view.layers
    ]
    layers.append(("unembed", f"the next token, by {', '.join(view.decides)}", "", "", ""))
    if view.looped:
        layers.append(("loop", f"carried to the next pass: {', '.join(view.carries)}", "", "", ""))
    return [
        Section(f"{machine} as a transformer", (), _facts(view, len(heads))),
        Section("Layers", ("layer", "what it makes", "heads", "neurons", "nonzeros"), layers),
        _heads(heads),
        Section("", (), _closer(view, heads)),
    ]


def _facts(view: Overview, heads: int) -> Rows:
    """Return what there is to say in a line each."""
    options = "".join(f", {name} {value:,}" for name, value in view.options.items())
    size = (
        f"{_counted(len(view.layers), 'layer')}, {_counted(heads, 'head')}, "
        f"d_model {view.d_model}, d_mlp {view.d_mlp}, {_counted(view.d_vocab, 'token')}"
    )
    roles = ", ".join(f"{count:,} {role}" for role, count in view.roles.items())
    bounds = [f"{_large(bound.value)}: {bound.meaning}" for bound in view.bounds]
    return [
        ("construction", view.construction + options),
        ("kind", LOOPED if view.looped else DECODER),
        ("target", f"{view.target}, {view.dtype}"),
        ("size", size),
        ("tokens", roles),
        ("parameters", f"{view.parameters:,}, of which {view.nonzeros:,} are not 0"),
        ("precision", f"{_counted(view.bits, 'significant bit')}: {', '.join(view.formats)}"),
        *zip(["exact up to", *[""] * (len(bounds) - 1)], bounds, strict=True),
    ]


def _large(value: int) -> str:
    """Return a number, and digit by digit besides if it is shown as a power of two."""
    plain = f"{value:,}"
    return f"{number(value)} ({plain})" if "^" in number(value) else plain


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _makes(layer: LayerSummary) -> str:
    """Return what a layer is for: the features that it makes, else its label."""
    return ", ".join(layer.makes) or layer.purpose


def _closer(view: Overview, heads: list[HeadSummary]) -> Rows:
    """Return options that show something of these weights, in two lines."""
    made = {head.name for head in heads}
    named = (name for name in view.directions if name in made or name.rpartition("=")[0] in made)
    last_of = max([layer.number for layer in view.layers if layer.neurons], default=None)
    first = [] if last_of is None else [f"--layer {last_of}", f"--layer {last_of} --neuron 0"]
    first += [f"--layer {head.layer} --head {head.index}" for head in heads[-1:]]
    first += [f"--token {shlex.quote(view.tokens[-1])}"]
    last = [f"--direction {shlex.quote(next(named, view.directions[0]))}"]
    last += [f"--dense {name}" for name in _small(view)[:1]]
    return [("closer", ", ".join(first)), ("", ", ".join([*last, "--step 1", "--program"]))]


def _small(view: Overview) -> list[str]:
    """Return tensors that are not too large to be shown as text."""
    shapes = {"W_E": (view.d_vocab, view.d_model), "W_pos": (view.d_model, 1)}
    if view.looped:
        shapes = {"W_loop": (view.d_model, view.d_model), **shapes}
    return [n for n, (a, b) in shapes.items() if a <= LARGEST[0] and b <= LARGEST[1]]


def _heads(heads: Iterable[HeadSummary]) -> Section:
    rows: Rows = [
        (f"{head.layer}.{head.index}", head.name, head.kind, head.attends, head.brings)
        for head in heads
    ]
    return Section("Heads", ("head", "name", "kind", "attends to", "brings"), rows)


def layer(view: LayerView) -> list[Section]:
    """Return the sections of a layer."""
    it = view.summary
    sections = [
        Section(
            f"Layer {it.number}: {_makes(it)}",
            (),
            [("parameters", f"{it.parameters:,}, of which {it.nonzeros:,} are not 0")],
        )
    ]
    if it.heads:
        sections.append(_heads(it.heads))
    rows: Rows = [(str(neuron.index), neuron.label, neuron.text) for neuron in view.neurons]
    if rows:
        sections.append(Section("Neurons", ("neuron", "label", "what it does"), rows))
    forms = [form for neuron in view.neurons for form in (neuron.gate, neuron.inner)]
    return [*sections, *_where(forms)]


def head(view: HeadView) -> list[Section]:
    """Return the sections of a head."""
    it = view.summary
    facts = [("kind", it.kind), ("attends to", it.attends), ("brings", it.brings)]
    sections = [Section(f"Head {it.layer}.{it.index}: {it.name}", (), facts)]
    if view.query:
        pairs = enumerate(zip(view.query, view.key, strict=True))
        rows: Rows = [(str(i), q.text, k.text) for i, (q, k) in pairs]
        title = "Query and key, by coordinate"
        sections.append(
            Section(title, ("", "q = x W_Q + b_Q, here", "k = x W_K + b_K, there"), rows)
        )
        sections += _where([*view.query, *view.key])
        rows = [(shown(e.query), shown(e.key), number(e.weight)) for e in view.qk]
        title = "QK circuit: q . k is the sum of weight * here * there"
        sections.append(Section(title, ("here", "there", "weight"), rows))
    values: Rows = [(str(i), form.text) for i, form in enumerate(view.value)]
    sections.append(Section("Value, by coordinate", ("", "v = x W_V, there"), values))
    sections += _where(view.value)
    rows = [(shown(e.source), shown(e.to), number(e.weight)) for e in view.ov]
    sections.append(Section("OV circuit: W_V W_O", ("from, there", "to, here", "weight"), rows))
    return sections


def neuron(view: Neuron) -> list[Section]:
    """Return the sections of a neuron."""
    facts = [
        ("does", view.text),
        ("gate", view.gate.text),
        ("inner", view.inner.text),
        ("rounds", "to the nearest integer" if view.snap else "no"),
    ]
    writes: Rows = [(shown(term.name), number(term.weight)) for term in view.out]
    return [
        Section(f"Neuron {view.layer}.{view.index}: {view.label}", (), facts),
        *_where([view.gate, view.inner]),
        Section("Writes relu(gate) * inner to", ("direction", "weight"), writes),
    ]


def token(view: TokenView) -> list[Section]:
    """Return the sections of a token."""
    facts = [
        ("role", f"{view.role}: {ROLES[view.role]}"),
        ("outcome", view.outcome or "none: the run goes on"),
        ("logit", view.logit.text),
        ("", view.text),
    ]
    return [
        Section(f"Token {view.id}: {view.name}", (), facts),
        *_where([view.logit]),
        _added("Embeds, before the first pass" if view.looped else "Embeds", view.embeds),
        *([_added("Adds again before every later pass", view.fixed)] if view.looped else []),
    ]


def _added(title: str, terms: Sequence[Term]) -> Section:
    rows: Rows = [(shown(term.name), number(term.weight)) for term in terms]
    return Section(title, ("direction", "weight"), rows or [("nothing", "")])


def direction(view: DirectionView) -> list[Section]:
    """Return the sections of a direction."""
    meaning = view.meaning or "no feature: a value in between"
    return [
        Section(f"Direction {view.index}: {view.name}", (), [("holds", meaning)]),
        _links("Written by", view.writers, ", at the end of the pass before"),
        _links("Read by", view.readers, ", at the beginning of the next pass"),
    ]


def _links(title: str, links: Sequence[Link], other_pass: str) -> Section:
    """Return who writes or reads a direction; a tensor's links beyond `MOST` as their number."""
    rows: list[tuple[str, ...]] = []
    for tensor, of_tensor in groupby(links, lambda link: link.tensor):
        mine = list(of_tensor)
        for link in mine[:MOST]:
            part = link.part + (other_pass if tensor == "W_loop" else "")
            at = "" if link.index is None else str(link.index)
            rows.append((tensor, at, part, number(link.weight)))
        if len(mine) > MOST:
            rows.append((tensor, "", f"... {len(mine) - MOST:,} more, which --json lists", ""))
    return Section(title, ("tensor", "at", "what", "weight"), rows or [("nothing", "", "", "")])


def step(view: StepView, read_by: Mapping[str, Sequence[str]] = NOBODY) -> list[Section]:
    """Return the sections of a step, given what reads each feature (`directions.read_by`)."""
    features: Rows = [
        (
            feature.name,
            "unclear" if not feature.clear else _value(feature.value),
            _made_by(feature, view.number),
            *([", ".join(read_by.get(feature.name, ()))] if read_by else []),
        )
        for feature in view.features
        if not feature.part
    ]
    headings = ("feature", "value", "made by", "read by")[: 4 if read_by else 3]
    logits: Rows = [(term.name, number(term.weight)) for term in view.logits]
    fired: Rows = [
        (f"{neuron.layer}.{neuron.index}", number(neuron.activation), neuron.text)
        for neuron in view.neurons
    ]
    return [
        Section(f"Step {view.step}: the pass that emits {view.emits}", (), _step_facts(view)),
        Section("Features", headings, features),
        _attention(view),
        Section("Neurons that fired", ("neuron", "activation", "what it does"), fired),
        Section("Greatest logits", ("token", "logit"), logits),
    ]


def _step_facts(view: StepView) -> Rows:
    ends = f", which ends the run: {view.outcome}" if view.outcome else ""
    margin = "" if view.margin is None else f", by a margin of {number(view.margin)}"
    facts = [
        ("seen from" if view.looped else "fed", _place(view.fed)),
        ("emits", f"{view.emits}{margin}{ends}"),
    ]
    if view.number != view.step:
        facts.append(("pass", f"{view.number:,} of those that emit something"))
    begun = ", ".join(f"tape {t}: {start}" for t, start in enumerate(view.starts))
    if view.cells is not None:
        kind = "window" if view.looped else "row"
        first = _addresses(view.starts)
        facts.append((kind, f"{view.cells:,} cells, the first at address {first}"))
    elif any(view.starts) or view.zero != BEGAN:
        facts.append(("addresses", f"count from {view.zero} ({begun})"))
    for kind, words in view.renamed.items():
        called = ", ".join(f"{shown(word)} is {shown(name)}" for word, name in words.items())
        facts.append((kind, f"{called} in the machine"))
    return facts


def _made_by(feature: FeatureValue, number: int) -> str:
    if feature.carried:
        return f"pass {number - 1:,}"
    return "embedding" if feature.layer < 0 else f"layer {feature.layer}"


def _value(value: str | int | Mapping[str, float] | None) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(word)} {number(share)}" for word, share in value.items())
    return "(absent)" if value is None else str(value)


def _attention(view: StepView) -> Section:
    rows = []
    for head in view.heads:
        score, margin = ("" if x is None else number(x) for x in (head.score, head.margin))
        rows.append(
            (
                f"{head.layer}.{head.index}",
                head.name,
                _attended(head, view.positions),
                score,
                margin,
                _brought(head.brought),
            )
        )
    return Section("Heads", ("head", "name", "attended to", "score", "margin", "brought"), rows)


def _attended(head: HeadStep, positions: int) -> str:
    if head.attended is not None:
        share = "" if head.share is None else f", a share of {number(head.share)}"
        return _place(head.attended) + share
    if head.count is not None:
        return f"{head.count} position{'' if head.count == 1 else 's'}, equally"
    means = []
    for mean in head.mean:
        total = round(mean * positions)
        whole = total % positions == 0 or total / positions != mean
        means.append(number(mean) if whole else f"{total}/{positions}")
    known = f", mean {', '.join(means)}" if means else ""
    return f"positions 1 to {positions}{known}"


def _place(place: Place) -> str:
    """Return a position in words: in a window by its cell, else by its token."""
    cell = ""
    if place.addresses:
        cell = f"cell at address {_addresses(place.addresses)}"
    if place.within == "window":
        return cell or f"the edge, {place.token}"
    what = place.within if place.step is None else f"step {place.step}"
    return f"{place.token} at position {place.position} ({', '.join(filter(None, [what, cell]))})"


def _addresses(addresses: Sequence[int]) -> str:
    """Return one address if it is the same on all tapes, else one a tape."""
    if len(set(addresses)) == 1:
        return str(addresses[0])
    return ", ".join(f"{address} on tape {t}" for t, address in enumerate(addresses))


def _brought(brought: Sequence[Term]) -> str:
    return ", ".join(scaled(term.name, term.weight) for term in brought) or "nothing"


def _where(forms: Iterable[Form]) -> list[Section]:
    """Return the section that says which sums have names in some forms, if any have."""
    named = {name: text for form in forms for name, text in form.named.items()}
    rows: Rows = [(f"{shown(name)} = {text}",) for name, text in named.items()]
    return [Section("where", (), rows)] if rows else []
