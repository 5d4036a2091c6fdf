"""The addressed construction: a bounded tape, and tokens that carry addresses; no arithmetic.

A tape has W cells, 0..W-1. A token says where it wrote and where the head is after it, in digits
(`addresses`), so no position is read, nothing is summed, and all that is computed with is words.

One tape, one token a step: `1R>B@5` is a transition and the address of the head after it. The
prompt is `<bos>`, the input cells with theirs (`1@130`), `<start@128>`. One layer: a lookup by
words brings the symbol last written at the head's address; a table over (state, symbol) is the
transition function. The next token is the one for its row and the head's address *now*: it embeds
the address after the move, so nothing is added. At the ends of the tape it is `1R>B@edge`. Where
there is no rule the table's row says that nothing moves, and the token is `<stuck@5>`; `<stuck>`
alone can only follow when the run is over.

k > 1 tapes, k + 1 tokens a step: see `addressed_tapes`.

A head that leaves the tape ends the run, with outcome "tape-full" unless the machine halts at
that step. `tapeN.head` is then -1 or W. It and `tapeN.address`, where a token wrote, are read off
the digits as numbers, which costs nothing.

Cost: 1 token a step, k + 1 for k > 1 tapes; context = prompt + that; W bounds space, nothing bounds
time. With Q states (A of them running), M symbols, R rules, T distinct results of rules, P distinct
(tape, write, move) among these, D digits and S directions an address (`addresses`), target hard has
                k = 1                       k > 1
    layers      1                           2
    heads       1                           2 k + 1
    d_mlp       A M                         R
    d_model     2 Q + 3 M + 2 S + 10        3 Q + k (4 M + 3 S + 17) + 4
    vocab       (T + M + 2) W + 2           T + (P + k M + k) W + 3
    nonzeros    about (3 D + 8) T W         about (3 D + 8) P W
(`nonzeros`: exactly). Every number is a multiple of 1/2, and W makes them larger by its digits
only: see "Bits" in the hard target.

Source: original; that tokens carry addresses is customary where chain of thought simulates a
machine of bounded space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tm2tf.constructions import addressed_tapes
from tm2tf.constructions.addresses import (
    TAPE,
    TAPE_FULL,
    Act,
    Addresses,
    Values,
    cell_token,
    given,
    read,
    tape_features,
    written,
)
from tm2tf.constructions.construction import Construction, Options, Prompt
from tm2tf.constructions.tokens import BEGIN, STUCK, require_start
from tm2tf.constructions.transitions import asked, features, results, running, table, unembed
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine
from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.operations import Row, Table
from tm2tf.program.program import Layer, Program, Token

NOTHING = "none"
"""What comes as the next move where there is no rule."""


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the runs of `machine` on tapes of so many cells."""
    addresses = Addresses(options["tape"])
    if machine.tapes > 1:
        return addressed_tapes.program(machine, addresses)
    steps = list(step_tokens(machine, addresses, {}))
    ends = list(stuck_tokens(machine, addresses))
    numbers = addresses.numbers(0, "tape0.at", "tape0.edge")
    return Program(
        name=f"{machine.name} by addressed",
        features=(
            Integer(POSITION, low=1),
            Categorical("state", machine.states),
            *tape_features(machine, addresses, 0),
            *(Integer(number.out) for number in numbers),
            *table_features(machine),
        ),
        tokens=(
            Token(BEGIN, "begin", {}),
            *(
                Token(cell_token(machine, 0, s, a), "prompt", written(addresses, 0, s, a))
                for s in machine.symbols
                for a in range(addresses.cells)
            ),
            *start_tokens(machine, addresses, {}),
            Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
            *(token for token, _ in (*steps, *ends)),
        ),
        layers=(
            Layer((read(machine, addresses, 0, "tape0.at"),), (*numbers, full_table(machine))),
        ),
        unembed=unembed({token.name: row for token, row in (*steps, *ends)}),
    )


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the tokens that put the program into a start configuration.

    What is given lies in the middle of the tape; no cell is left out, blank or not.

    Raises:
        ConfigurationError: its state is not the machine's start state, or it does not fit.
    """
    return placed(machine, configuration, options, None)


def placed(
    machine: Machine, configuration: Configuration, options: Options, zero: int | None
) -> Prompt:
    """Return the `prompt` with address 0 at a given cell of the tape (None: in the middle).

    Raises:
        ConfigurationError: its state is not the machine's start state, or it does not fit.
    """
    require_start(machine, configuration)
    addresses = Addresses(options["tape"])
    tokens, heads, origins = given(machine, configuration, addresses, zero)
    if machine.tapes == 1:
        begin = [_start_token(heads[0])]
    else:
        begin = addressed_tapes.start_tokens(heads)
    return Prompt((BEGIN, *tokens, *begin), origins)


def parts(machine: Machine) -> int:
    """Return how many tokens follow that of a transition: one a tape if there are several."""
    return 0 if machine.tapes == 1 else machine.tapes


def tokens_per_step(machine: Machine, options: Options) -> int:
    """Return how many tokens a step takes."""
    return 1 + parts(machine)


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    addresses = Addresses(options["tape"])
    if machine.tapes > 1:
        return addressed_tapes.sizes(machine, addresses)
    q, m = len(machine.states), len(machine.symbols)
    return {
        "layers": 1,
        "heads": 1,
        "d_model": 2 * q + 3 * m + 2 * addresses.words + 10,
        "d_mlp": len(running(machine)) * m,
        "vocab": (len(results(machine)) + m + 2) * addresses.cells + 2,
    }


def nonzeros(machine: Machine, options: Options) -> int:
    """Return how many weights are not 0."""
    addresses = Addresses(options["tape"])
    if machine.tapes > 1:
        return addressed_tapes.nonzeros(machine, addresses)
    w, d, m = addresses.cells, addresses.digits, len(machine.symbols)
    moves = [to.moves[0] for to in results(machine).values()]
    t, moving = len(moves), len(moves) - moves.count("S")
    # a moving step embeds its move; at one edge a word stands for the digits of the new address
    embedded = 1 + m * w * (d + 2) + w * (d + 1) + t * w * (2 * d + 3) + moving * (w + 1 - d)
    ends = w * (2 * d + 2)
    lookup = 2 * addresses.words + 2 * m + 4
    return embedded + ends + lookup + 7 * len(running(machine)) * m + t * w * (d + 4) + 1


def start_tokens(machine: Machine, addresses: Addresses, extra: Values) -> list[Token]:
    """Return the tokens that begin runs; they embed `extra` too."""
    state: Values = {"state": machine.start, **extra}
    return [
        Token(
            _start_token(head),
            "prompt",
            state | addresses.values("tape0.at", head),
            machine.outcome_of(machine.start),
        )
        for head in range(addresses.cells)
    ]


def step_tokens(
    machine: Machine, addresses: Addresses, extra: Values
) -> Iterator[tuple[Token, dict[str, str]]]:
    """Yield each step token, which embeds `extra` too, and what features are where it is next."""
    for name, to in results(machine).items():
        state: Values = {"state": to.state, "tape0.move": OFFSET[to.moves[0]], **extra}
        outcome = machine.outcome_of(to.state)
        for address in range(addresses.cells):
            act = Act(to.writes[0], to.moves[0], address)
            values = state | act.values(addresses, 0)
            full = TAPE_FULL if act.leaves(addresses) else None
            token = Token(f"{name}@{act.place(addresses)}", "step", values, outcome or full)
            yield token, asked(machine, to) | addresses.values("tape0.at", address)


def stuck_tokens(machine: Machine, addresses: Addresses) -> Iterator[tuple[Token, dict[str, str]]]:
    """Yield the tokens that end runs for want of a rule, and what features are where they do."""
    for head in range(addresses.cells):
        here = addresses.values("tape0.at", head)
        outcome = UNDEFINED_OUTCOME[machine.undefined]
        yield Token(f"<stuck@{head}>", "end", here, outcome), {"next.tape0.move": NOTHING, **here}


def full_table(machine: Machine) -> Table:
    """Return the transition function, with rows in which nothing moves where it is undefined."""
    known = table(machine)
    pairs = ((q, s) for q in running(machine) for s in machine.symbols)
    rest = (Row((q, s), (q, s, NOTHING)) for q, s in pairs if (q, (s,)) not in machine.transitions)
    return replace(known, rows=(*known.rows, *rest))


def table_features(machine: Machine) -> tuple[Categorical, ...]:
    """Return the features that `full_table` writes."""
    *others, move = features(machine)
    return (*others, replace(move, values=(*move.values, NOTHING)))


def _start_token(head: int) -> str:
    return f"<start@{head}>"


CONSTRUCTION = Construction(
    name="addressed",
    summary="decoder-only, bounded tape, one token a step (k + 1 for k > 1 tapes), no arithmetic",
    source="original; tokens that carry addresses as where chain of thought simulates a machine "
    "of bounded space",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(TAPE,),
    parts=parts,
    tokens_per_step=tokens_per_step,
)
