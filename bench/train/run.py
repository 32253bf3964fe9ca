#!/usr/bin/env python3
"""The training steps of ROWS, Weft against JAX (and PyTorch where it is installed).

The losses of rows that begin with Weft's weights are compared first (check.py). All run in one process, in turn, on the
same processors, with the same batch; what is printed is the median over rounds of the peer's time divided by Weft's:
above 1, Weft is faster. Before and after each round a register-only FMA loop is
timed; a round whose two peaks differ by more than 5 % is thrown away. See README.md.
"""
import argparse
import ctypes
import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Row:
    file: str
    model: str
    batch: int
    image: tuple = (1, 28, 28)
    settings: dict = dataclasses.field(default_factory=dict)
    label: bool = False  # whether the step takes labels
    same: bool = False  # the twins begin with the weights of Weft's init, and are checked
    # What check.py changes in the text so that what the step draws is given to it, and the inputs that this makes
    given: list = dataclasses.field(default_factory=list)
    draws: list = dataclasses.field(default_factory=list)


ROWS = {
    "lenet": Row("lenet", "LeNet", 64, label=True),
    "vae": Row("vae", "VAE", 128),
    "ddpm": Row("ddpm", "DDPM", 128),
    "dcgan": Row("dcgan", "DCGAN", 128, (3, 32, 32), {"mult": "[4, 2, 1]"}, same=True, draws=[("code", (100,))],
                 given=[("train step(", "train step(code: f32[B, z], "), ("fake = generator(randn([B, z]))", "fake = generator(code)")]),
    "vit": Row("vit", "ViT", 64, (3, 32, 32), {"size": "32", "patch": "4", "dim": "384", "heads": "6", "classes": "10", "warmup": "0"},
               label=True, same=True),
    "ddpm_cifar": Row("ddpm_cifar", "DDPM", 16, (3, 32, 32), {"dropout": "0.0", "warmup": "1"}, same=True,
                      draws=[("t", None), ("e", (3, 32, 32))],
                      given=[("train step(", "train step(t: i32[B], e: f32[B, channels, size, size], "),
                             ("fn denoising(unet: fn,", "fn denoising(unet: fn, t: i32[B], e: f32[B, channels, size, size],"),
                             ("    t = randint([B], 0, T)\n    e = randn_like(x0)\n", ""),
                             ("loss = denoising(net, image)", "loss = denoising(net, t, e, image)"),
                             ("= denoising(average, image)", "= denoising(average, randint([B], 0, T), image, image)")]),
}


def build_object(args, row, name, source, target):
    settings = [x for k, v in row.settings.items() for x in ("--set", f"{k}={v}")]
    subprocess.run([args.weft, "build", f"{source}:{row.model}", "--entry", "step", "--shape", f"B={row.batch}", *settings,
                    "--cpu", "native", "--prefix", name, "-o", str(target), "--quiet"], check=True)


def link(args, names, objects, library):
    """Objects in one shared library with the thread pool and the peak loop."""
    rows = " ".join(f"X({name})" for name in names)
    subprocess.run(["cc", "-O2", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", f"-DROWS={rows}", "-I", str(ROOT), *map(str, objects),
                    str(ROOT / "bench/train/glue.c"), str(ROOT / "driver/peak.c"), str(pathlib.Path(args.weft).parent / "libweft_rt.a"),
                    "-lm", "-lpthread", "-lpng", "-lz", "-ljansson", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def build(args, out):
    """The steps of the rows that were asked for."""
    for name in args.rows:
        build_object(args, ROWS[name], name, ROOT / f"models/{ROWS[name].file}.weft", out / f"{name}.o")
    return link(args, args.rows, [out / f"{name}.o" for name in args.rows], out / "bench_train.so")


class Weft:
    def __init__(self, lib, name, threads):
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


def batch_of(numpy, name):
    row, rng = ROWS[name], numpy.random.default_rng(0)
    image = rng.random((row.batch, *row.image), dtype=numpy.float32)
    return [image, rng.integers(0, 10, row.batch).astype(numpy.int32)] if row.label else [image]


class Jax:
    def __init__(self, name, weights=None):
        import jax
        import jax.numpy as jnp
        import numpy
        import models_jax
        make = getattr(models_jax, name)
        if weights:
            self.params, self.opt, self.step = make({k: jnp.array(v) for k, v in weights.items()})
        else:
            self.params, self.step, ema = make(jax.random.key(0))
            self.opt = models_jax.adam_init(self.params)
            if ema:
                self.opt["average"] = jax.tree_util.tree_map(jnp.array, self.params)
        self.key = jax.random.key(1)
        self.batch = [jnp.asarray(x) for x in batch_of(numpy, name)]

    @staticmethod
    def array(x):
        import jax.numpy as jnp
        return jnp.asarray(x)

    def loss(self, *batch):
        self.params, self.opt, loss = self.step(self.params, self.opt, self.key, *batch)
        return loss

    def steps(self, n):
        begun = time.perf_counter()
        for _ in range(n):
            loss = self.loss(*self.batch)
        loss.block_until_ready()
        return time.perf_counter() - begun


class Torch:
    def __init__(self, name, weights=None):
        import numpy
        import torch
        import models_torch
        self.loss = models_torch.make(name, weights)
        self.batch = [torch.from_numpy(x) for x in batch_of(numpy, name)]

    @staticmethod
    def array(x):
        import torch
        return torch.from_numpy(x)

    def steps(self, n):
        begun = time.perf_counter()
        for _ in range(n):
            self.loss(*self.batch)
        return time.perf_counter() - begun


def count_for(runner, seconds):
    """How many steps take that long; the first one compiles, or meets its memory."""
    runner.steps(1)
    once = runner.steps(1)
    return max(1, int(seconds / max(1e-6, once if once > seconds else runner.steps(3) / 3)))


def compare(lib, runners, rounds, seconds):
    """Median milliseconds a step of each runner, and the median ratio of each peer to the first, over good rounds; None without any."""
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
        return None
    ratios = [statistics.median(p / w for p, w in zip(t, times[0])) for t in times]
    return [statistics.median(t) for t in times], ratios, statistics.median(peaks), bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weft", default=str(ROOT / "build/release/weft"))
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--seconds", type=float, default=0.3, help="of each runner in a round")
    p.add_argument("--rows", default=",".join(ROWS), help="which, of " + ",".join(ROWS))
    p.add_argument("--no-check", action="store_true", help="time without comparing losses first")
    p.add_argument("--out", default=str(ROOT / "build/bench"))
    args = p.parse_args()
    args.rows = args.rows.split(",")
    if unknown := set(args.rows) - set(ROWS):
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
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
    for name in args.rows:
        weights = None
        if ROWS[name].same:
            import check
            if not args.no_check and not check.compare(args, out, name, peers):
                continue
            weights = check.initial(lib, name)[0]
        runners = [("weft", Weft(lib, name, args.threads))] + [(title, make(name, weights)) for title, make in peers]
        found = compare(lib, runners, args.rounds, args.seconds)
        if not found:
            print(f"{name:10} no round was quiet enough", flush=True)
            continue
        medians, ratios, peak, bad = found
        cells = "  ".join(f"{title} {1e3 * m:.3f} ({r:.2f})" for (title, _), m, r in zip(runners[1:], medians[1:], ratios[1:]))
        print(f"{name:10} batch {ROWS[name].batch:4}  weft {1e3 * medians[0]:.3f}  {cells}  peak {peak:.0f} GFLOP/s  {bad} rounds thrown away", flush=True)


if __name__ == "__main__":
    main()
