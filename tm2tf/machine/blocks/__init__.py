"""Block machines: a machine over blocks of cells is again a machine, which does more in a step.

The tape of a base machine is cut into blocks of B cells, and a block is one symbol. A step of the
block machine (a macro step) is all that the base machine does from entering a block until it leaves
it again, halts there, finds no rule, or goes round for ever. `lifted.BlockMachine` is the result:
the machine, and what its states, symbols and steps stand for, so that every macro step unfolds to
exact base steps.

- `play`: what the base machine does in one block, in plain Python: what the rest is tested against;
- `closure`: rules from the start state on, for all blocks that can be written: no run is needed,
  and the rules hold for every run from the blocks given;
- `finder`: rules met by a first run (compiled, `walk`), from one start, which only that run needs;
- `choice`: how many cells a block should have;
- `simulator`: the block machine run as a table, without weights.

Source: block (macro) machines are those of Marxen and Buntrock, "Attacking the Busy Beaver 5"
(1990).
"""
