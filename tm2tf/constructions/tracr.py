"""The tracr construction: looped-neighbours as a RASP program, compiled by DeepMind's tracr.

Program, prompt and what cells hold are those of `looped-neighbours`; `lowering.tracr` says how it
becomes RASP and then weights. The attention is a softmax, and exact only in a window of so many
cells (`MOST`, derived there). The weights depend on the window, which therefore does not grow: each
place has a direction of its own, and a head finds a neighbour by it.

Cost: W + 2 positions; one pass a step; W bounds space, nothing bounds time. tracr makes a direction
for each value of everything named on the way, and a neuron for each pair of values. With M symbols
and, of the states that can be reached, Q in all, T that a rule leads to, of these r by a move to
the right, l to the left, s by none, and u = |r or s|, a cell holds one of w = (Q + 3) (M + 1) words
(a state, either arrow or nothing; a symbol or nothing) and next one of v = (T + 3) (M + 1):
    layers      6
    heads       2
    d_mlp       max(4 w, (s + 3) (r + 2), (u + 3) (l + 2))
    d_model     w + v + W + Q + T + 2 M + 3 (r + l) + s + u + 33
    vocab       as looped-neighbours
tracr's time grows with the square of the most pairs in one of its tables, max(w, the two last of
d_mlp), of which at most `MOST_PAIRS` are taken: that is about a minute.

Source: Lindner et al. 2023 (Tracr, arXiv 2301.05062), which compiles RASP (Weiss, Goldberg &
Yahav 2021, arXiv 2106.06981) into transformers. A machine's step in RASP, the loop and the bound
are original.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tm2tf.constructions.construction import Option, Options, as_asked
from tm2tf.constructions.looped import WINDOW
from tm2tf.constructions.looped_neighbours import CONSTRUCTION as NEIGHBOURS
from tm2tf.machine.spec import Machine

MOST = 224
"""The widest window for which tracr's softmax is sharp enough."""

MOST_PAIRS = 1024


@dataclass(frozen=True, slots=True)
class _States:
    """States that can be reached, and those of them that are entered by a move."""

    reached: frozenset[str]
    right: frozenset[str]
    left: frozenset[str]
    still: frozenset[str]

    @staticmethod
    def of(machine: Machine) -> _States:
        """Return the states of a machine, as if any symbol could be read anywhere."""
        rules = [(state, to) for (state, _), to in machine.transitions.items()]
        reached, found = set[str](), {machine.start}
        while found:
            reached |= found
            found = {to.state for state, to in rules if state in reached} - reached
        entered = {
            move: frozenset(t.state for q, t in rules if q in reached and t.moves[0] == move)
            for move in "RLS"
        }
        return _States(frozenset(reached), *entered.values())

    def pairs(self, machine: Machine) -> tuple[int, int, int]:
        """Return w, and how many pairs the two tables have that join what arrives at a cell."""
        return (
            (len(self.reached) + 3) * (len(machine.symbols) + 1),
            (len(self.still) + 3) * (len(self.right) + 2),
            (len(self.right | self.still) + 3) * (len(self.left) + 2),
        )


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab, by formula."""
    states = _States.of(machine)
    words, *joined = states.pairs(machine)
    m, reached = len(machine.symbols), len(states.reached)
    right, left, still = len(states.right), len(states.left), len(states.still)
    entered, not_left = states.right | states.left | states.still, states.right | states.still
    return {
        "layers": 6,
        "heads": 2,
        "d_model": words
        + (len(entered) + 3) * (m + 1)
        + options[WINDOW.name]
        + reached
        + len(entered)
        + 2 * m
        + 3 * (right + left)
        + still
        + len(not_left)
        + 33,
        "d_mlp": max(4 * words, *joined),
        "vocab": NEIGHBOURS.sizes(machine, options)["vocab"],
    }


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine is refused: several tapes, or too many states; None if it is not."""
    reason = NEIGHBOURS.refusal(machine, options)
    if reason is not None:
        return reason
    pairs = max(_States.of(machine).pairs(machine))
    if pairs <= MOST_PAIRS:
        return None
    return (
        f"tracr would tabulate {pairs:,} pairs of values at once, which takes it minutes, and at "
        f"most {MOST_PAIRS:,} are taken; take construction 'looped-neighbours'"
    )


CONSTRUCTION = replace(
    NEIGHBOURS,
    name="tracr",
    summary="looped-neighbours as a RASP program that tracr compiles; needs tm2tf[tracr]",
    source="after Lindner et al. 2023 (Tracr, arXiv 2301.05062), Smith 1971 (cellular automata)",
    sizes=sizes,
    options=(Option(WINDOW.name, 24, WINDOW.least, WINDOW.help, most=MOST),),
    fitting=as_asked,
    refusal=refusal,
    targets=("tracr",),
)
