"""Runs machines in llama.cpp, from one GGUF file each, and compares with the simulator.

llama.cpp knows nothing of Turing machines: it loads a Llama, cuts a prompt into tokens, and
generates. What it writes has to be what the machine does, token by token.
"""

import tempfile
from pathlib import Path

from tm2tf import api
from tm2tf.errors import ExtraError
from tm2tf.machine.simulator import Simulation

try:
    from llama_cpp import Llama
except ImportError:
    raise ExtraError("this example", "llama_cpp", "llama-cpp") from None

CELLS, STEPS = 64, 190  # 190 + 64 + 2 tokens: llama.cpp rounds contexts up to 256 anyway
FLOAT32 = 0  # ggml's number for it


def spelled(machine, contents):
    """Return prompt and run in words, by the simulator; input begins at the middle cell."""
    middle = CELLS // 2
    cells = [f"{symbol}@{middle + i}" for i, symbol in enumerate(machine.split(contents))]
    simulation = Simulation(machine, machine.initial([contents]))
    run = []
    while simulation.outcome is None:
        head = simulation.heads[0]
        simulation.step()
        wrote = simulation.cells[0].get(head, machine.blank)
        now = simulation.heads[0]
        run.append(f"{wrote}{'LSR'[now - head + 1]}>{simulation.state}@{middle + now}")
    return " ".join(["<bos>", *cells, f"<start@{middle}>"]), run


print("machine           input      tokens  first difference  the last three")
with tempfile.TemporaryDirectory() as folder:
    for name, words in {"bb4": ["", "1011"], "binary-increment": ["1011", "111111111"]}.items():
        machine = api.load(name)
        api.export(machine, "gguf", Path(folder) / name, tape=CELLS, steps=STEPS)
        llama = Llama(
            str(Path(folder) / name / "model.gguf"),
            n_ctx=256,
            n_threads=1,
            type_k=FLOAT32,  # by default keys are float16, for which this file is not made
            type_v=FLOAT32,
            flash_attn=False,
            verbose=False,
        )
        for word in words:
            prompt, run = spelled(machine, word)
            ids = llama.tokenize(prompt.encode(), add_bos=False)
            answer = llama(ids, max_tokens=STEPS, temperature=0.0)
            written = answer["choices"][0]["text"].split()
            pairs = enumerate(zip(written, run, strict=False))
            difference = next((i for i, (got, right) in pairs if got != right), None)
            assert len(written) == len(run)
            last = " ".join(written[-3:])
            print(f"{name:18}{word or '(blank)':10}{len(written):7}  {difference!s:16}  {last}")
        llama.close()
