"""Runs a machine in onnxruntime: one graph file, numpy arrays in and out, a loop by hand.

This is all that an engine does: feed the last token and the cached keys and values, take the most
probable next token, and go on. The machine has two tapes here, so a step takes three tokens.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from tm2tf import api
from tm2tf.errors import ExtraError
from tm2tf.machine.simulator import Simulation

try:
    import onnxruntime
    from tokenizers import Tokenizer
except ImportError:
    raise ExtraError("this example", "onnxruntime or tokenizers", "onnx") from None

NAME, WORD = "palindrome-2tape", "0110"
ORIGIN = 8  # the cell where input begins: half the tape

machine = api.load(NAME)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    made = api.export(machine, "onnx", folder, tape=16, steps=40)
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    graph = onnxruntime.InferenceSession(folder / "model.onnx")

print(f"1. {NAME} as a graph of {made.sizes['model.onnx']:,} bytes. What goes in:\n")
for wanted in graph.get_inputs():
    print(f"   {wanted.name:24}{wanted.type:16}{wanted.shape}")

cells = " ".join(f"tape0:{symbol}" for symbol in machine.split(WORD))
prompt = tokenizer.encode(f"<bos> {cells} <start>")
print("\n2. The prompt, in which the tokenizer has numbered the cells:\n")
print(f"   {' '.join(prompt.tokens)}\n")

shape = [1, config["num_key_value_heads"], 0, config["head_dim"]]
names = [output.name for output in graph.get_outputs()]
cache = {put.name: np.zeros(shape, np.float32) for put in graph.get_inputs()[3:]}
fed, tokens = prompt.ids, list(prompt.ids)
while tokens[-1] not in config["eos_token_id"]:
    first = len(tokens) - len(fed)
    given = {
        "input_ids": np.array([fed]),
        "position_ids": np.arange(first, len(tokens))[None],
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }
    logits, *present = graph.run(None, given | cache)
    pairs = zip(names[1:], present, strict=True)
    cache = {f"past_key_values{name[7:]}": array for name, array in pairs}
    fed = [int(logits[0, -1].argmax())]
    tokens += fed

written = [tokenizer.id_to_token(token) for token in tokens[len(prompt.ids) :]]
print("3. The run, a step a line: the transition, then where each head is.\n")
for i in range(0, len(written), 3):
    print(f"   {' '.join(written[i : i + 3])}")

right, simulation = [], Simulation(machine, machine.initial([WORD]))
while simulation.outcome is None:
    before = tuple(simulation.heads)
    simulation.step()
    acts = []
    for cells, old, new in zip(simulation.cells, before, simulation.heads, strict=True):
        acts.append(f"{cells.get(old, machine.blank)}{'LSR'[new - old + 1]}")
    right.append(f"{','.join(acts)}>{simulation.state}")
    heads = enumerate(zip(acts, simulation.heads, strict=True))
    right += [f"tape{t}:{act}>{ORIGIN + head}" for t, (act, head) in heads]
same = written == right[: len(written)]
print(
    f"\n4. By the simulator: {simulation.outcome}, {simulation.steps} steps. Same tokens: {same}."
)
