"""Reading XML as a tree with places: every element knows its line and column.

The parser is that of defusedxml: what it refuses (entities, external references) or is told to
refuse (document types), and what is nested too deep or too long, is a `FormatError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler, LexicalHandler, property_lexical_handler

import defusedxml.sax
from defusedxml import DefusedXmlException

from tm2tf.errors import FormatError
from tm2tf.formats.sizes import MAX_CHARACTERS, MORE_CHARACTERS

MAX_DEPTH = 100
MAX_ELEMENTS = 1_000_000
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_OTHER_LINES = dict.fromkeys(map(ord, "\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " ")
"""Characters that end a line for Python, and not for XML: messages must count as XML does."""


@dataclass(slots=True, eq=False)
class Element:
    """An element: its attributes, the elements in it, and the first run of text in it."""

    tag: str
    attributes: Mapping[str, str]
    line: int
    column: int
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Element]:
        """Return the elements directly in this one that are called `tag`."""
        return [child for child in self.children if child.tag == tag]

    def last(self, tag: str) -> Element | None:
        """Return the last of `all`, or None."""
        found = self.all(tag)
        return found[-1] if found else None

    def below(self) -> Iterator[Element]:
        """Yield all elements in this one, as they begin in the text."""
        waiting = self.children[::-1]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += element.children[::-1]

    def first_below(self, tag: str) -> Element | None:
        """Return the first element in this one that is called `tag`, at any depth, or None."""
        return next((element for element in self.below() if element.tag == tag), None)


@dataclass(frozen=True, slots=True)
class XmlSource:
    """A text and the name it goes by in messages."""

    text: str
    name: str

    def error(
        self, message: str, element: Element | None = None, hint: str | None = None
    ) -> FormatError:
        """Return an error that points at an element."""
        if element is None:
            return self.at(message, None, None, hint)
        return self.at(message, element.line, element.column, hint)

    def at(
        self, message: str, line: int | None, column: int | None, hint: str | None = None
    ) -> FormatError:
        """Return an error that points at a line and a column."""
        text = self.text.translate(_OTHER_LINES)
        return FormatError(
            message, source=self.name, text=text, line=line, column=column, hint=hint
        )

    def root(self) -> Element:
        """Return the root element.

        Raises:
            FormatError: no XML, or XML that is too long, too deep, or defines what it is made of.
        """
        if len(self.text) > MAX_CHARACTERS:
            raise self.error(
                f"the text has {len(self.text):,} characters; the limit is {MAX_CHARACTERS:,}",
                hint=MORE_CHARACTERS,
            )
        parser: Any = defusedxml.sax.make_parser()
        parser.forbid_dtd = True
        builder = _Builder(self, parser)
        parser.setContentHandler(builder)
        parser.setProperty(property_lexical_handler, _Breaks(builder))
        try:
            parser.feed(self.text)
            parser.close()
        except SAXParseException as error:
            line, column = error.getLineNumber() or 1, error.getColumnNumber() or 0
            raise self.at(f"not valid XML: {error.getMessage()}", line, column + 1) from None
        except DefusedXmlException:
            raise self.at(
                "a document type (<!DOCTYPE) and entities are not read",
                *builder.place(),
                hint="take that part out; machines need none",
            ) from None
        except UnicodeEncodeError as error:
            before = self.text[: error.start].split("\n")
            raise self.at(
                f"the character {error.object[error.start]!r} is half of one, not allowed in XML",
                len(before),
                len(before[-1]) + 1,
            ) from None
        except SAXException as error:
            raise self.error(f"not valid XML: {error.getMessage()}") from None
        return builder.outermost.children[0]

    def integer(self, text: str, what: str, element: Element) -> int:
        """Return a text as a whole number; spaces around it are no part of one."""
        if not _INTEGER.fullmatch(text):
            raise self.error(f"{what} must be a whole number, got {text!r}", element)
        return int(text)


class _Builder(ContentHandler):
    """Builds the tree. A comment, an element and the like end an element's first run of text."""

    def __init__(self, source: XmlSource, parser: Any) -> None:
        super().__init__()
        self.source = source
        self.parser = parser
        self.outermost = Element("", {}, 1, 1)
        self.path = [self.outermost]
        self.runs: list[list[str]] = [[]]
        self.ended = [False]
        self.count = 0

    def place(self) -> tuple[int, int]:
        """Return the line and the column that are read now."""
        return self.parser.getLineNumber() or 1, (self.parser.getColumnNumber() or 0) + 1

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802
        self.interrupt()
        self.count += 1
        if len(self.path) > MAX_DEPTH:
            raise self.source.at(f"nested deeper than {MAX_DEPTH} elements", *self.place())
        if self.count > MAX_ELEMENTS:
            raise self.source.at(f"more than {MAX_ELEMENTS:,} elements", *self.place())
        element = Element(name, dict(attrs.items()), *self.place())
        self.path[-1].children.append(element)
        self.path.append(element)
        self.runs.append([])
        self.ended.append(False)

    def endElement(self, name: str) -> None:  # noqa: N802
        self.path.pop().text = "".join(self.runs.pop())
        self.ended.pop()

    def characters(self, content: str) -> None:
        if not self.ended[-1]:
            self.runs[-1].append(content)

    def processingInstruction(self, target: str, data: str) -> None:  # noqa: N802
        self.interrupt()

    def interrupt(self) -> None:
        """End the first run of text, if it has begun."""
        self.ended[-1] = self.ended[-1] or bool(self.runs[-1])


class _Breaks(LexicalHandler):
    """Tells a builder of what stands between texts."""

    def __init__(self, builder: _Builder) -> None:
        self.builder = builder

    def comment(self, content: str) -> None:
        self.builder.interrupt()

    def startCDATA(self) -> None:  # noqa: N802
        builder = self.builder
        raise builder.source.at(
            "a CDATA section is not read",
            *builder.place(),
            hint="write the text itself, with &lt; and &amp; for < and &",
        )
