"""One run in a process of its own, which says between whiles how much memory it has had at most.

    python -m tm2tf.bench.resident NAME KERNEL STEPS... [read]

prints the largest resident set in bytes after each of these numbers of steps, which rise, and with
`read` after the tapes were read out of the weights. Nothing else happens in the process.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from tm2tf import api
from tm2tf.bench.machines import shuttle, shuttle_tape, walker
from tm2tf.errors import InternalError
from tm2tf.runtime.follow import follow
from tm2tf.runtime.run import CHUNK

READ = "read"


def peak() -> int:
    """Return the largest resident set of this process so far, in bytes.

    On Linux from /proc: what `getrusage` says there began with that of the process before it.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # Unix only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(name: str, kernel: str, *words: str) -> None:
    """Run a machine and print the peaks."""
    tapes = {"walker": (), "shuttle": (shuttle_tape(),)}[name]
    model = api.compile({"walker": walker, "shuttle": shuttle}[name]())
    follower = follow(model.compiled, model.start(*tapes), kernel=kernel)
    for steps in [int(word) for word in words if word != READ]:
        while follower.steps < steps:
            follower.advance(min(CHUNK, steps - follower.steps))
        if (follower.steps, follower.kernel) != (steps, kernel):
            raise InternalError(f"{follower.steps:,} steps, not {steps:,}, by {follower.kernel}")
        sys.stdout.write(f"{peak()}\n")
    if READ in words:
        follower.end()
        sys.stdout.write(f"{peak()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
