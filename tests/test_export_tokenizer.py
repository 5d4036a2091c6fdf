"""The tokenizer of a bundle, as stock libraries load it, against the prompts of the bundle."""

import functools
import json
import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.strategies import ODD, configurations, machines
from tm2tf import api
from tm2tf.constructions.tokens import input_token
from tm2tf.errors import ConfigurationError, ExtraError
from tm2tf.export.bundle import bundle
from tm2tf.export.tokenizer import steps, tokenizer, tokenizer_files
from tm2tf.machine.spec import Machine, Tape, Transition

pytest.importorskip("tokenizers", reason="tokenizers are of the extra 'export'")

ODD_SYMBOLS = (" ", "a", "aa", "a@3", "<", ">", "\\", ",", ":", "語", "🙂", "É", "é", "e\u0301")
ODD_SYMBOLS += ("<bos>", "@", "@5", "$1", ".*", "(", "[^a]", "#", "\u017f", "\ufb01", "0", "\\s")


def small(symbols, tapes=1):
    """Return a machine with these symbols, that copies them; the first is blank."""
    to = {("A", (s,) * tapes): Transition("B", (s,) * tapes, ("R",) * tapes) for s in symbols}
    return Machine(
        "small", tuple(symbols), symbols[0], ("A", "B"), "A", to, tapes=tapes, halt=("B",)
    )


@functools.cache
def made(name, cells=64, origin=None, context=None):
    """Return the bundle of a machine, and its tokenizer after a round trip through its file."""
    machine = small(ODD_SYMBOLS) if name == "odd" else api.load(name)
    if context is None:
        return loaded(bundle(machine, "gpt2", tape=cells, steps=3, origin=origin))
    summaries = {"construction": "summarised-addressed", "context": context}
    return loaded(bundle(machine, "gpt2", tape=cells, origin=origin, **summaries))


def loaded(b):
    from tokenizers import Tokenizer

    return b, Tokenizer.from_str(tokenizer_files(b)["tokenizer.json"].decode())


def plain(machine, words):
    """Return the text of one word of symbols a tape, without addresses."""
    cells = [input_token(machine, t, s) for t, word in enumerate(words) for s in word]
    return " ".join(["<bos>", *cells, "<start>"])


def agrees(b, tok, words):
    """Assert that words without addresses are read as the bundle writes them with theirs."""
    ids = b.prompt(b.machine.initial([Tape(tuple(word)) for word in words]))
    assert tok.encode(plain(b.machine, words)).ids == ids
    assert tok.encode(b.text(ids)).ids == ids
    assert tok.decode(ids, skip_special_tokens=False) == b.text(ids)


@pytest.mark.parametrize(
    ("name", "cells", "origin", "context"),
    [
        ("bb4", 256, None, None),
        ("bb4", 256, 0, None),
        ("bb4", 10, 9, None),
        ("bb4", 2, None, None),
        ("palindrome", 256, 95, None),
        ("odd", 64, None, None),
        ("odd", 120, 7, None),
        ("binary-increment", 32, None, 256),
        ("odd", 32, 3, 128),
    ],
)
def test_words_of_every_length_are_numbered_from_the_origin(name, cells, origin, context):
    b, tok = made(name, cells, origin, context)
    # a plain `a@3` is cell 3 with an `a`, which is a token
    symbols = [s for s in b.machine.symbols if s != "a@3"]
    word = (symbols * cells)[: cells - b.origin]
    for length in range(len(word) + 1):
        agrees(b, tok, [word[len(word) - length :]])


def test_a_tape_of_more_than_a_thousand_cells():
    b, tok = loaded(bundle(small("_1"), "gpt2", tape=2345, steps=1, origin=987))
    word = ("_11_1__1" * 300)[: 2345 - 987]
    agrees(b, tok, [word])
    agrees(b, tok, [word[:14]])
    found = tok.encode(f"<bos> {' '.join(word)} 1 _ <start>").tokens
    assert found[-4:] == [f"{word[-1]}@2344", "<unk>", "<unk>", "<start@987>"]


@pytest.mark.parametrize("name", ["palindrome-2tape", "binary-addition-3tape"])
@pytest.mark.parametrize(("cells", "origin"), [(64, None), (130, 8), (12, 0)])
def test_several_tapes(name, cells, origin):
    b, tok = made(name, cells, origin)
    symbols = b.machine.symbols
    room = cells - b.origin
    for lengths in [(0, 0, 0), (1, 0, 2), (0, 3, 0), (room, 1, room), (11, 10, 9), (room,) * 3]:
        words = [(symbols * room)[t : t + min(n, room)] for t, n in enumerate(lengths)]
        agrees(b, tok, words[: b.machine.tapes])


def test_tapes_may_take_turns():
    _, tok = made("palindrome-2tape", 64)
    text = "<bos> tape1:1 tape0:0 tape0:1 tape1:0 <head:1@3> tape0:1 <start>"
    assert " ".join(tok.encode(text).tokens) == (
        "<bos> tape1:1@32 tape0:0@32 tape0:1@33 tape1:0@33 <head:1@3> tape0:1@34 <head:0@32> "
        "<start>"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<bos> 1@3 0@4 <start@3>", "<bos> 1@3 0@4 <start@3>"),
        ("<bos> <start>", "<bos> <start@32>"),
        ("<bos> <start@5>", "<bos> <start@5>"),
        ("<bos> 1 0 <start@33>", "<bos> 1@32 0@33 <start@33>"),
        ("<bos> 1@3 0 1@9 1 <start>", "<bos> 1@3 0@32 1@9 1@33 <start@32>"),
        ("<bos>", "<bos>"),
        ("", ""),
        ("\n <bos>\t1 \r\n 0\u3000\u00a0<start>\n", "<bos> 1@32 0@33 <start@32>"),
        ("<pad> <pad> <bos> 1 <start>", "<pad> <pad> <bos> 1@32 <start@32>"),
        # what follows the start is not numbered
        ("<bos> 1 <start> 1R>B@33 1L>A@32", "<bos> 1@32 <start@32> 1R>B@33 1L>A@32"),
        ("<bos> 1 <start> 1R>B@33 1", "<bos> 1@32 <start@32> 1R>B@33 <unk>"),
        ("<bos> 1 <start> <start> 1", "<bos> 1@32 <start@32> <unk> <unk>"),
        ("<bos> 1 <start> <stuck@40> <stuck>", "<bos> 1@32 <start@32> <stuck@40> <stuck>"),
        # nor is anything without a begin token, nor after a word that is none
        ("1 0 <start>", "<unk> <unk> <unk>"),
        ("1 <bos> 1", "<unk> <bos> <unk>"),
        ("<bos> 1 x 0 <start>", "<bos> 1@32 <unk> <unk> <unk>"),
        ("<bos> 1 <unk> 0", "<bos> 1@32 <unk> <unk>"),
        ("<bos> 1 <bos> 0", "<bos> 1@32 <bos> <unk>"),
        # words that only begin like one, or hold one
        ("<bos> 11 <start>", "<bos> <unk> <unk>"),
        ("<bos> 1@ 1@x 1@064 1@03", "<bos> <unk> <unk> <unk> <unk>"),
        ("<bos> 1@64 0 1@03 <start>", "<bos> <unk> 0@32 <unk> <start@32>"),
        ("<bos> 1 <start>x", "<bos> 1@32 <unk>"),
        ("<bos>1 0", "<bos> <unk> <unk>"),
        ("<BOS> 1", "<unk> <unk>"),
        # characters that mark places inside
        ("<bos> 1 1\ue003\ue005 0 <start>", "<bos> 1@32 <unk> <unk> <unk>"),
        ("\ue000\ue001<bos> 1", "<unk> <bos> <unk>"),
        ("<bos> \ue002 1 \ue008", "<bos> <unk> <unk> <unk>"),
        # characters that look like others, or like spaces
        ("<bos> \uff11 1\u200b 1\u0301", "<bos> <unk> <unk> <unk>"),
    ],
)
def test_one_tape_by_example(text, expected):
    _, tok = made("bb4", 64)
    assert " ".join(tok.encode(text).tokens) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<bos> <start>", "<bos> <head:0@32> <head:1@32> <start>"),
        ("<bos> <head:0@3> <start>", "<bos> <head:0@3> <head:1@32> <start>"),
        ("<bos> <head:1@3> <start>", "<bos> <head:1@3> <head:0@32> <start>"),
        ("<bos> <head:0@3> <head:1@4> <start>", "<bos> <head:0@3> <head:1@4> <start>"),
        ("<bos> tape0:1@3 tape0:1", "<bos> tape0:1@3 tape0:1@32"),
        ("<bos> tape0:x <start>", "<bos> <unk> <start>"),
        ("<bos> tape2:1 tape0:1 1 tape0:", "<bos> <unk> <unk> <unk> <unk>"),
    ],
)
def test_heads_are_at_the_origin_unless_given(text, expected):
    _, tok = made("palindrome-2tape", 64)
    assert " ".join(tok.encode(text).tokens) == expected


def test_what_separates_words_is_one_thing_throughout():
    _, tok = made("bb4", 64)
    spaces = [c for c in map(chr, range(0x10000)) if c.isspace() or c in "\u180e\u200b\ufeff"]
    assert len(spaces) > 25
    for space in spaces:
        apart = tok.encode(f"x{space}y").tokens == ["<unk>", "<unk>"]
        read = tok.encode(f"<bos>{space}1{space}0{space}<start>").tokens
        assert (read == ["<bos>", "1@32", "0@33", "<start@32>"]) == apart, ascii(space)
        assert apart or "0@33" not in read, ascii(space)


def numbered(b, words):
    """Return what a text of words stands for, said without regular expressions."""
    machine, origin = b.machine, b.origin
    names = {token.name for token in b.tokens}
    cells = {input_token(machine, t, s): t for t in range(machine.tapes) for s in machine.symbols}
    plain_cells = {word: t for word, t in cells.items() if word not in names}
    count, heads = [0] * machine.tapes, set()
    found = []
    inside = words[:1] == ["<bos>"]
    for i, word in enumerate(words):
        read = [word]
        if i and inside:
            head = re.fullmatch(r"<head:(\d+)@\d+>", word)
            bare, _, address = word.rpartition("@")
            if word in plain_cells:
                t = plain_cells[word]
                read = [f"{word}@{origin + count[t]}"]
                count[t] += 1
            elif head:
                heads.add(int(head[1]))
            elif not (bare in cells and address.isascii() and address.isdigit()):
                inside = False
                if word == "<start>" and machine.tapes == 1:
                    read = [f"<start@{origin}>"]
                elif word == "<start>":
                    missing = [t for t in range(machine.tapes) if t not in heads]
                    read = [*(f"<head:{t}@{origin}>" for t in missing), word]
        found += [word if word in names else "<unk>" for word in read]
    return found


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_text_means_what_the_rules_say(data):
    one = [("bb4", 64, None), ("bb4", 10, 9), ("odd", 64, None)]
    several = [("palindrome-2tape", 64, None), ("binary-addition-3tape", 12, 0)]
    b, tok = made(*data.draw(st.sampled_from(one + several)))
    tapes = range(b.machine.tapes)
    cell = st.sampled_from([input_token(b.machine, t, s) for t in tapes for s in b.machine.symbols])
    anything = st.one_of(
        cell,
        st.sampled_from([token.name for token in b.tokens]),
        st.sampled_from(["<start>", "<bos>", "<head:1@3>", "x", "1@", "@3", "0@0005", "<", "a@1"]),
    )
    words = [
        "<bos>",
        *data.draw(st.lists(st.one_of(cell, cell, cell, anything), max_size=40)),
        *data.draw(st.sampled_from([[], ["<start>"]])),
        *data.draw(st.lists(anything, max_size=6)),
    ][data.draw(st.sampled_from([0, 0, 0, 1])) :]
    gap = data.draw(st.sampled_from([" ", "  ", "\n", " \t\n "]))
    assert tok.encode(gap.join(words)).tokens == numbered(b, words)


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_machines_with_odd_symbols(data):
    machine = data.draw(machines(tapes=(1, 2), words=ODD))
    cells = data.draw(st.integers(4, 24))
    origin = data.draw(st.integers(0, cells - 1))
    b, tok = loaded(bundle(machine, "gpt2", tape=cells, steps=1, origin=origin))
    names = {token.name for token in b.tokens}
    words = [
        data.draw(st.lists(st.sampled_from(machine.symbols), max_size=cells - origin))
        for _ in range(machine.tapes)
    ]
    if not any(
        input_token(machine, t, s) in names for t in range(machine.tapes) for s in machine.symbols
    ):
        agrees(b, tok, words)
    try:
        ids = b.prompt(data.draw(configurations(machine, cells=4, reach=2)))
    except ConfigurationError:  # it reaches over an end of so short a tape
        return
    assert tok.encode(b.text(ids)).ids == ids


@pytest.mark.parametrize(
    ("name", "context"), [("odd", None), ("palindrome-2tape", None), ("odd", 256)]
)
def test_every_token_is_a_word_with_its_own_id(name, context):
    b, tok = made(name, 64, None, context)
    assert tok.get_vocab_size() == len(b.tokens)
    ids = list(range(len(b.tokens)))
    assert [tok.id_to_token(i) for i in ids] == [token.name for token in b.tokens]
    # neither the first word nor after <bos>, so nothing is to be numbered
    assert tok.encode(b.text(ids[1:])).ids == ids[1:]
    assert tok.decode(ids, skip_special_tokens=False) == b.text(ids)


def test_a_prompt_with_its_whole_run_after_it():
    b, tok = made("bb4", 64)
    machine = b.machine
    state, head, tape = machine.start, b.origin, dict(enumerate("1011", b.origin))
    run = []
    while to := machine.transitions.get((state, (tape.get(head, "0"),))):
        tape[head] = to.writes[0]
        head, state = head + {"L": -1, "S": 0, "R": 1}[to.moves[0]], to.state
        run.append(f"{to.writes[0]}{to.moves[0]}>{state}@{head}")
    assert len(run) > 15
    found = tok.encode(" ".join(["<bos> 1 0 1 1 <start>", *run])).ids
    assert found == b.prompt(machine.initial(["1011"])) + [tok.token_to_id(word) for word in run]


def test_a_symbol_that_reads_like_a_cell():
    b, tok = made("odd", 64)
    assert "a@3" in b.machine.symbols
    text = "<bos> a@3@0 a@3 a a@3@9 aa <start>"
    assert tok.encode(text).tokens[1:] == ["a@3@0", "a@3", "a@32", "a@3@9", "aa@33", "<start@32>"]


def test_a_summary_is_a_prompt():
    _, tok = made("odd", 32, 3, 128)
    text = "<bos> <summary> a@0 aa@1 \\<@2 </summary:A@3> aR>B@4"
    assert tok.encode(text).tokens == text.split(" ")
    assert tok.encode("<bos> <summary> a </summary:A@3>").tokens[2] == "<unk>"


def folder(b, path):
    for name, content in tokenizer_files(b).items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("transformers", reason="transformers is of the extra 'export'")


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("with_config", [True, False])
def test_auto_tokenizer(architecture, with_config, tmp_path, offline):
    b = bundle(api.load("bb4"), architecture, tape=64, steps=50)
    folder(b, tmp_path)
    if with_config:
        config = {**b.checkpoint.config, "model_type": architecture}
        (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "again"):
        tok = offline.AutoTokenizer.from_pretrained(path)
        assert isinstance(tok, offline.PreTrainedTokenizerFast)
        assert len(tok) == len(b.tokens)
        assert (tok.bos_token, tok.pad_token, tok.unk_token) == ("<bos>", "<pad>", "<unk>")
        assert (tok.bos_token_id, tok.pad_token_id, tok.unk_token_id) == (b.begin, b.pad, b.unknown)
        assert tok.eos_token_id == b.checkpoint.wiring.default
        assert tok.eos_token_id in b.ends
        assert tok.padding_side == "left"
        assert tok.clean_up_tokenization_spaces is False
        assert tok.model_max_length == b.checkpoint.limits.positions
        long = b.prompt(b.machine.initial(["1011"]))
        none = b.prompt(b.machine.initial())
        batch = tok(["<bos> 1 0 1 1 <start>", "<bos> <start>"], padding=True)
        assert batch["input_ids"] == [long, [b.pad] * 4 + none]
        assert batch["attention_mask"] == [[1] * 6, [0] * 4 + [1] * 2]
        assert set(batch) == {"input_ids", "attention_mask"}
        assert tok.decode(long) == b.text(long)
        assert tok.batch_decode(batch["input_ids"], skip_special_tokens=True) == [
            b.text(long[1:]),
            b.text(none[1:]),
        ]
        assert tok(b.text(long))["input_ids"] == long
        # words given one by one are each a text of their own
        assert tok(["<bos>", "1"], is_split_into_words=True)["input_ids"] == [b.begin, b.unknown]
        tok.save_pretrained(tmp_path / "again")


def test_the_same_bundle_gives_the_same_bytes():
    b, _ = made("palindrome-2tape", 64)
    files = tokenizer_files(b)
    assert files == tokenizer_files(b)
    assert sorted(files) == ["tokenizer.json", "tokenizer_config.json"]
    assert list(json.loads(files["tokenizer.json"])["model"]["vocab"]) == [t.name for t in b.tokens]


def test_no_replacement_can_be_left_out():
    from tokenizers import Regex, normalizers

    b, tok = made("bb4", 130, 29)
    texts = [plain(b.machine, [word]) for word in ("", "1", "10" * 50, "10" * 51)]
    texts.append("<bos> 1@3\ue008 <start>")
    right = [tok.encode(text).tokens for text in texts]
    replacements = steps(b)
    for left_out in range(len(replacements)):
        rest = [step for i, step in enumerate(replacements) if i != left_out]
        other = tokenizer(b)
        other.normalizer = normalizers.Sequence(
            [normalizers.Replace(Regex(found), put) for found, put in rest]
        )
        assert [other.encode(text).tokens for text in texts] != right, replacements[left_out]


@pytest.mark.parametrize(("name", "cells"), [("bb4", 64), ("bb4", 130), ("palindrome-2tape", 12)])
def test_the_number_of_replacements_is_the_docstrings(name, cells):
    b, _ = made(name, cells)
    k, top = b.machine.tapes, str(cells - 1)
    assert len(steps(b)) == k * (11 * (len(top) - 1) + int(top[0]) + 3) + 6


def test_a_long_text():
    b, tok = made("bb4", 256)
    run = [token.name for token in b.tokens if token.role == "step"] * 8
    assert len(run) > 10_000
    found = tok.encode(" ".join(["<bos>", *"1011", "<start>", *run])).tokens
    assert found[1:] == ["1@128", "0@129", "1@130", "1@131", "<start@128>", *run]


def test_a_missing_package_names_its_extra(monkeypatch):
    b, _ = made("bb4", 64)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[export\]"):
        tokenizer_files(b)
