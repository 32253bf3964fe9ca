"""Every family of cases, in the order of the table: its rows are (a function from a Draw to a Case, how many cases)."""

import attention
import images
import layers
import losses
import norms
import operators
import optimisers
from case import in_f64

DOUBLES = [
    "functions of one number",
    "activations",
    "functions of two, broadcast",
    "reductions, scans",
    "contractions",
    "convolutions",
]
PARTS = [operators, images, layers, norms, attention, losses, optimisers]
FAMILIES = {family: rows for part in PARTS for family, rows in part.FAMILIES.items()}
FAMILIES |= {f"{family}, in f64": in_f64(FAMILIES[family]) for family in DOUBLES}
