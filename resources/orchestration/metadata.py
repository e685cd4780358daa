"""What the Dagster UI shows of contracts and products.

What belongs here: descriptions, columns and metadata in Dagster's form. What does not: computing anything.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from forecast_assets.contracts import Contract
from resources.orchestration.markdown import markdown_table
from resources.store.manifests import ProductVersion


def column_schema(contract: Contract) -> dg.TableSchema:
    """Return a contract's columns as the Dagster UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=[column.name] == [*contract.key]
                ),
            )
            for column in contract.columns
        ]
    )


def description(contract: Contract, *notes: str) -> str:
    """Return a contract as the Markdown that the Dagster UI shows: what, grain, key, promises, limits."""
    lines = [
        contract.description,
        f"**Grain**: {contract.grain}.",
        f"**Key**: {', '.join(f'`{name}`' for name in contract.key)}.",
        "**Units**: columns say theirs; `_units` are `DECIMAL(18, 6)` sales units, `_days` days, probabilities 0 to 1.",
        *(f"**Promise**: {promise}" for promise in contract.promises),
        *(f"**Limit**: {limit}" for limit in contract.limits),
        *notes,
    ]
    return "\n\n".join(lines)


def product_metadata(
    contract: Contract, version: ProductVersion, frame: pl.DataFrame, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a materialization shows: rows, columns, version, inputs and a few rows."""
    return {
        "dagster/column_schema": column_schema(contract),
        "dagster/partition_row_count": frame.height,
        "dagster/uri": version.files[0].path,
        "product_version": version.version,
        "code_version": version.code_version,
        "megabytes": round(sum(file.bytes for file in version.files) / 1e6, 2),
        "first_rows": dg.MetadataValue.md(markdown_table(frame.head(5))),
        **(extra or {}),
    }
