"""Runs five machines with one set of weights: the machine stands in the prompt, as examples.

So far each machine had weights of its own. Here the weights are fixed, and the prompt says what
to do: they are a base model that learns in context. What the prompt does not say, they do not
guess.
"""

from collections.abc import Sequence

import tm2tf
from tm2tf.constructions import universal
from tm2tf.runtime.model import Transformer, generate
from tm2tf.weights.model import Weights

RUNS = [
    ("bb4", ""),
    ("binary-increment", "1011"),
    ("palindrome", "abcba"),
    ("sort", "cabbac"),
    ("unary-multiplication", "11x111"),
]

bb2 = tm2tf.load("bb2")
compiled = tm2tf.compile(bb2, construction="universal")
weights = compiled.weights
options = weights.options
print(f"1. Compiled once, for all machines with up to {options['states']} running states and")
print(
    f"   {options['symbols']} symbols: {len(weights.layers)} layers, {weights.heads} heads,",
    end=" ",
)
print(f"d_model {weights.d_model}. No neuron stands for a rule.")
print("   The rules stand in the prompt instead, one example each. Those of bb2:\n")
for example in universal.examples(bb2, options):
    print(f"     {' '.join(example)}")
print("\n   The first says: in state A, reading 0, enter B, write 1, move right.")

print("\n2. Five machines, the same weights. Every step is compared with the simulator's:\n")
for name, word in RUNS:
    model = compiled.of(name)
    result, check = model.run(word), model.verify(word)
    (tape,) = result.tapes
    left = model.machine.join(tape.contents) or "blank"
    print(f"     {model.weights_sha256[:8]}  {name:20} {word or 'blank':6} -> {left:15}", end="")
    print(f"{result.outcome} after {result.steps:3} steps, difference: {check.divergence}")

print("\n3. The same rules in the weights, where fine-tuning would put them, and in the prompt.")
print("   Both continue from the input 1011 alike (0, 1, 2 stand for blank, 0, 1):\n")


def emitted(model: Weights, prompt: Sequence[str]) -> str:
    """Return the tokens that weights emit after a prompt."""
    ids = model.ids()
    numbers = [ids[token] for token in prompt]
    (found,) = generate(Transformer(model), model, [numbers], max_tokens=100)
    return " ".join(model.tokens[number].name for number in found)


machine = tm2tf.load("binary-increment")
start = machine.initial(["1011"])
tuned = tm2tf.compile(universal.canonical(machine, options))  # the same machine in these words
fine_tuned = emitted(tuned.weights, tuned.prompt(*universal.canonical_start(machine, start).tapes))
listed = universal.examples(machine, options)
in_context = emitted(weights, universal.prompt_of(listed, start, machine).tokens)
print(f"     {tuned.weights_sha256[:8]}  rules in the weights  {fine_tuned}")
print(f"     {model.weights_sha256[:8]}  rules in the prompt   {in_context}")
assert in_context == fine_tuned

print("\n4. Now the example `B 2 -> B 1 left` is left out. The weights say so when they need it:\n")
known = [example for example in listed if example[:2] != ("B", "2")]
told = emitted(weights, universal.prompt_of(known, start, machine).tokens)
print(f"     {model.weights_sha256[:8]}  rules in the prompt   {told}")
