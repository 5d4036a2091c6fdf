"""The exact interpreter: what a program means, in Python integers, one position at a time.

Shares no code with the simulator (it knows no machines) or the runtimes (it knows no weights).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tm2tf.program.features import POSITION, Integer, Value
from tm2tf.program.operations import Affine, CausalSum, Latest, Operation, Product, Relative, Table
from tm2tf.program.program import Program

Values = dict[str, Value]


class Interpreter:
    """A program in motion: feed it tokens, read features and the next token.

    Memory grows with the distinct keys that `Latest` has seen and the largest offset that
    `Relative` reaches, not with the positions fed.

    Attributes:
        position: how many tokens were fed.
        values: every feature at the last position.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.position = 0
        self.values: Values = {}
        blank: Values = {f.name: 0 if isinstance(f, Integer) else None for f in program.features}
        self._embedding = {token.name: blank | dict(token.values) for token in program.tokens}
        self._layers = [
            [self._executable(op) for op in (*layer.attention, *layer.feed_forward)]
            for layer in program.layers
        ]
        self._unembedding = {row: token for token, row in program.unembed.rows.items()}

    def feed(self, token: str) -> str:
        """Process one more token; return the token that the program emits after it."""
        self.position += 1
        values = dict(self._embedding[token])
        values[POSITION] = self.position
        for layer in self._layers:
            for execute in layer:
                execute(values)
        self.values = values
        row = tuple(values[name] for name in self.program.unembed.features)
        return self._unembedding.get(row, self.program.unembed.default)  # type: ignore[arg-type]

    def generate(self, prompt: Sequence[str], max_tokens: int) -> list[str]:
        """Feed a prompt and then what the program emits; return the emitted tokens.

        Stops after a token with an outcome, or after `max_tokens`.
        """
        outcome = {token.name: token.outcome for token in self.program.tokens}
        emitted: list[str] = []
        following = ""
        for token in prompt:
            following = self.feed(token)
        if outcome[prompt[-1]] is not None:
            return emitted
        while len(emitted) < max_tokens:
            emitted.append(following)
            if outcome[following] is not None:
                break
            following = self.feed(following)
        return emitted

    def _executable(self, operation: Operation) -> Callable[[Values], None]:
        match operation:
            case CausalSum():
                return _causal_sum(operation)
            case Latest():
                return _latest(operation)
            case Relative():
                return _relative(operation)
            case Affine():
                return _affine(operation)
            case Product():
                return _product(operation)
            case Table():
                return _table(operation)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _causal_sum(op: CausalSum) -> Callable[[Values], None]:
    total = 0

    def execute(values: Values) -> None:
        nonlocal total
        total += _number(values[op.value])
        values[op.out] = total if op.when is None or values[op.when] == 1 else 0

    return execute


def _latest(op: Latest) -> Callable[[Values], None]:
    memory: dict[Value, Value] = {}

    def execute(values: Values) -> None:
        if values[op.where] == 1 and values[POSITION] != 1:
            memory[values[op.key]] = values[op.value]
        values[op.out] = memory.get(values[op.query], op.default)

    return execute


def _relative(op: Relative) -> Callable[[Values], None]:
    recent: list[Value] = []

    def execute(values: Values) -> None:
        first = values[POSITION] == 1
        recent.append(op.default if first else values[op.value])
        values[op.out] = op.default if len(recent) <= op.offset else recent[-1 - op.offset]
        del recent[: -1 - op.offset]

    return execute


def _affine(op: Affine) -> Callable[[Values], None]:
    def execute(values: Values) -> None:
        values[op.out] = op.constant + sum(c * _number(values[name]) for c, name in op.terms)

    return execute


def _product(op: Product) -> Callable[[Values], None]:
    def execute(values: Values) -> None:
        values[op.out] = _number(values[op.left]) * _number(values[op.right])

    return execute


def _table(op: Table) -> Callable[[Values], None]:
    rows: dict[tuple[Value, ...], tuple[Value, ...]] = {row.inputs: row.outputs for row in op.rows}
    none = (None,) * len(op.outputs)

    def execute(values: Values) -> None:
        outputs = rows.get(tuple(values[name] for name in op.inputs), none)
        for name, value in zip(op.outputs, outputs, strict=True):
            values[name] = value

    return execute
