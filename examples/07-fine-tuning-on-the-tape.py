"""Lets a transformer fine-tune a perceptron on its own tape, and torch do the same beside it.

The machine is a training program. Its weights are compiled once and know nothing of the data: that
stands in the prompt. What it writes on its second tape are the weights of a perceptron.
"""

import numpy as np

import tm2tf
from tm2tf.learning.gradient import fine_tune
from tm2tf.learning.labelled import Labelled
from tm2tf.learning.sft import Learner, run_beside, tapes

FEATURES = np.array([[2, 1], [1, -1], [-1, 2], [-2, -1]])
LABELS = np.array([1, 1, -1, -1])
QUERIES = np.array([[3, 0], [-1, 1], [0, -2]])

data = Labelled(FEATURES, LABELS, QUERIES, np.array([1, -1, 1]), ("x1", "x2"), largest=3)
learner = Learner("perceptron", epochs=3)
machine = learner.machine()
model = tm2tf.compile(machine)
print(f"1. A machine that trains: {len(machine.states)} states, {machine.tapes} tapes. As weights:")
print(f"   {len(model.weights.layers)} layers, sha256 {model.weights_sha256[:8]}.\n")

print("2. Its input tape holds a mark an epoch, the examples and the queries, numbers in balanced")
print("   ternary, the lowest trit first:\n")
given, width = tapes(data, learner)
print(f"     {machine.join(given[0].contents)}\n")

print("3. The weights it writes, read from the tokens that the transformer emits, and torch's:\n")
found = run_beside(model, data, learner)
torch_says = fine_tune(FEATURES, LABELS, epochs=3)
print("     update  on the tape   torch.optim.SGD")
for number, (tape, sgd) in enumerate(zip(found.weights, torch_says.weights, strict=True), start=1):
    print(f"     {number:6}  {tape!s:12}  {tuple(sgd.astype(int).tolist())}")

print(
    f"\n4. {found.check.steps:,} steps, each verified; first difference: {found.first_difference}."
)
print("   Labels of the queries, by tape and torch:\n")
for query, tape, sgd in zip(QUERIES.tolist(), found.answers, found.expected, strict=True):
    print(f"     {query}  {tape:+}  {sgd:+}")
assert found.holds
