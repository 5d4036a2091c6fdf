"""Draws runs as text and as pictures, and asks the graph of a machine's states what it shows.

`tm2tf diagram` and `tm2tf graph` do this on the command line. Here are the parts of which they are
made, for notebooks and programs. A diagram in colour needs a terminal or a file; the plain ones
here can be printed anywhere. Pictures need the extra `draw`.
"""

import itertools
import tempfile
from pathlib import Path

import tm2tf
from tm2tf.errors import ExtraError
from tm2tf.machine.simulator import Simulation
from tm2tf.pictures.graphs import files, states
from tm2tf.pictures.spacetime import drawing, halfblocks, layout
from tm2tf.pictures.spacetime.history import Recorder
from tm2tf.pictures.spacetime.recording import record
from tm2tf.pictures.spacetime.words import words_of

WIDTH = 80  # characters a line
LETTERS = 6  # of the words that are tried in part 3
SIZE = (1000, 1200)  # most pixels

# Three of its states are not what its author meant.
TEXT = """\
name: ends-in-0
description: Should accept the binary words that end in 0.
start: seek
accept: yes
rules:
  seek:
    0|1: R
    _: L look
  look:
    0: S yes
    1: S trap
  trap:
    "*": R
  odd:
    0: S trap
    1: S yes
"""


def recorded(name, tapes, steps, rows, columns, measures):
    """Run compiled weights; return a history of at most so many rows and columns, and its title.

    What is measured by symbol, colours for example, is what wide columns show the mean of.
    """
    model = tm2tf.compile(name)
    start = model.start(*tapes)
    recorder = Recorder(model.machine, start, rows, columns, measures(model.machine))
    ended = record(model.compiled, start, recorder, steps)
    history = recorder.history()
    return history, words_of(start, history, ended)


def colours(machine):
    """Return what a picture measures by symbol: its colour."""
    return drawing.colours(machine.symbols, machine.blank)


def show(lines):
    for line in lines:
        print(f"   {line.plain}".rstrip())


print("1. A run as its tapes, one under the other: the tape across, time down. The copy, the way")
print("   back and the comparison of palindrome-2tape can be seen at once:\n")
history, words = recorded("palindrome-2tape", ["010"], None, 100, WIDTH, halfblocks.measures)
show(halfblocks.lettered(history, words, WIDTH))

print("\n2. A long run has more steps than there are lines. It is recorded while it goes on, in")
print("   little memory, and each row stands for many steps:\n")
history, words = recorded("counter", [], 2000, 16, WIDTH, halfblocks.measures)
show(halfblocks.dense(history, words, WIDTH))

print("\n3. The states as a graph. What no path reaches, no run enters; where no path leads to an")
print("   end, no run ends. Nothing is run to see that:\n")
own = tm2tf.load(TEXT)
for machine in (tm2tf.load("bb4"), tm2tf.load("counter"), own):
    found = states.analyse(machine)
    ends = "no run ever ends" if found.never_ends(machine) else "a run may end"
    print(f"   {machine.name:10} from {machine.start!r} {ends}")
    print(f"{'':14}unreachable {list(found.unreachable)}, dead {list(found.dead)}")
    print(f"{'':14}reads without a rule {found.undefined}")

tried, entered = 0, set()
for length in range(LETTERS + 1):
    for word in itertools.product("01", repeat=length):
        run = Simulation(own, own.initial([word]))
        entered.add(run.state)
        while run.steps < 2 * LETTERS + 2 and run.step():
            entered.add(run.state)
        tried += 1
print(f"\n   {own.name} run on all {tried} words of up to {LETTERS} letters enters", end=" ")
print(", ".join(state for state in own.states if state in entered) + ".")

print("\n4. The graph of bb2 for a page that knows Mermaid, as GitHub does:\n")
print(files.draw_states(states.view(tm2tf.load("bb2")), "mermaid"))

print("5. BB(4) as pictures:\n")
with tempfile.TemporaryDirectory() as folder:
    try:
        drawing.require_matplotlib()
        most = layout.room(tm2tf.load("bb4"), *SIZE)
        history, words = recorded("bb4", [], None, *most, colours)
        figure = drawing.draw(history, words, *SIZE)
        for name in ("run.png", "run.svg"):
            drawing.save(figure, Path(folder, name))
        wide, high = drawing.pixels(figure)
        print(f"   the run: {wide} x {high} pixels, {len(history.rows)} rows")
        graph = states.view(history.machine)
        for path in (Path(folder, "states.png"), Path(folder, "states.svg")):
            files.write(path, files.draw_states(graph, files.format_of(path)))
        for path in sorted(Path(folder).iterdir()):
            print(f"   {path.name:10} {path.stat().st_size:8,} bytes")
    except ExtraError as error:
        print(f"   {error}")
print("\n   To keep them: tm2tf diagram bb4 -o run.png; tm2tf graph bb4 -o states.svg")
