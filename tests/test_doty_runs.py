"""Doty's `.tm` files: random ones run as the simulator's rules say, and are written again."""

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tests.test_doty import formats_like, ran
from tm2tf.errors import FormatError, InputError
from tm2tf.formats import doty
from tm2tf.machine.one_way import one_way
from tm2tf.machine.spec import Machine, Transition


@st.composite
def sheets(draw):
    """Return (tapes, symbols, states, rules) with wildcards, q the start, y and n the ends."""
    tapes = draw(st.integers(1, 2))
    symbols = draw(st.sampled_from(["a", "ab", "01'", "a,;" if tapes == 1 else "a!"]))
    states = ["q", "r", "s"][: draw(st.integers(1, 3))]
    rng = random.Random(draw(st.integers(0, 2**32)))
    rules = {}
    for state in states:
        for reads in map("".join, product("_?" + symbols, repeat=tapes)):
            if rng.random() < (0.3 if "?" in reads else 0.6):
                writes = "".join(
                    rng.choice("_" + symbols + ("???" if read == "?" else "")) for read in reads
                )
                moves = "".join(rng.choices("LSRR", k=tapes))
                rules[state, reads] = (rng.choice([*states * 3, "y", "n"]), writes, moves)
    rules.setdefault(("q", "_" * tapes), ("y", "_" * tapes, "S" * tapes))
    return tapes, symbols, states, rules


def matching(rules, state, reads):
    """Return the rules that match: the exact one alone, or all with a wildcard."""
    if (state, reads) in rules:
        return [rules[state, reads]]
    return [
        to
        for (of, pattern), to in rules.items()
        if of == state and all(p in ("?", r) for p, r in zip(pattern, reads, strict=True))
    ]


def simulated(tapes, rules, word, limit):
    """Run the rules as written: the first cell stops heads, a missing rule is a step."""
    cells, heads = [list(word + "_")] + [["_"] for _ in range(tapes - 1)], [0] * tapes
    state = "q"
    for steps in range(limit + 1):
        outcome = {"y": "accepted", "n": "rejected"}.get(state)
        if outcome or steps == limit:
            shown = tuple("".join(tape).rstrip("_") for tape in cells)
            return outcome, state, steps, shown, tuple(heads)
        found = matching(rules, state, "".join(t[h] for t, h in zip(cells, heads, strict=True)))
        state, writes, moves = found[0] if found else ("n", "?" * tapes, "S" * tapes)
        for i, (write, move) in enumerate(zip(writes, moves, strict=True)):
            cells[i][heads[i]] = cells[i][heads[i]] if write == "?" else write
            heads[i] = max(0, heads[i] + {"L": -1, "S": 0, "R": 1}[move])
            cells[i] += ["_"] * (heads[i] + 1 - len(cells[i]))
    raise AssertionError


def quoted(word):
    return "'" + word.replace("'", "''") + "'"


def as_yaml(symbols, states, rules):
    lines = [
        f"states: [{', '.join([*states, quoted('y'), quoted('n')])}]",
        f"input_alphabet: [{', '.join(map(quoted, symbols))}]",
        "tape_alphabet_extra: []",
        "start_state: q\naccept_state: 'y'\nreject_state: 'n'\ndelta:",
    ]
    for state in states:
        lines.append(f"  {state}:")
        for (of, reads), (to, *rest) in rules.items():
            if of == state:
                words = ", ".join([quoted(to), *map(quoted, rest)])
                lines.append(f"    {quoted(reads)}: [{words}]")
    return "\n".join(lines)


def as_plain(tapes, symbols, states, rules):
    body = "".join(f"{of},{reads} -> {','.join(to)};\n" for (of, reads), to in rules.items())
    return (
        f"states={{{','.join(states)},y,n}}\ninput_alphabet={{{','.join(symbols)}}}\n"
        "tape_alphabet_extra={_}\nstart_state=q accept_state=y reject_state=n\n"
        f"num_tapes={tapes}\ndelta=\n{body}"
    )


@settings(max_examples=150, deadline=None)
@given(sheet=sheets(), data=st.data())
def test_runs_as_the_simulator(sheet, data):
    """Both grammars, on random rules with wildcards; those that are ambiguous are refused."""
    tapes, symbols, states, rules = sheet
    texts = [as_yaml(symbols, states, rules)]
    if not set(symbols) & set(",;"):
        texts.append(as_plain(tapes, symbols, states, rules))
    reads = map("".join, product("_" + symbols, repeat=tapes))
    ambiguous = any(len(matching(rules, s, r)) > 1 for s, r in product(states, list(reads)))
    word = data.draw(st.text(symbols, max_size=6))
    for text in texts:
        assert formats_like(text) == ["doty"]
        if ambiguous:
            with pytest.raises(FormatError, match="both match"):
                doty.parse(text)
            continue
        machine = doty.parse(text)
        for limit in (0, 1, 2, 50):
            assert ran(machine, [word], limit) == simulated(tapes, rules, word, limit)
        written = doty.dump(machine)
        assert doty.dump(doty.parse(written)) == written
        assert ran(doty.parse(written), [word], 50) == ran(machine, [word], 50)


# --- there and back ------------------------------------------------------------------------------


def total(machine, seed):
    """Return a machine with the blank `_`, one state of each end at most, and all its rules."""
    rng = random.Random(seed)
    swap = {machine.blank: "_", "_": machine.blank}
    symbols = [swap.get(symbol, symbol) for symbol in machine.symbols]
    ends = {*machine.accept[:1], *machine.reject[:1]}
    given = {
        (state, tuple(swap.get(s, s) for s in reads)): replace(
            to, writes=tuple(swap.get(s, s) for s in to.writes)
        )
        for (state, reads), to in machine.transitions.items()
    }
    rules = {
        (state, reads): given.get((state, reads))
        or Transition(rng.choice([state, *ends]), rng.choice([reads, reads[::-1]]),
                      tuple(rng.choices("SSL", k=machine.tapes)))
        for state in machine.states
        if state not in ends
        for reads in product(symbols, repeat=machine.tapes)
    }  # fmt: skip
    return Machine(
        "total", tuple(symbols), "_", machine.states, machine.start, rules, machine.tapes,
        accept=machine.accept[:1], reject=machine.reject[:1],
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(machine=machines(tapes=(1, 2)), seed=st.integers(0, 2**32), data=st.data())
def test_there_and_back(machine, seed, data):
    machine = one_way(total(machine, seed))
    text = doty.dump(machine)
    back = doty.parse(text)
    words = [data.draw(st.text(list(machine.first), max_size=6)) for _ in range(machine.tapes)]
    for limit in (0, 1, 2, 60):
        assert ran(back, words, limit) == ran(machine, words, limit)
    assert formats_like(text) == ["doty"]
    assert doty.dump(back) == text
    assert dict(back.transitions) == dict(machine.transitions)


@settings(max_examples=80, deadline=None)
@given(machine=machines(tapes=(1, 2)), edge=st.booleans(), data=st.data())
def test_any_machine_there_and_back_or_an_error(machine, edge, data):
    made = one_way(machine) if edge else machine
    missing = len(machine.transitions) < len(machine.symbols) ** machine.tapes * (
        len(machine.states) - len((*machine.accept, *machine.reject, *machine.halt))
    )
    sayable = (
        edge and machine.blank == "_" and not machine.halt and not missing
        and len(machine.accept) < 2 and len(machine.reject) < 2
    )  # fmt: skip
    if not sayable:
        with pytest.raises(InputError, match="the format doty cannot say what"):
            doty.dump(made)
        return
    word = data.draw(st.text(list(machine.symbols), max_size=6))
    assert ran(doty.parse(doty.dump(made)), [word], 60) == ran(made, [word], 60)


RIGHT = Machine("right", ("_", "a"), "_", ("s", "y", "n"), "s", {
    ("s", ("_",)): Transition("y", ("_",), ("L",)), ("s", ("a",)): Transition("s", ("a",), ("R",)),
}, accept=("y",), reject=("n",))  # fmt: skip


def renamed(machine, names):
    """Return a machine with other symbols."""
    return replace(
        machine,
        symbols=tuple(names.get(s, s) for s in machine.symbols),
        blank=names.get(machine.blank, machine.blank),
        transitions={
            (state, tuple(names.get(s, s) for s in reads)): replace(
                to, writes=tuple(names.get(s, s) for s in to.writes)
            )
            for (state, reads), to in machine.transitions.items()
        },
    )


def test_what_it_cannot_say():
    made = one_way(RIGHT)
    assert doty.dump(made)
    other = dict(made.transitions)
    other["s", (made.first["_"],)] = Transition("n", (made.first["_"],), ("S",))
    rules = dict(RIGHT.transitions)
    del rules["s", ("a",)]
    cases = [
        (RIGHT, "tapes that are infinite both ways"),
        (one_way(replace(RIGHT, accept=(), halt=("y",))), "states that halt"),
        (one_way(replace(RIGHT, accept=("y", "n"), reject=())), "2 states that accept"),
        (one_way(replace(RIGHT, accept=(), reject=("y", "n"))), "2 states that reject"),
        (one_way(replace(RIGHT, transitions=rules)), "missing rules"),
        (one_way(renamed(RIGHT, {"_": "b"})), "the blank 'b'"),
        (one_way(renamed(RIGHT, {"a": "ab"})), "symbols of more than one character"),
        (one_way(renamed(RIGHT, {"a": "🙂"})), "symbols of more than one character"),
        (one_way(renamed(RIGHT, {"a": "?"})), "the symbol '?'"),
        (one_way(replace(RIGHT, symbols=("_",), transitions={
            key: to for key, to in RIGHT.transitions.items() if key[1] == ("_",)})),
         "no symbol but the blank"),
        (one_way(replace(RIGHT, states=("y", "n"), start="y", transitions={})), "no state that"),
        (replace(made, transitions=other), "rules of its own for the first cell"),
    ]  # fmt: skip
    for machine, message in cases:
        with pytest.raises(InputError, match=f"doty cannot say what 'right' has: {message}"):
            doty.dump(machine)


def test_ends_that_are_missing_are_added():
    """Never entered; a state of that name is left alone. Implied rules are left out but one."""
    reject = Transition("qA", ("_",), ("S",))
    machine = one_way(replace(
        RIGHT, states=("s", "qA"), accept=(), reject=("qA",),
        transitions={("s", ("_",)): reject, ("s", ("a",)): replace(reject, writes=("a",))},
    ))  # fmt: skip
    text = doty.dump(machine)
    assert text.startswith("states: [s, qA, 'qA''']\n")
    assert text.endswith("delta:\n  s:\n    _: [qA, _, S]\n")
    assert ran(doty.parse(text), ["a"]) == ("rejected", "qA", 1, ("a",), (0,))
    odd = renamed(RIGHT, {"a": "'"})
    odd = one_way(replace(odd, name="odd"))
    assert dict(doty.parse(doty.dump(odd)).transitions) == dict(odd.transitions)
