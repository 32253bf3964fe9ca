"""Every family of cases, in the order of the table: its rows are (a function from a Draw to a Case, how many cases)."""

import attention
import images
import layers
import losses
import norms
import operators
import optimisers

PARTS = [operators, images, layers, norms, attention, losses, optimisers]
FAMILIES = {family: rows for part in PARTS for family, rows in part.FAMILIES.items()}
