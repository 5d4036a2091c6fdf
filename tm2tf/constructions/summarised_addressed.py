"""The summarised-addressed construction: `addressed`, one tape, in a context of fixed length.

When the context is nearly full the model writes all W cells down, from `<summary>` over `0@0`,
`1@1`, ... to `</summary:A@130>`, which has the state and the head's address; the runtime then goes
on with `<bos>` and these tokens alone. So a context of C tokens is enough for ever, as long as the
head stays on the tape. The tokens of cells are those of prompts: a summary is a prompt.

- `due`: the sign of 2 (position - (C - W - 2)) + 1, the only arithmetic. Tokens of constant size
  cannot count, so the position does. Where it is positive a token of the run is followed by
  `<summary>`, and the last token of the summary is the C-th.
- one layer: the lookup of `addressed`, in which the token of cell i asks for cell i + 1 (and
  `<summary>` for cell 0), so that the next cell is the symbol just read, at the address asked for;
  the latest token of the run brings the state and the head's address for the token that closes the
  summary; the transition table.

Cost: context <= C (prompts are shorter: W + 2 tokens at most), after a cut W + 3, which a runtime
has to read again; between two cuts N = C - 2 W - 5 steps, at least 1, so C >= 2 W + 6; in the long
run 1 + (W + 2) / N tokens a step. With Q states (A of them running), M symbols, T distinct results
of rules and S directions an address (`addresses`), target hard has
    layers = 1, heads = 2, d_mlp = A M + 5,
    d_model = 3 Q + 3 M + 3 S + 17, vocab = (T + M + A + 2) W + 3.

Source: original, from Brösamle & Eckstein (ICML 2026), see `summarised`, and `addressed`. Addresses
are of the tape, so they stay what they are at a cut; all W cells are written, whatever was visited,
as only so a cell can say where it is without arithmetic.
"""

from __future__ import annotations

from tm2tf.constructions.addressed import (
    full_table,
    prompt,
    start_tokens,
    step_tokens,
    stuck_tokens,
    table_features,
)
from tm2tf.constructions.addresses import (
    TAPE,
    Addresses,
    Values,
    cell_token,
    read,
    tape_features,
    written,
)
from tm2tf.constructions.construction import Construction, Option, Options, one_tape_only
from tm2tf.constructions.summarised import SUMMARY, closing, varies
from tm2tf.constructions.tokens import BEGIN, STUCK, escape
from tm2tf.constructions.transitions import results, running, unembed
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Machine
from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.operations import SIGNS, Affine, Latest, Number, Sign
from tm2tf.program.program import Layer, Program, Token, Unembed

RUN, CELL, CLOSE = PHASES = ("run", "cell", "close")
"""What comes next: a step, or a summary; a cell of a summary; the end of one."""

CONTEXT = Option("context", 1024, 10, "longest context, at least twice the tape and 6 tokens")


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the runs of `machine`, in contexts of so many tokens."""
    addresses = Addresses(options["tape"])
    in_run: Values = {"phase": RUN, "in_run": 1}
    numbers = addresses.numbers(0, "tape0.at", "tape0.edge")
    ends = list(stuck_tokens(machine, addresses))
    steps = list(step_tokens(machine, addresses, in_run))
    return Program(
        name=f"{machine.name} by summarised-addressed",
        features=(
            Integer(POSITION, low=1),
            Categorical("state", machine.states),
            Categorical("phase", PHASES),
            Integer("in_run", 0, 1),
            *tape_features(machine, addresses, 0),
            *(Integer(number.out) for number in numbers),
            Integer("overdue"),
            Categorical("due", SIGNS),
            Categorical("now.state", machine.states),
            *addresses.features("now.at"),
            *table_features(machine),
        ),
        tokens=(
            Token(BEGIN, "begin", {}),
            Token(SUMMARY, "summary", {"phase": CELL, **addresses.values("tape0.at", 0)}),
            *(
                Token(cell_token(machine, 0, s, a), "part", _cell(addresses, s, a))
                for s in machine.symbols
                for a in range(addresses.cells)
            ),
            *(
                Token(
                    _close(state, head),
                    "cut",
                    in_run | {"state": state} | addresses.values("tape0.at", head),
                )
                for state in closing(machine)
                for head in range(addresses.cells)
            ),
            *start_tokens(machine, addresses, in_run),
            Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
            *(token for token, _ in (*steps, *ends)),
        ),
        layers=_layers(machine, addresses, options["context"], numbers),
        unembed=_unembed(machine, addresses, {t.name: row for t, row in (*steps, *ends)}),
    )


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    addresses = Addresses(options["tape"])
    q, m, a = len(machine.states), len(machine.symbols), len(closing(machine))
    return {
        "layers": 1,
        "heads": 2,
        "d_model": 3 * q + 3 * m + 3 * addresses.words + 17,
        "d_mlp": len(running(machine)) * m + 5,
        "vocab": (len(results(machine)) + m + a + 2) * addresses.cells + 3,
    }


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine cannot be taken, or not in such a context; None if it can."""
    least = 2 * options["tape"] + 6
    if options["context"] < least:
        return (
            f"a context of {options['context']} tokens is too short for a tape of "
            f"{options['tape']} cells; take --context {least} or more, or a shorter --tape"
        )
    return one_tape_only(machine, options)


def _cell(addresses: Addresses, symbol: str, address: int) -> Values:
    """Return what the token of a cell embeds: it asks for the next one."""
    values = written(addresses, 0, symbol, address)
    if address + 1 == addresses.cells:
        return {"phase": CLOSE, **values}
    return {"phase": CELL, **values, **addresses.values("tape0.at", address + 1)}


def _close(state: str, head: int) -> str:
    return f"</summary:{escape(state)}@{head}>"


def _layers(
    machine: Machine, addresses: Addresses, context: int, numbers: tuple[Number | Affine, ...]
) -> tuple[Layer, ...]:
    last = context - addresses.cells - 2  # then summary, cells and close fill the context
    overdue = Affine("overdue", ((2, POSITION),), 1 - 2 * last)  # odd, so never zero
    now = Latest(
        outs=("now.state", *addresses.names("now.at")),
        values=("state", *addresses.names("tape0.at")),
        where="in_run",
    )
    return (
        Layer(feed_forward=(overdue,)),
        Layer(
            (read(machine, addresses, 0, "tape0.at"), now),
            (*numbers, Sign("due", "overdue"), full_table(machine)),
        ),
    )


def _unembed(machine: Machine, addresses: Addresses, steps: dict[str, dict[str, str]]) -> Unembed:
    """Return which token comes next, by phase."""
    negative, _, positive = SIGNS
    rows = {name: {"phase": RUN, "due": negative} | row for name, row in steps.items()}
    rows[SUMMARY] = {"phase": RUN, "due": positive}
    for address in range(addresses.cells):
        here = {"phase": CELL} | addresses.values("tape0.at", address)
        for symbol in machine.symbols:
            rows[cell_token(machine, 0, symbol, address)] = here | {"tape0.read": symbol}
        there = {"phase": CLOSE} | addresses.values("now.at", address)
        for state in closing(machine):
            rows[_close(state, address)] = there | {"now.state": state}
    return unembed(rows)


CONSTRUCTION = Construction(
    name="summarised-addressed",
    summary="decoder-only, one bounded tape, a context of fixed length for ever: it sums itself up",
    source="original, from Brösamle & Eckstein 2026 (arXiv 2605.18079)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(TAPE, CONTEXT),
    refusal=refusal,
    tokens_per_step=varies,
)
