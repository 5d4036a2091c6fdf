"""One neuron: its gate and inner form, what it writes, and a sentence that says what it does."""

from __future__ import annotations

from dataclasses import dataclass

from tm2tf.inspect.forms import Form, Linear, Names, Term, columns, number, scaled, shown
from tm2tf.weights.model import FeedForward, Weights


@dataclass(frozen=True, slots=True)
class Rule:
    """A neuron that writes `then` where all directions of `when` are 1, and nothing elsewhere."""

    when: tuple[str, ...]
    then: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Neuron:
    """One neuron: `out` times relu(gate) * inner, rounded to the nearest integer if `snap`.

    `text` says what it does: a sentence if it is a `rule`, as a table's rows are, else a formula.
    All but `label` is read from the tensors.
    """

    layer: int
    index: int
    label: str
    gate: Form
    inner: Form
    snap: bool
    out: tuple[Term, ...]
    rule: Rule | None
    text: str


def neurons(weights: Weights, names: Names, layer: int) -> list[Neuron]:
    """Return all neurons of a layer."""
    mlp = weights.layers[layer].feed_forward
    forms = zip(columns(mlp.W_gate, mlp.b_gate), columns(mlp.W_in, mlp.b_in), strict=True)
    return [
        _neuron(names, layer, index, mlp, gate, inner) for index, (gate, inner) in enumerate(forms)
    ]


def _neuron(
    names: Names, layer: int, index: int, mlp: FeedForward, gate: Linear, inner: Linear
) -> Neuron:
    out = tuple(Term(names.directions[d], weight) for d, weight in mlp.W_out.row(index))
    snap = bool(mlp.snap[index])
    rule = None if snap else _rule(names, gate, inner, out)
    forms = names.form(gate, layer), names.form(inner, layer)
    return Neuron(
        layer=layer,
        index=index,
        label=mlp.neurons[index],
        gate=forms[0],
        inner=forms[1],
        snap=snap,
        out=out,
        rule=rule,
        text=_formula(*forms, snap, out) if rule is None else _sentence(rule),
    )


def _rule(names: Names, gate: Linear, inner: Linear, out: tuple[Term, ...]) -> Rule | None:
    """Return the rule that a neuron is: a constant inner form, a gate that is a conjunction."""
    gate, inner = names.folded(gate), names.folded(inner)
    needed = names.all_needed(gate)
    if needed is None or inner.weights:
        return None
    activation = (sum(gate.weights.values()) + gate.constant) * inner.constant
    then = tuple(Term(term.name, term.weight * activation) for term in out)
    return Rule(tuple(names.directions[direction] for direction in needed), then)


def _sentence(rule: Rule) -> str:
    when = " and ".join(map(shown, rule.when))
    return f"if {when} then {_written(rule.then)}"


def _formula(gate: Form, inner: Form, snap: bool, out: tuple[Term, ...]) -> str:
    if not inner.terms:
        factor = "" if inner.constant == 1 else f" * {number(inner.constant)}"
    else:
        alone = " " not in inner.text
        factor = f" * {inner.text if alone else f'({inner.text})'}"
    text = f"relu({gate.text}){factor}"
    return f"{f'round({text})' if snap else text} -> {_written(out)}"


def _written(out: tuple[Term, ...]) -> str:
    return ", ".join(scaled(term.name, term.weight) for term in out) or "nothing"
