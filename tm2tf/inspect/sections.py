"""The views as tables of text, for people. Where the tables go is the command line's business."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tm2tf.inspect.forms import number, scaled, shown

if TYPE_CHECKING:  # `step` would import torch
    from tm2tf.inspect.directions import DirectionView, Link
    from tm2tf.inspect.forms import Form, Term
    from tm2tf.inspect.heads import HeadSummary, HeadView
    from tm2tf.inspect.neurons import Neuron
    from tm2tf.inspect.step import HeadStep, Place, StepView
    from tm2tf.inspect.tables import LayerView, Overview, TokenView

Rows = Sequence[tuple[str, ...]]

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
    size = (
        f"{len(view.layers)} layers, {len(heads)} heads, d_model {view.d_model}, "
        f"d_mlp {view.d_mlp}, {view.d_vocab} tokens"
    )
    facts = [
        ("construction", view.construction),
        ("target", f"{view.target}, {view.dtype}"),
        ("size", size),
        ("parameters", f"{view.parameters:,}, of which {view.nonzeros:,} are not 0"),
    ]
    bounds = [f"{number(bound.value)} ({bound.value:,}): {bound.meaning}" for bound in view.bounds]
    facts += zip(["exact up to", *[""] * (len(bounds) - 1)], bounds, strict=True)
    layers = [("embed", ", ".join(view.embedded), "", "", "")]
    layers += [
        (
            str(layer.number),
            layer.purpose,
            str(len(layer.heads)),
            f"{layer.neurons:,}",
            f"{layer.nonzeros:,}",
        )
        for layer in view.layers
    ]
    layers.append(("unembed", f"the next token, by {', '.join(view.decides)}", "", "", ""))
    return [
        Section(f"{machine} as a transformer", (), facts),
        Section("Layers", ("layer", "what it makes", "heads", "neurons", "nonzeros"), layers),
        _heads(heads),
        Section("", (), _closer(view, heads)),
    ]


def _closer(view: Overview, heads: list[HeadSummary]) -> Rows:
    """Return options that show something of these weights, in two lines."""
    last = len(view.layers) - 1
    direction = next((head.name for head in heads if head.name in view.directions), "0")
    options = [f"--layer {last}", f"--layer {last} --neuron 0"]
    options += [f"--layer {head.layer} --head {head.index}" for head in heads[-1:]]
    options += [f"--token {shlex.quote(view.tokens[-1])}"]
    options += [f"--direction {shlex.quote(direction)}", "--dense W_E", "--step 1", "--program"]
    return [("closer", ", ".join(options[:-4])), ("", ", ".join(options[-4:]))]


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
            f"Layer {it.number}: {it.purpose}",
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
        ("role", view.role),
        ("outcome", view.outcome or "none: the run goes on"),
        ("logit", view.logit.text),
        ("", view.text),
    ]
    embeds: Rows = [(shown(term.name), number(term.weight)) for term in view.embeds]
    return [
        Section(f"Token {view.id}: {view.name}", (), facts),
        *_where([view.logit]),
        Section("Embeds", ("direction", "weight"), embeds or [("nothing", "")]),
    ]


def direction(view: DirectionView) -> list[Section]:
    """Return the sections of a direction."""
    meaning = view.meaning or "no feature: a value in between"
    return [
        Section(f"Direction {view.index}: {view.name}", (), [("holds", meaning)]),
        _links("Written by", view.writers),
        _links("Read by", view.readers),
    ]


def _links(title: str, links: Sequence[Link]) -> Section:
    rows: Rows = [
        (link.tensor, "" if link.index is None else str(link.index), link.part, number(link.weight))
        for link in links
    ]
    return Section(title, ("tensor", "at", "what", "weight"), rows or [("nothing", "", "", "")])


def step(view: StepView) -> list[Section]:
    """Return the sections of a step."""
    fed, ends = view.fed, f", which ends the run: {view.outcome}" if view.outcome else ""
    margin = "" if view.margin is None else f", by a margin of {number(view.margin)}"
    facts = [
        ("fed", _place(fed)),
        ("emits", f"{view.emits}{margin}{ends}"),
    ]
    if any(view.starts):
        begun = ", ".join(f"tape {t}: {start}" for t, start in enumerate(view.starts))
        facts.append(("addresses", f"count from where each head began ({begun})"))
    features: Rows = [
        (
            feature.name,
            "unclear" if not feature.clear else _value(feature.value),
            "embedding" if feature.layer < 0 else f"layer {feature.layer}",
        )
        for feature in view.features
    ]
    logits: Rows = [(term.name, number(term.weight)) for term in view.logits]
    fired: Rows = [
        (f"{neuron.layer}.{neuron.index}", number(neuron.activation), neuron.text)
        for neuron in view.neurons
    ]
    return [
        Section(f"Step {view.step}: the pass that emits {view.emits}", (), facts),
        Section("Features", ("feature", "value", "made by"), features),
        _attention(view),
        Section("Neurons that fired", ("neuron", "activation", "what it does"), fired),
        Section("Greatest logits", ("token", "logit"), logits),
    ]


def _value(value: str | int | None) -> str:
    return "(absent)" if value is None else str(value)


def _attention(view: StepView) -> Section:
    rows = []
    for head in view.heads:
        score, margin = ("" if x is None else number(x) for x in (head.score, head.margin))
        rows.append(
            (
                f"{head.layer}.{head.index}",
                head.name,
                _attended(head, view.fed.position),
                score,
                margin,
                _brought(head.brought),
            )
        )
    return Section("Heads", ("head", "name", "attended to", "score", "margin", "brought"), rows)


def _attended(head: HeadStep, position: int) -> str:
    if head.attended is not None:
        return _place(head.attended)
    means = []
    for mean in head.mean:
        total = round(mean * position)
        whole = total % position == 0 or total / position != mean
        means.append(number(mean) if whole else f"{total}/{position}")
    return f"positions 1 to {position}, mean {', '.join(means)}"


def _place(place: Place) -> str:
    what = "prompt" if place.step is None else f"step {place.step}"
    return f"{place.token} at position {place.position} ({what})"


def _brought(brought: Sequence[Term]) -> str:
    return ", ".join(scaled(term.name, term.weight) for term in brought) or "nothing"


def _where(forms: Iterable[Form]) -> list[Section]:
    """Return the section that says which sums have names in some forms, if any have."""
    named = {name: text for form in forms for name, text in form.named.items()}
    rows: Rows = [(f"{shown(name)} = {text}",) for name, text in named.items()]
    return [Section("where", (), rows)] if rows else []
