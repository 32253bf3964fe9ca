#!/usr/bin/env python3
"""The parity table: random cases of every family of operators and layers through `weft run` and through twins in
PyTorch and JAX (results, first and second gradients, steps of optimisers). By hand, in an environment of its own:

    make parity                                        # makes it in .venv, runs everything, writes docs/parity.md
    .venv/bin/python tests/parity/run.py [--weft build/release/weft] [--seed N] [--show] [WORD ...]

A WORD picks families, or cases, by a part of the name. What wants torch or jax is skipped by name where it is missing.
docs/parity.md tells what is compared and how.
"""

import argparse
import dataclasses
import pathlib
import sys

try:
    import numpy as np
    import torch
except ImportError:
    print("skipped: the parity table wants torch, which this Python does not have")
    sys.exit(77)

import families
import report
import twins
import weft
from case import Draw

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 16  # cases in one text


# ---- cases -----------------------------------------------------------------------------------------------------------


def add_factors(case, draw):
    """Random numbers for each result of floats, and for each slope that is differentiated again."""
    if not case.slopes:
        return case
    outputs = twins.run_torch(dataclasses.replace(case, slopes=""), double=True)
    for name, array in zip(case.result_names(), outputs):
        if np.issubdtype(array.dtype, np.floating) and name not in case.constant.split():
            case.factors[name] = draw.normal(*array.shape)
    if case.order == 2:
        for name in case.slope_names():
            case.factors[name.replace(".", "_")] = draw.normal(*case.leaf(name).shape)
    return case


def make_cases(seed, words):
    """(family, case) of every row, in turn."""
    for f, (family, rows) in enumerate(families.FAMILIES.items()):
        for r, (make, count) in enumerate(rows):
            for turn in range(count):
                draw = Draw([seed, f, r, turn], turn)
                case = make(draw)
                case.name = f"{case.name} #{turn + 1}" if count > 1 else case.name
                if not words or any(w in family or w in case.name for w in words):
                    yield family, add_factors(case, draw)


def batches(cases):
    """Cases of one kind, so many in a text."""
    for kind in ["fn", "train", "recipe"]:
        some = [pair for pair in cases if pair[1].kind == kind]
        yield from (some[i : i + BATCH] for i in range(0, len(some), BATCH))


def moved(case, draw):
    """The case with every float off by at most half a unit of its last place: what no f32 can tell from it."""
    shift = lambda a: (
        a * (1 + draw.rng.uniform(-1, 1, a.shape) * 2.0**-24) if np.issubdtype(a.dtype, np.floating) else a
    )
    change = lambda arrays: {name: shift(a) for name, a in arrays.items()}
    return dataclasses.replace(case, inputs=change(case.inputs), weights=change(case.weights))


def compare(family, case, got):
    """Cases in f64 are compared with torch in f64 alone."""
    exact = twins.run_torch(case, double=True)
    single = exact if case.is_double() else twins.run_torch(case)
    near = twins.run_torch(moved(case, Draw([1])), double=True)
    has_jax = case.jax and twins.jax and not case.is_double()
    other = twins.run_jax(case) if has_jax else [None] * len(got)
    for name, a, b, e, n, j in zip(case.output_names(), got, single, exact, near, other):
        distances = [None if x is None else report.distance(a, x) for x in (b, j, e)]
        limit = 1e-12 if case.is_double() else 1e-5
        yield report.Result(family, case.name, name, limit, *distances, report.distance(b, e), report.distance(n, e))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weft", default=str(ROOT / "build/release/weft"))
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--show", action="store_true", help="print the texts, and every array")
    p.add_argument("--write", action="store_true", help="write the table into docs/parity.md")
    p.add_argument("words", nargs="*")
    args = p.parse_args()
    if not twins.jax:
        print("skipped: the column of JAX; this Python does not have jax and optax")
    torch.set_num_threads(1)
    cases = list(make_cases(args.seed, args.words))
    results = []
    for batch in batches(cases):
        arrays = weft.run(args.weft, [case for _, case in batch], args.show)
        for (family, case), got in zip(batch, arrays):
            results += compare(family, case, got)
        if twins.jax:
            twins.jax.clear_caches()  # of compiled functions, hundreds of megabytes
    return report.show(results, args)


if __name__ == "__main__":
    sys.exit(main())
