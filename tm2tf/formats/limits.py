"""What a format cannot say of a machine: an error that names it, in place of a wrong file."""

from __future__ import annotations

from collections.abc import Collection

from tm2tf.errors import InputError
from tm2tf.machine.spec import Machine


def refuse(
    machine: Machine,
    name: str,
    *,
    most_tapes: int = 1,
    stays: bool = True,
    ends: bool = True,
    halts: bool = True,
    undefined: Collection[str] = ("halt",),
    one_way: bool = False,
) -> None:
    """Raise where a machine has what a format called `name` has not.

    Args:
        machine: the machine to be written.
        name: the format's.
        most_tapes: the tapes it has, at most.
        stays: whether heads may stay where they are.
        ends: whether a halting state may accept or reject, not halt alone.
        halts: whether a halting state may halt alone, and neither accept nor reject.
        undefined: what it may mean there that no rule matches.
        one_way: whether tapes may begin somewhere.

    Raises:
        InputError: with the machine's name, and what the format lacks.
    """
    found = [
        (
            bool(machine.first) and not one_way,
            "tapes that are infinite one way; its tapes are infinite both ways",
        ),
        (machine.tapes > most_tapes, f"{machine.tapes} tapes; it has {most_tapes} at most"),
        (
            not stays and any("S" in to.moves for to in machine.transitions.values()),
            "a rule in which the head stays; it has only moves to the left and to the right",
        ),
        (
            not ends and bool(machine.accept or machine.reject),
            "states that accept or reject; it has only states that halt",
        ),
        (
            not halts and bool(machine.halt),
            "states that halt; it has only states that accept or reject",
        ),
        (
            machine.undefined not in undefined,
            f"undefined: {machine.undefined}, for where no rule matches; there it can "
            f"{' or '.join(undefined)}",
        ),
    ]
    for lacks, what in found:
        if lacks:
            raise InputError(f"the format {name} cannot say what {machine.name!r} has: {what}")
