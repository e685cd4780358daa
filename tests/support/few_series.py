"""A few series forecast again from what a whole run kept, and random changes to ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from forecast_assets.core.arrays import Groups, Rows
from forecast_assets.core.quantities import Millionths, to_millionths
from forecast_assets.features.changes import SeriesChange, changed
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Held, Kept, Statistic
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs, Forecasts

KINDS = ("price", "promotion", "event", "stock", "sales")


@dataclass(frozen=True)
class WholeRun:
    """A family's forecasts of all series, with what they said together."""

    family: ModelFamily[Any]
    artifact: Artifact
    panel: Panel
    groups: Groups
    made: Forecasts
    kept: dict[str, Statistic]

    @classmethod
    def of(cls, family: ModelFamily[Any], artifact: Artifact, panel: Panel, groups: Groups) -> "WholeRun":
        kept = Kept()
        made = family.forecast(artifact, ForecastInputs(replace(panel, pooled=kept), groups, workers=1))
        return cls(family, artifact, panel, groups, made, kept.found)

    def again(self, changes: Sequence[SeriesChange]) -> tuple[Forecasts, Forecasts]:
        """Return what all that was kept makes of some series as they are, and changed, in turn; and a whole run."""
        whole = changed(self.panel, self.rows(changes), changes)
        return self.few(changes), self._forecast(whole, self.groups)

    def few(self, changes: Sequence[SeriesChange]) -> Forecasts:
        """Return what all that was kept makes of some series as they are, and changed, in turn."""
        pairs = np.repeat(self.rows(changes), 2)
        few = replace(self.panel.take(pairs), pooled=Held(self.kept, pairs))
        return self._forecast(changed(few, np.arange(1, len(pairs), 2), changes), self.groups[pairs])

    def part(self, rows: Rows) -> "WholeRun":
        """Return the run of some series alone, with what was kept of them."""
        kept = {name: found.take(rows) for name, found in self.kept.items()}
        return replace(self, panel=self.panel.take(rows), groups=self.groups[rows], kept=kept)

    def rows(self, changes: Sequence[SeriesChange]) -> Rows:
        places = {series: row for row, series in enumerate(self.panel.series.iter_rows())}
        return np.array([places[change.series] for change in changes])

    def change_of(self, kind: str, row: int, random: np.random.Generator) -> SeriesChange:
        """Return a random change of a kind."""
        store, sku = self.panel.series.row(row)
        ahead = [self.panel.cutoff + timedelta(days=int(day)) for day in random.choice(7, 3, replace=False) + 1]
        past = [self.panel.cutoff - timedelta(days=int(day)) for day in random.choice(7, 2, replace=False)]
        asked: dict[str, dict[str, Any]] = {
            "price": {"price_ratios": {day: float(random.uniform(0.5, 1.2)) for day in ahead}},
            "promotion": {"promotions": {day: bool(random.random() < 0.7) for day in ahead}},
            "event": {"events": dict.fromkeys(ahead, ("fair",))},
            "stock": {"on_hand_units": 0.0},
            "sales": {"sales": {day: float(random.integers(0, 30)) for day in past}},
        }
        return SeriesChange(store, sku, **asked[kind])

    def _forecast(self, panel: Panel, groups: Groups) -> Forecasts:
        return self.family.forecast(self.artifact, ForecastInputs(panel, groups, workers=1))


def mean(made: Forecasts, rows: Rows | slice) -> Millionths:
    """[k, H] as they are published."""
    return to_millionths(made.mean[rows])
