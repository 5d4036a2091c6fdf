"""Makes web pages that run weights in a browser, with an index: a folder to hand to a class.

Each page is one HTML file. It holds a machine's weights, and a program that runs them: readers
type an input, watch the tape and the layers, and need no network and no Python. `tm2tf view` makes
one; here a folder is made, with a machine of our own among the others. Needs the extra `draw`.
"""

import json
import re
import tempfile
from pathlib import Path

import tm2tf
from tm2tf.page.build import build
from tm2tf.page.library import Listed, site
from tm2tf.page.payload import Start

TEXT = """\
name: complement
description: Turns every bit of a binary word into the other one, and goes back to its beginning.
start: flip
halt: done
rules:
  flip:
    0: 1 R flip
    1: 0 R flip
    _: L back
  back:
    0|1: L
    _: R done
examples:
  - input: 1011
    outcome: halted
    tape: 0100
  - input: 00000000
    outcome: halted
    tape: 11111111
"""


def data(page):
    """Return what a page is given, which stands in it as JSON."""
    return json.loads(re.search(r'id="payload">(.*?)</script>', page, re.DOTALL)[1])


def entries(value):
    """Return how many numbers other than 0 there are in the tensors of nested data."""
    if isinstance(value, list):
        return sum(map(entries, value))
    if not isinstance(value, dict):
        return 0
    count = len(value["values"]) if "values" in value and "shape" in value else 0
    biases = [value.get(name) or [] for name in ("b_Q", "b_K", "b_gate", "b_in", "b_U", "W_pos")]
    return count + sum(1 for bias in biases for x in bias if x) + sum(map(entries, value.values()))


own = tm2tf.load(TEXT)
print("1. A machine of our own, and its weights, checked before anybody sees them:\n")
model = tm2tf.compile(own)
for example in own.examples:
    check = model.verify(*example.tapes, expected=example.expected)
    word = own.join(example.tapes[0].contents)
    print(f"   {word:9} {check.outcome} after {check.steps} steps, difference: {check.divergence}")

print("\n2. A folder of pages. The address of its index is what a class needs:\n")
listed = [
    Listed("busy beavers", tm2tf.load("bb3")),
    Listed("busy beavers", tm2tf.load("bb4")),
    Listed("words", tm2tf.load("palindrome-2tape")),
    Listed("our own", own),
]
pages = {}
with tempfile.TemporaryDirectory() as folder:
    for name, text in site(listed):
        Path(folder, name).write_text(text, encoding="utf-8")
        pages[str(name)] = text
    for path in sorted(Path(folder).iterdir()):
        print(f"   {path.name:22} {path.stat().st_size:8,} bytes")
outside = re.findall(r'(?:src=|<link[^>]* href=)"\w+:/[^"]*"', "".join(pages.values()))
print(f"\n   What they load from elsewhere: {', '.join(outside) or 'nothing'}.")

print(
    "\n3. What a page holds. There is no film of a run in it: the browser computes all it shows.\n"
)
print(f"   {'':18} tokens  layers  starts  weights not 0  of the model")
for machine in (it.machine for it in listed):
    held = data(pages[f"{machine.name}.html"])
    given = held["model"]
    nonzeros = tm2tf.compile(machine).weights.nonzeros
    print(
        f"   {machine.name:18} {len(given['tokens']):6} {len(given['layers']):7}"
        f" {len(held['starts']):7} {entries(given):14} {nonzeros:13}"
    )

held = data(pages["complement.html"])
start = held["starts"][held["opens"]]
tokens = [token["name"] for token in held["model"]["tokens"]]
print(f"\n   {own.name} opens with {start['label']!r}, for which the browser feeds")
print(f"   {' '.join(tokens[i] for i in start['prompt'])}")
print("   and shows, among others, what each neuron of the last layer does:\n")
last = held["model"]["layers"][-1]["mlp"]
for text in last["texts"]:
    print(f"   {text}")

print("\n4. A page with the inputs that a lesson is about, and a question at each:\n")
lesson = [
    Start("a single bit", model.start("0"), "How many steps will it take?"),
    Start("no bits", model.start(""), "Will it halt?"),
]
held = data(build(model.compiled, lesson))
for start in held["starts"]:
    print(f"   {start['label']:14} {start['note']}")
for word in ("0", ""):
    ended = model.run(word)
    print(f"   Answer for {word!r}: {ended.outcome} after {ended.steps} steps.")
