"""How far results are from their twins', as a table."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/parity.md"
MARK = "<!-- what tests/parity/run.py measured -->\n"
SLACK = 32  # how often the distance to a moved case an error may be that is above the limit


@dataclasses.dataclass
class Result:
    """How far one array of a case is from the twins' (None: no such twin); and from torch in f64 torch's own f32, and
    the array of a case whose inputs are off by half a unit of their last place."""

    family: str
    case: str
    array: str
    limit: float  # what is above it wants a reason
    torch: float
    jax: float | None
    exact: float
    torch_exact: float
    moved: float

    def worst(self):
        return max(self.torch, self.jax or 0.0)

    def reason(self):
        """Why an array is above its limit: the twin's rounding, or the condition of the problem; else None."""
        if self.exact <= self.limit:
            return "the twin's own rounding"
        return "the condition of the problem" if self.exact <= SLACK * self.moved else None


def distance(a, b):
    """max |a - b| / max |b|; what is not finite has to be the same."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return float("inf")
    scale = np.abs(b[finite]).max(initial=0.0) or 1.0
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale)


def figure(x):
    return "" if x is None else "0" if x == 0 else f"{x:.1e}"


def greatest(results, column):
    known = [x for x in (getattr(r, column) for r in results) if x is not None]
    return max(known) if known else None


def row(name, results):
    cases = len({(r.family, r.case) for r in results})
    columns = [figure(greatest(results, c)) for c in ["torch", "jax", "exact", "torch_exact"]]
    return f"| {name} | {cases} | {len(results)} | " + " | ".join(columns) + " |"


def table_lines(results):
    yield "| family | cases | arrays | torch | JAX | torch, f64 | torch's f32 from its f64 |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for family in dict.fromkeys(r.family for r in results):
        yield row(family, [r for r in results if r.family == family])
    yield row("all", results)


def exception_lines(results):
    above = [r for r in results if r.worst() > r.limit]
    yield ""
    yield f"Above 1e-5 (in f64 1e-12): {len(above) or 'none'}."
    for r in above:
        twins = f"torch {figure(r.torch)}, JAX {figure(r.jax) or '-'}, f64 {figure(r.exact)}"
        scale = f"torch's f32 from f64 {figure(r.torch_exact)}, inputs moved by half an ulp {figure(r.moved)}"
        yield f"- {r.family}, {r.case}, `{r.array}`: {twins}; {scale}: {r.reason() or 'NOT EXPLAINED'}"


def version(package):
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def circumstances(args):
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    versions = ", ".join(version(package) for package in ["torch", "jax", "optax", "numpy"])
    date = datetime.datetime.now(datetime.UTC).date()
    return f"{date}, weft {git.stdout.strip()}, {versions}, Python {platform.python_version()}, seed {args.seed}."


def show(results, args):
    """Prints the table, writes it if that is wanted; the exit status."""
    lines = [circumstances(args), "", *table_lines(results), *exception_lines(results)]
    print("\n".join(lines))
    if args.write:
        head = PAGE.read_text().split(MARK)[0]
        PAGE.write_text(head + MARK + "\n" + "\n".join(lines) + "\n")
    return int(any(r.worst() > r.limit and not r.reason() for r in results))
