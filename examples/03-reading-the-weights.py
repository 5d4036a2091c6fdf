"""Follows one forward pass of a compiled transformer, number by number, from token to logits.

Every direction of the residual stream has a name, so the pass can be read. The machine is bb2,
the 2-state busy beaver: its run has 6 steps, and we watch the pass that emits the last of them.
In it, attention must find what an earlier step wrote on the cell that the head is back on.
"""

import torch
from torch import Tensor

import tm2tf
from tm2tf.runtime.model import Transformer, generate

weights = tm2tf.compile("bb2").weights
names = [token.name for token in weights.tokens]
transformer = Transformer(weights)


def show(before: Tensor | None, after: Tensor) -> None:
    """Print the directions that a layer has changed at the last position, by name."""
    old = torch.zeros(len(after[0, -1])) if before is None else before[0, -1]
    for name, was, now in zip(weights.directions, old, after[0, -1], strict=True):
        if was != now:
            print(f"    {name:18} = {now:g}")


def vector(numbers: Tensor) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"


prompt = [names.index("<bos>"), names.index("<start>")]
(emitted,) = generate(transformer, weights, [prompt], max_tokens=5)
tokens = prompt + emitted
transformer.reset()
logits = transformer(torch.tensor([tokens]))[0, -1]
embedded, sums, squares, end = transformer.stream  # after the embedding and after each layer

print("THE CONTEXT: a prompt of two tokens, then the five steps emitted so far")
print("  " + "  ".join(f"{i}:{names[token]}" for i, token in enumerate(tokens, start=1)))
print(f"  We follow position {len(tokens)}. A token is the step just taken: 1R>B means: 1 was")
print("  written, the head moved right, the state is now B. Which step is next?\n")

print("EMBEDDING: a row of W_E, and the position times W_pos; all other directions are 0")
show(None, embedded)

print("\nLAYER 0: where is the head? It is the sum of all moves so far.")
moves = vector(embedded[0, :, weights.directions.index("tape0.move")])
print(f"  A head attends to all positions alike and brings the mean of tape0.move, {moves}:")
print(f"  the sum divided by {len(tokens)}. A neuron multiplies it by the position, and rounds.")
show(embedded, sums)

print("\nLAYER 1: what the next layer compares. A square is not linear, so neurons make it:")
print("  of the head's address now (the query), and of the address just written on (the key).")
show(sums, squares)

print("\nLAYER 2: what does the cell under the head hold? Attention finds who wrote there last.")
(head,), mlp = transformer.blocks[-1]
query = squares[0, -1] @ head.W_Q + head.b_Q
scores = head.keys[0] @ query
chosen = int(head.attended[0, -1])
p = int(query[0]) // 2
print(f"  The head is at p = {p}; the query (2p, 1, p^2) is {vector(query)}. The keys:")
for i, (key, score) in enumerate(zip(head.keys[0], scores, strict=True)):
    w = int(key[0])
    why = (
        f"p^2 - (p - w)^2, wrote on w = {w}" if key[2] == 0 else f"p^2 - {-key[1]:g}, wrote nothing"
    )
    mark = "  <- the greatest" if i == chosen else ""
    print(f"    {i + 1}:{names[tokens[i]]:8} {vector(key):12} score {score:4g} = {why}{mark}")
value = vector(head.values[0, chosen])
print(f"  Position {chosen + 1} wrote on p. Its value, {value}, says: not 0, but 1.")
print("  Had nobody written on p, <bos> would win, whose value is the blank.")
read = squares[0, -1] + head.values[0, chosen] @ head.W_O

print("  In the same layer, one neuron stands for each rule: relu(state + symbol read - 1).")
rules = torch.relu(read @ mlp.W_gate + mlp.b_gate)
for rule, activation in zip(weights.layers[-1].feed_forward.neurons, rules, strict=True):
    mark = "  <- fires" if activation > 0 else ""
    print(f"    {rule.removeprefix('transitions: '):16} {activation:g}{mark}")
print("  What attention and the neuron add to the stream:")
show(squares, end)

print("\nUNEMBEDDING: for a step, how many of its state, symbol and move are there, less 2")
for name, logit in zip(names, logits, strict=True):
    print(f"    {name:8} {logit:4g}")
first, second = logits.topk(2).values
print(f"  Emitted: {names[int(logits.argmax())]}, ahead by {first - second:g}. Its state Z halts.")
