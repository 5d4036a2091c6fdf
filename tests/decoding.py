"""A program's run read as machine steps, with cuts of the context applied by hand."""

from collections.abc import Callable

import torch

from tm2tf import formats, lowering
from tm2tf.machine import library
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import OFFSET
from tm2tf.program.features import Categorical
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.model import Transformer

Feed = Callable[[str], tuple[dict, str]]
"""Takes a token; returns all features at it, and the token that comes next."""


def bundled(name):
    return formats.parse(library.find(name).path.read_text(encoding="utf-8"), name)


def interpreted(program) -> Callable[[], Feed]:
    """Return what begins a context in the interpreter."""

    def begin():
        interpreter = Interpreter(program)

        def feed(token):
            following = interpreter.feed(token)
            return interpreter.values, following

        return feed

    return begin


def weighed(program) -> Callable[[], Feed]:
    """Return what begins a context in the torch model, which the interpreter is held against."""
    weights = lowering.lower(program, "decoding", "hard")
    ids, model, start = weights.ids(), Transformer(weights), interpreted(program)

    def begin():
        model.reset()
        interpret = start()

        def feed(token):
            logits = model(torch.tensor([[ids[token]]]))
            streams = [x[0, 0].numpy() for x in model.stream]
            values, following = interpret(token)
            for readout in weights.readouts:
                value, feature = values[readout.feature.name], readout.feature
                if isinstance(feature, Categorical):
                    value = -1 if value is None else feature.values.index(value)
                assert readout.read(streams[readout.layer + 1]) == value, (token, feature.name)
            assert weights.tokens[int(logits[0, 0].argmax())].name == following
            return values, following

        return feed

    return begin


class Built:
    """A machine with its program by a construction."""

    def __init__(self, construction, machine, **options):
        self.construction, self.machine = construction, machine
        self.options = construction.resolve(options)
        construction.check(machine, self.options)
        self.program = construction.program(machine, self.options)

    def prompt(self, start):
        return self.construction.prompt(self.machine, start, self.options)

    def weights(self):
        return lowering.lower(self.program, self.construction.name, "hard")

    def sizes(self):
        """Return sizes as stated, and as they are."""
        weights = self.weights()
        found = {
            "layers": len(weights.layers),
            "heads": weights.heads,
            "d_model": weights.d_model,
            "d_mlp": weights.d_mlp,
            "vocab": weights.d_vocab,
        }
        return self.construction.sizes(self.machine, self.options), found


class Decoding:
    """A run of a machine by its program.

    `context` holds the tokens fed since the last cut, `peak` its greatest length, `after_cut` its
    length after each cut; `emitted` counts tokens. Without `cut`, nothing is ever forgotten.
    """

    def __init__(self, built, start, *, evaluate=interpreted, cut=True):
        self.construction, self.machine = built.construction, built.machine
        self.options, self.program, self.cut = built.options, built.program, cut
        self.prompt = built.prompt(start)
        self._tokens = {token.name: token for token in self.program.tokens}
        self._begin = evaluate(built.program)
        self._bases = list(self.prompt.origins)
        self._heads = [tape.head for tape in start.tapes]
        self.outcome = self._tokens[self.prompt.tokens[-1]].outcome
        self.emitted, self.peak, self.after_cut = 0, 0, []
        self._read(self.prompt.tokens)

    def _read(self, tokens):
        self.context = []
        self._feed = self._begin()
        for token in tokens:
            self._take(token)

    def _take(self, token):
        self.context.append(token)
        self.peak = max(self.peak, len(self.context))
        self.values, self.following = self._feed(token)

    def _emit(self):
        token = self._tokens[self.following]
        self.emitted += 1
        self._take(token.name)
        if token.role == "cut" and self.cut:
            roles = [self._tokens[name].role for name in self.context]
            opened = len(roles) - 1 - roles[::-1].index("summary")
            self._read([self.context[0], *self.context[opened:]])
            self.after_cut.append(len(self.context))
            if self.construction.rebases:
                self._bases = list(self._heads)
        return token

    def now(self):
        """Return state, heads and what is read, as the features say."""
        values, k = self.values, range(self.machine.tapes)
        state = values["now.state"] if "now.state" in values else values["state"]
        heads = tuple(self._bases[t] + values[f"tape{t}.head"] for t in k)
        return state, heads, tuple(values[f"tape{t}.read"] for t in k)

    def step(self):
        """Return the next step: where from, and what is done; None if the run is over."""
        while self.outcome is None:
            before = self.now()
            token = self._emit()
            self.outcome = token.outcome
            if token.role != "step":
                continue
            k = range(self.machine.tapes)
            writes = tuple(token.values[f"tape{t}.write"] for t in k)
            moves = tuple(token.values.get(f"tape{t}.move", 0) for t in k)
            self._heads = [head + move for head, move in zip(self._heads, moves, strict=True)]
            for _ in range(self.construction.parts(self.machine)):
                part = self._emit()
                assert part.role == "part"
                self.outcome = self.outcome or part.outcome
            return (*before, token.values["state"], writes, moves)
        return None


def agree(decoding, start, max_steps):
    """Follow a run beside the simulator; return the simulation and the cells that were in use.

    Stops where the decoder says that a head has left its tape.
    """
    machine = decoding.machine
    simulation = Simulation(machine, start)
    used = [{*cells, head} for cells, head in zip(simulation.cells, simulation.heads, strict=True)]
    while simulation.steps < max_steps:
        step = simulation.step()
        told = decoding.step()
        if step is None:
            assert told is None
            break
        to = step.transition
        moves = tuple(OFFSET[move] for move in to.moves)
        meant = (step.state, step.heads, step.reads, to.state, to.writes, moves)
        assert told == meant, f"step {step.number}"
        for cells, head in zip(used, simulation.heads, strict=True):
            cells.add(head)
        if decoding.outcome == "tape-full":
            return simulation, used
    assert decoding.outcome == simulation.outcome
    return simulation, used
