"""Overrides from a CSV file: one row each.

What belongs here: from a planner's file to overrides, with what is wrong of each row. What does not: whether a run has
their nodes (overrides), or recording them.
"""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.sources.text_files import read_text_table
from resources.ledger.entries.override import MOST_AT_ONCE

# What a column of the file may be called; only these three have to be there.
NEEDED: Final = ("first_date", "form", "reason")
OPTIONAL: Final = ("sku", "store", "product", "stores", "last_date", "value", "note", "expires_on")
_DAY_FORMS: Final = ("%Y-%m-%d", "%d.%m.%Y")
_NODE: Final = ":"


def read_overrides(path: Path) -> list[Override | InputError]:
    """Read overrides from a file; of a row that is none, why.

    A node is named by `sku` or `product` as LEVEL:NODE, and by `store` or `stores` likewise; what is left out is all of
    that dimension. Without `last_date` it is of one day.

    Args:
        path: CSV with a header, in any usual dialect.

    Raises:
        InputError: If it cannot be read, lacks a column, has one that nobody knows, no rows, or too many.
    """
    table = read_text_table(path).frame
    unknown = [name for name in table.columns if name not in (*NEEDED, *OPTIONAL)]
    missing = [name for name in NEEDED if name not in table.columns]
    if unknown or missing:
        lacks = f"lacks {first_ten(missing)}" if missing else f"has {first_ten(unknown)}, which nobody knows"
        raise InputError(f"`{path}` {lacks}.", remedy=f"Columns are {', '.join((*NEEDED, *OPTIONAL))}.", path=str(path))
    if not 0 < table.height <= MOST_AT_ONCE:
        raise InputError(
            f"`{path}` has {table.height:,} rows.", remedy=f"Give 1 to {MOST_AT_ONCE:,} overrides in a file."
        )
    return [_override(row) for row in table.iter_rows(named=True)]


def _override(row: Mapping[str, str | None]) -> Override | InputError:
    said = {name: (value or "").strip() for name, value in row.items()}
    try:
        first = _day(said["first_date"])
        return Override(
            scope_of(*(said.get(name, "") for name in ("sku", "store", "product", "stores"))),
            first,
            _day(said["last_date"]) if said.get("last_date") else first,
            said["form"].lower(),
            said.get("value", ""),
            said["reason"],
            said.get("note", ""),
            _day(said["expires_on"]) if said.get("expires_on") else None,
        )
    except InputError as error:
        return error


def scope_of(sku: str = "", store: str = "", product: str = "", stores: str = "") -> Scope:
    """Return a node as people name it.

    Args:
        sku: A SKU; or
        product: a node of the product hierarchy, as LEVEL:NODE.
        store: A store; or
        stores: a node of the store hierarchy, as LEVEL:NODE.

    Raises:
        InputError: If a dimension is named twice, or a node is not written so.

    Example:
        >>> str(scope_of(product="category:dairy", store="S1"))
        'category dairy in store S1'
    """
    if (sku and product) or (store and stores):
        raise InputError(
            "A node is named by a SKU or a product node, and by a store or a store node, not by both.",
            remedy="Leave one of them out.",
        )
    return Scope.of(sku=sku, store=store, product=_node(product), stores=_node(stores))


def _node(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    level, separator, node = text.partition(_NODE)
    if not (separator and level and node):
        raise InputError(f"`{text}` names no node.", remedy="Write it as LEVEL:NODE, such as category:dairy.")
    return level, node


def _day(text: str) -> date:
    for form in _DAY_FORMS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    raise InputError(f"`{text}` is no date.", remedy="Write it as 2025-07-03.", value=text)
