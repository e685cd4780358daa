"""The crossed product and store hierarchy of a set of series.

What belongs here: validating memberships, naming nodes, summing over them. What does not: forecasts and reconciling.

A dimension is a tree: `total`, the source's levels from the widest to the narrowest, then the member itself (`sku` or
`store`). Every pair of a product level and a store level is a crossed level; the pair of both members is the bottom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import count, pairwise, product
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Codes, GroupCodes, Groups, Names, Rows
from forecast_assets.core.errors import HierarchyError, first_ten
from forecast_assets.core.quantities import Millionths

Sparse = Any

TOTAL: Final = "total"
PRODUCT: Final = "sku"
STORE: Final = "store"
# Node of members whose place in a level is not known.
UNASSIGNED: Final = "unassigned"
NODE: Final = ("product_level", "product_node", "store_level", "store_node")
# Upper levels with more nodes than this share of the series are hardly less noisy than the series themselves.
INFORMATIVE_SHARE: Final = 0.25
# Product groups are the narrowest product level whose nodes still hold this many series on average.
SERIES_PER_GROUP: Final = 200
# As many as a few questions about series have, whose summing matrices are kept.
_FEW_MEMBERS: Final = 64
_KEPT_SUMMINGS: Final = 64


@dataclass(frozen=True)
class Level:
    """A level of one dimension.

    Attributes:
        name: `total`, the source's name, `sku` or `store`.
        nodes: Names of its nodes, sorted.
        code: [n] node of each series, as a place in ``nodes``.
        without_place: Node of those whose place is not known.
    """

    name: str
    nodes: tuple[str, ...]
    code: Codes
    without_place: str = UNASSIGNED

    @property
    def members(self) -> Names:
        """[n] Name of the node of each series."""
        return np.array(self.nodes)[self.code]


@dataclass(frozen=True)
class CrossedLevel:
    """A pair of levels and the nodes that have series.

    Attributes:
        product: Product level.
        store: Store level.
        places: [m] product node x number of store nodes + store node, rising.
        code: [n] node of each series, as a place in ``places``.
    """

    product: Level
    store: Level
    places: Codes
    code: Codes

    @property
    def name(self) -> tuple[str, str]:
        """Product level and store level."""
        return self.product.name, self.store.name

    def take(self, rows: Rows) -> "CrossedLevel":
        """Return the level of some of the series; nodes without any of them stay."""
        return replace(self, code=self.code[rows])

    @property
    def frame(self) -> pl.DataFrame:
        """One row per node, in the order of ``places``."""
        product_code, store_code = np.divmod(self.places, len(self.store.nodes))
        return pl.DataFrame(
            {
                "product_level": np.full(len(self.places), self.product.name),
                "product_node": np.array(self.product.nodes)[product_code],
                "store_level": np.full(len(self.places), self.store.name),
                "store_node": np.array(self.store.nodes)[store_code],
                "series_count": np.bincount(self.code, minlength=len(self.places)).astype(np.int32),
            },
            schema={**dict.fromkeys(NODE, pl.String), "series_count": pl.Int32},
        )


@dataclass(frozen=True)
class Hierarchy:
    """Crossed levels over n series.

    Attributes:
        series: `store_id, sku_id`, sorted; row i of every matrix.
        product_levels: From `total` to `sku`.
        store_levels: From `total` to `store`.
    """

    series: pl.DataFrame
    product_levels: tuple[Level, ...]
    store_levels: tuple[Level, ...]

    @classmethod
    def build(cls, series: pl.DataFrame, products: pl.DataFrame | None, stores: pl.DataFrame | None) -> "Hierarchy":
        """Cross two dimensions.

        A member that lacks a level which others have is `unassigned` at every level, so that it never blocks a run
        and never stands in two trees; `unassigned_products` and `unassigned_stores` name them. Where a source's tree
        has another node of that name, theirs is `unassigned (2)`.

        Args:
            series: `store_id, sku_id`, sorted, without duplicates.
            products: `sku_id, depth, level_name, node_id`; None or empty for no levels between total and SKU.
            stores: `store_id, depth, level_name, node_id`; likewise.

        Raises:
            HierarchyError: If a member is in two nodes of one level, if a node has two parents, if a depth has two
                names, or if a name stands for two levels.

        Example:
            >>> pairs = pl.DataFrame({"store_id": ["S1", "S1"], "sku_id": ["A", "B"]})
            >>> Hierarchy.build(pairs, None, None).nodes.height
            4
        """
        ordered = series.select("store_id", "sku_id")
        if not ordered.equals(ordered.unique().sort("store_id", "sku_id")):
            raise HierarchyError(
                "Series are not sorted by store and SKU, or come twice.", remedy="Sort them and drop duplicates."
            )
        product_levels = _levels(ordered["sku_id"], products, PRODUCT)
        return cls(ordered, product_levels, _levels(ordered["store_id"], stores, STORE))

    @property
    def unassigned_products(self) -> list[str]:
        """SKUs without a place in the product hierarchy, sorted; none where there is no such hierarchy."""
        return _unassigned(self.series["sku_id"], self.product_levels)

    @property
    def unassigned_stores(self) -> list[str]:
        """Stores without a place in the store hierarchy, sorted; none where there is no such hierarchy."""
        return _unassigned(self.series["store_id"], self.store_levels)

    @cached_property
    def crossed_levels(self) -> tuple[CrossedLevel, ...]:
        """All pairs of levels above the bottom."""
        return tuple(_cross(*pair) for pair in list(product(self.product_levels, self.store_levels))[:-1])

    def take(self, rows: Rows) -> "Hierarchy":
        """Return the hierarchy of some of the series; nodes without any of them are in no crossed level."""
        products, stores = (
            tuple(replace(level, code=level.code[rows]) for level in levels)
            for levels in (self.product_levels, self.store_levels)
        )
        return Hierarchy(self.series[rows], products, stores)

    @property
    def nodes(self) -> pl.DataFrame:
        """All nodes above the bottom, sorted: level and node names of both dimensions, and `series_count`."""
        return self._upper.nodes

    def aggregate(self, millionths: Millionths) -> Millionths:
        """Sum whole numbers over every node above the bottom, exactly.

        Args:
            millionths: [n, H] of the series.

        Returns:
            [m, H] in the order of `nodes`.
        """
        return np.asarray(self._upper.matrix @ millionths, dtype=np.int64)

    def information_levels(self, max_share: float = INFORMATIVE_SHARE) -> tuple[CrossedLevel, ...]:
        """Return the crossed levels with at most that share of nodes per series; always with the total."""
        most = max(max_share * self.series.height, 1)
        return tuple(level for level in self.crossed_levels if len(level.places) <= most)

    @cached_property
    def information(self) -> "SummingMatrix":
        """The nodes that reconciliation listens to, and how series add up to them."""
        return _stack(self.information_levels(), self.series.height)

    @property
    def summing(self) -> Sparse:
        """[m, n] sparse (CSR) ones, int64: row i sums the series below node i of `nodes`."""
        return self._upper.matrix

    @cached_property
    def _upper(self) -> "SummingMatrix":
        return _stack(self.crossed_levels, self.series.height)

    @property
    def group_level(self) -> Level:
        """The narrowest product level whose nodes hold 200 series on average, or the total."""
        least = SERIES_PER_GROUP
        wide = [level for level in self.product_levels if self.series.height >= least * len(level.nodes)]
        return wide[-1] if wide else self.product_levels[0]

    def product_groups(self, level_name: str | None = None) -> Groups:
        """[n] Group of each series: its node of the named product level, by default of `group_level`.

        Raises:
            HierarchyError: If there is no such level.
        """
        named = {level.name: level for level in self.product_levels}
        if level_name is not None and level_name not in named:
            raise HierarchyError(
                f"There is no product level `{level_name}`, by which the version was trained. Found: {list(named)}.",
                remedy="Ingest that level of the product hierarchy, or train a version on the levels that there are.",
            )
        level = self.group_level if level_name is None else named[level_name]
        return level.members


@dataclass(frozen=True)
class SummingMatrix:
    """Nodes and the series below them.

    Attributes:
        nodes: `product_level, product_node, store_level, store_node, series_count`, sorted.
        matrix: [m, n] sparse (CSR) ones, int64: row i sums the series below node i.
    """

    nodes: pl.DataFrame
    matrix: Sparse


def summing_of(code: Codes | GroupCodes) -> Sparse:
    """[m, n] sparse (CSR) ones: row i sums the members of node i, in their order.

    Args:
        code: [n] node of each member, numbered from 0.

    Example:
        >>> (summing_of(np.array([1, 0, 1])) @ np.array([1.0, 2.0, 3.0])).tolist()
        [2.0, 4.0]
    """
    if len(code) <= _FEW_MEMBERS:
        return _kept_summing(tuple(code.tolist()))
    return _summing(code)


@lru_cache(maxsize=_KEPT_SUMMINGS)
def _kept_summing(code: tuple[int, ...]) -> Sparse:
    """Return the matrix of few members, for reading alone: laying it out costs more than a sum by it."""
    return _summing(np.array(code, dtype=np.intp))


def _summing(code: Codes | GroupCodes) -> Sparse:
    from scipy import sparse

    return sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))))


def _stack(levels: Sequence[CrossedLevel], series_count: int) -> SummingMatrix:
    from scipy import sparse

    nodes = pl.concat([level.frame for level in levels]).with_row_index("place").sort(NODE)
    starts = np.cumsum([0, *(len(level.places) for level in levels)])
    rows = np.concatenate([level.code + start for level, start in zip(levels, starts, strict=False)])
    columns = np.tile(np.arange(series_count), len(levels))
    ones = np.ones(len(rows), dtype=np.int64)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=(nodes.height, series_count))
    return SummingMatrix(nodes.drop("place"), matrix[nodes["place"].to_numpy()])


def _cross(products: Level, stores: Level) -> CrossedLevel:
    places, code = np.unique(products.code * len(stores.nodes) + stores.code, return_inverse=True)
    return CrossedLevel(products, stores, places, code.astype(np.int64))


def _levels(members: pl.Series, memberships: pl.DataFrame | None, own_name: str) -> tuple[Level, ...]:
    """Return the levels of one dimension, from the total to the member itself."""
    key = members.name
    names, tree = _resolve(members.unique().sort().to_frame(), memberships, own_name)
    total = Level(TOTAL, (TOTAL,), np.zeros(len(members), dtype=np.int64))
    placed = members.to_frame().join(tree.nodes, on=key, how="left", maintain_order="left").drop(key)
    between = [
        replace(_level(name, nodes), without_place=tree.without_place)
        for name, nodes in zip(names, placed, strict=True)
    ]
    return (total, *between, _level(own_name, members))


@dataclass(frozen=True)
class _Tree:
    """The place of each member: its key, then its node at each depth from the widest, and who has no place."""

    nodes: pl.DataFrame
    without_place: str = UNASSIGNED


def _level(name: str, nodes: pl.Series) -> Level:
    names, code = np.unique(nodes.to_numpy().astype(np.str_), return_inverse=True)
    return Level(name, tuple(str(node) for node in names), code.astype(np.int64))


def _resolve(known: pl.DataFrame, memberships: pl.DataFrame | None, own_name: str) -> tuple[Sequence[str], _Tree]:
    """Return the names of the levels from the widest, and the place of each member, after checking the tree."""
    key = known.columns[0]
    if memberships is None or memberships.is_empty():
        return (), _Tree(known)
    rows = memberships.join(known, on=key, how="semi")
    levels = rows.select("depth", "level_name").unique().sort("depth", "level_name")
    _require_one_name_per_depth(levels, own_name)
    _require_one_node(rows, key)
    if rows.is_empty():
        return (), _Tree(known)
    # By depth, since the name of a level may be anything, and a column's may not.
    wide = rows.sort("depth", key).pivot("depth", index=key, values="node_id")
    ordered = known.join(wide, on=key, how="left").select(key, *map(str, levels["depth"])).sort(key)
    names = levels["level_name"].to_list()
    tree = _assigned(ordered)
    _require_one_parent(tree.nodes, names)
    return names, tree


def _assigned(places: pl.DataFrame) -> _Tree:
    """Put members that lack a level in one node of every level: a place in some would not be a tree."""
    depths = places.columns[1:]
    is_complete = pl.all_horizontal(pl.col(depths).is_not_null())
    stand_in = _stand_in(places.filter(is_complete).select(depths))
    nodes = places.with_columns(
        pl.when(is_complete).then(pl.col(depth)).otherwise(pl.lit(stand_in)) for depth in depths
    )
    return _Tree(nodes, stand_in)


def _stand_in(nodes: pl.DataFrame) -> str:
    """Return the name of the node of those without a place: `unassigned`, unless that would have two parents.

    A source that calls a node so where nothing else is above it says the same by it.
    """
    is_below = [
        (nodes[child] == UNASSIGNED) & (nodes[parent] != UNASSIGNED) for parent, child in pairwise(nodes.columns)
    ]
    if not any(below.any() for below in is_below):
        return UNASSIGNED
    taken = {node for column in nodes for node in column.unique()}
    return next(name for number in count(2) if (name := f"{UNASSIGNED} ({number})") not in taken)


def _unassigned(members: pl.Series, levels: Sequence[Level]) -> list[str]:
    between = levels[1:-1]
    if not between:
        return []
    is_unassigned = np.isin(between[0].members, [UNASSIGNED, between[0].without_place])
    return sorted(members.filter(pl.Series(is_unassigned)).unique().to_list())


def _require_one_name_per_depth(levels: pl.DataFrame, own_name: str) -> None:
    names = [*levels["level_name"], TOTAL, own_name]
    repeated_depths = levels.filter(pl.col("depth").is_duplicated())
    repeated_names = sorted({name for name in names if names.count(name) > 1})
    if repeated_depths.height or repeated_names:
        raise HierarchyError(
            f"Levels must have one name per depth and one depth per name, apart from `{TOTAL}` and `{own_name}`; found "
            f"depths {first_ten(repeated_depths.rows())} and repeated names {first_ten(repeated_names)}.",
            remedy="Correct `level_name` and `depth` in the hierarchy feed.",
        )


def _require_one_node(rows: pl.DataFrame, key: str) -> None:
    repeated = rows.filter(pl.struct(key, "depth").is_duplicated()).sort(key, "depth", "node_id")
    if repeated.height:
        places = repeated.select(key, "level_name", "node_id").rows()
        raise HierarchyError(
            f"Members are in two nodes of one level: {first_ten(places)}.",
            remedy="Keep one node per member and level.",
        )


def _require_one_parent(tree: pl.DataFrame, names: Sequence[str]) -> None:
    depths = tree.columns[1:]
    for (parent, child), (wide, narrow) in zip(pairwise(depths), pairwise(names), strict=True):
        pairs = tree.select(child, parent).unique()
        several = pairs.filter(pl.col(child).is_duplicated()).sort(child, parent)
        if several.height:
            raise HierarchyError(
                f"Nodes of `{narrow}` have several parents in `{wide}`: {first_ten(several.rows())}.",
                remedy=f"Give each `{narrow}` one `{wide}`, or name its parts apart.",
            )
