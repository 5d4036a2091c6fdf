"""transformers with one fault each, as engines have them: what the known answers must catch.

Each fault is in the computation, not in the tokens that come out of it: positions, keys, scores
and masks are changed between transformers' own code and its attention. And a server with OpenAI's
completions endpoint, to reach an engine by.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from tm2tf.kat import answers
from tm2tf.kat.engines.transformers_engine import TransformersEngine, TransformersSession


@dataclass(frozen=True)
class Broken:
    """transformers whose forward pass is given through `change`, and whose attention is named."""

    name: str
    change: Callable[[dict], dict] | None = None
    attention: str = "sdpa"
    session: Callable = TransformersSession

    def load(self, folder):
        model = TransformersEngine(attention=self.attention).model(folder)
        if self.change is not None:
            right = model.forward

            @functools.wraps(right)
            def forward(*args, **kwargs):
                return right(*args, **self.change(kwargs))

            model.forward = forward
        return self.session(model)


# --- positions


def _past(kwargs):
    cache = kwargs.get("past_key_values")
    return 0 if cache is None else cache.get_seq_length()


def shifted_in_decode(kwargs, by):
    if _past(kwargs):
        kwargs["position_ids"] = kwargs["position_ids"] + by
    return kwargs


def shifted(kwargs, by=1):
    ids = kwargs["input_ids"]
    there = kwargs.get("position_ids")
    if there is None:
        there = torch.arange(ids.shape[1])[None]
    kwargs["position_ids"] = there + by
    return kwargs


def counting_padding(kwargs):
    ids, past = kwargs["input_ids"], _past(kwargs)
    kwargs["position_ids"] = torch.arange(past, past + ids.shape[1])[None].expand(ids.shape)
    return kwargs


def attending_to_padding(kwargs):
    if kwargs.get("attention_mask") is not None:
        kwargs["attention_mask"] = torch.ones_like(kwargs["attention_mask"])
    return kwargs


# --- attention


def _attention(module, query, key, value, mask, scaling, *, window=None, scores=None, causal=True):
    """sdpa written out: scores, mask, softmax in float32; with what is asked for gone wrong."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    length, total = query.shape[2], key.shape[2]
    allowed = torch.ones(length, total, dtype=torch.bool)
    if causal:
        allowed = allowed.tril(total - length)
    if window is not None and length == 1:  # a cache that holds so many keys
        allowed &= torch.arange(total) >= total - window
    if mask is not None:  # its last row sees all that is before it, but for padding
        allowed = allowed & (mask if causal else mask[..., -1:, :])
    dtype = torch.float32 if scores is None else scores
    found = (query.to(dtype) * scale) @ key.to(dtype).transpose(2, 3)
    # no infinity: a row of padding sees nothing, and must not become NaN
    found = found.masked_fill(~allowed, torch.finfo(dtype).min).float().softmax(-1)
    return (found @ value.float()).to(query.dtype).transpose(1, 2).contiguous(), None


def _register(name, **wrong):
    def attention(module, query, key, value, attention_mask=None, scaling=None, **_):
        return _attention(module, query, key, value, attention_mask, scaling, **wrong)

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)


_register("written_out")
_register("window_of_512", window=512)
_register("window_of_128", window=128)
_register("scores_in_float16", scores=torch.float16)
_register("scores_in_bfloat16", scores=torch.bfloat16)
_register("not_causal", causal=False)


def _register_unseen(name, unseen):
    """Register sdpa in which positions do not see what `unseen(queries, keys)` says."""

    def attention(module, query, key, value, attention_mask=None, scaling=None, **_):
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        length, total = query.shape[2], key.shape[2]
        queries, keys = torch.arange(total - length, total)[:, None], torch.arange(total)[None]
        allowed = (keys <= queries) & ~unseen(queries, keys)
        if attention_mask is not None:
            allowed = allowed & attention_mask
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, scale=scaling
        )
        return found.transpose(1, 2).contiguous(), None

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)


_register_unseen("all_seen", lambda queries, keys: keys > queries)
for _size in (2048, 4096):
    _register_unseen(
        f"sliding_window_of_{_size}", lambda queries, keys, size=_size: queries - keys >= size
    )
_register_unseen(
    "first_key_lost", lambda queries, keys: (keys == 0) & (queries > 0) & (len(queries) == 1)
)
_register_unseen("block_lost", lambda queries, keys: (keys == 255) & (len(queries) == 1))


# --- sessions


class GoesOn(TransformersSession):
    """Does not end a row with its stop token."""

    def generate(self, prompts, count, stop):
        return [[*row, 0] for row in super().generate(prompts, count, stop)]


class TooMany(TransformersSession):
    """Generates five tokens more than it is asked for, unless the run is over."""

    def generate(self, prompts, count, stop):
        return super().generate(prompts, count + 5, stop)


class Swapped(TransformersSession):
    """Gives the rows of a batch in another order."""

    def generate(self, prompts, count, stop):
        return super().generate(prompts, count, stop)[::-1]


class NeverStops(TransformersSession):
    """Draws on after the run is over."""

    def sample(self, prompt, count, stop, seed):
        drawn = super().sample(prompt, count, stop, seed)
        drawn.tokens.append(0)
        return drawn


class Stale(TransformersSession):
    """Keeps the cache of the last prompt, and takes three tokens too many of it as common."""

    before: tuple = ((), None)

    def _generate(self, prompts, count, stop, **how):
        if len(prompts) > 1 or how.get("do_sample"):
            return super()._generate(prompts, count, stop, **how)
        old, cache = self.before
        new = tuple(prompts[0])
        common = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
        common = min(len(old), len(new)) if common is None else common
        if cache is not None and common > 2:
            kept = min(common + 3, len(new) - 1, cache.get_seq_length())
            cache.crop(kept - cache.get_seq_length())
            how["past_key_values"] = cache
        out = super()._generate(prompts, count, stop, **how)
        self.before = (tuple(out.sequences[0].tolist()), out.past_key_values)
        return out


class Lukewarm(TransformersSession):
    """Draws at a temperature far above 1."""

    def sample(self, prompt, count, stop, seed):
        self.options = {"temperature": 40.0}
        generate = self._generate

        def hot(*args, **how):
            how.pop("temperature")
            return generate(*args, **how)

        self._generate = hot
        return super().sample(prompt, count, stop, seed)


SOUND = Broken("sound, attention written out", attention="written_out")
OFF_BY_ONE_IN_DECODE = Broken(
    "decoding begins at the last position of the prompt",
    functools.partial(shifted_in_decode, by=-1),
)
GAP_IN_DECODE = Broken("decoding leaves a position out", functools.partial(shifted_in_decode, by=1))
OFF_BY_ONE = Broken("all positions shifted", shifted)
PADDING_COUNTED = Broken("positions count padding", counting_padding)
PADDING_ATTENDED = Broken("padding attended", attending_to_padding)
CUT = Broken("512 keys", attention="window_of_512")
CUT_SHORT = Broken("128 keys", attention="window_of_128")
FLOAT16_SCORES = Broken("float16 scores", attention="scores_in_float16")
BFLOAT16_SCORES = Broken("bfloat16 scores", attention="scores_in_bfloat16")
NOT_CAUSAL = Broken("no causal mask", attention="not_causal")
EAGER = Broken("eager attention", attention="eager")
STALE = Broken("stale cache", session=Stale)
SEEN = Broken("sound, masks written out", attention="all_seen")
SLIDING = {
    size: Broken(f"sliding window of {size}", attention=f"sliding_window_of_{size}")
    for size in (2048, 4096)
}
FIRST_KEY_LOST = Broken("first key lost", attention="first_key_lost")
BLOCK_LOST = Broken("block lost", attention="block_lost")
GOES_ON = Broken("goes on", session=GoesOn)
TOO_MANY = Broken("too many", session=TooMany)
SWAPPED = Broken("swapped", session=Swapped)
DRAWS_ON = Broken("draws on", session=NeverStops)
HOT = Broken("hot", session=Lukewarm)


# --- a server


class Completions:
    """What answers POST /v1/completions with the tokens of a session, as other servers do.

    The token that ends a row is not shown, but for `shows_end`. `refuses`: what is answered with
    400: "ids", "batch" or "echo".
    """

    def __init__(self, session, folder, *, shows_end=False, refuses=()):
        self.session, self.refuses, self.shows_end = session, refuses, shows_end
        self.known = answers.load(folder)
        self.ids = {word: number for number, word in enumerate(self.known.vocabulary)}
        self.asked = []

    def answer(self, body):
        self.asked.append(body)
        prompts = body["prompt"]
        many = isinstance(prompts, list) and isinstance(prompts[0], list | str)
        prompts = prompts if many else [prompts]
        ids = [[self.ids[w] for w in p.split()] if isinstance(p, str) else p for p in prompts]
        asks = {
            "batch": many,
            "ids": isinstance(prompts[0], list),
            "echo": body.get("echo", False),
        }
        refused = [name for name in self.refuses if asks[name]]
        if refused:
            return 400, {"error": {"message": f"no {refused[0]} here"}}
        if asks["echo"]:
            best = [self.known.token(i) for i in self.session.score(ids[0])]
            logprobs = {"top_logprobs": [None, *({word: 0.0, "other": -9.0} for word in best)]}
            words = self.known.text(tuple(ids[0]))
            return 200, {"choices": [{"index": 0, "text": words, "logprobs": logprobs}]}
        count, stop = body["max_tokens"], self.known.stop
        if body.get("temperature") == 1:
            drawn = self.session.sample(ids[0], count, stop, body["seed"])
            choices = [self.choice(0, drawn.tokens, [-1e-12] * len(drawn.tokens))]
        else:
            rows = self.session.generate(ids, count, stop)
            choices = [self.choice(i, row, None) for i, row in enumerate(rows)]
        return 200, {"choices": choices[::-1]}

    def choice(self, index, row, logs):
        ended = row[-1] in self.known.stop
        shown = row[:-1] if ended and not self.shows_end else row
        return {
            "index": index,
            "text": " " + self.known.text(tuple(shown)),
            "finish_reason": "stop" if ended else "length",
            "logprobs": {"token_logprobs": logs} if logs else None,
        }


@contextmanager
def serving(completions, models=("model",)):
    """Yield the URL of a server that answers as `completions` does; None for no list of models."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            listed = {"data": [{"id": name} for name in models or ()]}
            self.send(*((404, {}) if models is None else (200, listed)))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send(*completions.answer(body))

        def send(self, status, value):
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
