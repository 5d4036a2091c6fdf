"""How long a context is exact: at the derived bound it is, and not far beyond it no longer.

What is hardest to tell apart is two tokens in a row that wrote the same cell, far back or near.
Contexts of a few tokens show it: their position ids put these tokens anywhere in a long one.
"""

import random
import sys
from itertools import pairwise

import pytest

from tm2tf import api
from tm2tf.compiler import compile_machine
from tm2tf.export.torch_model import stock_model
from tm2tf.lowering import stock
from tm2tf.lowering.stock import gpt2, llama, precision
from tm2tf.lowering.stock.wiring import BEGIN

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="the extra `export` is not installed")

TRIALS = 400
DTYPES = [dtype.name for dtype in precision.DTYPES]
TAPES = {2: 16, 3: 72, 4: 520}
"""Cells of a tape by the pairs that have to agree: the digits of an address."""


class Positions(torch.nn.Module):
    """GPT-2's position embedding, computed instead of stored: 4 million rows are 4 GB."""

    def __init__(self, checkpoint, bits):
        super().__init__()
        self.first, self.half = len(checkpoint.wiring.directions), len(checkpoint.directions) // 2
        self.bits, self.dtype = bits, getattr(torch, checkpoint.limits.dtype)

    def forward(self, positions):
        x = torch.zeros(*positions.shape, self.half)
        x[..., BEGIN] = torch.where(positions == 0, 1.0, -1.0)
        for b in range(self.bits):
            x[..., self.first + b] = torch.where((positions >> b) & 1 == 1, 1.0, -1.0)
        return torch.cat([x, -x], -1).to(self.dtype)


@pytest.fixture
def unchecked(monkeypatch):
    """Make checkpoints that would be refused."""
    for module in (gpt2, llama):
        monkeypatch.setattr(module, "require_exact", lambda limits: None)


def build(architecture, agree, positions, dtype, monkeypatch):
    """Return a model whose constants are for so many positions, and its checkpoint."""
    tape = TAPES[agree]
    program = compile_machine(api.load("bb4"), "addressed", None, {"tape": tape}).program
    if architecture == "llama":
        checkpoint = stock.lower(program, architecture, positions, dtype)
        return stock_model(checkpoint), checkpoint
    bits = precision.gpt2_bits(positions)
    with monkeypatch.context() as patched:
        patched.setattr(gpt2, "gpt2_bits", lambda positions: bits)
        checkpoint = stock.lower(program, architecture, 64, dtype)
    model = stock_model(checkpoint)
    computed = Positions(checkpoint, bits)
    stored = model.transformer.wpe.weight
    assert torch.equal(computed(torch.arange(64)), stored)
    model.transformer.wpe = computed
    return model, checkpoint


def contexts(checkpoint, tape, positions):
    """Return contexts, their position ids, and what must follow each."""
    ids = checkpoint.wiring.ids()
    rng = random.Random(0)
    rows, places, following = [], [], []
    for number in range(TRIALS):
        last = positions - 1 if number % 4 else rng.randrange(4, positions)
        near = min(50, last - 2) if number % 2 else last - 2
        write = rng.randrange(1, max(2, near))
        cell = rng.randrange(1, tape - 1)
        old, new = ("0", "1") if rng.random() < 0.5 else ("1", "0")
        tokens = ["<bos>", f"{old}@{cell}", f"{new}@{cell}", f"{old}@{cell - 1}", f"<start@{cell}>"]
        rows.append([ids[token] for token in tokens])
        places.append([0, write, write + 1, max(write + 1, last - 1), last])
        following.append(ids[f"1R>B@{cell + 1}" if new == "0" else f"1L>B@{cell - 1}"])
    return torch.tensor(rows), torch.tensor(places), torch.tensor(following)


def wrong(architecture, agree, positions, dtype, monkeypatch):
    """Return the share of contexts in which another token comes next."""
    model, checkpoint = build(architecture, agree, positions, dtype, monkeypatch)
    rows, places, following = contexts(checkpoint, TAPES[agree], positions)
    with torch.inference_mode():
        got = model(rows, position_ids=places).logits[:, -1].argmax(-1)
    return (got != following).float().mean().item()


def greatest(architecture, agree, dtype):
    program = compile_machine(api.load("bb4"), "addressed", None, {"tape": TAPES[agree]}).program
    limits = stock.lower(program, architecture, 16, dtype).limits
    assert limits.agree == agree
    return limits.greatest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("agree", [2, pytest.param(3, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_at_the_bound_and_beyond(architecture, agree, dtype, unchecked, monkeypatch):
    """Exact at the bound; wrong at 32 times as much (Llama in float32), else 4 times, at last."""
    bound = greatest(architecture, agree, dtype)
    assert wrong(architecture, agree, bound, dtype, monkeypatch) == 0
    margin = 32 if (architecture, dtype) == ("llama", "float32") else 4
    assert wrong(architecture, agree, margin * bound, dtype, monkeypatch) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_where_it_breaks(architecture, dtype, unchecked, monkeypatch, capsys):
    """Print the first multiple of the bound that is wrong; docs/checkpoints.md has the table."""
    for agree in TAPES:
        bound = greatest(architecture, agree, dtype)
        times = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
        first = next(
            n for n in times if wrong(architecture, agree, n * bound, dtype, monkeypatch) > 0
        )
        with capsys.disabled():
            where = f"bound {bound:,}, wrong at {first} times it"
            sys.stdout.write(f"\n{architecture} {dtype}, n = {agree}: {where}")
        assert first > 1


def test_gpt2_scores_are_whole_numbers():
    """(G), by arithmetic alone: all of them fit into float32's 2^24 at the bound, not above."""
    for agree in range(1, 8):
        for dtype in precision.DTYPES:
            bits = precision.gpt2_greatest(agree, dtype).bit_length() - 1
            assert (agree + 1) * 2**bits <= 2**24
            if dtype.name != "float16":
                assert (agree + 1) * 2 ** (bits + 1) > 2**24
            else:  # the greatest key, of padding, is a power of two that float16 has
                product = precision.GPT2_R * 2.0**bits * 16
                assert 2 * min(precision.split(product)) <= 2**15


def test_a_llama_leads_by_what_is_left():
    """(L): the lead falls as contexts grow, is 20 nats at the bound and less above."""
    single = precision.dtype_called("float32")
    bound = precision.llama_greatest(3, 20, single, asks=False)
    assert precision.rotary(3, 20, bound, single, asks=False).lead >= precision.NATS
    assert precision.rotary(3, 20, bound + 1, single, asks=False).lead < precision.NATS
    for dtype in precision.DTYPES:
        lengths = [2**k for k in range(4, 20)]
        made = [precision.rotary(3, 20, length, dtype, asks=False) for length in lengths]
        # A is a power of two: nats a position are between r and 2 r
        leads = [one.lead / (one.A * one.w) for one in made]
        assert all(a > b for a, b in pairwise(leads))
        assert all(one.theta < precision.GREATEST_BASE * 10 for one in made)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_longer_contexts_are_refused(architecture):
    program = compile_machine(api.load("bb4"), "addressed", None, {"tape": 32}).program
    bound = greatest(architecture, 2, "bfloat16" if architecture == "llama" else "float32")
    dtype = "bfloat16" if architecture == "llama" else "float32"
    with pytest.raises(stock.TooLongError, match=f"{bound:,} tokens"):
        stock.lower(program, architecture, bound + 1, dtype)


def test_unknown_dtype():
    with pytest.raises(api.NotFoundError, match="float32, bfloat16, float16"):
        precision.dtype_called("int8")
