"""Writes a machine as text, makes a mistake in it, corrects it, and verifies the weights.

The format is described in docs/machine-format.md. A machine can stand in a file of its own as
well: `tm2tf verify my-machine.yaml` does what the last part of this example does.
"""

from random import Random

import tm2tf
from tm2tf.errors import FormatError

# A rule is: what is read: what is written, move, next state. What does not change is left out.
TEXT = """\
name: parity-bit
description: Writes a bit behind a binary word so that the number of ones is even.
blank: _
start: even
halt: done
rules:
  even:               # an even number of ones so far
    0: R
    1: R od           # <- this state does not exist
    _: 0 S done
  odd:
    0: R
    1: R even
    _: 1 S done
examples:
  - input: 1011
    outcome: halted
    tape: 10111
    steps: 5
  - input: ""
    note: no ones is an even number of ones
    tape: 0
"""

print("1. The text has a mistake, and the message says where it is:\n")
try:
    tm2tf.load(TEXT)
except FormatError as error:
    print(error)

machine = tm2tf.load(TEXT.replace("R od ", "R odd"))
model = tm2tf.compile(machine)
print(f"\n2. Corrected, it is a transformer; {model.weights.nonzeros} of its weights are not 0.")
print("   One neuron of the last layer stands for each rule:\n")
for name in model.weights.layers[-1].feed_forward.neurons:
    print(f"     {name}")

print("\n3. The input becomes the prompt, and the weights emit one token a step:\n")
for word in ("1011", "0", "111111"):
    ended = model.run(word)
    (tape,) = ended.tapes
    print(f"     prompt  {' '.join(model.prompt(word))}")
    print(f"     result  {machine.join(tape.contents)}, {ended.outcome} after {ended.steps} steps")

print("\n4. The examples in the text say how runs should end. Weights and machine agree on each:\n")
for example in machine.examples:
    check = model.verify(*example.tapes, expected=example.expected)
    word = machine.join(example.tapes[0].contents)
    print(f"     {word!r:7} {check.steps} steps compared, difference: {check.divergence}")

print("\n5. Nothing is trained, so long inputs are no harder than short ones. Against Python:\n")
random = Random(0)
for length in (10, 1_000, 100_000):
    word = "".join(random.choices("01", k=length))
    (tape,) = model.run(word).tapes
    right = machine.join(tape.contents) == word + str(word.count("1") % 2)
    print(f"     {length:7,} symbols, {word.count('1'):6,} ones: {'right' if right else 'WRONG'}")
