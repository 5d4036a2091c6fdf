"""Writes a machine as a GPT-2 that transformers loads, and lets generate() run it.

From the second part on nothing of tm2tf takes part: tokenizer and model come out of the folder, by
AutoTokenizer and AutoModelForCausalLM, and are transformers' own classes.
"""

import tempfile

from tm2tf import api
from tm2tf.errors import ExtraError

try:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging
except ImportError:
    raise ExtraError("this example", "transformers", "export") from None

CELLS, ORIGIN, ROWS = 20, 14, 14

with tempfile.TemporaryDirectory() as folder:
    made = api.export("bb4", "gpt2", folder, tape=CELLS, origin=ORIGIN, steps=107)
    print(f"1. bb4 as a stock checkpoint, {sum(made.sizes.values()):,} bytes:\n")
    for name, size in made.sizes.items():
        print(f"   {name:24}{size:12,}")

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")

prompt = tokenizer("<bos> <start>", return_tensors="pt")
written = model.generate(**prompt)
words = tokenizer.convert_ids_to_tokens(written[0])
run = words[2:]
print(f"\n2. {type(model).__name__}.generate() writes {len(run)} tokens. Read as a tape:\n")


def pictures(run, start):
    """Yield each token with the tape after it, the head's cell in brackets."""
    tape, head = ["."] * CELLS, start
    for token in run:
        step, _, address = token.partition("@")
        tape[head], head = step[0], int(address)
        cells = [f" {symbol} " for symbol in tape]
        cells[head] = f"[{tape[head]}]"
        yield token, "".join(cells).rstrip()


shown = list(pictures(run, ORIGIN))
for token, picture in shown[:ROWS]:
    print(f"   {token:9}{picture}")
print("   ...")
print(f"   {shown[-1][0]:9}{shown[-1][1]}")
print(f"\n   {len(run)} steps, {shown[-1][1].count('1')} ones.")

print("\n3. Several starts at once, as a batch; shorter ones are padded on the left:\n")
texts = ["<bos> <start>", "<bos> 1 1 <start>", "<bos> 1 0 1 1 <start>"]
batch = tokenizer(texts, return_tensors="pt", padding=True)
for text, row in zip(texts, model.generate(**batch), strict=True):
    steps = [word for word in tokenizer.convert_ids_to_tokens(row) if ">" in word[1:-1]]
    print(f"   {text:30}{len(steps):4} steps, the last {steps[-1]}")

print("\n4. What the head looked at: the token that last wrote where the tape head is now.\n")
pattern = model(written, output_attentions=True).attentions[0][0, 0]
print(f"   {'token':12}attends to  weight")
for position in range(1, ROWS):
    latest = int(pattern[position].argmax())
    weight = pattern[position, latest]
    print(f"   {words[position]:12}{words[latest]:10}{weight:8.1f}")
assert all(row.max() == 1 for row in pattern), "one token has all of the weight, to the bit"

print("\n5. And drawn at temperature 1 from all tokens, not greedily?\n")
drawn = model.generate(**prompt, do_sample=True, temperature=1.0, top_k=0)
print(f"   the same run: {drawn.equal(written)}")
