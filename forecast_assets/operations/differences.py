"""What differs between a product as it was recorded and the same product rebuilt, and what may have caused it.

What belongs here: comparing manifests, rows and values that somebody has read. What does not: reading, or rebuilding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from resources.store.manifests import ProductVersion
from resources.store.provenance import code_version, cpu_type, library_versions

# Stands for a value that is not there, or cannot be read.
NO_VALUE: Final = "-"


@dataclass(frozen=True)
class ColumnDifference:
    """Where a column, or a value of an artifact or a manifest, differs.

    Attributes:
        column: Its name; for an artifact or a manifest the path to the value.
        rows: Rows that differ.
        largest: Largest absolute difference; None where values are no numbers.
        row: Key of the row with the largest difference, or of the first that differs.
        published: Value there.
        rebuilt: Value there.
    """

    column: str
    rows: int
    largest: float | None
    row: str
    published: str
    rebuilt: str


@dataclass(frozen=True)
class Difference:
    """How the first product that differs does so.

    Attributes:
        product: Its name.
        only_published: Rows, or columns, that only the published one has.
        only_rebuilt: The same of the rebuilt one.
        rows: Rows that differ of those which both have.
        columns: Column by column; none if the rows are equal and only the files are not.
        manifest: What the manifests say differently, where the files are equal.
        unshared: Names of columns that only one of them has: products grow between releases.
    """

    product: str
    only_published: int = 0
    only_rebuilt: int = 0
    rows: int = 0
    columns: tuple[ColumnDifference, ...] = ()
    manifest: tuple[ColumnDifference, ...] = ()
    unshared: tuple[str, ...] = ()


@dataclass(frozen=True)
class RebuiltProduct:
    """A product beside its rebuilt self.

    Attributes:
        recorded: As it was made first.
        rebuilt: As it was made now; None if it was not made.
        manifest: What the manifests say differently of the same bytes, although the same code and libraries wrote both.
    """

    recorded: ProductVersion
    rebuilt: ProductVersion | None
    manifest: tuple[ColumnDifference, ...] = ()

    @property
    def has_same_bytes(self) -> bool:
        """Whether all files have the bytes that were recorded."""
        return self.rebuilt is not None and _hashes(self.recorded) == _hashes(self.rebuilt)

    @property
    def is_equal(self) -> bool:
        """Whether all files have the bytes that were recorded, and the manifest says the same of them."""
        return self.has_same_bytes and not self.manifest


def paired(products: Iterable[tuple[ProductVersion, ProductVersion | None]]) -> tuple[RebuiltProduct, ...]:
    """Put products beside their rebuilt selves and compare their manifests.

    A manifest names code and libraries, so one that others wrote is another one whatever it says of the product: only
    those of the same code and libraries are compared. What a product was made from counts as the same if it is the
    rebuilt self of what was recorded, so that a difference is found where it began.

    Args:
        products: As recorded and as rebuilt, each after what it was made from.
    """
    found: list[RebuiltProduct] = []
    recorded_as: dict[str, str] = {}
    for recorded, rebuilt in products:
        manifest: tuple[ColumnDifference, ...] = ()
        if rebuilt is not None:
            manifest = _difference_of_manifests(recorded, rebuilt, recorded_as)
            recorded_as[rebuilt.version] = recorded.version
        found.append(RebuiltProduct(recorded, rebuilt, manifest))
    return tuple(found)


def causes_of(made: Sequence[ProductVersion], cpu: str, assumed: Sequence[str]) -> tuple[str, ...]:
    """Return what is not the same as when some products were made.

    Args:
        made: The products as they were recorded.
        cpu: Type of processor that they were made on; empty where nobody recorded it.
        assumed: Settings that nobody recorded, with the values that were taken.
    """
    codes = dict.fromkeys(each.code_version for each in made if each.code_version != code_version())
    installed = library_versions()
    changed = dict.fromkeys(
        f"{name} is {installed.get(name, 'not used')}, was {each.libraries.get(name, 'not said')}"
        for each in made
        for name in {**each.libraries, **installed}
        if each.libraries.get(name) != installed.get(name)
    )
    return (
        *([f"code is {code_version()}, was {' and '.join(codes)}"] if codes else []),
        *([f"libraries: {', '.join(changed)}"] if changed else []),
        *([f"CPU type is {cpu_type()}, was {cpu}"] if cpu and cpu != cpu_type() else []),
        *(f"taken for lack of a record: {setting}" for setting in assumed),
    )


def _hashes(made: ProductVersion) -> list[str]:
    return [file.sha256 for file in made.files]


# --- manifests ---


def _difference_of_manifests(
    recorded: ProductVersion, rebuilt: ProductVersion, recorded_as: Mapping[str, str]
) -> tuple[ColumnDifference, ...]:
    is_same_code = (recorded.code_version, recorded.libraries) == (rebuilt.code_version, rebuilt.libraries)
    if not is_same_code or _hashes(recorded) != _hashes(rebuilt):
        return ()
    inputs = {name: made if name == "batches" else recorded_as.get(made, made) for name, made in rebuilt.inputs.items()}
    sides = [
        dict(_leaves(said)) for said in (_manifest_values(recorded, recorded.inputs), _manifest_values(rebuilt, inputs))
    ]
    # 1 and 1.0 are equal, but not the same text.
    texts = [{at: repr(value) for at, value in side.items()} for side in sides]
    return tuple(
        ColumnDifference(at, 1, _apart(*values), recorded.product, *map(str, values))
        for at in dict.fromkeys([*sides[0], *sides[1]])
        if texts[0].get(at) != texts[1].get(at) and (values := [side.get(at, NO_VALUE) for side in sides])
    )


def _manifest_values(made: ProductVersion, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of a product beside code, libraries and files."""
    return {
        "product": made.product,
        "key": made.key,
        "schema": made.schema,
        "inputs": inputs,
        "facts": made.facts,
        "files": [{"path": file.path, "rows": file.rows} for file in made.files],
    }


# --- rows and values ---


def difference_of_rows(
    product: str, published: pl.DataFrame, rebuilt: pl.DataFrame, *, key: Sequence[str]
) -> Difference:
    """Compare two frames of a product row by row.

    Args:
        product: Its name.
        published: Rows as they were recorded.
        rebuilt: Rows as they were made now.
        key: Columns that identify a row.
    """
    names = [name for name in published.columns if name in rebuilt.columns and name not in key]
    is_other = {name: pl.col(name).ne_missing(pl.col(f"{name}_rebuilt")) for name in names}
    both = published.join(rebuilt, on=key, how="inner", suffix="_rebuilt", nulls_equal=True)
    differing = both.filter(pl.any_horizontal(is_other.values())) if names else both.clear()
    columns = [_column_difference(differing.filter(is_other[name]), name, key) for name in names]
    unshared = (set(published.columns) - set(rebuilt.columns), set(rebuilt.columns) - set(published.columns))
    return Difference(
        product,
        published.height - both.height + len(unshared[0]),
        rebuilt.height - both.height + len(unshared[1]),
        differing.height,
        tuple(column for column in columns if column is not None),
        unshared=tuple(sorted(unshared[0] | unshared[1])),
    )


def _column_difference(rows: pl.DataFrame, name: str, key: Sequence[str]) -> ColumnDifference | None:
    if rows.is_empty():
        return None
    largest: float | None = None
    types = (rows[name].dtype, rows[f"{name}_rebuilt"].dtype)
    if all(dtype.is_numeric() for dtype in types):
        # Decimals are subtracted exactly; unsigned numbers would wrap around.
        exact = all(dtype.is_decimal() for dtype in types)
        values = [pl.col(column) if exact else pl.col(column).cast(pl.Float64) for column in (name, f"{name}_rebuilt")]
        apart = (values[0] - values[1]).abs().cast(pl.Float64)
        rows = rows.sort(apart, descending=True, nulls_last=True, maintain_order=True)
        found = rows.select(apart.fill_nan(None).max()).item()
        largest = None if found is None else float(found)
    worst = rows.row(0, named=True)
    row = "/".join(str(worst[column]) for column in key)
    return ColumnDifference(name, rows.height, largest, row, str(worst[name]), str(worst[f"{name}_rebuilt"]))


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every single value with the path to it."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{at}.{name}" if at else str(name))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{at}[{number}]")
    else:
        yield at, value


def difference_of_values(product: str, published: Any, rebuilt: Any) -> Difference:
    """Compare two artifacts value by value; arguments as for ``difference_of_rows``, as JSON has them."""
    published, rebuilt = dict(_leaves(published)), dict(_leaves(rebuilt))
    changed = [at for at in published if at in rebuilt and published[at] != rebuilt[at]]
    columns = [
        ColumnDifference(at, 1, _apart(published[at], rebuilt[at]), product, str(published[at]), str(rebuilt[at]))
        for at in changed
    ]
    columns.sort(key=lambda each: each.largest or 0.0, reverse=True)
    only = len(published.keys() - rebuilt.keys()), len(rebuilt.keys() - published.keys())
    return Difference(product, *only, len(changed), tuple(columns))


def _apart(one: Any, other: Any) -> float | None:
    is_number = isinstance(one, int | float) and isinstance(other, int | float)
    return abs(float(one) - float(other)) if is_number else None
