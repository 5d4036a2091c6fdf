"""The examples of a native machine: starts, and the results that runs from them should have."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tm2tf.errors import ConfigurationError
from tm2tf.formats.yaml_nodes import Source, count
from tm2tf.machine.spec import Example, Expected, Machine, Tape

EXAMPLE_FIELDS = (
    "input",
    "note",
    "outcome",
    "state",
    "steps",
    "nonblank",
    "tape",
    "tapes",
    "max_steps",
)


class ExampleReader:
    """Reads examples of a machine; its wildcard stands for a tape of which nothing is stated."""

    def __init__(self, source: Source, machine: Machine, wildcard: str) -> None:
        self.source, self.machine, self.wildcard = source, machine, wildcard

    def read(self, node: yaml.Node) -> Iterator[Example]:
        """Yield the examples in a list."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.source.error("examples must be a list (`- input: ...`)", node)
        for item in node.value:
            fields = self.source.fields(item, "an example", EXAMPLE_FIELDS)
            tapes = self._starts(fields.get("input"))
            try:
                start = self.machine.initial(tapes)
            except ConfigurationError as error:
                raise self.source.error(str(error), fields.get("input", item)) from None
            yield Example(
                start.tapes,
                self._expected(fields),
                self.source.word(fields["note"], "note") if "note" in fields else "",
                self.source.integer(fields["max_steps"], "max_steps", least=0)
                if "max_steps" in fields
                else None,
            )

    def _starts(self, node: yaml.Node | None) -> list[Tape]:
        if node is None:
            return []
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return [self._tape(item) for item in items]

    def _tape(self, node: yaml.Node) -> Tape:
        if not isinstance(node, yaml.MappingNode):
            return Tape(self.machine.split(self.source.word(node, "an input")))
        fields = self.source.fields(node, "an input", ("contents", "origin", "head"))
        contents = self._contents(fields["contents"]) if "contents" in fields else ()
        numbers = {
            key: self.source.integer(fields[key], key)
            for key in ("origin", "head")
            if key in fields
        }
        return Tape(contents, **numbers)

    def _contents(self, node: yaml.Node) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            return self.source.words(node, "contents")
        return self.machine.split(self.source.word(node, "contents"))

    def _wanted(self, node: yaml.Node) -> tuple[str, ...] | None:
        anything = isinstance(node, yaml.ScalarNode) and node.value == self.wildcard
        return None if anything else self._contents(node)

    def _expected(self, fields: dict[str, yaml.Node]) -> Expected:
        outcome = self.source.word(fields["outcome"], "outcome") if "outcome" in fields else None
        if outcome not in (None, "halted", "accepted", "rejected", "step-limit"):
            raise self.source.error(
                f"unknown outcome {outcome!r}: expected halted, accepted, rejected or step-limit",
                fields["outcome"],
            )
        state = self.source.word(fields["state"], "state") if "state" in fields else None
        if state is not None and state not in self.machine.states:
            raise self.source.error(f"unknown state {state!r}", fields["state"])
        contents = None
        if "tape" in fields or "tapes" in fields:
            key = "tapes" if "tapes" in fields else "tape"
            node = fields[key]
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            if len(items) > self.machine.tapes:
                raise self.source.error(
                    f"expected at most {count(self.machine.tapes, 'tape')}, got {len(items)}", node
                )
            contents = tuple(self._wanted(word) for word in items)
        numbers = {
            key: self.source.integer(fields[key], key, least=0)
            for key in ("steps", "nonblank")
            if key in fields
        }
        return Expected(outcome, state, tapes=contents, **numbers)  # type: ignore[arg-type]
