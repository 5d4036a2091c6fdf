"""Puts one machine into transformers in every way there is, and runs them side by side.

The literature has several constructions. They differ in what a token stands for, where the tape
is kept, and what they cost: tokens a step, context, precision. Here each becomes weights, writes
the same run, and is held against the machine at every step.
"""

import tm2tf
from tm2tf.constructions import CONSTRUCTIONS

NAME = "bb4"
SHOWN = 6  # tokens

machine = tm2tf.load(NAME)
print(f"{NAME}, {len(machine.transitions)} rules, from a blank tape.\n")
print("1. What each writes first (a looped model writes no text: it changes cells in place).\n")

models = {}
for construction in CONSTRUCTIONS:
    if construction.targets[0] != "hard":
        continue  # needs a package that may not be installed
    models[construction.name] = model = tm2tf.compile(machine, construction.name)
    prompt = " ".join(model.prompt())
    print(f"   {construction.name}: {construction.summary}")
    print(f"     begins with  {prompt if len(prompt) < 80 else prompt[:76] + ' ...'}")

print("\n2. Run, and checked against the machine at every step:\n")
print(f"   {'':20} bits  passes a step  longest context   d_model  agreed")
agreed = 0
for name, model in models.items():
    result, check = model.run(), model.verify()
    each = result.forward_passes / result.steps
    agreed += check.divergence is None
    assert (result.state, result.nonblank, result.steps) == ("Z", 13, 107)
    print(
        f"   {name:20} {model.weights.bounds.bits:4} {each:14.4g} {result.peak_context:16,}"
        f" {model.weights.d_model:9} {'   yes' if check.divergence is None else '    NO'}"
    )
print(f"\n   {agreed} of {len(models)} ways agree: 107 steps, 13 ones on the tape.")

print("\n3. Why several? Time against context. A long run of a machine that stays small:\n")
counter = tm2tf.load("counter")
for name in ("trace", "summarised"):
    result = tm2tf.compile(counter, name).run(max_steps=100_000)
    print(
        f"   {name:12} {result.steps:,} steps, {result.forward_passes:,} tokens written,"
        f" {result.peak_context:,} in the context at most"
    )

print("\n4. And precision. What needs few bits is exact in small formats too:\n")
for name in ("queue", "looped"):
    for dtype in ("float32", "bfloat16", "float16"):
        check = tm2tf.compile(machine, name).verify(runtime="torch", dtype=dtype, max_steps=20)
        print(f"   {name:12} {dtype:9} {check.steps} steps, difference: {check.divergence}")
