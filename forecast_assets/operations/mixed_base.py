"""Base forecasts of one mix of two runs' inputs, as whole numbers: what comparing reads of them, and no more.

What belongs here: reading it off forecasts, holding it in little memory, taking few series. What does not: forecasting
(`mixed_forecasts`), or what follows from it.

A product's rows would hold fifty columns of 50,000 series a month ahead, a gigabyte. Here are components that are not
zero, as numbers of 32 bits wherever they fit, and quantiles only where a simulation of stock reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecast_assets.contracts import COMPONENTS, QUANTILE_COLUMNS
from forecast_assets.core.arrays import Bools, Floats, Rows
from forecast_assets.core.quantities import SCALE, Millionths, from_units, narrowed
from forecast_assets.features.panel import Panel
from forecast_assets.models.reconciled_means import moved_quantiles
from forecast_assets.models.sample_paths.marginals import sells_by_the_piece
from forecast_assets.stockout_risk.assessing import correlation_of_days, has_record
from forecast_assets.stockout_risk.inventory import Demand


@dataclass(frozen=True)
class MixedBase:
    """Base forecasts of n series over H days.

    Attributes:
        components: [n, H] in millionths, by name, those that are not zero; they add up to the base forecast.
        quantiles: [n, H, 13] in millionths; none where no stock is known, so that nothing is simulated.
        lost_share: [n, H] share of demand that meets an empty shelf; NaN where the version does not forecast it, and
            none where it is not read any more.
        rho: [n] correlation between the days of a series.
        is_whole_units: [n] whether the series sells by the piece.
        has_record: [n] whether the series has a record of stock status.
        horizon: H.
    """

    components: Mapping[str, Millionths]
    quantiles: Millionths | None
    lost_share: Floats | None
    rho: Floats
    is_whole_units: Bools
    has_record: Bools
    horizon: int

    @classmethod
    def of(cls, frame: pl.DataFrame, panel: Panel, rho: Mapping[str, float], *, with_quantiles: bool) -> "MixedBase":
        """Read forecasts.

        Args:
            frame: Contract `base_forecasts`, n x H rows.
            panel: What they were made from.
            rho: Correlation between the days of a series, by demand class.
            with_quantiles: Whether stock may be simulated.
        """
        shape = (panel.series.height, panel.horizon_days)
        components = {name: from_units(frame[name]).reshape(shape) for name in COMPONENTS}
        quantiles = [narrowed(from_units(frame[name]).reshape(shape)) for name in QUANTILE_COLUMNS if with_quantiles]
        return cls(
            {name: narrowed(values) for name, values in components.items() if values.any()},
            np.stack(quantiles, axis=-1) if quantiles else None,
            frame["lost_share"].to_numpy().reshape(shape),
            correlation_of_days(frame, rho),
            sells_by_the_piece(panel.sales),
            has_record(panel),
            panel.horizon_days,
        )

    @property
    def units(self) -> Millionths:
        """[n, H] the base forecasts."""
        return np.asarray(sum(self.components.values(), np.zeros((len(self.rho), self.horizon), dtype=np.int64)))

    def parts(self, rows: Rows, columns: Rows) -> Millionths:
        """[k, C, components] all components of some series and days."""
        out = np.zeros((len(rows), len(columns), len(COMPONENTS)), dtype=np.int64)
        for at, name in enumerate(COMPONENTS):
            if name in self.components:
                out[..., at] = self.components[name][np.ix_(rows, columns)]
        return out

    def demand(self, means: Millionths) -> Demand:
        """Return what is asked for where these forecasts are moved to other means, [n, H]."""
        assert self.quantiles is not None, "nothing is simulated without stock"
        moved = moved_quantiles(self.quantiles, self.units[..., None], means[..., None])
        return Demand(means / SCALE, moved / SCALE, self.rho, self.is_whole_units)

    def take(self, rows: Rows) -> "MixedBase":
        """Return the forecasts of some series, which may be there more than once."""
        return MixedBase(
            {name: values[rows] for name, values in self.components.items()},
            None if self.quantiles is None else self.quantiles[rows],
            None if self.lost_share is None else self.lost_share[rows],
            self.rho[rows],
            self.is_whole_units[rows],
            self.has_record[rows],
            self.horizon,
        )
