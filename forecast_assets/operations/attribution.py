"""What came of comparing two runs: each common row's difference, by cause and driver.

What belongs here: reading shares by row, series, cause and driver. What does not: making them, or words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.core.errors import InputError
from forecast_assets.core.quantities import Millionths, to_units
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.operations.common_rows import CommonRows
from forecast_assets.operations.compared_run import DRIVERS
from resources.ledger.entries.publish import Publication

# Causes: groups of inputs that may be the first run's or the second's.
OBSERVATIONS: Final = "observations"
PLANS: Final = "plans"
STOCK: Final = "stock_and_orders"
MODEL: Final = "model_version"
# Where neither version reaches as far ahead as the other run's observations would ask of it.
OBSERVATIONS_AND_MODEL: Final = "observations_and_model_version"
RECONCILIATION: Final = "reconciliation"
OVERRIDE: Final = "override"
# What a change of code did: what replays of the two runs differ by from what was published.
CODE: Final = "code"


@dataclass(frozen=True)
class AttributedFigure:
    """A difference of one figure, by cause.

    Attributes:
        before: The first figure.
        after: The second.
        causes: `cause, change_units`, the largest first; they add up to the difference exactly.
    """

    before: Decimal
    after: Decimal
    causes: pl.DataFrame

    @classmethod
    def of(cls, before: int, after: int, causes: Sequence[str], moved: Millionths) -> "AttributedFigure":
        """Return it from whole millionths."""
        named = pl.DataFrame({"cause": list(causes)}, schema={"cause": pl.String})
        return cls(_exact(before), _exact(after), _largest_first(named, moved))


@dataclass(frozen=True)
class AttributedChange:
    """A difference of some rows together, by cause.

    Attributes:
        before_units: What the first run forecast.
        after_units: What the second did.
        causes: Units by cause, the largest first; they add up to the difference exactly.
        parts: `cause, driver, change_units`, what each cause moved of each driver, the largest first, zeros left out;
            the parts of a cause add up to it, and those of a driver to how much the published driver differs.
        inputs: Inputs of these rows that differ, as `input_differences` returns them.
    """

    before_units: Decimal
    after_units: Decimal
    causes: pl.DataFrame
    parts: pl.DataFrame
    inputs: pl.DataFrame


@dataclass(frozen=True)
class Attribution:
    """Why two published runs differ: N common series over C common days.

    Attributes:
        before: The first run.
        after: The second.
        common: Their common rows, and how many only one of them has.
        causes: Names of G causes; what did not differ is left out. The last is `code`.
        published: [N, C, drivers] what either published.
        units: [G, N, C, drivers] what each cause moved; adding up to the published difference of each driver.
        inputs: Inputs that differ, as `input_differences` returns them.
        code_causes: What is not the same as when the runs were made, such as the code.
    """

    before: Publication
    after: Publication
    common: CommonRows
    causes: tuple[str, ...]
    published: tuple[Millionths, Millionths]
    units: Millionths
    inputs: pl.DataFrame
    code_causes: tuple[str, ...]

    def rows(self) -> pl.DataFrame:
        """Return the common rows by cause.

        Returns:
            `store_id, sku_id, target_date, before_units, after_units, change_units`, and `<cause>_units` for each
            cause, sorted; the causes of a row add up to its change, exactly.
        """
        days = len(self.common.days)
        series = self.common.series[np.repeat(np.arange(self.common.series.height), days)]
        dates = pl.Series("target_date", self.common.days * self.common.series.height, pl.Date)
        return series.with_columns(dates, *self._figures((2,)))

    def by_series(self) -> pl.DataFrame:
        """Return sums over days: `store_id, sku_id, before_units`, ... as of `rows`."""
        return self.common.series.with_columns(self._figures((1, 2)))

    def _figures(self, axes: tuple[int, ...]) -> list[pl.Series]:
        before, after = (each.sum(axis=axes) for each in self.published)
        by_cause = self.units.sum(axis=tuple(axis + 1 for axis in axes))
        return [
            to_units(before, "before_units"),
            to_units(after, "after_units"),
            to_units(after - before, "change_units"),
            *(to_units(moved, f"{cause}_units") for cause, moved in zip(self.causes, by_cause, strict=True)),
        ]

    def place(self, store_id: str, sku_id: str) -> int:
        """Return the place of a series among the common ones.

        Raises:
            InputError: If the runs do not both have it.
        """
        rows = self.common.series.with_row_index("row").filter(store_id=store_id, sku_id=sku_id)
        if rows.is_empty():
            raise self._no_row(store_id, sku_id, None)
        return int(rows["row"].item())

    def of(
        self, *, store_id: str | None = None, sku_id: str | None = None, day: date | None = None
    ) -> AttributedChange:
        """Return the difference of some rows together.

        Args:
            store_id: Only of this store.
            sku_id: Only of this SKU.
            day: Only of this target day.

        Raises:
            InputError: If the runs have no such row in common.
        """
        series = self.common.series.with_row_index("row")
        for name, wanted in (("store_id", store_id), ("sku_id", sku_id)):
            series = series if wanted is None else series.filter(pl.col(name) == wanted)
        days = [at for at, each in enumerate(self.common.days) if day in (None, each)]
        if series.is_empty() or not days:
            raise self._no_row(store_id, sku_id, day)
        rows = series["row"].to_numpy()
        before, after = (_exact(each[rows][:, days].sum()) for each in self.published)
        by_driver = self.units[:, rows][:, :, days].sum(axis=(1, 2))
        inputs = self.inputs.join(series.select(SERIES_KEY), on=SERIES_KEY, how="semi", maintain_order="left")
        if day is not None:
            # Of a day ahead only its own plan; what was observed before is of all days.
            inputs = inputs.filter((pl.col("kind") != "plan") | (pl.col("event_date") == day))
        return AttributedChange(
            before,
            after,
            _largest_first(pl.DataFrame({"cause": self.causes}), by_driver.sum(axis=1)),
            _parts(self.causes, by_driver),
            inputs,
        )

    def _no_row(self, store_id: str | None, sku_id: str | None, day: date | None) -> InputError:
        asked = ", ".join(str(each) for each in (store_id, sku_id, day) if each is not None)
        return InputError(
            f"{self.before.key} and {self.after.key} have no common row of {asked}.",
            remedy=f"Name a series of both runs, and a day from {self.common.days[0]} to {self.common.days[-1]}.",
        )


def _parts(causes: Sequence[str], by_driver: Millionths) -> pl.DataFrame:
    cause, driver = np.nonzero(by_driver)
    names = {"cause": [causes[int(at)] for at in cause], "driver": [DRIVERS[int(at)] for at in driver]}
    return _largest_first(
        pl.DataFrame(names, schema={"cause": pl.String, "driver": pl.String}), by_driver[cause, driver]
    )


def _largest_first(named: pl.DataFrame, moved: Millionths) -> pl.DataFrame:
    order = np.argsort(-np.abs(moved), kind="stable")
    return named[order].with_columns(to_units(moved[order], "change_units"))


def _exact(millionths: Any) -> Decimal:
    units: Decimal = to_units(np.array([millionths])).item()
    return units
