"""Compiles the 4-state busy beaver into a transformer and lets it write the machine's run.

Nothing is trained: every weight is computed from the machine's eight rules. The transformer is
then used like any language model: it gets a prompt, and each token it emits is appended to what
it reads next. Here a token is one step of the machine.
"""

import torch

import tm2tf
from tm2tf.runtime.model import Transformer

SHOWN = 8

machine = tm2tf.load("bb4")
model = tm2tf.compile(machine)
weights = model.weights
print(f"machine       {machine.name}, {machine.description}")
layers = len(weights.layers)
print(f"transformer   {layers} layers, {weights.heads} heads, d_model {weights.d_model}")
print(f"parameters    {weights.parameters:,}, of which {weights.nonzeros} are not 0")

# The prompt of a blank tape is empty but for two marks.
names = [token.name for token in weights.tokens]
print(f"vocabulary    {' '.join(names)}")
print(f"prompt        {' '.join(model.prompt())}\n")

# Greedy decoding, as with any decoder. A token such as 1R>B says: write 1, move right, go to
# state B. The tape is drawn from the tokens emitted; the transformer has no other memory either.
transformer = Transformer(weights)
new = [names.index(name) for name in model.prompt()]
tape: dict[int, str] = {}
head = steps = 0
while True:
    logits = transformer(torch.tensor([new]))
    emitted = int(logits[0, -1].argmax())
    token = weights.tokens[emitted]
    steps += 1
    tape[head] = str(token.values["tape0.write"])
    head += int(token.values["tape0.move"])
    if steps <= SHOWN or token.outcome:
        cells = [f" {tape.get(i, machine.blank)} " for i in range(-10, 4)]
        cells[head + 10] = f"[{cells[head + 10].strip()}]"
        print(f"step {steps:3}  emits {token.name}  tape {''.join(cells)}")
    if steps == SHOWN:
        print("  ...")
    if token.outcome:
        break
    new = [emitted]

# The same through the library: the compiled kernel instead of the loop above.
result = model.run()
print(f"\n{result.outcome} after {result.steps} steps with {result.nonblank} ones on the tape")
print(f"known: 107 steps and 13 ones (Brady 1983); the loop above took {steps}")

# In lockstep with the machine's own simulator, state, symbols, move, head and tape are compared
# at every step.
check = model.verify()
print(f"lockstep: {check.steps} steps compared, first difference: {check.divergence}")
