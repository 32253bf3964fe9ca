#!/usr/bin/env python3
"""Every entry of every model of models/ that ONNX can say: exported, checked by the onnx package, and run by ONNX Runtime,
whose outputs must be those of `weft run` with the same weights. By hand, in a virtual environment of its own:

    python3 -m venv .venv && .venv/bin/pip install onnx onnxruntime
    .venv/bin/python tests/models/onnx_parity.py [--weft build/release/weft] [WORD ...]

The sizes are those of tests/models/support_zoo.c; a WORD picks the models whose name it is a part of. What cannot be said
(random draws, changes of state) is listed with the reason. The tolerance is max|a - b| <= 2e-4 max|b|, and what is above
1e-5 is shown.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r'\{((?:\s*"(?:[^"\\]|\\.)*"\s*,?)+?)\s*(?:SHORT|LONG)\}')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def model_sizes():
    """(name, settings, sizes, ranges) of each row; strings that stand beside each other are one, as in C."""
    text = (ROOT / "tests/models/support_zoo.c").read_text()
    for row in ROW.findall(text):
        joined = re.sub(r'"\s+"', "", row)
        name, settings, sizes, ranges = (s.replace('\\"', '"') for s in STRING.findall(joined))
        if "/" not in name:
            yield name, settings, sizes, ranges
    yield "tests/models/onnx_operators.weft", "", "", "a=-9..10 b=-3..4 n=3..4"


def words(text):
    """'a=1 b=[1,2]' as a list."""
    return text.split() if text else []


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def entries(weft, model):
    status, out = run([weft, "export", model, "-o", "/nonexistent/x.onnx"])
    said = re.search(r"the model has (.*)", out)
    if said:
        return re.findall(r"`(\w+)`", said.group(1))
    return re.findall(r"^\s*fn (\w+)\(", pathlib.Path(model.split(":")[0]).read_text(), re.M)[-1:]


def ranges_of(text):
    found = {}
    for word in words(text):
        name, span = word.split("=")
        lo, hi = span.split("..")
        found[name] = (float(lo), float(hi))
    return found


def make_input(value, ranges, rng):
    tensor = value.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    is_float = numpy.issubdtype(dtype, numpy.floating)
    lo, hi = ranges.get(value.name, (0, 1) if is_float else (0, 10))
    if dtype == bool:
        return numpy.asarray(rng.random(shape) < 0.5)
    value = rng.uniform(lo, hi, shape) if is_float else rng.integers(int(lo), int(hi), shape)
    return numpy.asarray(value).astype(dtype)


def write_weights(weft, model, settings, path, rng):
    """Random ones: fresh weights begin as zeros in many last layers, and half of the network would not be seen."""
    command = [weft, "check", model, "--names", "-q"] + [w for s in settings for w in ("--set", s)]
    out = run(command)[1]  # an entry that does not suit the sizes is not this test's business
    arrays = {}
    for name, dtype, shape in re.findall(r"^(\S+) (\w+) \[(.*)\]$", out, re.M):
        shape = [int(n) for n in shape.split(",") if n.strip()]
        if dtype not in ("f32", "f64"):
            continue  # counters
        value = rng.standard_normal(shape) / max(1, numpy.prod(shape[1:])) ** 0.5
        if name.endswith("running_var"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = 0.1 * value + (0.9 if name.endswith("weight") else 0.0)
        arrays[name] = numpy.asarray(value, dtype="float32" if dtype == "f32" else "float64")
    numpy.savez(path, **arrays)
    return ["--weights", str(path)] if arrays else []


def outputs_of_weft(weft, target, settings, sizes, inputs, weights, folder, names):
    command = [weft, "run", target, "-q", "-o", str(folder / "out.npy")] + weights
    for s in settings:
        command += ["--set", s]
    for name, value in inputs.items():
        numpy.save(folder / f"in-{name}.npy", value)
        command.append(f"{name}={folder}/in-{name}.npy")
    source = pathlib.Path(target.split(":")[0]).read_text()
    fn = re.search(r"\bfn %s\(([^)]*)\)" % target.split(":")[-1], source)
    ints = re.findall(r"(\w+): int\b", fn.group(1)) if fn else []
    command += [s for s in sizes if s.split("=")[0] in ints]
    status, out = run(command)
    if status:
        raise SystemExit(f"{target}: weft run: {out}")
    files = [folder / "out.npy"] if len(names) == 1 else [folder / f"out-{n}.npy" for n in names]
    return [numpy.load(f) for f in files]


def distance(a, b):
    if a.shape != b.shape:
        return float("inf")
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    finite = numpy.isfinite(b)
    if not (numpy.isfinite(a) == finite).all():
        return float("inf")
    scale = numpy.abs(b[finite]).max(initial=0) or 1.0
    return float(numpy.abs(a[finite] - b[finite]).max(initial=0) / scale)


def check_entry(weft, target, settings, sizes, ranges, folder):
    path = folder / "model.onnx"
    weights = write_weights(weft, target.rsplit(":", 1)[0], settings, folder / "weights.npz", numpy.random.default_rng(0))
    command = [weft, "export", target, "-q", "-o", str(path)] + weights
    for s in settings:
        command += ["--set", s]
    for s in sizes:
        command += ["--shape", s]
    status, out = run(command)
    if status:
        first = next((line for line in out.splitlines() if line.startswith("error")), out.strip()[:200])
        cannot = "E0703" in first or "E0304" in first  # the second: the entry wants another one before it
        return None if cannot else first, first
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    rng = numpy.random.default_rng(1)
    inputs = {v.name: make_input(v, ranges, rng) for v in model.graph.input}
    names = [o.name for o in model.graph.output]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # what this runtime has no kernel for
        return str(error).splitlines()[0], ""
    got = session.run(None, inputs)
    wanted = outputs_of_weft(weft, target, settings, sizes, inputs, weights, folder, names)
    return max(distance(a, b) for a, b in zip(got, wanted)), ""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weft", default=str(ROOT / "build/release/weft"))
    p.add_argument("words", nargs="*")
    args = p.parse_args()
    failures = 0
    for name, settings, sizes, ranges in model_sizes():
        if args.words and not any(w in name for w in args.words):
            continue
        model = str(ROOT / (name if "/" in name else "models/" + name))
        for entry in entries(args.weft, model):
            with tempfile.TemporaryDirectory() as folder:
                result, why = check_entry(args.weft, f"{model}:{entry}", words(settings), words(sizes), ranges_of(ranges),
                                          pathlib.Path(folder))
            if result is None:
                print(f"   -      {name}:{entry}  {why}")
            elif isinstance(result, str) or result > 2e-4:
                failures += 1
                print(f"FAILED    {name}:{entry}  {result}")
            else:
                print(f"{result:8.1e}  {name}:{entry}")
            sys.stdout.flush()
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
