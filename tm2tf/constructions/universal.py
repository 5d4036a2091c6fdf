"""The universal construction: one set of weights, and the machine stands in the prompt.

The same weights run every one-tape machine with up to N running states, M symbols and H halting
states of each outcome (options `states`, `symbols`, `halting`), renamed as `canonical` does. They
are the base model of in-context learning: the prompt holds the transition table as examples, and
the weights continue from them. A `trace` model of the same machine has the table in its weights
instead, as fine-tuning would put it there; both emit the same step tokens.

The prompt is `<bos>`, the examples, the input cells, `<start>`. An example is six tokens,

    A 0 -> B 1 right        in state A, reading 0: enter B, write 1, move right

or four, where the machine has no rule: `A 0 -> <stuck:halted>` (or accepted, or rejected; trace's
`<stuck>`). An input cell is `[1]`; `<left>` is as in `trace`; a start state that halts has
`<start:halt>` or the like. Then, at every position:

- layer 0: the head's address and that of the cell written, as in `trace`. Two heads look back:
  `before.state` is the state named two tokens earlier, `before.symbol` the symbol named one token
  earlier. At an arrow these are what the example is for; at the move that ends it they are what
  it says to do; at the `<stuck:...>` that ends it both are absent.
- layer 1: `Latest` looks up the symbol under the head. Another one brings from the latest arrow
  what the example is for, so that at the example's last token all of it is together.
- layer 2: one head looks for the latest example whose state and symbol are those of now, and
  brings its next state, written symbol and how it ends (`next.act`: a move or an outcome). That
  is the next token: a step, or `<stuck:...>` again, which ends the run.

Examples may come in any order and repeat. If two contradict each other, the later one counts:
attention is rightmost. If the one needed is missing, the weights say so by `<unknown>` (outcome
"unknown"), which is the default of the unembedding, and guess nothing.

Cost: one token a step; context = prompt + steps; 6 tokens a rule, 4 a missing one; tape and time
unbounded as far as the target carries integers. With S = N + 3 H states, target hard has
    layers = 4, heads = 7, d_mlp = 6, d_model = 5 S + 6 M + 27, vocab = 3 S M + S + 2 M + 14
(`sizes`): one of the layers squares addresses, and no neuron stands for a rule.

Source: original in this form. Kin: Qiu et al. (2025, arXiv 2411.01992), whose one transformer
reads any program from its prompt; Pérez, Barceló & Marinković (2021) for the tape. The way
examples are found and copied is that of induction heads (Olsson et al. 2022, arXiv 2209.11895).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from tm2tf.constructions.canonical import (
    OPTIONS,
    canonical,
    canonical_start,
    largest,
    letters,
    naming,
    refusal,
)
from tm2tf.constructions.construction import Construction, Options, Prompt
from tm2tf.constructions.tokens import BEGIN, START, left_token, step_token
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, Attention, CausalSum, FeedForward, Latest, Relative
from tm2tf.program.program import Layer, Program, Token, Unembed

ARROW, UNKNOWN = "->", "<unknown>"
MOVE_WORDS = {"L": "left", "S": "stay", "R": "right"}
"""What examples call moves."""

OUTCOMES = tuple(UNDEFINED_OUTCOME.values())
ACTS = (*MOVE_WORDS, *OUTCOMES)
"""How an example can end: in a move, or in how a run ends for want of a rule."""


def program(machine: Machine, options: Options) -> Program:
    """Return the program of all machines within the options; it is the same for each."""
    every = largest(options)
    copy = Latest(
        outs=("next.state", "next.tape0.write", "next.act"),
        values=("before.state", "before.symbol", "says.act"),
        where="is_last",
        key=("example.state", "example.read"),
        query=("state", "tape0.read"),
    )
    following = {"next.state": every.states, "next.tape0.write": every.symbols, "next.act": ACTS}
    return Program(
        name=f"universal for {options['states']} states and {options['symbols']} symbols",
        features=(*features(every), *(Categorical(*pair) for pair in following.items())),
        tokens=tokens(every),
        layers=layers(copy),
        unembed=Unembed(copy.outs, says(every), UNKNOWN),
    )


def says(every: Machine) -> dict[str, tuple[str | None, ...]]:
    """Return what an example says (state, symbol, act; None: anything) for each token it means."""
    steps: dict[str, tuple[str | None, ...]] = {
        step_token(every, to): (to.state, *to.writes, *to.moves) for to in _steps(every)
    }
    return {**steps, **{stuck(outcome): (None, None, outcome) for outcome in OUTCOMES}}


def examples(machine: Machine, options: Options) -> list[tuple[str, ...]]:
    """Return the tokens of each example, by running state and symbol of the canonical machine.

    Raises:
        ConstructionError: the machine does not fit the options.
    """
    known = canonical(machine, options)
    no_rule = stuck(UNDEFINED_OUTCOME[machine.undefined])
    listed: list[tuple[str, ...]] = []
    for state in known.states:
        for symbol in known.symbols if known.outcome_of(state) is None else ():
            to = known.transitions.get((state, (symbol,)))
            does = (no_rule,) if to is None else (to.state, *to.writes, MOVE_WORDS[to.moves[0]])
            listed.append((state, symbol, ARROW, *does))
    return listed


def prompt_of(
    listed: Iterable[Sequence[str]], configuration: Configuration, machine: Machine
) -> Prompt:
    """Return the prompt of these examples and a start configuration of a machine.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    start = canonical_start(machine, configuration)
    (tape,) = start.tapes
    first = tape.origin - tape.head if tape.contents else 0
    cells = ("0",) * max(0, first) + tape.contents
    tokens = (
        BEGIN,
        *(token for example in listed for token in example),
        *(left_token(machine, 0),) * max(0, -first),
        *(f"[{symbol}]" for symbol in cells),
        _start(start.state),
    )
    return Prompt(tokens, (tape.head,))


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the machine as examples, and its start configuration.

    Addresses count from the head: where it begins is address 0.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    return prompt_of(examples(machine, options), configuration, machine)


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    symbols = options["symbols"]
    states = options["states"] + 3 * options["halting"]
    return {
        "layers": 4,
        "heads": 7,
        "d_model": 5 * states + 6 * symbols + 27,
        "d_mlp": 6,
        "vocab": 3 * states * symbols + states + 2 * symbols + 14,
    }


def _start(state: str) -> str:
    return START if state == letters(0) else f"<start:{state}>"


def stuck(outcome: str) -> str:
    """Return the token that ends a run with this outcome for want of a rule."""
    return f"<stuck:{outcome}>"


def layers(last: Attention, *table: FeedForward) -> tuple[Layer, ...]:
    """Return the layers; `last` finds what the examples say of now, which `table` may prepare."""
    address = Affine(
        "tape0.address",
        ((1, "tape0.head"), (-1, "tape0.move"), (1, "tape0.filled"), (-1, "tape0.is_input")),
    )
    look_back = (
        CausalSum("tape0.head", "tape0.move"),
        CausalSum("tape0.filled", "tape0.fill", when="tape0.is_input"),
        Relative("before.state", 2, "says.state"),
        Relative("before.symbol", 1, "says.symbol"),
    )
    read = Latest(
        outs=("tape0.read",),
        values=("tape0.write",),
        where="tape0.writes",
        key=("tape0.address",),
        query=("tape0.head",),
        defaults=("0",),
    )
    gather = Latest(
        outs=("example.state", "example.read"),
        values=("before.state", "before.symbol"),
        where="is_arrow",
    )
    return Layer(look_back, (address, *table)), Layer((read, gather)), Layer((last,))


def tokens(every: Machine) -> tuple[Token, ...]:
    """Return the vocabulary."""
    steps = (_step(every, to) for to in _steps(every))
    return Token(BEGIN, "begin", {}), *_example_tokens(every), *_input_tokens(every), *steps


def _steps(every: Machine) -> list[Transition]:
    """Return all that a step can do."""
    return [
        Transition(state, (symbol,), (move,))
        for state, symbol, move in product(every.states, every.symbols, MOVE_WORDS)
    ]


def _example_tokens(every: Machine) -> list[Token]:
    """Return the tokens of examples, those that end runs among them: an example may end so too."""
    return [
        *(Token(state, "prompt", {"says.state": state}) for state in every.states),
        *(Token(symbol, "prompt", {"says.symbol": symbol}) for symbol in every.symbols),
        Token(ARROW, "prompt", {"is_arrow": 1}),
        *(
            Token(word, "prompt", {"says.act": act, "is_last": 1})
            for act, word in MOVE_WORDS.items()
        ),
        Token(UNKNOWN, "end", {}, "unknown"),
        *(Token(stuck(o), "end", {"says.act": o, "is_last": 1}, o) for o in OUTCOMES),
    ]


def _input_tokens(every: Machine) -> list[Token]:
    cell = {"tape0.fill": 1, "tape0.is_input": 1, "tape0.writes": 1}
    begins = (every.start, *UNDEFINED_OUTCOME)
    return [
        Token(left_token(every, 0), "prompt", {"tape0.fill": -1}),
        *(
            Token(f"[{symbol}]", "prompt", {**cell, "tape0.write": symbol})
            for symbol in every.symbols
        ),
        *(
            Token(_start(state), "prompt", {"state": state}, every.outcome_of(state))
            for state in begins
        ),
    ]


def _step(every: Machine, to: Transition) -> Token:
    values: dict[str, str | int] = {
        "state": to.state,
        "tape0.write": to.writes[0],
        "tape0.move": OFFSET[to.moves[0]],
        "tape0.writes": 1,
    }
    return Token(step_token(every, to), "step", values, every.outcome_of(to.state))


def features(every: Machine) -> tuple[Feature, ...]:
    """Return the features but those that `layers` leaves to its arguments."""
    words = {
        "says.state before.state example.state state": every.states,
        "says.symbol before.symbol example.read": every.symbols,
        "tape0.write tape0.read": every.symbols,
        "says.act": ACTS,
    }
    flags = ("is_arrow", "is_last", "tape0.is_input", "tape0.writes")
    return (
        Integer(POSITION, low=1),
        *(Categorical(name, values) for names, values in words.items() for name in names.split()),
        *(Integer(name, -1, 1) for name in ("tape0.move", "tape0.fill")),
        *(Integer(name, 0, 1) for name in flags),
        *(Integer(name) for name in ("tape0.head", "tape0.filled", "tape0.address")),
    )


CONSTRUCTION = Construction(
    name="universal",
    summary="decoder-only, one set of weights: the machine stands in the prompt, as examples",
    source="original; kin: Qiu et al. 2025 (arXiv 2411.01992), "
    "Pérez, Barceló & Marinković 2021 (arXiv 1901.03429)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=OPTIONS,
    refusal=refusal,
    naming=naming,
    shared=True,
)
