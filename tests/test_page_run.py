"""The page reads the model's tokens as the machine's run, forward and back, on any input."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tracr_stand_in
from tests.inspecting import SMALL, bundled, compiled
from tests.javascript import evaluate
from tests.strategies import configurations, machines
from tm2tf.compiler import compile_machine
from tm2tf.errors import InputError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape
from tm2tf.page.payload import Start, described, of_examples, payload
from tm2tf.page.prompts import recipe

SCRIPTS = ("evaluator.js", "run.js", "looped.js")

HISTORY = """
const { payload, words, most } = given;
const start = words === null ? payload.starts[payload.opens] : startOf(payload, words);
const run = runOf(payload, start);
run.advance(most);
const playback = new Playback(run);
const written = (tape) => [...tape].filter(([, s]) => s !== payload.machine.blank);
const shown = () => ({
  state: playback.configuration.state,
  heads: playback.configuration.heads,
  tapes: playback.configuration.tapes.map((tape) => written(tape).sort(([a], [b]) => a - b)),
});
const forward = [shown()];
for (let step = 1; step <= run.steps.length; step++) {
  playback.seekStep(step);
  forward.push(shown());
}
const back = [shown()];
for (let step = run.steps.length - 1; step >= 0; step--) {
  playback.seekStep(step);
  back.unshift(shown());
}
const { outcome, trouble, steps, passes } = run;
const counts = { steps: steps.length, passes: passes.length };
return { forward, back, prompt: start.prompt, outcome, trouble, ...counts };
"""


def history(model, words=None, most=3000, starts=None):
    given_ = payload(model, starts or of_examples(model.machine))
    return evaluate(SCRIPTS, HISTORY, {"payload": given_, "words": words, "most": most})


def simulated(machine, start, steps):
    """Return the configurations after 0, 1, ... steps as the page shows them, and the outcome."""
    simulation = Simulation(machine, start)
    found = []
    for _ in range(steps + 1):
        tapes = [
            [[a, s] for a, s in sorted(cells.items()) if s != machine.blank]
            for cells in simulation.cells
        ]
        found.append({"state": simulation.state, "heads": list(simulation.heads), "tapes": tapes})
        if simulation.step() is None:
            break
    return found, simulation.outcome


def check(model, found, start):
    expected, outcome = simulated(model.machine, start, found["steps"])
    assert found["trouble"] is None
    assert found["forward"] == expected
    assert found["back"] == expected
    assert found["outcome"] == outcome


@pytest.mark.parametrize("construction", SMALL)
@pytest.mark.parametrize(("name", "word"), [("bb3", ""), ("binary-increment", "1011")])
def test_a_run_of_each_construction(construction, name, word):
    model = compiled(name, construction, **SMALL[construction])
    start = model.machine.initial([word])
    found = history(model, [word])
    assert found["prompt"] == list(model.start(start).ids)
    check(model, found, start)


def test_several_tapes_and_heads_that_begin_elsewhere():
    model = compiled("palindrome-2tape")
    check(model, history(model, ["0110"]), model.machine.initial(["0110"]))
    tapes = [Tape(tuple("0110"), -2, -2), Tape((), 0, 5)]
    start = model.machine.initial(tapes)
    found = history(model, starts=[Start("", start)])
    check(model, found, start)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_random_machines(data):
    machine = data.draw(machines())
    start = data.draw(configurations(machine))
    found = history(compile_machine(machine), starts=[Start("", start)], most=60)
    expected, outcome = simulated(machine, start, found["steps"])
    assert found["forward"] == expected[: found["steps"] + 1]
    assert found["back"] == found["forward"]
    assert found["trouble"] is None
    assert found["outcome"] == outcome or found["passes"] == 60


def test_what_is_typed_must_be_symbols():
    model = compiled("binary-increment")
    body = """
    try { return startOf(given, ["1021"]); } catch (error) { return error.message; }
    """
    said = evaluate(SCRIPTS, body, payload(model, of_examples(model.machine)))
    assert said == "2 is no symbol of this machine; it has _ 0 1"


def test_recipes():
    """Those that are lines take words of any length; by lengths, up to what fits the tape."""
    assert recipe(compiled("bb3"))["kind"] == "line"
    assert recipe(compiled("palindrome-2tape"))["kind"] == "line"
    queue = recipe(compiled("binary-increment", "queue", tape=6))
    assert queue["kind"] == "lengths"
    assert len(queue["lengths"]) == 7
    assert recipe(compiled("binary-increment", "scratchpad"))["trimmed"]
    tapes = recipe(compiled("palindrome-2tape", "addressed", tape=12))
    assert tapes["kind"] == "none"
    assert "takes only the inputs of the list" in tapes["why"]


def test_too_long_a_word_is_refused():
    model = compiled("binary-increment", "queue", tape=6)
    body = """
    try { return startOf(given, ["1010101"]); } catch (error) { return error.message; }
    """
    said = evaluate(SCRIPTS, body, payload(model, of_examples(model.machine)))
    assert said == "7 symbols are too many: this page takes up to 6"


def test_starts():
    machine = bundled("binary-increment")
    starts = of_examples(machine)
    assert len({start.label for start in starts}) == len(starts)
    blank = bundled("bb4")
    assert [start.label for start in of_examples(blank)] == ["(blank)"]
    start = machine.initial([Tape(("1",), 3, -2)])
    assert described(machine, start) == "1 (from 3, head at -2)"


def test_a_start_that_does_not_fit():
    model = compiled("binary-increment", "queue", tape=6)
    start = Start("long", model.machine.initial(["1" * 9]))
    with pytest.raises(InputError, match="none of the 1 starts fits the tape"):
        payload(model, [start])


def test_a_looped_run_on_two_tapes():
    model = compiled("palindrome-2tape", "looped", window=16)
    start = model.machine.initial(["0110"])
    check(model, history(model, starts=[Start("", start)]), start)


def test_a_window_grows_until_the_weights_have_no_wider_one():
    model = compiled("bb4", "looped", window=4)
    start = model.machine.initial()
    check(model, history(model), start)
    bounds = replace(model.weights.bounds, position=4 * 2 + 2)
    narrow = replace(model, weights=replace(model.weights, bounds=bounds))
    found = history(narrow)
    assert found["trouble"] == "a head leaves the window of 8 cells, and there is none wider"
    expected, _ = simulated(model.machine, start, found["steps"])
    assert found["forward"] == expected
    assert 0 < found["steps"] < 107


def test_a_start_that_is_wider_than_the_window_gets_a_wider_one():
    model = compiled("binary-increment", "looped", window=4)
    start = model.machine.initial(["1" * 9])
    found = payload(model, [Start("", start)])
    assert len(found["starts"][0]["prompt"]) == 2 + 16  # 4 doubled until 9 cells fit


def test_softmax_weights_that_leak(monkeypatch):
    """Construction tracr: heads bring not quite 0 or 1, and the run is right all the same."""
    tracr_stand_in.install(monkeypatch)
    model = compile_machine(bundled("bb2"), "tracr")
    check(model, history(model), model.machine.initial())
