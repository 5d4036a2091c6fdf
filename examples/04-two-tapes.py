"""Builds a two-tape machine from blocks and shows where the attention head of each tape looks.

The machine accepts palindromes: it copies the word from tape 0 to tape 1, takes head 0 back to
the beginning, and reads tape 0 forwards and tape 1 backwards at once. The transformer has one
attention head for each tape, and both look into the same context.
"""

import torch

import tm2tf
from tm2tf.machine.builder import Builder, accept, act, call, copy_of, loop, on, reject, same, seq
from tm2tf.machine.builder import when as if_
from tm2tf.runtime.model import Transformer, generate

WORD = "abba"

# Only `act` takes a step. Tests such as `on(0, "_")` (is the head of tape 0 on a blank?) cost
# nothing: they become the rules of the machine.
copy = call("copy", loop(~on(0, "_"), act(write={1: copy_of(0)}, move={0: "R", 1: "R"})))
rewind = call("rewind", act(move={0: "L", 1: "L"}), loop(~on(0, "_"), act(move={0: "L"})))
compare = call(
    "compare",
    act(move={0: "R"}),
    loop(~on(0, "_"), if_(same(0, 1), act(move={0: "R", 1: "L"}), reject)),
    accept,
)
machine = Builder(tapes=["ab", "ab"]).build(seq(copy, rewind, compare), name="palindrome")
model = tm2tf.compile(machine)
weights = model.weights
to = machine.transitions["copy", ("a", "_")]
print(f"{machine.name}: {machine.tapes} tapes, {len(machine.transitions)} rules; one of them:")
print(f"  reading a _ in 'copy', write {to.writes}, move {to.moves}, go to {to.state!r}\n")

# Every token moves both heads. Attention head 0 asks who wrote last on the cell under head 0,
# attention head 1 asks the same of tape 1.
names = [token.name for token in weights.tokens]
prompt = [names.index(name) for name in model.prompt(WORD)]
transformer = Transformer(weights)
(emitted,) = generate(transformer, weights, [prompt], max_tokens=100)
tokens = prompt + emitted
transformer.reset()
transformer(torch.tensor([tokens]))
ends = transformer.stream[-1][0].numpy()
readout = {readout.feature.name: readout for readout in weights.readouts}
labels = [head.name for layer in weights.layers for head in layer.heads]
heads = dict(zip(labels, transformer.heads, strict=True))

print("Each line is a position. `0` marks the position that attention head 0 picks, `1` the one")
print("that head 1 picks, `X` both. What they read, with the state, decides the next token.\n")
first = len(prompt) - 1
print(" " * 19 + "".join(f"{i + 1:3}" for i in range(len(tokens) - 1)) + "   reads")
for position, token in enumerate(tokens[:-1]):
    picked = [int(heads[f"tape{t}.read"].attended[0, position]) for t in (0, 1)]
    marks = ["."] * (position + 1)
    if position >= first:
        for tape in (0, 1):
            marks[picked[tape]] = "X" if picked[0] == picked[1] else str(tape)
    grid = "".join(f"{mark:>3}" for mark in marks).ljust(3 * (len(tokens) - 1))
    symbols = [readout[f"tape{t}.read"].read(ends[position]) for t in (0, 1)]
    read = " ".join(machine.symbols[i] for i in symbols) if position >= first else ""
    print(f"{position + 1:3} {names[token]:15}{grid}   {read}".rstrip())

print("\nPosition 1, <bos>, is picked where nothing was ever written on the cell: it is blank.")
result = model.run(WORD)
check = model.verify(WORD)
print(f"{WORD}: {result.outcome} after {result.steps} steps. Lockstep with the simulator, which")
print(f"compares both tapes: {check.steps} steps, first difference: {check.divergence}. Others:")
for word in ("", "a", "ab", "abab", "abbabba" * 30, "ab" * 300):
    check = model.verify(word)
    right = (check.outcome == "accepted") == (word == word[::-1])
    shown = word if len(word) < 12 else f"{word[:7]}... ({len(word)})"
    print(f"  {shown!r:18} {check.outcome}, {check.steps:4} steps, difference: {check.divergence}")
    assert right
