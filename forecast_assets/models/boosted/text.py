"""LightGBM's native text of trees: whether all of it is there, and each tree is one.

What belongs here: checks of the text before LightGBM reads it. What does not: reading it, or what trees are good for.

LightGBM trusts its text. One that breaks off before the first tree is a model without trees to it, and one that breaks
off later, or names a node that is not there, ends the whole process without a word. So it is handed none that does not
have every byte that its header announces, and the nodes that every tree announces.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError, first_ten

_REMEDY: Final = "Train the version again."
# Fields with a number for each split, and for each leaf.
_OF_SPLITS: Final = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
_OF_LEAVES: Final = ("leaf_value", "leaf_count")
_END: Final = "end of trees"
_LAST: Final = "end of parameters"


def require_whole(text: str, names: Sequence[str]) -> None:
    """Refuse a text that is damaged, or of trees that look at other inputs.

    Args:
        text: LightGBM's native text.
        names: [f] inputs, in the order of the matrix's columns.

    Raises:
        InputError: With the first trees that are none.
    """
    header, _, body = text.partition("\n\n")
    said = _fields(header)
    ends = list(accumulate((int(size) for size in said.get("tree_sizes", "").split()), initial=0))
    rest = body[ends[-1] :]
    if len(ends) == 1 or not rest.startswith(_END) or _LAST not in rest:
        raise InputError("The text of the trees is not whole.", remedy=_REMEDY)
    looked_at = said.get("feature_names", "").split()
    if looked_at != list(names):
        other = [name for name, own in zip(looked_at, names, strict=False) if name != own]
        raise InputError(
            f"The trees look at {len(looked_at)} inputs, and {len(names)} are named; not the same: "
            f"{first_ten(other) or 'those beyond'}.",
            remedy=_REMEDY,
        )
    blocks = [body[start:end] for start, end in pairwise(ends)]
    broken = [at for at, block in enumerate(blocks) if not _is_tree(block, at, len(names))]
    if broken:
        raise InputError(f"These are no trees: {first_ten(broken)} of {len(blocks)}.", remedy=_REMEDY)


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, is_field, value in (line.partition("=") for line in text.splitlines()) if is_field}


def _is_tree(block: str, at: int, inputs: int) -> bool:
    """Return whether a block of the text is the tree that its place asks for."""
    said = _fields(block)
    try:
        leaves = int(said["num_leaves"])
        numbers = dict(_numbers(said, leaves))
        has_categories = _has_its_categories(said, numbers)
    except (KeyError, ValueError):
        return False
    if said.get("Tree") != str(at) or not has_categories:
        return False
    features = numbers["split_feature"]
    return bool(((features >= 0) & (features < inputs)).all()) and _is_connected(numbers, leaves)


def _numbers(said: Mapping[str, str], leaves: int) -> Iterator[tuple[str, Floats]]:
    """Read what a tree says of its splits and leaves: also what scoring never looks at, since LightGBM reads it all.

    Raises:
        KeyError: If something is not said.
        ValueError: If it is not a finite number for each of them.
    """
    wanted = {**dict.fromkeys(_OF_SPLITS, leaves - 1), **dict.fromkeys(_OF_LEAVES, leaves), "shrinkage": 1}
    # A single leaf has no weight.
    wanted["leaf_weight"] = leaves if leaves > 1 else 0
    for name, length in wanted.items():
        values = np.array(said[name].split(), dtype=np.float64)
        if len(values) != length or not np.isfinite(values).all():
            raise ValueError(name)
        yield name, values


def _has_its_categories(said: Mapping[str, str], numbers: Mapping[str, Floats]) -> bool:
    """Return whether every split by categories names a set of them, and all sets are there.

    Raises:
        KeyError: If it is not said how many sets there are.
        ValueError: If that, or what says where sets begin, are no numbers.
    """
    named = numbers["threshold"][numbers["decision_type"].astype(np.int64) % 2 == 1]
    starts = np.array(said.get("cat_boundaries", "0").split(), dtype=np.int64)
    are_whole = (
        len(starts) == int(said["num_cat"]) + 1
        and starts[0] == 0
        and (np.diff(starts) > 0).all()
        and starts[-1] == len(said.get("cat_threshold", "").split())
    )
    return bool(are_whole and ((named >= 0) & (named < len(starts) - 1)).all())


def _is_connected(numbers: Mapping[str, Floats], leaves: int) -> bool:
    """Return whether every node but the root has one parent, which comes before it; leaf k is written as -k - 1."""
    if leaves == 1:
        return True
    children = np.concatenate([numbers["left_child"], numbers["right_child"]])
    parents = np.tile(np.arange(leaves - 1), 2)
    is_split = children >= 0
    wanted = np.concatenate([np.arange(-leaves, 0), np.arange(1, leaves - 1)])
    return bool(np.array_equal(np.sort(children), wanted) and (children[is_split] > parents[is_split]).all())
