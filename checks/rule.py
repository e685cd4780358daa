"""A rule over stored products, as data.

What belongs here: what a rule is. What does not: any one of them, or applying them.
"""

from dataclasses import dataclass
from typing import Final

BUG: Final = "This is a defect of the software, not of the data: keep the store as it is and report the run."


@dataclass(frozen=True)
class Rule:
    """One promise of a product.

    Attributes:
        name: A sentence that is true when the rule holds.
        product: The product that is judged.
        failing: Query for the rows that break it.
        remedy: What to do then.
        reads: Other products that the query reads, besides `product`; of a snapshot, the feeds behind it.
        is_blocking: Whether what breaks it is not published; else it is only said.
    """

    name: str
    product: str
    failing: str
    remedy: str
    reads: tuple[str, ...] = ()
    is_blocking: bool = True
