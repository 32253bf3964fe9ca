#!/usr/bin/env python3
"""Inference of the models of bench/infer/rows.py: Weft's objects against ONNX Runtime, OpenVINO and PyTorch, which run the
same graph from `weft export` with the same weights.

Each runtime is a process of its own on the same processors, stopped (SIGSTOP) while another one runs. Outputs are compared
first, and a row whose outputs differ is not timed. A round runs each in turn for about --seconds, between two timings of a
register-only FMA loop; a round whose two peaks differ by more than 5 % is thrown away. Every row is kept in a file as soon
as it is done; `--table` prints them all as docs/benchmarks.md has them.

    .venv/bin/python bench/infer/run.py --rows lenet,resnet18 --threads 1,2
    .venv/bin/python bench/infer/run.py --table
"""
import argparse
import contextlib
import ctypes
import datetime
import io
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys

import numpy

from rows import FLOATS, ROWS, weight

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
PEERS = ["ort", "openvino", "torch", "torch-compiled"]
OWN = {"weft": ("model.so", []), "weft-direct": ("direct.so", ["--winograd", "off"])}  # Winograd auto, and off
TOLERANCE = 2e-4


def run(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


# ---- what is run ----

def states_read(args, row):
    """(name, dtype, shape) of the weights and buffers that the entry reads: a model of several parts has more, and they may
    be gigabytes."""
    graph = run([args.weft, "dump", ROOT / "models" / row.target, "--after", "elaborate",
                 *[w for k, v in row.shapes.items() for w in ("--shape", f"{k}={v}")]])
    wanted = set(re.findall(r"= read \{state = @(\S+?)\}", graph))
    return [s for s in re.findall(r"^state @(\S+) : (\w+)\[(.*?)\]", graph, re.M) if s[0] in wanted]


def write_weights(args, row, folder):
    arrays = {name: weight(name, [int(n) for n in shape.split(",") if n.strip()], FLOATS[dtype])
              for name, dtype, shape in states_read(args, row) if dtype in FLOATS}
    numpy.savez(folder / "weights.npz", **arrays)


def build_glue(args):
    target = args.out / "glue.so"
    run(["cc", "-O2", "-shared", "-fPIC", "-I", ROOT, HERE / "glue.c", ROOT / "driver/peak.c",
         pathlib.Path(args.weft).parent / "libweft_rt.a", "-lm", "-lpthread", "-o", target])
    return ctypes.CDLL(str(target))


def build_row(args, name, row):
    """The object, and the ONNX model with the weights that worker.py gives the object."""
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    model, entry = row.target.rsplit(":", 1)
    shapes = [w for k, v in row.shapes.items() for w in ("--shape", f"{k}={v}")]
    entries = ",".join([entry] + ([row.more] if row.more else []))
    for kind, (file, options) in OWN.items():
        if kind == "weft" or kind in args.peers:
            run([args.weft, "build", ROOT / "models" / model, "--entry", entries, *shapes, *options, "--cpu", "native", "--prefix", "model",
                 "--shared", "-o", folder / file, "-q"])
    if not set(args.peers) & set(PEERS):
        return folder
    export = [args.weft, "export", ROOT / "models" / row.target, *shapes, "-o", folder / "model.onnx", "-q"]
    done = folder / "model.stamp"
    stamp = f"{os.stat(args.weft).st_mtime_ns}"
    if args.again or not done.exists() or done.read_text() != stamp:
        write_weights(args, row, folder)
        run(export + ["--weights", folder / "weights.npz"])
        os.remove(folder / "weights.npz")
        done.write_text(stamp)
    return folder


# ---- runners ----

def prepare_worker(processors):
    """In the child: its processors, and an end with us, since a stopped process hears of nothing else."""
    os.sched_setaffinity(0, processors)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Runner:
    """A worker process, stopped but for its turn."""

    def __init__(self, args, kind, name, folder, threads, processors):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), KMP_BLOCKTIME="0", TORCHINDUCTOR_FREEZING="1")
        environment.pop("OPENBLAS_CORETYPE", None)
        self.kind = kind
        self.log = open(folder / f"log-{kind}.txt", "w")
        self.process = subprocess.Popen([sys.executable, str(HERE / "worker.py"), kind, name, str(folder), str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
                                        preexec_fn=lambda: prepare_worker(processors))
        first = self.process.stdout.readline()
        self.failed = not first
        if self.failed:
            self.process.wait()
            return
        self.said = json.loads(first)
        self.version = self.said["version"]
        self.stop()

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def ask(self, text):
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.kind} ended: see {self.log.name}")
        self.stop()
        return float(answer)

    def runs(self, n):
        """Seconds of one of n runs."""
        return self.ask(f"run {n}") / n

    def outputs(self):
        return [numpy.load(f) for f in self.said["outputs"]]

    def close(self):
        if not self.failed:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.stdin.close()
            self.process.wait()
        self.log.close()


def difference(outputs, wanted):
    """max |a - b| / max |b| over all outputs; infinite where shapes differ or something is not finite."""
    worst = 0.0
    for a, b in zip(outputs, wanted, strict=True):
        if a.size != b.size or not numpy.isfinite(a).all() or not numpy.isfinite(b).all():
            return float("inf")
        scale = float(numpy.abs(b.astype(numpy.float64)).max(initial=0)) or 1.0
        worst = max(worst, float(numpy.abs(a.astype(numpy.float64).reshape(b.shape) - b).max(initial=0)) / scale)
    return worst


# ---- rounds ----

def measure(args, runners, peak):
    """Times by runner over the rounds whose peaks agree, the peaks, and how many rounds were thrown away; when the patience
    is at its end, noisy rounds count too, and how many is the last."""
    counts = []
    for r in runners:
        r.runs(1)
        counts.append(max(1, min(2000, int(args.seconds / max(1e-6, r.runs(1))))))
    times, peaks, thrown, noisy = [[] for _ in runners], [], 0, 0
    while len(peaks) < args.rounds:
        before = peak()
        found = [r.runs(n) for r, n in zip(runners, counts)]
        after = peak()
        is_noisy = abs(before - after) > 0.05 * max(before, after)
        if is_noisy and thrown < args.rounds * args.patience:
            thrown += 1
            continue
        noisy += is_noisy
        peaks.append(max(before, after))
        for t, x in zip(times, found):
            t.append(x)
    return times, peaks, thrown, noisy


def bench_row(args, name, threads, glue):
    row = ROWS[name]
    folder = build_row(args, name, row)
    processors = set(sorted(os.sched_getaffinity(0))[-threads:])
    result = {"row": name, "threads": threads, "date": datetime.date.today().isoformat(), "runners": {}, "notes": []}
    runners = []
    try:
        for kind in ["weft"] + args.peers:
            r = Runner(args, kind, name, folder, threads, processors)
            if r.failed:
                result["notes"].append(f"{kind} does not run: {pathlib.Path(r.log.name).read_text().strip().splitlines()[-1:]}")
                if kind == "weft":
                    raise SystemExit(f"{name}: weft does not run, see {r.log.name}")
                continue
            runners.append(r)
        weft = runners[0]
        if weft.said["params"] != row.params:
            raise SystemExit(f"{name}: {weft.said['params']} weights, not {row.params}")
        for r in list(runners[1:]):
            error = difference(r.outputs(), weft.outputs())
            result["runners"][r.kind] = {"difference": error}
            if error > TOLERANCE:
                result["notes"].append(f"{r.kind} gives other outputs ({error:.1e})")
                r.close()
                runners.remove(r)
        os.sched_setaffinity(0, processors)
        times, peaks, thrown, noisy = measure(args, runners, glue.peak_gflops)
        for r, t in zip(runners, times):
            result["runners"].setdefault(r.kind, {}).update(version=r.version, times=t, seconds=statistics.median(t), memory=r.ask("memory"),
                                                            ratio=statistics.median(a / b for a, b in zip(t, times[0])))
        result.update(peak=statistics.median(peaks), thrown=thrown, noisy=noisy, rounds=len(peaks))
    finally:
        os.sched_setaffinity(0, args.processors)
        for r in runners:
            r.close()
    (args.out / f"{name}-{threads}.json").write_text(json.dumps(result))
    return result


# ---- what is printed ----

def cell(result, kind):
    r = result["runners"].get(kind, {})
    if "seconds" not in r:
        return "–"
    text = f"{1e3 * r['seconds']:.{2 if r['seconds'] < 0.1 else 0}f}"
    return text if kind == "weft" else f"{text} ({r['ratio']:.2f})"


def machine():
    """The processor and how many of it this process may use."""
    name = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    vectors = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "no AVX2"
    return f"{name.group(1) if name else 'unknown processor'} ({vectors}), {len(os.sched_getaffinity(0))} processors"


def table_text(args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_table(args)
    return out.getvalue()


def write_table(args):
    """Between the two marks in docs/benchmarks.md."""
    page = ROOT / "docs/benchmarks.md"
    before, _, rest = page.read_text().partition("<!-- infer -->\n")
    _, mark, after = rest.partition("<!-- end of infer -->")
    if not mark:
        raise SystemExit(f"{page} has no marks for the table")
    page.write_text(f"{before}<!-- infer -->\n{table_text(args)}\n{mark}{after}")


def print_table(args):
    results = [json.loads(f.read_text()) for f in sorted(args.out.glob("*-[0-9]*.json"))]
    results = [r for r in results if r["row"] in ROWS]
    results.sort(key=lambda r: (r["threads"], list(ROWS).index(r["row"])))
    kinds = [k for k in list(OWN) + PEERS if any("seconds" in r["runners"].get(k, {}) for r in results)]
    versions = sorted({r["runners"][k]["version"] for r in results for k in kinds if "version" in r["runners"].get(k, {})})
    peak = statistics.median(r["peak"] for r in results) if results else 0
    print(f"On {machine()}, {peak:.0f} GFLOP/s a core; {', '.join(versions)}. Milliseconds, in brackets how many times Weft is as fast; "
          "resident memory at most, in MB. weft-direct is Weft without Winograd.\n")
    print("| model | threads | " + " | ".join(kinds) + " | memory: " + " / ".join(kinds) + " | date |")
    print("| --- " * (len(kinds) + 4) + "|")
    best = []
    for r in results:
        memory = " / ".join(f"{r['runners'][k]['memory'] / 2**20:.0f}" if "memory" in r["runners"].get(k, {}) else "–" for k in kinds)
        noisy = " *" if r["noisy"] else ""
        print(f"| {ROWS[r['row']].title} | {r['threads']} | " + " | ".join(cell(r, k) for k in kinds) + f" | {memory} | {r['date']}{noisy} |")
        ratios = [r["runners"][k]["ratio"] for k in PEERS if "ratio" in r["runners"].get(k, {})]
        if ratios:
            best.append((r["threads"], min(ratios), bool(r["noisy"])))
    for threads in sorted({t for t, _, is_noisy in best if not is_noisy}):
        of = [b for t, b, is_noisy in best if t == threads and not is_noisy]
        print(f"\n{threads} thread{'s' if threads > 1 else ''}: against the fastest peer, geometric mean {statistics.geometric_mean(of):.2f}, "
              f"least {min(of):.2f} ({len(of)} rows without *)")
    for r in results:
        for note in r["notes"]:
            print(f"\n{r['row']}, {r['threads']} threads: {note}")
    if any(r["noisy"] for r in results):
        print("\n\\* other work on the machine: too few rounds were quiet, and noisy ones count too.")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weft", default=str(ROOT / "build/release/weft"))
    p.add_argument("--rows", default=",".join(ROWS), help="separated by commas")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--peers", default="weft-direct,ort,openvino,torch",
                   help=f"of weft-direct (--winograd off), {', '.join(PEERS)}, separated by commas")
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--seconds", type=float, default=0.3, help="of each runtime in a round")
    p.add_argument("--patience", type=int, default=3, help="how many times as many noisy rounds are thrown away")
    p.add_argument("--again", action="store_true", help="export even where a model of this build is there")
    p.add_argument("--missing", action="store_true", help="only rows that have no result yet")
    p.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    p.add_argument("--write", action="store_true", help="with --table: put it into docs/benchmarks.md")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench/infer")
    args = p.parse_args()
    args.processors = os.sched_getaffinity(0)
    args.peers = [k for k in args.peers.split(",") if k]
    if args.table:
        return write_table(args) if args.write else print_table(args)
    args.out.mkdir(parents=True, exist_ok=True)
    glue = build_glue(args)
    glue.peak_gflops.restype = ctypes.c_double
    for name in args.rows.split(","):
        for threads in map(int, args.threads.split(",")):
            if args.missing and (args.out / f"{name}-{threads}.json").exists():
                continue
            r = bench_row(args, name, threads, glue)
            cells = "  ".join(f"{k} {cell(r, k)}" for k in r["runners"] if "seconds" in r["runners"][k])
            worst = max((x.get("difference", 0) for x in r["runners"].values()), default=0)
            print(f"{name} {threads}: {cells}  [differ {worst:.0e}, peak {r['peak']:.0f} GFLOP/s, {r['thrown']} rounds thrown away] {'; '.join(r['notes'])}",
                  flush=True)


if __name__ == "__main__":
    main()
