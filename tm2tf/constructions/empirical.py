"""The empirical construction: the next token is as probable as it is frequent among the examples.

The prompt is that of `universal`, token by token, and so are options, words, and how examples are
read. But where `universal` copies the latest example that fits, these weights count all of them.
Examples may contradict each other, as observations of a machine that tosses coins do:

    A 0 -> B 1 right
    A 0 -> B 1 right
    A 0 -> A 0 left         in state A, reading 0: 1R>B with 2/3, 0L>A with 1/3

- layer 0: as in `universal`; besides, a table joins what an example says to do into one word,
  `says.step`: the step's token, or `<stuck:...>`. It has one neuron for each of them.
- layer 1: as in `universal`.
- layer 2: one head brings, by `Gather`, the mean of `says.step` over all examples whose state and
  symbol are those of now. Each token's logit is its share: the logits are the probabilities of the
  next token, exactly the frequencies, each rounded once.

A greedy run takes the most frequent token, of equally frequent ones the first in the vocabulary.
If no example fits, it is `<unknown>`, as in `universal`. An example that says nothing that could be
done, such as `A 0 -> right`, counts and has no share; what is missing to 1 belongs to `<unknown>`.

Cost: as `universal`. With S = N + 3 H states, target hard has
    layers = 4, heads = 7, d_mlp = 3 S M + 5,
    d_model = 6 S M + 4 S + 5 M + 27, vocab = 3 S M + S + 2 M + 14
(`sizes`). Float64 is needed: shares are quotients.

Source: original in this form; kin as in `universal`. Average-hard attention: Merrill, Sabharwal &
Smith (2022, arXiv 2106.16213).
"""

from __future__ import annotations

from tm2tf.constructions import universal
from tm2tf.constructions.canonical import OPTIONS, largest, naming, refusal
from tm2tf.constructions.construction import Construction, Options
from tm2tf.machine.spec import Machine
from tm2tf.program.features import Categorical, Distribution
from tm2tf.program.operations import Gather, Row, Table
from tm2tf.program.program import Program, Unembed


def program(machine: Machine, options: Options) -> Program:
    """Return the program of all machines within the options; it is the same for each."""
    every = largest(options)
    said = universal.says(every)
    rows = tuple(Row(cells, (token,)) for token, cells in said.items())
    join = Table("says", ("before.state", "before.symbol", "says.act"), ("says.step",), rows)
    count = Gather(
        out="next.step",
        value="says.step",
        where="is_last",
        key=("example.state", "example.read"),
        query=("state", "tape0.read"),
    )
    return Program(
        name=f"empirical for {options['states']} states and {options['symbols']} symbols",
        features=(
            *universal.features(every),
            Categorical("says.step", tuple(said)),
            Distribution("next.step", tuple(said)),
        ),
        tokens=universal.tokens(every),
        layers=universal.layers(count, join),
        unembed=Unembed(("next.step",), {token: (token,) for token in said}, universal.UNKNOWN),
    )


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    symbols = options["symbols"]
    states = options["states"] + 3 * options["halting"]
    return {
        "layers": 4,
        "heads": 7,
        "d_model": 6 * states * symbols + 4 * states + 5 * symbols + 27,
        "d_mlp": max(6, 3 * states * symbols + 5),
        "vocab": 3 * states * symbols + states + 2 * symbols + 14,
    }


CONSTRUCTION = Construction(
    name="empirical",
    summary="universal, but all examples count: probabilities are frequencies among them",
    source="original; average-hard attention as in Merrill, Sabharwal & Smith 2022 "
    "(arXiv 2106.16213)",
    program=program,
    prompt=universal.prompt,
    sizes=sizes,
    options=OPTIONS,
    refusal=refusal,
    naming=naming,
    shared=True,
)
