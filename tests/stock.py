"""Stock checkpoints in tests: others' models on our tensors, and what they hold of a program."""

from dataclasses import dataclass

import torch

from tm2tf import api
from tm2tf.export.bundle import Bundle, bundle
from tm2tf.export.torch_model import stock_model
from tm2tf.program.interpreter import Interpreter

ARCHITECTURES = ("gpt2", "llama")


def made(name, architecture, **options):
    """Return the bundle of a bundled machine."""
    machine = api.load(name) if isinstance(name, str) else name
    return bundle(machine, architecture, **options)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """One forward pass over a whole context: logits, and the stream after each layer."""

    logits: torch.Tensor
    streams: tuple[torch.Tensor, ...]


def forward(model, tokens):
    """Return what a stock model makes of a context, by hooks on its blocks; embedding first."""
    streams = []
    base = model.base_model
    blocks = base.h if hasattr(base, "h") else base.layers

    def before(module, args, kwargs):
        streams.append((args[0] if args else kwargs["hidden_states"])[0])

    def after(module, args, output):
        streams.append((output[0] if isinstance(output, tuple) else output).reshape_as(streams[0]))

    hooks = [blocks[0].register_forward_pre_hook(before, with_kwargs=True)]
    hooks += [block.register_forward_hook(after) for block in blocks]
    try:
        with torch.inference_mode():
            logits = model(torch.tensor([list(tokens)])).logits[0]
    finally:
        for hook in hooks:
            hook.remove()
    return Passed(logits, tuple(streams))


def continuation(model, tokens, start):
    """Return the most probable tokens after each position from `start` on."""
    return forward(model, tokens).logits[start:].argmax(-1).tolist()


def disagreement(made: Bundle, passed: Passed, tokens, start):
    """Return the first (position, feature, expected, got) at which stream and interpreter differ.

    Looked at from position `start` on: before, lookups may have nothing to ask for.
    """
    wiring = made.checkpoint.wiring
    interpreter = Interpreter(made.compiled.program)
    for position, token in enumerate(tokens):
        interpreter.feed(wiring.tokens[token].name)
        for name, words in wiring.features.items():
            if position < start and wiring.ready[name] >= 0:
                continue
            stream = passed.streams[wiring.ready[name] + 1][position]
            held = [word for word, direction in words.items() if stream[direction] == 1]
            value = interpreter.values.get(name)
            flag = list(words) == ["1"] and not isinstance(value, str)
            expected = ["1"] * bool(value) if flag else [value] * (value is not None)
            if held != expected:
                return position, name, expected, held
    return None


def model_of(made: Bundle):
    """Return the stock model of a bundle."""
    return stock_model(made.checkpoint)
