"""The universal construction: one set of weights does what any machine in its prompt does."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import ODD, PLAIN, configurations, machines
from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.constructions.universal import (
    CONSTRUCTION,
    canonical,
    canonical_start,
    examples,
    prompt_of,
    sizes,
)
from tm2tf.errors import ConfigurationError, ConstructionError
from tm2tf.lowering import lower
from tm2tf.machine import library, simulator
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Machine, Tape, Transition
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.model import Transformer, generate
from tm2tf.weights.folder import weights_sha256

OPTIONS = CONSTRUCTION.resolve({})
STEPS = 300


def bundled(name):
    entry = library.find(name)
    return formats.parse(entry.path.read_text(encoding="utf-8"), str(entry.path), entry.name)


ONE_TAPE = [m for m in (bundled(e.name) for e in library.entries()) if m.tapes == 1]
FITTING = [machine for machine in ONE_TAPE if CONSTRUCTION.refusal(machine, OPTIONS) is None]
SAMPLED = [machine for machine in (sample(5, n) for n in range(90)) if machine.tapes == 1]


def starts(machine):
    return [machine.initial(example.tapes) for example in machine.examples] or [machine.initial()]


@pytest.fixture(scope="module")
def interpreter():
    return Interpreter(CONSTRUCTION.program(FITTING[0], OPTIONS))


@pytest.fixture(scope="module")
def weights(interpreter):
    return lower(interpreter.program, "universal")


def follow(interpreter, machine, start, options=OPTIONS, limit=STEPS):
    """Hold the interpreter against the simulator step by step; return how the run ended."""
    program = interpreter.program
    tokens = {token.name: token for token in program.tokens}
    prompt = CONSTRUCTION.prompt(machine, start, options)
    calls = CONSTRUCTION.naming(machine, options)
    interpreter.restart()
    following = tokens[[interpreter.feed(token) for token in prompt.tokens][-1]]
    simulation = simulator.Simulation(machine, start)
    assert tokens[prompt.tokens[-1]].outcome == simulation.outcome
    while simulation.outcome is None and simulation.steps < limit:
        step, now = simulation.step(), interpreter.values
        if step is None:
            assert (following.role, following.outcome) == ("end", simulation.outcome)
            assert following.name == f"<stuck:{simulation.outcome}>"
            break
        assert calls.state(now["state"]) == step.state
        assert calls.symbol(now["tape0.read"]) == step.reads[0]
        assert now["tape0.head"] + prompt.origins[0] == step.heads[0]
        said, to = following.values, step.transition
        assert (following.role, following.outcome) == ("step", simulation.outcome)
        assert calls.state(said["state"]) == to.state
        assert calls.symbol(said["tape0.write"]) == to.writes[0]
        assert said["tape0.move"] == OFFSET[to.moves[0]]
        following = tokens[interpreter.feed(following.name)]
    return simulation.outcome


def emitted(interpreter, listed, machine, start, limit=STEPS):
    return interpreter.generate(prompt_of(listed, start, machine).tokens, limit)


# --- what the program does ----------------------------------------------------------------


@pytest.mark.parametrize("machine", FITTING, ids=lambda machine: machine.name)
def test_every_bundled_machine_that_fits_runs_step_by_step(interpreter, machine):
    for start in starts(machine)[:6]:
        follow(interpreter, machine, start)


def test_random_machines_run_step_by_step(interpreter):
    ended = {follow(interpreter, m, start) for m in SAMPLED for start in starts(m)}
    assert len(SAMPLED) > 20
    assert ended == {"halted", "accepted", "rejected", None}


SMALL = CONSTRUCTION.resolve({"states": 6, "symbols": 4, "halting": 5})
SMALL_INTERPRETER = Interpreter(CONSTRUCTION.program(FITTING[0], SMALL))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_machine_with_any_names_runs_step_by_step(data):
    machine = data.draw(machines(tapes=(1, 1), words=data.draw(st.sampled_from([PLAIN, ODD]))))
    follow(SMALL_INTERPRETER, machine, data.draw(configurations(machine)), SMALL, limit=40)


@pytest.mark.parametrize("machine", [*FITTING[::3], *SAMPLED[:10]], ids=lambda m: m.name)
def test_tokens_are_those_of_trace_for_the_canonical_machine(interpreter, machine):
    tuned = canonical(machine, OPTIONS)
    fine_tuned = Interpreter(trace.program(tuned, {}))
    for start in starts(machine)[:2]:
        prompt = trace.prompt(tuned, canonical_start(machine, start), {}).tokens
        expected = fine_tuned.generate(prompt, STEPS)
        if expected[-1:] == ["<stuck>"]:
            expected[-1] = f"<stuck:{UNDEFINED_OUTCOME[machine.undefined]}>"
        assert emitted(interpreter, examples(machine, OPTIONS), machine, start) == expected


# --- examples -----------------------------------------------------------------------------


def test_prompts_are_readable():
    shown = {" ".join(example) for example in examples(bundled("bb2x3"), OPTIONS)}
    assert {"A 0 -> B 1 right", "A 1 -> B 2 left", "A 2 -> halt 1 right"} < shown
    listed = examples(bundled("anbncn"), OPTIONS)
    assert ("A", "2", "->", "<stuck:rejected>") in listed
    assert len(listed) == 5 * 7  # running states by symbols
    prompt = CONSTRUCTION.prompt(*with_start("palindrome", "ab", origin=-2), OPTIONS)
    assert prompt.tokens[:5] == ("<bos>", "A", "0", "->", "accept")
    assert prompt.tokens[-5:] == ("<left>", "<left>", "[1]", "[2]", "<start>")
    prompt = CONSTRUCTION.prompt(*with_start("palindrome", "ab", origin=1, head=-1), OPTIONS)
    assert prompt.tokens[-5:] == ("[0]", "[0]", "[1]", "[2]", "<start>")
    assert prompt.origins == (-1,)


def with_start(name, word, origin=0, head=0):
    machine = bundled(name)
    return machine, machine.initial([Tape(machine.split(word), origin, head)])


@pytest.mark.parametrize("machine", [bundled("bb4"), bundled("reverse"), *SAMPLED[:4]])
def test_examples_may_be_shuffled_and_repeated(interpreter, machine):
    start = starts(machine)[-1]
    listed = examples(machine, OPTIONS)
    expected = emitted(interpreter, listed, machine, start)
    draw = random.Random(0)
    for times in (1, 2, 3):
        mixed = draw.sample(listed * times, times * len(listed))
        assert emitted(interpreter, mixed, machine, start) == expected


def looked_up(machine, start):
    """Yield state and symbol whenever a machine looks for a rule."""
    simulation = simulator.Simulation(machine, start)
    while simulation.outcome is None and simulation.steps < STEPS:
        yield simulation.state, simulation.cells[0].get(simulation.heads[0], machine.blank)
        simulation.step()


@pytest.mark.parametrize("name", ["bb3", "turing-alternating", "divisible-by-3", "anbncn"])
def test_a_missing_example_is_said_to_be_unknown_when_it_is_needed(interpreter, name):
    machine = bundled(name)
    start = starts(machine)[0]
    listed = examples(machine, OPTIONS)
    expected = emitted(interpreter, listed, machine, start)
    needed = list(looked_up(canonical(machine, OPTIONS), canonical_start(machine, start)))
    assert len(needed) == len(expected)
    for missing in listed:
        told = emitted(interpreter, [e for e in listed if e != missing], machine, start)
        if missing[:2] in needed:
            assert told == [*expected[: needed.index(missing[:2])], "<unknown>"]
        else:
            assert told == expected
    assert emitted(interpreter, [], machine, start) == ["<unknown>"]
    token = interpreter.program.token("<unknown>")
    assert (token.role, token.outcome) == ("end", "unknown")


def test_of_contradicting_examples_the_latest_counts(interpreter):
    machine = bundled("bb3")
    start = machine.initial()
    listed = examples(machine, OPTIONS)
    right = emitted(interpreter, listed, machine, start)
    draw = random.Random(1)
    changed = 0
    for number, (state, symbol, arrow, *_) in enumerate(listed):
        other = (draw.choice("ABC"), draw.choice("01"), draw.choice(["left", "right"]))
        for says in (other, ("<stuck:halted>",)):
            lie = (state, symbol, arrow, *says)
            lied = [*listed[:number], lie, *listed[number + 1 :]]
            wrong = emitted(interpreter, lied, machine, start)
            assert emitted(interpreter, [*listed, lie], machine, start) == wrong
            assert emitted(interpreter, [lie, *listed], machine, start) == right
            changed += wrong != right
    assert changed > len(listed)


# --- the weights --------------------------------------------------------------------------


def test_weights_are_equal_for_all_machines(weights):
    chosen = [*FITTING[:10], *SAMPLED[:10]]
    made = {weights_sha256(lower(CONSTRUCTION.program(m, OPTIONS), "universal")) for m in chosen}
    assert made == {weights_sha256(weights)}


def test_the_same_weights_run_many_machines_in_one_batch(interpreter, weights):
    chosen = [*FITTING[::6], *SAMPLED[:4]]
    prompts = [CONSTRUCTION.prompt(m, starts(m)[0], OPTIONS).tokens for m in chosen]
    listed = examples(bundled("bb4"), OPTIONS)
    for mixed in (listed[1:], listed[:-1], [*listed, listed[0][:3] + listed[1][3:]]):
        prompts.append(prompt_of(mixed, bundled("bb4").initial(), bundled("bb4")).tokens)
    ids = weights.ids()
    numbers = [[ids[token] for token in prompt] for prompt in prompts]
    found = generate(Transformer(weights), weights, numbers, max_tokens=40)
    names = [[weights.tokens[number].name for number in told] for told in found]
    assert names == [interpreter.generate(prompt, 40) for prompt in prompts]
    assert ["<unknown>" in told for told in names[-3:]] == [True, True, False]


@pytest.mark.parametrize(
    "asked", [{}, {"states": 1, "symbols": 1, "halting": 1}, {"states": 30, "symbols": 11}]
)
def test_sizes_are_those_of_the_formulas(asked):
    options = CONSTRUCTION.resolve(asked)
    machine = bundled("bb2")
    made = lower(CONSTRUCTION.program(machine, options), "universal")
    assert sizes(machine, options) == {
        "layers": len(made.layers),
        "heads": made.heads,
        "d_model": made.d_model,
        "d_mlp": made.d_mlp,
        "vocab": made.d_vocab,
    }


# --- names --------------------------------------------------------------------------------


def plain(states, symbols, start, blank, **kinds):
    """Return a machine without rules."""
    return Machine("plain", tuple(symbols), blank, tuple(states), start, {}, **kinds)


def test_canonical_names_are_kept_where_they_fit():
    known = canonical(bundled("bb5"), OPTIONS)
    assert (known.states, known.symbols) == (("A", "B", "C", "D", "E", "halt"), ("0", "1"))
    assert known.transitions["E", ("0",)] == Transition("halt", ("1",), ("R",))
    assert canonical(plain("ACB", "021", "A", "0"), OPTIONS).states == ("A", "B", "C")
    calls = CONSTRUCTION.naming(plain("ACB", "021", "A", "0"), OPTIONS)
    assert (calls.state("B"), calls.symbol("1")) == ("B", "1")


def test_canonical_names_begin_with_the_start_and_the_blank():
    machine = plain(
        ("x", "n", "A", "y", "z", "e"), "ab_", "A", "_", accept=("y", "z"), reject=("n",), halt="e"
    )
    calls = CONSTRUCTION.naming(machine, OPTIONS)
    words = {"A": "A", "B": "x", "halt": "e", "accept": "y", "accept2": "z", "reject": "n"}
    assert {word: calls.state(word) for word in words} == words
    assert [calls.symbol(word) for word in "012"] == ["_", "a", "b"]
    # what the machine lacks is none of its words, whatever it is called
    assert calls.state("C") not in machine.states
    assert {calls.state(s) for s in canonical(machine, OPTIONS).states} == set(machine.states)


@pytest.mark.parametrize("machine", FITTING, ids=lambda machine: machine.name)
def test_canonical_machines_are_canonical(machine):
    known = canonical(machine, OPTIONS)
    assert canonical(known, OPTIONS) == known
    assert examples(known, OPTIONS) == examples(machine, OPTIONS)


def test_states_past_the_alphabet_have_two_letters():
    machine = plain([f"q{i}" for i in range(30)], "_", "q3", "_")
    known = canonical(machine, CONSTRUCTION.resolve({"states": 30}))
    assert (known.start, *known.states[24:29]) == ("A", "Y", "Z", "AA", "AB", "AC")


def test_a_start_that_halts_is_over_at_once(interpreter):
    machine = plain("ABC", "01", "C", "0", accept=("B", "C"))
    assert follow(interpreter, machine, machine.initial()) == "accepted"
    assert CONSTRUCTION.prompt(machine, machine.initial(), OPTIONS).tokens[-1] == "<start:accept>"


# --- refusals -----------------------------------------------------------------------------


def test_machines_that_are_too_large_are_told_which_options_to_raise():
    with pytest.raises(ConstructionError, match=r"40 running .* --states 40 --symbols 15$"):
        canonical(bundled("universal"), OPTIONS)
    with pytest.raises(ConstructionError, match=r"17 running states \(room for 16\); .* 17$"):
        CONSTRUCTION.prompt(*with_start("turing-growing-runs", ""), OPTIONS)
    many = plain("ABCDE", "0", "A", "0", halt=tuple("BCDE"))
    with pytest.raises(ConstructionError, match=r"--halting 4$"):
        examples(many, OPTIONS)
    assert CONSTRUCTION.refusal(bundled("matching"), OPTIONS).endswith("this one has 2")
    assert {m.name for m in ONE_TAPE} - {m.name for m in FITTING} == {
        "doubled-word",
        "turing-growing-runs",
        "universal",
    }


def test_the_options_named_are_enough():
    machine = bundled("universal")
    options = CONSTRUCTION.resolve({"states": 40, "symbols": 15})
    interpreter = Interpreter(CONSTRUCTION.program(machine, options))
    follow(interpreter, machine, starts(machine)[0], options, limit=50)


def test_a_run_begins_in_the_start_state():
    machine = bundled("bb3")
    with pytest.raises(ConfigurationError, match="begins in the start state 'A', not in 'B'"):
        CONSTRUCTION.prompt(machine, replace(machine.initial(), state="B"), OPTIONS)
