"""Runs the cases of a batch in one process of weft."""

import json
import pathlib
import subprocess
import tempfile

import numpy as np
import text
from case import TURNS

RECIPE = f"""model: cases.weft:Cases
data: {{train: {{kind: npz, file: turns.npz}}}}
batch: 1
steps: {TURNS}
checkpoint: {{dir: run}}
log: {{every: 1 step}}
"""


def call(folder, cases, command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{', '.join(case.name for case in cases)}: {' '.join(command[:3])}: {done.stderr}")


def output_names(cases):
    return [[f"c{i}_{name}" for name in case.output_names()] for i, case in enumerate(cases)]


def run_entry(weft, folder, cases):
    command = [weft, "run", "cases.weft:everything", "--quiet", "--cache", "off", "-o", "out.npy"]
    weights = {f"layer{i}.{name}": a for i, c in enumerate(cases) for name, a in c.weights.items()}
    if weights:
        np.savez(folder / "weights.npz", **weights)
        command += ["--weights", "weights.npz"]
    for i, case in enumerate(cases):
        for name, array in text.parameters(case):
            np.save(folder / f"c{i}_{name}.npy", array)
            command.append(f"c{i}_{name}=c{i}_{name}.npy")
    call(folder, cases, command)
    names = output_names(cases)
    alone = sum(map(len, names)) == 1
    return [[np.load(folder / ("out.npy" if alone else f"out-{name}.npy")) for name in of] for of in names]


def run_recipe(weft, folder, cases):
    """What each step reports stands in the log."""
    np.savez(folder / "turns.npz", x=np.ones((TURNS, 1), np.float32))
    (folder / "cases.yaml").write_text(RECIPE)
    call(folder, cases, [weft, "train", "cases.yaml", "--quiet", "--cache", "off"])
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    steps = [line["values"] for line in lines if line["kind"] == "train"]
    return [[np.array([values[name] for values in steps], np.float32) for name in of] for of in output_names(cases)]


def run(weft, cases, show):
    """The arrays of all cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "cases.weft").write_text(text.model_text(cases))
        if show:
            print((folder / "cases.weft").read_text())
        return (run_recipe if cases[0].kind == "recipe" else run_entry)(weft, folder, cases)
