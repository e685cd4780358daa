"""Great Expectations: suites of feeds and published products, and the data docs that show them.

What belongs here: what is expected of a frame, as data, and asking Great Expectations whether it is so.
What does not: contracts themselves (Pandera holds every row of every frame to them before it is written) and rules that
compare products with each other (``checks.rules``).

Suites follow from the contracts; what a contract cannot say is added here per frame. Great Expectations has no Polars
engine: it gets a pandas frame, of at most ``LARGEST`` rows so that memory stays bounded; beyond that, of a fixed random
sample of so many, and the outcome says so. Of products, whose every row Pandera and the rules judge as well, the sample
is of ``LARGEST_OF_PRODUCT`` rows: it finds what one row in 1,000 breaks 99 times in 100. What one expectation implies
is not asked again by another, and values are collected only where something is broken. Nothing is kept of a context but
validation results and the pages made from them: concurrent validations share no configuration file. What makes pages is
kept for the next ones of the same process.
"""

import logging
import re
import warnings
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import COVERING_COLUMNS, FEEDS, PRODUCTS, QUANTILE_COLUMNS, Column, Contract
from forecast_assets.core.errors import FIRST, InputError, first_ten
from forecast_assets.core.quantities import UNITS

LARGEST: Final = 100_000
LARGEST_OF_PRODUCT: Final = 5_000
_SHOWN_RUNS: Final = 50
_SAMPLE_SEED: Final = 20250630
_ROW: Final = "row_of_the_frame"
_SUBSTANTIAL: Final = 1000
# Exact decimals are not here: Great Expectations gets them as floats, and could only confirm that.
_DTYPES: Final = {
    pl.Float64: "float64",
    pl.Int32: "int32",
    pl.Boolean: "bool",
}
# In pandas, a column with a missing value is never of these types.
_NEVER_MISSING: Final = frozenset({"int32", "bool"})
_COLUMNS_IN_ORDER: Final = "ExpectColumnsInOrder"
_VERDICTS: Final = {"result_format": "BOOLEAN_ONLY"}
_VALUES: Final = {"result_format": "SUMMARY", "partial_unexpected_count": FIRST}


@dataclass(frozen=True)
class Expected:
    """One expectation, as data.

    Attributes:
        kind: Class in ``great_expectations.expectations``, or `_COLUMNS_IN_ORDER`.
        sentence: What is true when it holds.
        arguments: Of the class.
        remedy: What to do when it does not hold.
        from_rows: Asked only of frames with so many rows, where shares mean something.
    """

    kind: str
    sentence: str
    arguments: dict[str, Any]
    remedy: str = "Correct these rows where they are made."
    from_rows: int = 0


@dataclass(frozen=True)
class ExpectationOutcome:
    """What a suite found.

    Attributes:
        suite: Its name.
        success: Whether all of it holds.
        failed: One sentence per broken expectation: what, in how many rows, the first values, what to do.
        evaluated: How many expectations were evaluated.
        rows: Rows in the frame.
        rows_examined: Rows that were looked at; fewer than `rows` where a sample was.
        data_docs: The data docs' first page.
    """

    suite: str
    success: bool
    failed: list[str] = field(default_factory=list)
    evaluated: int = 0
    rows: int = 0
    rows_examined: int = 0
    data_docs: Path = Path()

    @property
    def scope(self) -> str:
        """What was looked at, in words.

        Example:
            >>> ExpectationOutcome("feed-sales", success=True, evaluated=13, rows=10, rows_examined=10).scope
            '13 expectations of 10 rows'
        """
        if self.rows_examined < self.rows:
            return f"{self.evaluated} expectations of a sample of {self.rows_examined:,} of {self.rows:,} rows"
        return f"{self.evaluated} expectations of {self.rows:,} rows"


def validate_feed(frame: pl.DataFrame, feed: str, folder: Path, *, run_name: object) -> ExpectationOutcome:
    """Ask whether a batch of a feed is as expected, and add the answer to the data docs.

    Args:
        frame: The feed's columns, at least one row.
        feed: Name of the feed.
        folder: Where results and data docs are kept; made if needed.
        run_name: What this validation is called in the data docs.

    Raises:
        InputError: If there is no such feed.
        RuntimeError: If an expectation could not be evaluated; that is a defect, not bad data.
    """
    examined = _sample(frame.lazy(), frame.height, LARGEST)
    return _validate(examined, frame.height, _contract(FEEDS, feed), folder, f"feed-{feed}", run_name)


def validate_product(frame: pl.LazyFrame, product: str, folder: Path, *, run_name: object) -> ExpectationOutcome:
    """Ask whether a product is as expected, and add the answer to the data docs.

    Args:
        frame: The product's columns; at least one row, unless the product may have none.
        product: Name of the product.
        folder: Where results and data docs are kept; made if needed.
        run_name: What this validation is called in the data docs.

    Raises:
        InputError: If there is no such product.
        RuntimeError: If an expectation could not be evaluated; that is a defect, not bad data.
    """
    rows = int(frame.select(pl.len()).collect().item())
    if not rows and _contract(PRODUCTS, product).may_have_no_rows:
        return ExpectationOutcome(f"product-{product}", success=True, data_docs=_index(folder))
    examined = _sample(frame, rows, LARGEST_OF_PRODUCT)
    return _validate(examined, rows, _contract(PRODUCTS, product), folder, f"product-{product}", run_name)


def expectations(contract: Contract) -> list[Expected]:
    """Return the suite of a contract: what follows from it, then what it cannot say."""
    return [
        *_of_table(contract),
        *(e for c in contract.columns for e in _of_column(c)),
        *_BEYOND.get(contract.name, []),
    ]


def _contract(contracts: dict[str, Contract], name: str) -> Contract:
    if name not in contracts:
        raise InputError(f"There are no expectations of `{name}`.", remedy=f"Known: {first_ten(sorted(contracts))}.")
    return contracts[name]


def _of_table(contract: Contract) -> list[Expected]:
    columns, key = contract.names, list(contract.key)
    return [
        Expected("ExpectTableRowCountToBeBetween", "there are rows", {"min_value": 1}),
        Expected(_COLUMNS_IN_ORDER, "the columns are the contract's, in order", {"column_list": columns}),
        Expected(
            "ExpectCompoundColumnsToBeUnique",
            f"no two rows share {', '.join(key)}",
            {"column_list": key},
            "Remove the repeated rows at their source; a correction needs a later known_at.",
        ),
    ]


def _of_column(column: Column) -> list[Expected]:
    name = {"column": column.name}
    found = [] if column.nullable else _of_values_without_gaps(column)
    if column.at_least is not None or column.at_most is not None:
        found.append(_between(column.name, column.at_least, column.at_most))
    if column.one_of is not None:
        found.append(
            Expected(
                "ExpectColumnValuesToBeInSet",
                f"{column.name} is one of {', '.join(column.one_of)}",
                {**name, "value_set": list(column.one_of)},
            )
        )
    if column.dtype == pl.String and not column.may_be_empty and "" in (column.one_of or ("",)):
        found.append(
            Expected("ExpectColumnValueLengthsToBeBetween", f"{column.name} is not empty", {**name, "min_value": 1})
        )
    return found


def _of_values_without_gaps(column: Column) -> list[Expected]:
    name, dtype = {"column": column.name}, _DTYPES.get(column.dtype)
    missing = Expected("ExpectColumnValuesToNotBeNull", f"{column.name} is never missing", name)
    if dtype is None:
        return [missing]
    if dtype not in _NEVER_MISSING:
        sentence = f"{column.name} is {dtype}"
        return [missing, Expected("ExpectColumnValuesToBeOfType", sentence, {**name, "type_": dtype})]
    sentence = f"{column.name} is {dtype} and never missing"
    return [Expected("ExpectColumnValuesToBeOfType", sentence, {**name, "type_": dtype})]


def _between(column: str, low: float | None, high: float | None) -> Expected:
    bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    return Expected(
        "ExpectColumnValuesToBeBetween",
        f"{column} is {' and '.join(filter(None, bounds))}",
        {"column": column, "min_value": low, "max_value": high},
    )


def _not_above(smaller: str, larger: str, remedy: str, *, or_equal: bool = True) -> Expected:
    return Expected(
        "ExpectColumnPairValuesAToBeGreaterThanB",
        f"{smaller} is {'at most' if or_equal else 'below'} {larger}",
        {
            "column_A": larger,
            "column_B": smaller,
            "or_equal": or_equal,
            "ignore_row_if": "either_value_is_missing",
        },
        remedy,
    )


_SALES_WITHIN_DEMAND: Final = _not_above(
    "expected_sales_units", "forecast_units", "Sales cannot exceed demand: look at the expected lost units."
)
_TARGET_AHEAD: Final = _not_above(
    "prediction_date", "target_date", "Every step lies after the prediction date.", or_equal=False
)
_STEP_WITHIN_HORIZON: Final = _not_above("step", "forecast_horizon", "Remove the steps beyond the run's horizon.")
_PROBABILITY_PARTS: Final = (
    "demand_probability",
    "on_hand_probability",
    "on_order_probability",
    "replenishment_probability",
    "usual_probability",
    "series_probability",
)

_BEYOND: Final[dict[str, list[Expected]]] = {
    "sales": [
        Expected(
            "ExpectColumnMaxToBeBetween",
            "something was sold",
            {"column": "sales_units", "min_value": 0, "strict_min": True},
            "A batch without any sale is a feed that was cut off: ask its owner.",
            _SUBSTANTIAL,
        ),
    ],
    "stock_status": [
        _not_above("out_of_stock_hours", "trading_hours", "Count out-of-stock hours within trading hours only."),
        Expected(
            "ExpectColumnValuesToBeInSet",
            "out_of_stock_demand_share is 0 on days whose trading hours were all in stock",
            {
                "column": "out_of_stock_demand_share",
                "value_set": [0.0],
                "row_condition": {
                    "type": "comparison",
                    "column": {"name": "out_of_stock_hours"},
                    "operator": "==",
                    "parameter": 0,
                },
            },
            "It is the share of a usual day that fell into the hours without stock; leave it empty if unknown.",
        ),
    ],
    "inventory_positions": [
        _not_above(
            "reorder_point_units", "order_up_to_units", "In an (s, S) policy s is below S: swap or correct them."
        ),
    ],
    "purchase_orders": [
        _not_above("event_date", "received_date", "An order cannot arrive before it is placed: correct received_date."),
    ],
    "prices": [
        Expected(
            "ExpectColumnMedianToBeBetween",
            "the usual price is near list price",
            {"column": "price_ratio", "min_value": 0.3, "max_value": 1.5},
            "price_ratio is price over list price, not a percentage and not the discount.",
            _SUBSTANTIAL,
        ),
    ],
    "forecasts": [
        *(
            _not_above(low, high, "Quantiles rise with their probability: look at the calibration.")
            for low, high in pairwise(QUANTILE_COLUMNS)
        ),
        _SALES_WITHIN_DEMAND,
        _TARGET_AHEAD,
        _STEP_WITHIN_HORIZON,
        Expected(
            "ExpectColumnValuesToBeInSet",
            "most series are forecast by their chosen model",
            {"column": "is_fallback", "value_set": [False], "mostly": 0.5},
            "Most models failed: read the run's log before publishing.",
            _SUBSTANTIAL,
        ),
    ],
    "aggregate_forecasts": [_SALES_WITHIN_DEMAND, _TARGET_AHEAD, _STEP_WITHIN_HORIZON],
    "cumulative_forecasts": [
        *(
            _not_above(low, high, "More units cover more cases: look at the sample paths.")
            for low, high in pairwise(COVERING_COLUMNS)
        ),
        _between("period_days", 1, None),
    ],
    "forecast_overrides": [_TARGET_AHEAD, _STEP_WITHIN_HORIZON],
    "stockout_risks": [
        _between("stockout_probability", None, 1),
        *(_between(part, -1, 1) for part in _PROBABILITY_PARTS),
        _TARGET_AHEAD,
        _STEP_WITHIN_HORIZON,
    ],
    "forecast_explanations": [_SALES_WITHIN_DEMAND, _TARGET_AHEAD, _STEP_WITHIN_HORIZON],
}


def _validate(
    examined: pl.DataFrame, rows: int, contract: Contract, folder: Path, suite: str, run_name: object
) -> ExpectationOutcome:
    asked = [expected for expected in expectations(contract) if rows >= expected.from_rows]
    run = re.sub(r"[^\w.-]+", "_", str(run_name))
    results = _run(_to_pandas(examined), asked, folder, suite, run)
    failed = [
        _sentence(expected, result) for expected, result in zip(asked, results, strict=True) if not result.success
    ]
    return ExpectationOutcome(suite, not failed, failed, len(results), rows, examined.height, _index(folder))


def _sample(frame: pl.LazyFrame, rows: int, most: int) -> pl.DataFrame:
    """Return at most that many rows, in order; at random, since a regular stride could miss whole steps or days."""
    if rows <= most:
        return frame.collect()
    random = np.random.Generator(np.random.PCG64(_SAMPLE_SEED))
    chosen = pl.Series(np.sort(random.choice(rows, most, replace=False)), dtype=pl.UInt32)
    return frame.with_row_index(_ROW).filter(pl.col(_ROW).is_in(chosen.implode())).drop(_ROW).collect()


def _to_pandas(frame: pl.DataFrame) -> Any:
    return frame.with_columns(pl.col(UNITS).cast(pl.Float64)).to_pandas()


def _run(frame: Any, asked: list[Expected], folder: Path, suite_name: str, run_name: str) -> list[Any]:
    """Validate, keep the result, add its page; return one result per expectation, in order.

    Collecting values costs as much as judging them, so they are collected in a second look that only what is broken
    gets; under the same name, it takes the place of the first.
    """
    gx = _great_expectations()
    context = _context(folder)
    asked_of = [_class_of(e.kind)(**e.arguments, description=e.sentence) for e in asked]
    suite = context.suites.add(gx.ExpectationSuite(name=suite_name, expectations=asked_of))
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset(suite_name)
    batches = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite_name, data=batches, suite=suite))
    run_id = gx.RunIdentifier(run_name=run_name)
    given = {"batch_parameters": {"dataframe": frame}, "run_id": run_id}
    found = definition.run(**given, result_format=_VERDICTS)
    if not found.success:
        found = definition.run(**given, result_format=_VALUES)
    results = _in_order(suite, found.results)
    keys = [key for key in context.validation_results_store.list_keys() if key.run_id == run_id]
    _pages(folder.absolute()).build(resource_identifiers=keys)
    return results


def _in_order(suite: Any, results: list[Any]) -> list[Any]:
    """Return results in the suite's order, having made sure that each expectation was evaluated."""
    for result in results:
        if result.exception_info.get("raised_exception", True):
            raise RuntimeError(
                f"{suite.name}: {result.expectation_config.type} could not be evaluated: {result.exception_info}"
            )
    by_id = {result.expectation_config.id: result for result in results}
    return [by_id[expectation.id] for expectation in suite.expectations]


def _sentence(expected: Expected, result: Any) -> str:
    found = result.result
    if "unexpected_count" in found:
        values = dict.fromkeys(_named(expected, value) for value in found["partial_unexpected_list"])
        what = f"not so in {found['unexpected_count']} of {found['element_count']} rows, first: {first_ten(values)}"
    else:
        what = f"found {found.get('observed_value')}"
    return f"Expected that {expected.sentence}; {what}. {expected.remedy}"


def _named(expected: Expected, value: Any) -> str:
    """Return a failing value in words, with the names of the columns where it is one of several."""
    if isinstance(value, dict):
        return " and ".join(f"{column} {one}" for column, one in value.items())
    if "column_A" in expected.arguments:
        columns = expected.arguments["column_A"], expected.arguments["column_B"]
        return " and ".join(f"{column} {one}" for column, one in zip(columns, value, strict=True))
    return repr(value) if isinstance(value, str) else str(value)


def _index(folder: Path) -> Path:
    return folder / "data_docs" / "index.html"


def _class_of(kind: str) -> Any:
    return _columns_in_order() if kind == _COLUMNS_IN_ORDER else getattr(_great_expectations().expectations, kind)


@cache
def _columns_in_order() -> Any:
    """Return the expectation of columns in order under a name of its own.

    A page takes its order of columns from the values that the original found, and fails where none were collected.
    """
    original = _great_expectations().expectations.ExpectTableColumnsToMatchOrderedList
    return type(original)(_COLUMNS_IN_ORDER, (original,), {"__module__": __name__, "__doc__": original.__doc__})


@cache
def _great_expectations() -> Any:
    with warnings.catch_warnings():
        # It imports modules that Python has deprecated; nothing here can change that.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations

    # Its own log repeats tracebacks of failures that are raised or reported anyway.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    return great_expectations


def _context(folder: Path) -> Any:
    """Return a context in memory that keeps results in `folder` and reports to nobody."""
    gx = _great_expectations()
    from great_expectations.data_context.types.base import DataContextConfig

    config = DataContextConfig(
        config_version=4.0,
        analytics_enabled=False,
        progress_bars={"globally": False, "metric_calculations": False},
        expectations_store_name="expectations",
        validation_results_store_name="results",
        checkpoint_store_name="checkpoints",
        stores={
            "expectations": {"class_name": "ExpectationsStore"},
            "checkpoints": {"class_name": "CheckpointStore"},
            "validation_definition_store": {"class_name": "ValidationDefinitionStore"},
            "results": {"class_name": "ValidationResultsStore", "store_backend": _kept_in(folder, "results")},
        },
        data_docs_sites={},
    )
    return gx.get_context(mode="ephemeral", project_config=config)


@lru_cache(maxsize=1)
def _pages(folder: Path) -> Any:
    """Return what makes the pages of results in `folder`; kept, since each new one compiles its templates again."""
    context = _context(folder)
    from great_expectations.render.renderer.site_builder import SiteBuilder

    return SiteBuilder(
        context,
        _kept_in(folder, "data_docs"),
        site_name="local",
        show_how_to_buttons=False,
        site_index_builder={"class_name": "DefaultSiteIndexBuilder", "validation_results_limit": _SHOWN_RUNS},
    )


def _kept_in(folder: Path, name: str) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute() / name)}
