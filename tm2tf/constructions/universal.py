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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from tm2tf.constructions.construction import (
    Construction,
    Naming,
    Option,
    Options,
    Prompt,
    one_tape_only,
)
from tm2tf.constructions.tokens import BEGIN, START, left_token, require_start, step_token
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine, Tape, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Relative
from tm2tf.program.program import Layer, Program, Token, Unembed

ARROW, UNKNOWN = "->", "<unknown>"
MOVE_WORDS = {"L": "left", "S": "stay", "R": "right"}
"""What examples call moves."""

NO_WORD = ""
"""What a word of the weights means where the machine has none for it; no machine uses it."""


def program(machine: Machine, options: Options) -> Program:
    """Return the program of all machines within the options; it is the same for each."""
    largest = _largest(options)
    steps = [
        Transition(state, (symbol,), (move,))
        for state, symbol, move in product(largest.states, largest.symbols, MOVE_WORDS)
    ]
    rows: dict[str, tuple[str | None, ...]] = {
        step_token(largest, to): (to.state, *to.writes, *to.moves) for to in steps
    }
    rows |= {_stuck(outcome): (None, None, outcome) for outcome in UNDEFINED_OUTCOME.values()}
    return Program(
        name=f"universal for {options['states']} states and {options['symbols']} symbols",
        features=_features(largest),
        tokens=(
            Token(BEGIN, "begin", {}),
            *_example_tokens(largest),
            *_input_tokens(largest),
            *(_step(largest, to) for to in steps),
        ),
        layers=_layers(),
        unembed=Unembed(("next.state", "next.tape0.write", "next.act"), rows, UNKNOWN),
    )


def canonical(machine: Machine, options: Options) -> Machine:
    """Return a machine with the weights' words for its states and symbols, and no examples.

    Running states are A, B, ..., Z, AA, ... from the start state on, symbols 0, 1, ... from the
    blank on, both then in the machine's order; halting states are halt, halt2, ..., accept, ...,
    reject, ... If these already are its words, they stay the same.

    Raises:
        ConstructionError: the machine does not fit the options.
    """
    CONSTRUCTION.check(machine, options)
    states, symbols = _renamed_states(machine), _renamed(machine.symbols, machine.blank, str)
    transitions: dict[tuple[str, tuple[str, ...]], Transition] = {}
    for (state, (read,)), to in machine.transitions.items():
        renamed = Transition(states[to.state], (symbols[to.writes[0]],), to.moves)
        transitions[states[state], (symbols[read],)] = renamed
    return replace(
        machine,
        symbols=tuple(symbols.values()),
        blank=symbols[machine.blank],
        states=tuple(states.values()),
        start=states[machine.start],
        transitions=transitions,
        accept=tuple(states[state] for state in machine.accept),
        reject=tuple(states[state] for state in machine.reject),
        halt=tuple(states[state] for state in machine.halt),
        examples=(),
    )


def canonical_start(machine: Machine, configuration: Configuration) -> Configuration:
    """Return a start configuration of a machine as one of its canonical form.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    require_start(machine, configuration)
    symbols = _renamed(machine.symbols, machine.blank, str)
    tapes = (
        Tape(tuple(symbols[symbol] for symbol in tape.contents), tape.origin, tape.head)
        for tape in configuration.tapes
    )
    return Configuration(_renamed_states(machine)[configuration.state], tuple(tapes))


def examples(machine: Machine, options: Options) -> list[tuple[str, ...]]:
    """Return the tokens of each example, by running state and symbol of the canonical machine.

    Raises:
        ConstructionError: the machine does not fit the options.
    """
    known = canonical(machine, options)
    stuck = _stuck(UNDEFINED_OUTCOME[machine.undefined])
    listed: list[tuple[str, ...]] = []
    for state in known.states:
        for symbol in known.symbols if known.outcome_of(state) is None else ():
            to = known.transitions.get((state, (symbol,)))
            says = (stuck,) if to is None else (to.state, *to.writes, MOVE_WORDS[to.moves[0]])
            listed.append((state, symbol, ARROW, *says))
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


def naming(machine: Machine, options: Options) -> Naming:
    """Return what all words of the weights are called in the machine; `NO_WORD` for the others."""
    largest = _largest(options)
    states, symbols = _renamed_states(machine), _renamed(machine.symbols, machine.blank, str)
    return Naming(
        dict.fromkeys(largest.states, NO_WORD) | {new: old for old, new in states.items()},
        dict.fromkeys(largest.symbols, NO_WORD) | {new: old for old, new in symbols.items()},
    )


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


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine is too large, and which options to raise; None if it fits."""
    tapes = one_tape_only(machine, options)
    if tapes is not None:
        return tapes
    running = sum(machine.outcome_of(state) is None for state in machine.states)
    halting = max(len(getattr(machine, kind)) for kind in UNDEFINED_OUTCOME)
    asked = (
        ("states", running, "running states"),
        ("symbols", len(machine.symbols), "symbols"),
        ("halting", halting, "halting states of one outcome"),
    )
    over = [(name, has, what) for name, has, what in asked if has > options[name]]
    listed = " and ".join(f"{has} {what} (room for {options[name]})" for name, has, what in over)
    raised = " ".join(f"--{name} {has}" for name, has, _ in over)
    return f"it has {listed}; take {raised}" if over else None


def _renamed_states(machine: Machine) -> dict[str, str]:
    """Return the weights' word for each state, in canonical order."""
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    states = _renamed(running, machine.start, _letters)
    for kind in UNDEFINED_OUTCOME:
        states |= _renamed(getattr(machine, kind), machine.start, partial(_halting, kind))
    return states


def _renamed(words: Sequence[str], first: str, name: Callable[[int], str]) -> dict[str, str]:
    """Return a name for each word, `first` before all others; names that fit already stay."""
    names = [name(number) for number in range(len(words))]
    ordered = sorted(words, key=lambda word: word != first)
    if ordered[:1] == names[:1] and set(ordered) == set(names):
        ordered = names
    return dict(zip(ordered, names, strict=True))


def _letters(number: int) -> str:
    rest, last = divmod(number, 26)
    return (_letters(rest - 1) if rest else "") + chr(ord("A") + last)


def _halting(kind: str, number: int) -> str:
    return kind if number == 0 else f"{kind}{number + 1}"


def _start(state: str) -> str:
    return START if state == _letters(0) else f"<start:{state}>"


def _stuck(outcome: str) -> str:
    return f"<stuck:{outcome}>"


def _largest(options: Options) -> Machine:
    """Return a machine, without rules, that has all states and symbols of the weights."""
    running = tuple(map(_letters, range(options["states"])))
    halt, accept, reject = (
        tuple(_halting(kind, number) for number in range(options["halting"]))
        for kind in ("halt", "accept", "reject")
    )
    return Machine(
        name="universal",
        symbols=tuple(map(str, range(options["symbols"]))),
        blank="0",
        states=(*running, *halt, *accept, *reject),
        start=running[0],
        transitions={},
        accept=accept,
        reject=reject,
        halt=halt,
    )


def _layers() -> tuple[Layer, ...]:
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
    copy = Latest(
        outs=("next.state", "next.tape0.write", "next.act"),
        values=("before.state", "before.symbol", "says.act"),
        where="is_last",
        key=("example.state", "example.read"),
        query=("state", "tape0.read"),
    )
    return Layer(look_back, (address,)), Layer((read, gather)), Layer((copy,))


def _example_tokens(largest: Machine) -> list[Token]:
    """Return the tokens of examples, those that end runs among them: an example may end so too."""
    outcomes = UNDEFINED_OUTCOME.values()
    return [
        *(Token(state, "prompt", {"says.state": state}) for state in largest.states),
        *(Token(symbol, "prompt", {"says.symbol": symbol}) for symbol in largest.symbols),
        Token(ARROW, "prompt", {"is_arrow": 1}),
        *(
            Token(word, "prompt", {"says.act": act, "is_last": 1})
            for act, word in MOVE_WORDS.items()
        ),
        Token(UNKNOWN, "end", {}, "unknown"),
        *(Token(_stuck(o), "end", {"says.act": o, "is_last": 1}, o) for o in outcomes),
    ]


def _input_tokens(largest: Machine) -> list[Token]:
    cell = {"tape0.fill": 1, "tape0.is_input": 1, "tape0.writes": 1}
    begins = (largest.start, *UNDEFINED_OUTCOME)
    return [
        Token(left_token(largest, 0), "prompt", {"tape0.fill": -1}),
        *(
            Token(f"[{symbol}]", "prompt", {**cell, "tape0.write": symbol})
            for symbol in largest.symbols
        ),
        *(
            Token(_start(state), "prompt", {"state": state}, largest.outcome_of(state))
            for state in begins
        ),
    ]


def _step(largest: Machine, to: Transition) -> Token:
    values: dict[str, str | int] = {
        "state": to.state,
        "tape0.write": to.writes[0],
        "tape0.move": OFFSET[to.moves[0]],
        "tape0.writes": 1,
    }
    return Token(step_token(largest, to), "step", values, largest.outcome_of(to.state))


def _features(largest: Machine) -> tuple[Feature, ...]:
    words = {
        "says.state before.state example.state state next.state": largest.states,
        "says.symbol before.symbol example.read": largest.symbols,
        "tape0.write tape0.read next.tape0.write": largest.symbols,
        "says.act next.act": (*MOVE_WORDS, *UNDEFINED_OUTCOME.values()),
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
    options=(
        Option("states", 16, 1, "running states that there is room for", most=500),
        Option("symbols", 8, 1, "symbols that there is room for", most=100),
        Option("halting", 3, 1, "halting states of each outcome that there is room for", most=100),
    ),
    refusal=refusal,
    naming=naming,
    shared=True,
)
