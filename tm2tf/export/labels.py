"""Names for everything in a checkpoint, as JSON: directions, heads, neurons, features, tokens."""

from __future__ import annotations

from typing import Any

from tm2tf.export.bundle import Bundle


def labels(bundle: Bundle) -> dict[str, Any]:
    """Return the labels of a checkpoint.

    - `directions`: the name of each entry of the residual stream, in order; +1 is true, -1 false.
    - `features`: for each feature, the direction of each of its words, and after which layer it is
      there (-1: the embedding).
    - `layers`: for each layer, its heads (name, the directions compared and set) and neurons.
    - `unembedding`: for each token that can be written, the directions that must all be +1.
    - `tokens`: role and outcome of each token, by name.
    """
    made = bundle.checkpoint
    wiring, names = made.wiring, made.directions

    def called(directions: tuple[int, ...]) -> list[str]:
        return [names[i] for i in directions]

    layers = []
    for layer, place in zip(wiring.layers, made.layers, strict=True):
        heads = []
        for index, head in enumerate(place.heads):
            lookup = layer.lookups[head.lookup]
            heads.append(
                {
                    "head": index,
                    "name": head.name,
                    "compares": [
                        {"query": "always" if q is None else names[q], "key": names[k]}
                        for q, k in lookup.pairs
                    ],
                    "agree": lookup.agree,
                    "sets": called(head.destinations),
                    "default": [names[to] for to, sign in lookup.defaults if sign > 0],
                    "begin_until_position": lookup.until,
                }
            )
        neurons = [
            {"neuron": i, "name": n.name, "if": called(n.inputs), "then": called(n.outputs)}
            for i, n in enumerate(layer.conjunctions)
        ]
        layers.append({"heads": heads, "neurons": neurons})
    return {
        "directions": list(names),
        "features": {
            name: {
                "ready_after_layer": wiring.ready[name],
                "directions": {word: names[i] for word, i in words.items()},
            }
            for name, words in wiring.features.items()
        },
        "layers": layers,
        "unembedding": {
            wiring.tokens[token].name: called(row) for token, row in wiring.rows.items()
        },
        "tokens": {
            token.name: {"role": token.role, "outcome": token.outcome} for token in wiring.tokens
        },
    }
