"""What a case of the parity table is: inputs, a body in Weft, and twins in PyTorch and JAX."""

import dataclasses
from collections.abc import Callable

import numpy as np

TURNS = 12


@dataclasses.dataclass
class Case:
    """The body stands in a function whose parameters are the inputs. It may use `layer`, an instance of `member` (the
    last line of that; lines before it are constants, `layer_NAME`) with these weights. An expression is short for
    `y = expression`. The twins get the inputs by name and, if there are weights, a dict of them in front; they give one
    array, or a tuple of as many as there are results.

    The sum of results times random numbers is differentiated by `slopes` (names of inputs and weights), and with
    order 2 the sum of those gradients times random numbers once more."""

    name: str
    inputs: dict[str, np.ndarray]
    body: str
    torch: Callable
    jax: Callable | None = None
    slopes: str = ""
    order: int = 1
    results: str = "y"
    member: str = ""
    weights: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    paths: dict[str, str] = dataclasses.field(default_factory=dict)  # of a weight's last name: what a text calls it
    kind: str = "fn"  # "train": it minimises; "recipe": `weft train` calls it TURNS times, for a scalar each time
    constant: str = ""  # results that are not differentiated
    factors: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # of results and of slopes

    def __post_init__(self):
        clash = set(self.result_names()) & set(self.inputs)
        assert not clash or not self.slopes, f"{self.name}: {clash} is an input and a result"

    def slope_names(self):
        return self.slopes.split()

    def result_names(self):
        return self.results.split()

    def float_results(self):
        return [name for name in self.result_names() if name in self.factors]

    def output_names(self):
        """Every array that is compared, in order."""
        names = self.result_names()
        for order in range(1, self.order + 1):
            names = names + ["d" * order + "_" + flat(name) for name in self.slope_names()]
        return names

    def is_double(self):
        return any(array.dtype == np.float64 for array in self.inputs.values())

    def leaf(self, name):
        return self.inputs[name] if name in self.inputs else self.weights[name]


class Draw:
    """Random sizes and numbers of one case."""

    def __init__(self, seed, turn=0):
        self.rng = np.random.default_rng(seed)
        self.turn = turn  # 0, 1 ... among the cases of one row
        self.dtype = np.float32

    def size(self, lo, hi):
        return int(self.rng.integers(lo, hi + 1))

    def sizes(self, *bounds):
        return tuple(self.size(lo, hi) for lo, hi in bounds)

    def pick(self, *choices):
        """Takes turns, so that few cases see every choice."""
        return choices[self.turn % len(choices)]

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def uniform(self, lo, hi, *shape):
        return self.rng.uniform(lo, hi, shape).astype(self.dtype)

    def apart(self, *shape):
        """Numbers of which no two are near each other: what is sorted, or looked at for the greatest."""
        count = int(np.prod(shape))
        return ((self.rng.permutation(count) - count / 2) * (4.0 / max(count, 1))).astype(self.dtype).reshape(shape)

    def ints(self, lo, hi, *shape):
        return self.rng.integers(lo, hi, shape).astype(np.int32)

    def mask(self, share, *shape):
        return self.rng.random(shape) < share


def each(make, count, rows):
    """Rows of a family: of every row of a table what `make` makes of a Draw and it, `count` times."""
    return [(lambda d, row=row: make(d, *row), count) for row in rows]


def in_f64(rows, count=1):
    """The rows of another family with numbers of f64."""

    def make(d, inner):
        d.dtype = np.float64
        return inner(d)

    return each(make, count, [(inner,) for inner, _ in rows])


def flat(name):
    return name.replace(".", "_")
