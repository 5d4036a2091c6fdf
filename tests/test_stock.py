"""Stock GPT-2 and Llama: others' code on our tensors does what the program says, exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stock import ARCHITECTURES, continuation, disagreement, forward, made, model_of
from tests.strategies import machines
from tm2tf import api, formats
from tm2tf.errors import BoundError, ConstructionError, InputError, TargetError
from tm2tf.lowering import stock
from tm2tf.lowering.stock.wiring import ONE

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the extra `export` is not installed")

RUNS = [
    ("bb4", [], {"tape": 32, "steps": 120}),
    ("bb2x3", [], {"tape": 24, "steps": 60}),
    ("binary-increment", ["1011"], {"tape": 32, "steps": 20}),
    ("palindrome", ["abba"], {"tape": 24, "steps": 60}),
    ("copy", ["aab"], {"tape": 24, "steps": 60}),
    ("palindrome-2tape", ["0110"], {"tape": 16, "steps": 30}),
    ("binary-addition-3tape", ["101", "11"], {"tape": 12, "steps": 20}),
    ("bb4", [], {"tape": 20, "context": 90, "construction": "summarised-addressed"}),
]


def run_of(bundle, words, count):
    """Return a prompt with the run that follows it, and where the run begins."""
    prompt = bundle.prompt(bundle.machine.initial(words))
    run = bundle.expected(prompt, count)
    if bundle.cuts:  # up to the first cut: then a context begins anew
        run = run[: next((i + 1 for i, t in enumerate(run) if t in bundle.cuts), len(run))]
    return [*prompt, *run], len(prompt)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("name", "words", "options"), RUNS)
def test_every_feature_of_every_step(name, words, options, architecture):
    """The stream is +1 and -1 everywhere, and says what the interpreter says."""
    bundle = made(name, architecture, **options)
    tokens, begin = run_of(bundle, words, 150)
    passed = forward(model_of(bundle), tokens)
    for stream in passed.streams:
        assert set(stream.unique().tolist()) == {-1.0, 1.0}
    assert disagreement(bundle, passed, tokens, begin - 1) is None
    assert passed.logits[begin - 1 : -1].argmax(-1).tolist() == tokens[begin:]
    right = passed.logits[begin - 1 : -1].gather(1, torch.tensor(tokens[begin:])[:, None])
    assert set(right.round(decimals=2).unique().abs().tolist()) <= {0.0, 64.0}
    others = passed.logits[begin - 1 : -1].sort(-1).values[:, -2]
    assert (right[:, 0] - others).min() >= bundle.checkpoint.limits.logit - 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generate_is_the_machine(architecture):
    """`generate`, with its cache, writes all 107 steps of bb4 and stops by itself."""
    bundle = made("bb4", architecture, tape=32, steps=107)
    prompt = bundle.prompt(bundle.machine.initial([]))
    model = model_of(bundle)
    written = model.generate(torch.tensor([prompt]), max_new_tokens=200, do_sample=False)
    run = written[0, len(prompt) :].tolist()
    assert run == bundle.expected(prompt, 200)
    assert len(run) == 107
    assert bundle.tokens[run[-1]].outcome == "halted"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batches_are_padded_on_the_left(architecture):
    """Inputs of different lengths in one batch: each row is what it would be alone."""
    bundle = made("binary-increment", architecture, tape=32, steps=30)
    prompts = [bundle.prompt(bundle.machine.initial([w])) for w in ("", "1", "10111", "1111111")]
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), bundle.pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    written = model_of(bundle).generate(ids, attention_mask=mask, max_new_tokens=30)
    for row, prompt in enumerate(prompts):
        expected = bundle.expected(prompt, 30)
        assert written[row, longest : longest + len(expected)].tolist() == expected
        assert set(written[row, longest + len(expected) :].tolist()) <= {bundle.pad}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("word", ["<pad>", "<unk>"])
def test_padding_that_is_attended_to_ends_the_run(architecture, word):
    bundle = made("bb4", architecture, tape=32, steps=50)
    start = bundle.prompt(bundle.machine.initial([]))
    wrong = bundle.checkpoint.wiring.ids()[word]
    for tokens in ([wrong, *start], [start[0], wrong, *start[1:]]):
        end = continuation(model_of(bundle), tokens, len(tokens) - 1)
        assert [bundle.tokens[i].name for i in end] == ["<stuck>"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision(architecture, dtype):
    """All parameters are exact in the dtype, and so are the runs."""
    steps = 80 if (architecture, dtype) == ("llama", "bfloat16") else 107
    bundle = made("bb4", architecture, tape=32, steps=steps, dtype=dtype)
    kind = getattr(torch, dtype)
    for tensor in bundle.checkpoint.tensors.values():
        exact = torch.from_numpy(tensor)
        assert torch.equal(exact.to(kind).to(torch.float32), exact)
    prompt = bundle.prompt(bundle.machine.initial([]))
    model = model_of(bundle)
    written = model.generate(torch.tensor([prompt]), max_new_tokens=steps, do_sample=False)
    assert written[0, len(prompt) :].tolist() == bundle.expected(prompt, steps)


def asks(context):
    return {"construction": "summarised-addressed", "tape": 16, "context": context}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_number_is_exact_in_its_dtype(architecture, dtype):
    for options in [{"tape": 16, "steps": 60}, *map(asks, (38, 300, 4096, 65_536))]:
        try:
            bundle = made("bb4", architecture, dtype=dtype, **options)
        except BoundError:
            assert architecture == "llama"
            continue
        for name, tensor in bundle.checkpoint.tensors.items():
            exact = torch.from_numpy(tensor)
            assert torch.equal(exact.to(getattr(torch, dtype)).to(torch.float32), exact), name


@pytest.mark.parametrize(
    ("architecture", "dtype", "context"),
    [
        *(("gpt2", "float32", context) for context in (1024, 9000, 60_001)),
        *(("gpt2", "bfloat16", context) for context in (300, 4096)),
        *(("gpt2", "float16", context) for context in (1100, 4096)),
        *(("llama", "float32", context) for context in (4096, 30_000)),
        ("llama", "float16", 300),
    ],
)
def test_a_summary_begins_when_it_is_due(architecture, dtype, context):
    """At one position it is not, at the next one it is: by position ids, in short contexts."""
    bundle = made("bb4", architecture, dtype=dtype, **asks(context))
    (due,) = {head.until for head in bundle.checkpoint.wiring.layers[0].lookups if head.until}
    assert due == context - 16 - 3  # the rest is the summary: two tokens and all cells
    ids = bundle.checkpoint.wiring.ids()
    places = [*range(1, 9), *range(due - 40, due + 19)]
    tokens = torch.tensor([[ids["<bos>"], ids["<start@8>"]]] * len(places))
    positions = torch.tensor([[0, place] for place in places])
    with torch.inference_mode():
        following = model_of(bundle)(tokens, position_ids=positions).logits[:, -1].argmax(-1)
    summaries = [bundle.tokens[i].name == "<summary>" for i in following.tolist()]
    assert summaries == [place >= due for place in places]


@settings(max_examples=25, deadline=None)
@given(machines(), st.sampled_from(ARCHITECTURES), st.integers(6, 20), st.data())
def test_random_machines(machine, architecture, tape, data):
    """Any machine: all tokens of a run, in one pass over it."""
    bundle = made(machine, architecture, tape=tape, steps=40)
    cells = st.lists(st.sampled_from(machine.symbols), max_size=tape - tape // 2)
    words = [data.draw(cells.map(tuple)) for _ in range(machine.tapes)]
    start = machine.initial([api.Tape(word) for word in words])
    prompt = bundle.prompt(start)
    run = bundle.expected(prompt, 40 * (1 + (machine.tapes if machine.tapes > 1 else 0)))
    if bundle.tokens[prompt[-1]].outcome is not None:
        return
    tokens = [*prompt, *run]
    passed = forward(model_of(bundle), tokens)
    assert passed.logits[len(prompt) - 1 : -1].argmax(-1).tolist() == run
    assert disagreement(bundle, passed, tokens[:-1], len(prompt) - 1) is None


def test_many_values_take_several_heads():
    """A head brings as many words as it is wide; 70 states on a Llama's 64 take two."""
    rules = "".join(f"  q{i}:\n    _ _: 1 1 R R q{(i + 1) % 70}\n" for i in range(70))
    machine = formats.parse(f"name: many\ntapes: 2\nblank: _\nstart: q0\nrules:\n{rules}")
    bundle = made(machine, "llama", tape=8, steps=3)
    assert len(bundle.checkpoint.layers[0].heads) == 4
    tokens, begin = run_of(bundle, [], 9)
    passed = forward(model_of(bundle), tokens)
    assert passed.logits[begin - 1 : -1].argmax(-1).tolist() == tokens[begin:]


def idle_entries(name, parameter, bundle, streams):
    """Return the entries of a parameter that a run cannot show, which have a reason each.

    Those for words that are nowhere in it, such as cells not visited and padding; the biases of
    keys, which move the scores of all positions alike; and those of the words of a query, as it is
    the same whether a key gains for the right word or loses for all others. In this run no cell is
    written twice in a row, which bit 0 of a position would show, and no position has bit 7.
    """
    idle = torch.zeros_like(parameter, dtype=torch.bool)
    nowhere = ~(torch.cat(streams) == 1).any(0)
    if name == "attn.c_attn.weight":
        idle[nowhere] = True
    elif name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
        idle[:, nowhere] = True
    width = parameter.shape[-1] // 3
    if name == "attn.c_attn.bias":
        idle[width : 2 * width] = True
        lookup = bundle.checkpoint.wiring.layers[0].lookups[0]
        idle[: len(lookup.pairs) + 1] = True
        idle[len(lookup.pairs) + 7] = True
    elif name.endswith("k_proj.weight"):
        pair = bundle.checkpoint.constants["pair"]
        idle[:, ONE] = True
        idle[pair, ONE] = False  # turned with the position, it is the recency
    return idle


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_broken_weight_is_noticed(architecture):
    """Any entry of head and neurons, with its sign flipped, changes the stream of a run."""
    bundle = made("bb4", architecture, tape=32, steps=107)  # its run takes every rule
    tokens, _ = run_of(bundle, [], 107)
    model = model_of(bundle)
    right = forward(model, tokens)
    block = model.base_model.h[0] if architecture == "gpt2" else model.base_model.layers[0]
    tried, unnoticed = 0, []
    for name, parameter in block.named_parameters():
        if "ln_" in name or "norm" in name:
            continue
        flat = parameter.data.view(-1)
        used = (parameter.data != 0) & ~idle_entries(name, parameter.data, bundle, right.streams)
        places = used.view(-1).nonzero()[:, 0].tolist()
        for place in places[:: max(1, len(places) // 12)]:
            flat[place] *= -1
            passed = forward(model, tokens)
            tried += 1
            if all(torch.equal(a, b) for a, b in zip(passed.streams, right.streams, strict=True)):
                unnoticed.append((name, divmod(place, parameter.shape[-1])))
            flat[place] *= -1
    assert tried > 50
    assert unnoticed == []


def test_only_programs_of_words():
    with pytest.raises(TargetError, match="computes with words alone"):
        stock.lower(api.compile("bb4").compiled.program, "gpt2", 100, "float32")
    with pytest.raises(TargetError, match="looped"):
        stock.lower(api.compile("bb4", "looped").compiled.program, "gpt2", 100, "float32")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"construction": "trace", "steps": 5}, InputError, "addressed, summarised-addressed"),
        ({}, InputError, "--steps"),
        ({"steps": 5, "context": 99}, InputError, "--context"),
        ({"construction": "summarised-addressed", "steps": 5}, InputError, "--context"),
        ({"steps": 5, "origin": 256}, InputError, "0 to 255"),
        ({"steps": 5, "tape": 1}, ConstructionError, "must be from 2"),
        ({"steps": 5, "dtype": "float8"}, InputError, "float32, bfloat16, float16"),
        ({"steps": 10**9}, BoundError, "--steps 41940"),
        ({"steps": 10**9, "dtype": "float16"}, BoundError, "--steps 52403"),
    ],
)
def test_refusals(options, error, said):
    with pytest.raises(error, match=said):
        made("bb5", "gpt2", **options)


def test_the_largest_is_taken():
    """What a refusal advises is accepted, one step more is not."""
    with pytest.raises(BoundError) as refused:
        made("bb5", "llama", tape=16, steps=10**6, dtype="float16")
    most = int(str(refused.value).split("--steps ")[1].split()[0])
    assert made("bb5", "llama", tape=16, steps=most, dtype="float16").steps == most
    with pytest.raises(BoundError):
        made("bb5", "llama", tape=16, steps=most + 1, dtype="float16")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_machine_gives_the_same_bytes(architecture):
    first, second = (made("bb4", architecture, tape=16, steps=9).checkpoint for _ in range(2))
    for name, tensor in first.tensors.items():
        assert np.array_equal(tensor, second.tensors[name])
