"""Reading YAML as text with places: every scalar stays the text that was written.

`0` stays `"0"` and `yes` stays `"yes"`; each node knows its line and column, so that a
format built on it can point at what is wrong.

Two parsers read it: libyaml, some fifteen times as fast, and PyYAML's own, which has the last word
on all that is not plain. Where the first finds anything odd, the second reads the text anew, so
that what is taken, and what messages say, never depends on libyaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tm2tf.errors import FormatError, did_you_mean
from tm2tf.formats.sizes import MAX_CHARACTERS, MORE_CHARACTERS


class _PlainLoader(yaml.SafeLoader):
    """Refuses what would change or hide a text: tags (`!x`), anchors (`&x`), aliases (`*x`)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node, as written."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        named = {"tag": "!", "anchor": "&"}
        found = [
            f"a YAML {kind} ({mark})" for kind, mark in named.items() if getattr(event, kind, None)
        ]
        if isinstance(event, yaml.AliasEvent):
            found = ["a YAML alias (*)"]
        if found:
            problem = f"{found[0]} is not allowed here; put quotes around a symbol that begins so"
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


_COMMENT = re.compile(r"(?:^| )#[^\"'\t\r\n\x85\u2028\u2029\ufeff]*$", re.MULTILINE)
"""A comment, or the end of a line in a quoted text: in neither does a character mean anything."""

_ODD = re.compile(r"[\t\ufeff]|^\?|[^ \n]\?|\?[^ ]")
"""What the two parsers may read differently: tabs, marks of byte order, a `?` beside a word."""

_TEXT = "tag:yaml.org,2002:str"


class _OddError(Exception):
    """Something that PyYAML's own parser has to look at."""


def _quickly(text: str) -> yaml.Node | None:
    """Return the root node by libyaml; None where it is not installed, or the text is not plain."""
    if not yaml.__with_libyaml__ or _ODD.search(_COMMENT.sub("", text)):
        return None
    try:
        events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        kinds = [type(next(events)) for _ in range(2)]
        if kinds != [yaml.StreamStartEvent, yaml.DocumentStartEvent]:
            return None  # empty
        root = _node(next(events), events)
        kinds = [type(event) for event in events]
        return root if kinds == [yaml.DocumentEndEvent, yaml.StreamEndEvent] else None
    except (yaml.YAMLError, ValueError, RecursionError, _OddError):
        return None


def _node(event: Any, events: Iterator[Any]) -> yaml.Node:
    """Return the node that begins with an event; its tag is that of a text, whatever it is.

    Raises:
        _OddError: it has a tag, an anchor or an alias, a block scalar, or nothing at all.
    """
    if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
        raise _OddError
    start: Any = event.start_mark
    if isinstance(event, yaml.ScalarEvent):
        if event.style in ("|", ">") or not (event.value or event.style):
            raise _OddError
        return yaml.ScalarNode(_TEXT, event.value, start, style=event.style or None)
    nodes = []
    for inner in events:
        if isinstance(inner, yaml.CollectionEndEvent):
            break
        nodes.append(_node(inner, events))
    if isinstance(event, yaml.SequenceStartEvent):
        return yaml.SequenceNode(_TEXT, nodes, start)
    pairs = list(zip(nodes[::2], nodes[1::2], strict=True))
    return yaml.MappingNode(_TEXT, pairs, start)


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name it goes by in messages."""

    text: str
    name: str

    def error(
        self, message: str, node: yaml.Node | None = None, hint: str | None = None
    ) -> FormatError:
        """Return an error that points at `node`."""
        line = column = None
        if node is not None and node.start_mark is not None:
            line, column = node.start_mark.line + 1, node.start_mark.column + 1
        return FormatError(
            message, source=self.name, text=self.text, line=line, column=column, hint=hint
        )

    def compose(self) -> yaml.Node:
        """Return the root node.

        Raises:
            FormatError: not YAML, empty, longer than `MAX_CHARACTERS`, or nested too deep.
        """
        if len(self.text) > MAX_CHARACTERS:
            raise self.error(
                f"the text has {len(self.text):,} characters; the limit is {MAX_CHARACTERS:,}",
                hint=MORE_CHARACTERS,
            )
        try:
            root = _quickly(self.text) or yaml.compose(self.text, Loader=_PlainLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            alias = "alias" in f"{error.context} {error.problem}"
            raise FormatError(
                f"not valid YAML: {error.problem or error.context}",
                source=self.name,
                text=self.text,
                line=mark.line + 1 if mark else None,
                column=mark.column + 1 if mark else None,
                hint='a `*` at the beginning needs quotes: `"*": R`' if alias else None,
            ) from None
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position].split("\n")
            raise FormatError(
                f"the character {chr(error.character)!r} is not allowed in YAML",
                source=self.name,
                text=self.text,
                line=len(before),
                column=len(before[-1]) + 1,
            ) from None
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(f"not valid YAML: {error}") from None
        except RecursionError:
            raise self.error("nested too deep") from None
        if root is None:
            raise self.error(
                "the file is empty", hint="`tm2tf machines bb4` shows one to start from"
            )
        return root

    def items(self, node: yaml.Node, what: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Yield the (key, value) nodes of a mapping."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping (`key: value` lines)", node)
        yield from node.value

    def fields(self, node: yaml.Node, what: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return a mapping's values by key, each key known and given once."""
        found: dict[str, yaml.Node] = {}
        for key_node, value in self.items(node, what):
            key = self.word(key_node, "a key")
            if key not in known:
                raise self.error(
                    f"unknown key {key!r} in {what}" + did_you_mean(key, known),
                    key_node,
                    hint=f"known keys: {', '.join(known)}",
                )
            if key in found:
                raise self.error(f"key {key!r} is given twice in {what}", key_node)
            found[key] = value
        return found

    def word(self, node: yaml.Node, what: str) -> str:
        """Return a scalar's text as written."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(f"{what} must be a single word, not a list or a mapping", node)
        return str(node.value)

    def words(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        """Return a list's scalars; a single scalar counts as a list of one."""
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.word(item, f"each of {what}") for item in node.value)
        return (self.word(node, what),)

    def integer(self, node: yaml.Node, what: str, least: int | None = None) -> int:
        """Return a scalar as an integer, at least `least`; `_` and `,` may group its digits."""
        text = self.word(node, what).replace("_", "").replace(",", "")
        try:
            number = int(text)
        except ValueError:
            raise self.error(f"{what} must be a whole number, got {text!r}", node) from None
        if least is not None and number < least:
            raise self.error(f"{what} must be {least} or more, got {number}", node)
        return number


def count(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 tape` and `2 tapes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
