"""What heads attend to, in words: recognised from the tensors, in every construction, or not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.inspecting import SMALL, compiled, with_head
from tests.program_strategies import programs
from tm2tf.inspect import tables
from tm2tf.lowering import lower
from tm2tf.program.operations import Gather, Latest, Relative
from tm2tf.program.reader import parse
from tm2tf.weights.matrix import Matrix

NONE = "the greatest q . k"
EVERYWHERE = "every position, equally"
BY_ADDRESS = "tape0.address there = tape0.{} here, if tape0.writes there"
BY_DIGITS = (
    "tape0.address.0, tape0.address.1 there = tape0.at.0, tape0.at.1 here, if tape0.writes there"
)

ATTENDS = {
    "trace": [EVERYWHERE, EVERYWHERE, BY_ADDRESS.format("head")],
    "universal": [
        EVERYWHERE,
        EVERYWHERE,
        "2 back, or the first position",
        "1 back, or the first position",
        BY_ADDRESS.format("head"),
        "the latest with is_arrow",
        "example.state, example.read there = state, tape0.read here, if is_last there",
    ],
    "empirical": [
        EVERYWHERE,
        EVERYWHERE,
        "2 back, or the first position",
        "1 back, or the first position",
        BY_ADDRESS.format("head"),
        "the latest with is_arrow",
        "example.state, example.read there = state, tape0.read here, if is_last there",
    ],
    "addressed": [BY_DIGITS],
    "summarised": [
        *[EVERYWHERE] * 4,
        "the latest with is_mark",
        "the latest with has_state",
        BY_ADDRESS.format("look"),
    ],
    "summarised-addressed": [BY_DIGITS, "the latest with in_run"],
    "queue": [f"{n} back, or the first position" for n in (12, 12, 13, 11)],
    "looped": [
        "the last with tape0.here=yes",
        "1 back, or the first position",
        "1 further on, or the last position",
    ],
    "looped-neighbours": [
        "1 back, or the first position",
        "1 further on, or the last position",
    ],
}


def summaries(weights):
    return [head for layer in tables.overview(weights).layers for head in layer.heads]


def attends(weights, layer, index):
    return tables.head(weights, layer, index).summary.attends


@pytest.mark.parametrize("name", SMALL)
def test_what_every_head_attends_to(name):
    found = summaries(compiled("bb3", name, **SMALL[name]).weights)
    assert [head.attends for head in found] == ATTENDS[name]


def test_lookups_of_several_tapes():
    found = summaries(compiled("palindrome-2tape", "addressed", tape=9).weights)
    assert [head.attends for head in found[:3]] == [
        "the latest with is_transition",
        "the latest with tape0.placed",
        "the latest with tape1.placed",
    ]
    assert found[4].attends == (
        "tape1.address.0, tape1.address.1 there = tape1.now.0, tape1.now.1 here, "
        "if tape1.writes there"
    )
    assert found[0].brings == (
        "state -> now.state, tape0.write -> now.tape0.write, tape1.write -> now.tape1.write, "
        "tape0.way -> now.tape0.way, tape1.way -> now.tape1.way"
    )


def test_what_heads_bring():
    found = {h.name: h.brings for h in summaries(compiled("bb3", "summarised", period=2).weights)}
    assert found["mark.walk"] == "walk.before -> mark.walk"
    assert found["tape0.read"] == (
        "tape0.write -> tape0.read, tape0.visited -> tape0.known, "
        "begin -> tape0.read=0, begin -> tape0.known=no"
    )
    found = {h.name: h.brings for h in summaries(compiled("bb3", "queue", tape=12).weights)}
    assert found["from.left"] == "to.right -> from.left, begin -> from.left=edge"


# --- not taken for a lookup -------------------------------------------------------------------


def by_words():
    """Yield each lookup by words, as (construction, layer, index)."""
    for name, options in SMALL.items():
        weights = compiled("bb3", name, **options).weights
        for number, layer in enumerate(weights.layers):
            for index, head in enumerate(layer.heads):
                by_words = attends(weights, number, index).find("address ") < 0
                if head.kind in ("latest", "mean") and by_words:
                    yield name, number, index


WORDS = list(by_words())


def test_there_are_lookups_by_words_in_six_constructions():
    assert len({name for name, _, _ in WORDS}) == 6
    assert len(WORDS) == 10


def changed(tensor):
    """Yield a tensor with one entry changed, one after another: each that is not 0, some others."""
    dense = tensor.dense() if isinstance(tensor, Matrix) else tensor
    places = list(zip(*np.nonzero(dense), strict=True))
    places += list(np.ndindex(dense.shape))[:: max(1, dense.size // 40)]
    for place in places:
        for value in (dense[place] + 1, dense[place] - 1, -dense[place], dense[place] / 2):
            other = dense.copy()
            other[place] = value
            if value != dense[place]:
                yield Matrix.from_dense(other) if isinstance(tensor, Matrix) else other


@pytest.mark.parametrize("tensor", ["W_Q", "b_Q", "W_K", "b_K"])
@pytest.mark.parametrize(("name", "layer", "index"), WORDS)
def test_a_lookup_needs_every_weight(name, layer, index, tensor):
    weights = compiled("bb3", name, **SMALL[name]).weights
    for other in changed(getattr(weights.layers[layer].heads[index], tensor)):
        found = with_head(weights, layer, index, **{tensor: other})
        assert attends(found, layer, index) == NONE


@pytest.mark.parametrize(("name", "layer", "index"), WORDS)
def test_a_lookup_needs_its_begin_token(name, layer, index):
    weights = compiled("bb3", name, **SMALL[name]).weights
    embedding = weights.W_E.dense()
    first = [token.role for token in weights.tokens].index("begin")
    begin = weights.directions.index("begin")
    key = weights.layers[layer].heads[index].W_K
    embedded = set(weights.W_E.columns.tolist()) - {begin}
    there = [d for d in dict.fromkeys(key.rows().tolist()) if d in embedded]
    for row, direction in [(first, begin), (first + 1, begin), *((first, d) for d in there)]:
        other = embedding.copy()
        other[row, direction] += 1  # begin is 2, or elsewhere too, or the key is not 0 there
        assert attends(replace(weights, W_E=Matrix.from_dense(other)), layer, index) == NONE


def test_words_that_are_not_all_compared():
    weights = compiled("bb3", "addressed", tape=16).weights
    head = weights.layers[0].heads[0]
    query, key = head.W_Q.dense(), head.W_K.dense()
    fewer = {
        "W_Q": Matrix.from_dense(query[:, 1:]),
        "b_Q": head.b_Q[1:],
        "W_K": Matrix.from_dense(key[:, 1:]),
        "b_K": head.b_K[1:],
    }
    assert attends(with_head(weights, 0, **fewer), 0, 0) == NONE
    swapped = query.copy()
    swapped[:, [0, 1]] = query[:, [1, 0]]  # a word is compared with another one
    assert attends(with_head(weights, 0, W_Q=Matrix.from_dense(swapped)), 0, 0) == NONE


def test_names_of_heads_are_not_believed():
    weights = compiled("bb3", "addressed", tape=16).weights
    assert attends(with_head(weights, 0, name="next.state"), 0, 0) == BY_DIGITS


def test_a_flag_that_is_never_set_is_no_lookup():
    weights = compiled("bb3", "summarised", period=2).weights
    key = weights.layers[1].heads[1].W_K.dense()
    key[weights.directions.index("has_state")] = 0
    assert attends(with_head(weights, 1, 1, W_K=Matrix.from_dense(key)), 1, 1) == NONE


def test_a_softmax_head():
    weights = compiled("bb3", "looped", window=4).weights
    soft = with_head(weights, 0, kind="softmax")
    assert attends(soft, 0, 0) == "softmax of q . k / sqrt(d_head)"


# --- any program ------------------------------------------------------------------------------


MADE = """
program made
features
  position: integer 1..
  word: one of a b
  other: one of a b
  seen: one of a b
  again: one of a b
  latest: one of a b
  before: one of a b
  flag: integer 0..1
  plain: integer 0..1
tokens
  <bos>: begin
  x: prompt word=a flag=1
  y: prompt word=b
  end: end outcome halted
layer 0
  feed-forward
    table same: word -> other
      a -> b
      b -> a
    plain = affine -1 flag +1
layer 1
  attention
    seen = latest word where plain and word is other else b
    again = latest word where flag and word other is word word
    latest = latest word where plain
    before = relative word 3 back
unembedding: word -> token
  default: end
"""


def test_keys_made_by_neurons_and_flags_that_are_forms():
    found = {head.name: head for head in summaries(lower(parse(MADE), "made"))}
    assert found["seen"].attends == "word there = other here, if 1 - flag there"
    assert found["again"].attends == "word, other there = word, word here, if flag there"
    assert found["latest"].attends == "the latest with 1 - flag"
    assert found["before"].attends == "3 back, or the first position"
    assert found["before"].brings == "word -> before"


@settings(max_examples=30, deadline=None)
@given(programs())
def test_lookups_of_any_decoder_are_recognised(program):
    found = {head.name: head.attends for head in summaries(lower(program, "any"))}
    for operation in (op for layer in program.layers for op in layer.attention):
        if isinstance(operation, Relative):
            assert found[operation.out] == f"{operation.offset} back, or the first position"
        elif isinstance(operation, Latest | Gather):
            assert found[operation.name] != NONE
