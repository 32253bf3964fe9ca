#!/usr/bin/env python3
"""The training step of LeNet-5, the dense VAE and the small DDPM, Weft against JAX (and PyTorch where it is installed).

All run in one process, in turn, on the same processors, with the same batch; what is printed is the median over rounds
of the peer's time divided by Weft's: above 1, Weft is faster. Before and after each round a register-only FMA loop is
timed; a round whose two peaks differ by more than 5 % is thrown away. See README.md.
"""
import argparse
import ctypes
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {"lenet": ("LeNet", 64), "vae": ("VAE", 128), "ddpm": ("DDPM", 128)}


def build(args, out):
    """Each model's step as an object, all linked into one shared library with the thread pool and the peak loop."""
    objects = []
    for name, (model, batch) in MODELS.items():
        target = out / f"{name}.o"
        subprocess.run([args.weft, "build", str(ROOT / f"models/{name}.weft:{model}"), "--entry", "step", "--shape", f"B={batch}",
                        "--cpu", "native", "--prefix", name, "-o", str(target), "--quiet"], check=True)
        objects.append(str(target))
    library = out / "bench_train.so"
    subprocess.run(["cc", "-O2", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-I", str(ROOT), *objects, str(ROOT / "bench/train/glue.c"),
                    str(ROOT / "driver/peak.c"), str(pathlib.Path(args.weft).parent / "libweft_rt.a"), "-lm", "-lpthread", "-lpng", "-lz",
                    "-ljansson", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


class Weft:
    def __init__(self, lib, name, batch, threads):
        self.lib, self.name = lib, name
        lib.glue_open.restype = ctypes.c_void_p
        lib.glue_open.argtypes = [ctypes.c_char_p, ctypes.c_int]
        lib.glue_steps.restype = ctypes.c_double
        lib.glue_steps.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.run = lib.glue_open(name.encode(), threads)
        if not self.run:
            raise SystemExit(f"{name}: the step cannot be opened")

    def steps(self, n):
        """Seconds for n steps."""
        return self.lib.glue_steps(self.run, n)


def batch_of(numpy, name, batch):
    rng = numpy.random.default_rng(0)
    image = rng.random((batch, 1, 28, 28), dtype=numpy.float32)
    return [image, rng.integers(0, 10, batch).astype(numpy.int32)] if name == "lenet" else [image]


class Jax:
    def __init__(self, name, batch):
        import jax
        import jax.numpy as jnp
        import numpy
        import models_jax
        self.jax = jax
        self.params, self.step, ema = getattr(models_jax, name)(jax.random.key(0))
        self.opt = models_jax.adam_init(self.params)
        if ema:
            self.opt["average"] = jax.tree_util.tree_map(jnp.array, self.params)
        self.key = jax.random.key(1)
        self.batch = [jnp.asarray(x) for x in batch_of(numpy, name, batch)]

    def steps(self, n):
        begun = time.perf_counter()
        for _ in range(n):
            self.params, self.opt, loss = self.step(self.params, self.opt, self.key, *self.batch)
        loss.block_until_ready()
        return time.perf_counter() - begun


class Torch:
    def __init__(self, name, batch):
        import numpy
        import torch
        import models_torch
        self.step = models_torch.make(name)
        self.batch = [torch.from_numpy(x) for x in batch_of(numpy, name, batch)]

    def steps(self, n):
        begun = time.perf_counter()
        for _ in range(n):
            self.step(*self.batch)
        return time.perf_counter() - begun


def count_for(runner, seconds):
    runner.steps(3)
    return max(1, int(seconds / max(1e-6, runner.steps(3) / 3)))


def compare(lib, runners, rounds, seconds):
    """Median milliseconds a step of each runner, and the median ratio of each peer to the first, over good rounds."""
    counts = [count_for(r, seconds) for _, r in runners]
    times, peaks, bad = [[] for _ in runners], [], 0
    lib.peak_gflops.restype = ctypes.c_double
    while len(times[0]) < rounds and bad < 3 * rounds:
        before = lib.peak_gflops()
        round_times = [r.steps(n) / n for (_, r), n in zip(runners, counts)]
        after = lib.peak_gflops()
        if abs(before - after) > 0.05 * max(before, after):
            bad += 1
            continue
        peaks.append(max(before, after))
        for t, x in zip(times, round_times):
            t.append(x)
    if not times[0]:
        raise SystemExit("no round was quiet enough")
    ratios = [statistics.median(p / w for p, w in zip(t, times[0])) for t in times]
    return [statistics.median(t) for t in times], ratios, statistics.median(peaks), bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weft", default=str(ROOT / "build/release/weft"))
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--seconds", type=float, default=0.3, help="of each runner in a round")
    p.add_argument("--only", choices=MODELS)
    p.add_argument("--out", default=str(ROOT / "build/bench"))
    args = p.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:args.threads]))
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if args.threads > 1 else 'false'} intra_op_parallelism_threads={args.threads}"
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    lib = build(args, out)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import jax
    peers = [("jax " + jax.__version__, Jax)]
    try:
        import torch
        torch.set_num_threads(args.threads)
        peers.append(("torch " + torch.__version__, Torch))
    except (ImportError, OSError):
        print("torch is not installed: its column is missing")
    print(f"{args.threads} thread(s); milliseconds a step, ratio = peer / weft")
    for name, (_, batch) in MODELS.items():
        if args.only and name != args.only:
            continue
        runners = [("weft", Weft(lib, name, batch, args.threads))] + [(title, make(name, batch)) for title, make in peers]
        medians, ratios, peak, bad = compare(lib, runners, args.rounds, args.seconds)
        cells = "  ".join(f"{title} {1e3 * m:.3f} ({r:.2f})" for (title, _), m, r in zip(runners[1:], medians[1:], ratios[1:]))
        print(f"{name:6} batch {batch:4}  weft {1e3 * medians[0]:.3f}  {cells}  peak {peak:.0f} GFLOP/s  {bad} rounds thrown away", flush=True)


if __name__ == "__main__":
    main()
