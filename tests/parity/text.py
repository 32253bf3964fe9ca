"""The text of a model whose one entry runs many cases: starting weft costs more than most of them."""

import re

from case import flat

DTYPES = {
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "bool",
    "uint8": "u8",
    "int8": "i8",
}

HEAD = """use nn
use dist
use gan
use vision
module Weights(n: int, m: int) {
  param weight: f32[n, m] = init.zeros
  param bias: f32[m] = init.zeros
}
"""


def type_text(array):
    return f"{DTYPES[str(array.dtype)]}[{', '.join(map(str, array.shape))}]"


def parameters(case):
    """(name, array) of the case's function: its inputs, then what results and slopes are multiplied by."""
    return list(case.inputs.items()) + [(f"by_{flat(name)}", array) for name, array in case.factors.items()]


def weight_path(case, name):
    if name in case.paths:
        return "layer." + case.paths[name]
    *parents, last = name.split(".")
    path = ".".join(["layer"] + parents + [case.paths.get(last, last)])
    return re.sub(r"\.(\d+)\b", r"[\1]", path)


def leaf_path(case, name):
    return name if name in case.inputs else weight_path(case, name)


def gradient_lines(case):
    """What is differentiated and its gradients; then the same of those."""
    terms = [f"sum({name} * by_{name})" for name in case.float_results()]
    for order in range(1, case.order + 1 if case.slopes else 1):
        total, prefix = "total" * order, "d" * order + "_"
        yield f"{total} = " + " + ".join(terms)
        for name in case.slope_names():
            yield f"{prefix}{flat(name)} = grad({total}, {leaf_path(case, name)})"
        terms = [f"sum({prefix}{flat(name)} * by_{flat(name)})" for name in case.slope_names()]


def function_lines(case, number):
    body = case.body.strip("\n")
    if " = " not in body:
        body = "y = " + body
    head = ", ".join(f"{name}: {type_text(array)}" for name, array in parameters(case))
    own = lambda line: re.sub(r"\blayer(?=_|\b)", f"layer{number}", line)
    if case.member:
        *constants, instance = case.member.split("\n")
        yield from (own(line) for line in constants)
        yield own(f"let layer = {instance}")
    yield f"fn case{number}({head}) {{  // {case.name}"
    yield from ("  " + own(line) for line in body.split("\n") + list(gradient_lines(case)))
    yield "  return (" + ", ".join(f"{name}: {name}" for name in case.output_names()) + ")"
    yield "}"


def result_lines(kind, outputs):
    """A fn gives its results; a train, which has none, reports them. What a recipe calls makes a step, too."""
    if kind == "fn":
        yield "  return (" + ", ".join(f"{name}: {value}" for name, value in outputs) + ")"
        return
    yield from (f"  report {name} = {value}" for name, value in outputs)
    if kind == "recipe":
        yield "  minimize sum(turns.weight * x) over turns using nn.SGD()"


def entry_lines(cases):
    kind = cases[0].kind
    head = [f"c{i}_{name}: {type_text(array)}" for i, c in enumerate(cases) for name, array in parameters(c)]
    if kind == "recipe":
        yield "let turns = Weights(1, 1)"
        head = ["x: f32[B, 1]"]
    yield f"{'fn' if kind == 'fn' else 'train'} everything({', '.join(head)}) {{"
    for i, case in enumerate(cases):
        yield f"  r{i} = case{i}(" + ", ".join(f"c{i}_{name}" for name, _ in parameters(case)) + ")"
    yield from result_lines(
        kind, [(f"c{i}_{name}", f"r{i}.{name}") for i, c in enumerate(cases) for name in c.output_names()]
    )
    yield "}"


def model_text(cases):
    lines = [line for i, case in enumerate(cases) for line in function_lines(case, i)] + list(entry_lines(cases))
    return HEAD + "model Cases() {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
