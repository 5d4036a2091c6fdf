r"""A tokenizer that numbers cells: the files that `transformers.AutoTokenizer` reads.

Tokens are words, and words lie between spaces; each word that is no token is `<unk>`. Tokens of
input cells carry addresses (`1@130`), and people should not have to write them. So between `<bos>`
and the start token cells can be written without: `<bos> 1 0 <start>` is
`<bos> 1@128 0@129 <start@128>` if the origin is 128; with several tapes,
`<bos> tape0:1 tape1:0 <start>` is `<bos> tape0:1@128 tape1:0@128 <head:0@128> <head:1@128>
<start>`. A plain cell is one on from the plain cell of its tape before it, whatever is between
them, and the first is at the origin; so is a head that is not given.

A normalizer of stock `tokenizers` does it, all of it `Replace` by regular expressions (of
Oniguruma, with which `tokenizers` is built). A replacement cannot compute, nor quote what it
replaces, so numbers are made as an odometer makes them. Every plain cell gets one slot for each of
the D decimal digits of an address, marked with characters for private use, which are in no token.
After every ten slots for ones comes a mark, a block of ten begins; before every eleventh of these,
a block of a hundred; and so on. Then, for each digit d, slots of place l in the first block of
10^l cells that has slots left, of every block of 10^(l+1), become d. What counts before the origin
are slots and blocks that stand in front of the text, and are removed in the end. Slots that are
left over stay: such a word is `<unk>`, and so is one with an address that the tape does not have.

Each expression begins where the last match ended (`\G`), and none reads on after the last word of
the input: what follows costs a copy for each of them. For k tapes and addresses that begin with
digits up to L they are k (11 (D - 1) + L + 3) + 6, at 200 to 300 bytes of `tokenizer.json` each: 33
for one tape of 256 cells, 46 for one of 4,096.

Limits: cells are numbered in a text that begins with `<bos>` (after any `<pad>`), up to the first
word that is no cell and no head; a word without an address after that is `<unk>`. A text that is
given as a list of its words is normalized word by word, and nothing is numbered. Symbols are
written as tokens write them: `\<` for `<`, `\s` for a space. Where a symbol reads like a cell, as
`a@3` does where `a` is one too, it has to be written with its address: `a@3@128`.

Source: original.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tm2tf.constructions.tokens import BEGIN, START, input_token
from tm2tf.errors import ExtraError
from tm2tf.export.bundle import Bundle
from tm2tf.lowering.stock.wiring import PAD, UNKNOWN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RADIX = 10
"""The addresses in tokens are decimal."""

PRIVATE = 0xE000
"""The first of Unicode's 6,400 characters for private use, which no symbol can have."""

OPEN, READY, CLOSE, AT, FOREIGN = (chr(PRIVATE + i) for i in range(5))
"""Before what counts before the origin; after it; after the last cell that is given; before an
address; what becomes of a private character in a text, so that it is no mark."""

MARKS = PRIVATE + 5
"""The first private character that is a slot or a block of some tape."""

GO_ON = rf"\G(?:{OPEN}|(?!\A))"
"""Where the last match ended, or at the beginning; nowhere in a text without input."""

Step = tuple[str, str]
"""A regular expression, and what replaces it."""


def tokenizer_files(bundle: Bundle) -> dict[str, bytes]:
    """Return `tokenizer.json` and `tokenizer_config.json`, by name.

    Raises:
        ExtraError: the package `tokenizers` is not installed.
    """
    return {
        "tokenizer.json": tokenizer(bundle).to_str(pretty=True).encode() + b"\n",
        "tokenizer_config.json": json.dumps(_config(bundle), indent=2).encode() + b"\n",
    }


def tokenizer(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a bundle: ids are places in its vocabulary.

    Raises:
        ExtraError: the package `tokenizers` is not installed.
    """
    try:
        from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
    except ImportError:
        raise ExtraError("a tokenizer", "tokenizers", "export") from None
    ids = {token.name: i for i, token in enumerate(bundle.tokens)}
    made = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(found), put) for found, put in steps(bundle)]
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # were they not `normalized`, the text would be cut at them before anything is numbered
    special = dict.fromkeys(_special(bundle).values())
    made.add_special_tokens([AddedToken(name, normalized=True, special=True) for name in special])
    return made


def steps(bundle: Bundle) -> list[Step]:
    """Return the replacements that number the cells of an input, in order."""
    count, symbols = bundle.machine.tapes, bundle.machine.symbols
    top = bundle.cells - 1
    digits = len(str(top))
    names = {token.name for token in bundle.tokens}
    words = [[input_token(bundle.machine, t, s) for s in symbols] for t in range(count)]
    tapes = [
        _Tape(t, count, top, bundle.origin, [word for word in words[t] if word not in names])
        for t in range(count)
    ]
    last = MARKS + 2 * count * digits - 1
    cells = _any([word for tape in words for word in tape])
    word = rf"\s+(?:{cells}(?:@[0-9]+)?|<head:[0-9]+@[0-9]+>)(?!\S)"
    before = rf"\s*(?:{PAD}\s+)*{BEGIN}(?!\S)"
    return [
        (f"[{chr(PRIVATE)}-{chr(last)}]", FOREIGN),
        (rf"\A(?={before})", OPEN + "".join(tape.before() for tape in tapes) + READY),
        (rf"\A{OPEN}[^{READY}]*+{READY}{before}(?:{word})*+\K", CLOSE),
        *(step for tape in tapes for step in tape.steps()),
        *_start(count, bundle.origin),
        (rf"{AT}0*(?=[0-9])", "@"),
        (rf"\A{OPEN}[^{READY}]*+{READY}", ""),
        (f"[{CLOSE}{chr(MARKS + count * digits)}-{chr(last)}]", ""),
    ]


@dataclass(frozen=True, slots=True)
class _Tape:
    """How the cells of one tape are numbered.

    `top`: the last address. `words`: the plain cells of the tape, without any that is a token as it
    is. Slots and blocks of all tapes have marks of their own, slots first.
    """

    number: int
    tapes: int
    top: int
    origin: int
    words: list[str]

    @property
    def digits(self) -> int:
        """The digits of an address."""
        return len(str(self.top))

    def slot(self, place: int) -> str:
        """Return the mark of a digit to come: of ones at place 0, of tens at place 1, ..."""
        return chr(MARKS + self.number * self.digits + place)

    def block(self, place: int) -> str:
        """Return the mark before RADIX^place cells, for a place from 1 on."""
        return chr(MARKS + (self.tapes + self.number) * self.digits + place - 1)

    def before(self) -> str:
        """Return what counts as the cells before the origin.

        That is the blocks that the origin is in, and before each of them as many of its size as
        its digit says, each with one slot; and for the ones slots alone.
        """
        found = self.block(self.digits)
        for place in reversed(range(1, self.digits)):
            passed = self.origin // RADIX**place % RADIX
            found += (self.block(place) + self.slot(place)) * passed + self.block(place)
        return found + self.slot(0) * (self.origin % RADIX)

    def steps(self) -> list[Step]:
        """Return the replacements: slots, then blocks, then digits."""
        slots = "".join(self.slot(place) for place in reversed(range(self.digits)))
        plain = rf"[^{CLOSE}]*?(?<=\s){_any(self.words)}\K(?=\s|{CLOSE})"
        found = [(GO_ON + plain, AT + slots)]
        for place in range(1, self.digits):
            found.append((self._full(place), self.block(place)))
        for place in range(self.digits):
            # the first digit of an address is at most that of the last one
            most = min(RADIX, self.top // RADIX**place + 1)
            found += [(self._first(place), str(digit)) for digit in range(most)]
        return found

    def _full(self, place: int) -> str:
        """Return where a block begins: after so many slots, or before the next smaller block."""
        one = self.slot(0) if place == 1 else self.block(place - 1)
        rest = f"[^{one}{CLOSE}]*+"
        end = r"\K" if place == 1 else rf"{rest}\K(?={one})"
        return f"{GO_ON}(?:{rest}{one}){{{RADIX}}}{end}"

    def _first(self, place: int) -> str:
        """Return the slots of a place in the first block, of the next larger, that has any."""
        slot, larger = self.slot(place), self.block(place + 1)
        # `++`: blocks that stand for cells before the origin have none
        found = rf"{GO_ON}[^{larger}{CLOSE}]*+(?:{larger}[^{slot}{larger}{CLOSE}]*+)++\K{slot}"
        if place == 0:
            return found
        same = rf"\G(?!\A)[^{slot}{self.block(place)}{CLOSE}]*+\K{slot}"
        return f"{same}|{found}"


def _start(tapes: int, origin: int) -> list[Step]:
    """Return the replacements that put the heads at the origin where nothing else is said."""
    if tapes == 1:
        plain = rf"\A{OPEN}[^{CLOSE}]*+{CLOSE}\s+\K{START}(?!\S)"
        return [(plain, f"{START[:-1]}@{origin}>")]
    return [
        (
            rf"\A{OPEN}(?:(?!<head:{t}@)[^{CLOSE}])*+\K{CLOSE}(?=\s+{START}(?!\S))",
            f" <head:{t}@{origin}>{CLOSE}",
        )
        for t in range(tapes)
    ]


def _any(words: list[str]) -> str:
    """Return the expression of any of some words."""
    return f"(?:{'|'.join(map(_literally, words))})"


def _literally(word: str) -> str:
    """Return the expression of a word: letters and digits as they are, all else by number."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):X}}}" for c in word)


def _special(bundle: Bundle) -> dict[str, str]:
    """Return the tokens that libraries ask for by what they are."""
    return {
        "bos_token": BEGIN,
        "eos_token": bundle.tokens[bundle.checkpoint.wiring.default].name,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
    }


def _config(bundle: Bundle) -> dict[str, object]:
    """Return what `tokenizer_config.json` says."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **_special(bundle),
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        # the class asks for token types too, which no checkpoint of ours takes
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": bundle.checkpoint.limits.positions,
    }
