"""Whether the twins of a row compute what Weft's step does: the losses of the first steps from Weft's own weights,
for a small batch.

What the step draws (a code, times, noise) is an input here: the row says what to change in the model's text for that, and
nothing else is changed. Each step's loss must agree within 1e-3, relative to its size.
"""
import ctypes
import dataclasses
import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from object_lists import DTYPES, INPUT, REPORT, SEED, STATE, WEIGHTS, ArgInfo, TensorInfo, aligned, rows_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS, BATCH, TOLERANCE = 2, 4, 1e-3


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def initial(lib, name):
    """Weft's first weights by their names, and the two blocks that hold them."""
    blocks = []
    for kind in ("weights", "state"):
        size = getattr(lib, f"{name}_{kind}_size")
        size.restype = ctypes.c_size_t
        blocks.append(aligned(size()))
    if getattr(lib, f"{name}_init")(address(blocks[0]), address(blocks[1]), ctypes.c_uint64(1)) != 0:
        raise SystemExit(f"{name}: the first weights cannot be made")
    values = {}
    for info in rows_of(lib, f"{name}_weights_info", TensorInfo):
        shape = [info.shape[i] for i in range(info.rank)]
        if not info.name.startswith(b"average."):  # begins as a copy of the weights
            values[info.name.decode()] = blocks[0][info.offset:info.offset + info.bytes].view(DTYPES[info.dtype]).reshape(shape).copy()
    return values, blocks


class Step:
    """Weft's step with inputs by name; gives the sum of the losses that it reports."""

    def __init__(self, lib, name, blocks, batch):
        self.lib, self.name, self.blocks = lib, name, blocks
        size = getattr(lib, f"{name}_step_workspace")
        size.restype, size.argtypes = ctypes.c_size_t, [ctypes.c_int64, ctypes.c_void_p]
        self.workspace = aligned(size(batch, None))

    def loss(self, inputs):
        keep, reports = [], []
        for a in rows_of(self.lib, f"{self.name}_step_args", ArgInfo):
            shape = [a.shape[i] for i in range(a.rank)]
            if a.role in (WEIGHTS, STATE):
                keep.append(self.blocks[a.role])
            elif a.role == INPUT:
                keep.append(numpy.ascontiguousarray(inputs[a.name.decode()]))
                assert list(keep[-1].shape) == shape and keep[-1].dtype == DTYPES[a.dtype], a.name
            else:
                keep.append(numpy.zeros(shape or [1], numpy.uint64 if a.role == SEED else DTYPES[a.dtype]))
                if a.role == REPORT and b"loss" in a.name:
                    reports.append(keep[-1])
        code = getattr(self.lib, f"{self.name}_step_call")((ctypes.c_void_p * len(keep))(*(x.ctypes.data for x in keep)), address(self.workspace), None)
        if code != 0:
            raise SystemExit(f"{self.name}: the step returns code {code}")
        return sum(float(x[0]) for x in reports)


def given_text(name, row, out):
    """The model's text with what its step draws as inputs."""
    text = (ROOT / f"models/{row.file}.weft").read_text()
    for old, new in row.given:
        if text.count(old) != 1:
            raise SystemExit(f"models/{row.file}.weft has {text.count(old)} times what the row '{name}' of run.py changes: {old}")
        text = text.replace(old, new)
    path = out / f"{name}_given.weft"
    path.write_text(text)
    return path


def compare(args, out, name, peers):
    """Whether all agree."""
    import run
    row = dataclasses.replace(run.ROWS[name], batch=BATCH)
    prefix = name + "_given"
    target = out / f"{prefix}.o"
    run.build_object(args, row, prefix, given_text(name, row, out), target)
    lib = run.link(args, [prefix], [target], out / f"{prefix}.so")
    weights, blocks = initial(lib, prefix)
    step = Step(lib, prefix, blocks, row.batch)
    batch, rng = [x[:BATCH] for x in run.batch_of(numpy, name)], numpy.random.default_rng(2)
    draws = [[rng.standard_normal((row.batch, *shape), numpy.float32) if shape else rng.integers(0, 1000, row.batch).astype(numpy.int32)
              for _, shape in row.draws] for _ in range(STEPS)]
    names = ["image", "label"][:len(batch)] + [n for n, _ in row.draws]
    losses = {"weft": [step.loss(dict(zip(names, batch + d))) for d in draws]}
    for title, kind in peers:
        peer = kind(name, weights)
        convert = type(peer).array
        losses[title] = [peer.loss(*map(convert, batch + d)).item() for d in draws]
    print(f"{name:10} losses: " + "; ".join(f"{k} " + " ".join(f"{x:.6f}" for x in v) for k, v in losses.items()), flush=True)
    for title, values in losses.items():
        for ours, theirs in zip(losses["weft"], values):
            if not abs(ours - theirs) <= TOLERANCE * max(abs(ours), abs(theirs)):
                print(f"{name:10} {title} computes something else: the row is not timed", flush=True)
                return False
    return True
