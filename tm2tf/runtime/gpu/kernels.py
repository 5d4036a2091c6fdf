"""The persistent kernel, in Triton: each lane holds a stream and makes pass after pass.

A program has `BLOCK` lanes. A lane takes a job (a stream) from the queue, makes passes until the
job leaves, writes down how it stands and takes the next one. Every `CHUNK` passes lanes take jobs
and write down how theirs stand; until the next chunk, a lane whose job left waits.

Cells are in global memory, as Triton has no shared memory that lanes could address freely; tapes of
a few hundred cells stay in the caches. The cells of `BLOCK` jobs lie together, place by place, so
lanes whose heads move alike read neighbouring bytes. `at` is a place times `BLOCK`.

What a case (or a candidate) leads to is one word for each tape, packed by `tables`: bit 0, whether
the token is fed; bit 1, whether the word is known; then the move, where a value is kept, its class,
and in the first tape's word where the next pass begins.

`passes` is a plain function: `launch` has Triton compile it, or interpret it.
"""

# mypy: ignore-errors
# ruff: noqa: PLR0912, PLR0915, C901
# Triton compiles this file: constants alone are annotated, and nothing is factored out, as what an
# interpreted function calls cannot be compiled in the same process.

import triton
import triton.language as tl


@triton.jit
def either(one, other):
    """Return whether any lane is busy, by two lanes."""
    return one | other


def passes(
    cells, plane, size, words, rows,
    first, pre, rest, inner, top, slope, flat, floor, rise,
    held, order, queue, total, chunks,
    jobs, places, bases, counts, limits, cases, befores, asks, feds, statuses,
    tellers, tokens, token_of,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, TAPES: tl.constexpr, RECORD: tl.constexpr,
    REACH: tl.constexpr, MOVE: tl.constexpr, KEEP: tl.constexpr,
    STRIDE0: tl.constexpr, STRIDE1: tl.constexpr, STRIDE2: tl.constexpr, STRIDE3: tl.constexpr,
    EVALUATED: tl.constexpr, LEFT: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """Make up to `chunks` times `CHUNK` passes with each lane.

    `cells`: classes of values, [tapes, groups of BLOCK jobs, size, BLOCK]; tapes are `plane` apart.
    `words`: by tape and row, of which there are `rows`: a row is a case, or a candidate.
    For `EVALUATED`: the candidates of a key stand from `first` on, at most `MOST` of them; `pre`
    and `rest` are their gates, `inner` their second factors, and the other five lines bound the
    logits (`floor` plus `rise` times is `base` there): see `partial.loops.evaluated`.
    `held`: the job of each lane, or -1. `order`: the jobs that wait, `total` of them; `queue` is
    the number of the next one.
    By job: `places`, by tape, too; `bases`, what `STRIDE0` multiplies; `counts` of tokens and their
    `limits`; rows that emitted the last token and the one before, `cases` and `befores` (-1:
    none); `asks`, the row that is not known (-1: none; -2: candidates do not settle it); `feds`,
    whether the last token was fed; `statuses` (1: goes on; 0: left).
    `tokens`: the first `RECORD` tokens of each stream, in the job's row `tellers`.
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    zero = tl.full([BLOCK], 0, tl.int32)
    job = tl.load(held + lane)
    fresh = job >= 0
    willing = zero == 0
    at, at2, at3, base, row = zero, zero, zero, zero, zero
    count, limit = zero.to(tl.int64), zero.to(tl.int64)
    case, before, ask, fed = zero, zero, zero, zero
    least, most = REACH * BLOCK, (size - REACH) * BLOCK
    span: tl.constexpr = (1 << MOVE) - 1
    kinds: tl.constexpr = (1 << KEEP) - 1
    busy, chunk = 1, 0
    while (chunk < chunks) & (busy > 0):
        want = (job < 0) & willing
        taken = tl.atomic_add(queue + zero, 1, mask=want, sem="relaxed")
        took = want & (taken < total)
        willing = willing & (took | (job >= 0))
        job = tl.load(order + taken, mask=took, other=job)
        fresh = fresh | took
        at = tl.load(places + job, mask=fresh, other=at)
        if TAPES > 1:
            at2 = tl.load(places + jobs + job, mask=fresh, other=at2)
        if TAPES > 2:
            at3 = tl.load(places + 2 * jobs + job, mask=fresh, other=at3)
        base = tl.load(bases + job, mask=fresh, other=base)
        count = tl.load(counts + job, mask=fresh, other=count)
        limit = tl.load(limits + job, mask=fresh, other=limit)
        case = tl.load(cases + job, mask=fresh, other=case)
        before = tl.load(befores + job, mask=fresh, other=before)
        fed = tl.where(fresh, 1, fed)
        ask = tl.where(fresh, -1, ask)
        if RECORD > 0:
            row = tl.load(tellers + job, mask=fresh, other=row)
        going = job >= 0
        column = cells + ((job // BLOCK).to(tl.int64) * size * BLOCK + job % BLOCK)
        column2 = column + plane
        column3 = column2 + plane
        for _ in range(CHUNK):
            # what the lookups find
            going = going & (at >= least) & (at < most)
            if TAPES > 1:
                going = going & (at2 >= least) & (at2 < most)
            if TAPES > 2:
                going = going & (at3 >= least) & (at3 < most)
            value = tl.load(column + at, mask=going, other=0).to(tl.int32) & 65535
            line = value
            here = base * STRIDE0 + value * STRIDE1
            if TAPES > 1:
                value2 = tl.load(column2 + at2, mask=going, other=0).to(tl.int32) & 65535
                here += value2 * STRIDE2
                if LEFT == 2:
                    line = value2
            if TAPES > 2:
                value3 = tl.load(column3 + at3, mask=going, other=0).to(tl.int32) & 65535
                here += value3 * STRIDE3
                if LEFT == 3:
                    line = value3
            # which token that leads to
            if EVALUATED:
                if LEFT == 0:
                    line = base
                line = line * rows
                begin = tl.load(first + here, mask=going, other=0)
                end = tl.load(first + here + 1, mask=going, other=0)
                gate = zero.to(tl.float64)
                fired = zero
                here = zero
                for number in range(MOST):
                    which = begin + number
                    can = going & (which < end)
                    fires = tl.load(pre + which, mask=can, other=0.0)
                    fires += tl.load(rest + line + which, mask=can, other=0.0)
                    gate = tl.where(can & (fires > 0.0), fires, gate)
                    here = tl.where(can & (fires > 0.0), which, here)
                    fired += (can & (fires > 0.0)).to(tl.int32)
                one = going & (fired == 1)
                word = tl.load(words + here, mask=one, other=0)
                r = gate * tl.load(inner + here, mask=one, other=0.0)
                logit = r * tl.load(slope + here, mask=one, other=0.0)
                logit += tl.load(top + here, mask=one, other=0.0)
                other = r * tl.load(rise + here, mask=one, other=0.0)
                other += tl.load(floor + here, mask=one, other=0.0)
                sure = one & (logit > other)
                sure = sure & (logit > tl.load(flat + here, mask=one, other=0.0))
                sure = sure & ((word & 2) != 0)
                new = tl.where(one & ((word & 2) == 0), here, -2)
            else:
                word = tl.load(words + here, mask=going, other=0)
                sure = going & ((word & 2) != 0)
                new = here
            ask = tl.where(going & (sure == 0), new, ask)
            if RECORD > 0:
                told = tl.load(token_of + here, mask=sure, other=0)
                tl.store(tokens + row * RECORD + count, told, mask=sure & (count < RECORD))
            before = tl.where(sure, case, before)
            case = tl.where(sure, here, case)
            count += sure.to(tl.int64)
            # the token is fed: values are kept, addresses move
            going = sure & ((word & 1) != 0) & (count < limit)
            fed = tl.where(sure, going.to(tl.int32), fed)
            base = tl.where(going, (word >> (2 + 2 * MOVE + KEEP)).to(tl.int32), base)
            move = ((word >> 2) & span).to(tl.int32) - REACH
            write = ((word >> (2 + MOVE)) & span).to(tl.int32) - REACH
            keep = ((word >> (2 + 2 * MOVE)) & kinds).to(tl.int32)
            tl.store(column + (at + write * BLOCK), keep, mask=going)
            at += tl.where(going, move * BLOCK, 0)
            if TAPES > 1:
                word = tl.load(words + rows + here, mask=going, other=0)
                move = ((word >> 2) & span).to(tl.int32) - REACH
                write = ((word >> (2 + MOVE)) & span).to(tl.int32) - REACH
                keep = ((word >> (2 + 2 * MOVE)) & kinds).to(tl.int32)
                tl.store(column2 + (at2 + write * BLOCK), keep, mask=going)
                at2 += tl.where(going, move * BLOCK, 0)
            if TAPES > 2:
                word = tl.load(words + 2 * rows + here, mask=going, other=0)
                move = ((word >> 2) & span).to(tl.int32) - REACH
                write = ((word >> (2 + MOVE)) & span).to(tl.int32) - REACH
                keep = ((word >> (2 + 2 * MOVE)) & kinds).to(tl.int32)
                tl.store(column3 + (at3 + write * BLOCK), keep, mask=going)
                at3 += tl.where(going, move * BLOCK, 0)
        has = job >= 0
        tl.store(places + job, at, mask=has)
        if TAPES > 1:
            tl.store(places + jobs + job, at2, mask=has)
        if TAPES > 2:
            tl.store(places + 2 * jobs + job, at3, mask=has)
        tl.store(bases + job, base, mask=has)
        tl.store(counts + job, count, mask=has)
        tl.store(cases + job, case, mask=has)
        tl.store(befores + job, before, mask=has)
        tl.store(asks + job, ask, mask=has)
        tl.store(feds + job, fed, mask=has)
        tl.store(statuses + job, going.to(tl.int32), mask=has)
        job = tl.where(going, job, -1)
        fresh = job < -1
        busy = tl.reduce((going | willing).to(tl.int32), 0, either)
        chunk += 1
    tl.store(held + lane, job)
