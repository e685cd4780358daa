"""The trained artifact of the statistical family.

What belongs here: what training decides and scoring reads, and its bytes. What does not: how either is done.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl

from forecast_assets.core.arrays import Floats, Groups, Names
from forecast_assets.features.panel import Panel
from forecast_assets.models.artifact import BaseArtifact
from forecast_assets.models.calibration import Calibration
from forecast_assets.models.distribution import Reference
from forecast_assets.models.envelope import from_json, to_json
from forecast_assets.models.node_levels import NodeLevel
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.screening import screened
from forecast_assets.models.short_history import ShortHistory, calibrated_quantiles
from forecast_assets.models.statistical.effects import Effects, lay_out_factors
from forecast_assets.models.stock_status.model import StatusModel

FAMILY: Final = "statistical"
FORMAT: Final = 2
# Name of the choice between powers of availability.
AVAILABILITY: Final = "availability"


@dataclass(frozen=True)
class SalesEffects:
    """What sales are forecast by where shelves run empty, beside demand.

    Attributes:
        availability_power: Exponent with which the share of a usual day's sales that found stock counts in sales.
        effects: Estimated from sales that are read so.
    """

    availability_power: float
    effects: Effects

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "SalesEffects":
        """Read the JSON form back."""
        return cls(data["availability_power"], Effects.from_data(data["effects"]))

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"availability_power": self.availability_power, "effects": self.effects.to_data()}


@dataclass(frozen=True, kw_only=True)
class StatisticalArtifact(BaseArtifact):
    """What training decides; levels and weekday patterns of single series are fitted again on each snapshot.

    Attributes:
        models: Level model by demand class, and that of upper nodes under `nodes`.
        effects: Pooled effects of the calendar, price and promotion.
        calibration: Quantile factors and correlations.
        comparisons: Backtest loss of each candidate by what was chosen between: a demand class, `nodes`, `season`,
            `events`, `calendar`, `availability`. The first candidate is the default, where no backtest had anything to
            say.
        short_history: How far backtests reached, where that is less far than the version looks ahead.
        node_levels: What was decided of each pair of levels of upper nodes; none in versions from before that was.
        sales: What sales are forecast by; None where every hour without stock is taken to be lost: where nobody knows
            of any, where past cutoffs say so, in versions from before, and beside trees, which have models of sales.
        stock_status: Classifier of series of which only stock status is known; None where there was too little to learn
            from, and in versions from before there was one.
    """

    models: Mapping[str, str]
    effects: Effects
    calibration: Calibration
    comparisons: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    short_history: ShortHistory | None = None
    node_levels: tuple[NodeLevel, ...] = ()
    sales: SalesEffects | None = None
    stock_status: StatusModel | None = None

    @property
    def rho(self) -> dict[str, float]:
        """Correlation between the normal scores of two days of a series, by demand class."""
        return dict(self.calibration.rho)

    @property
    def follows_last_year(self) -> bool:
        """Whether the time of year is last year's change against the last weeks, not a season against the year."""
        return self.effects.last_year is not None

    @property
    def dependence(self) -> Dependence | None:
        """How errors of series and days hang together; None in versions from before that was learned."""
        return self.calibration.dependence

    @property
    def choices(self) -> dict[str, str]:
        """What was taken of each that was compared."""
        kinds = {
            "season": self.effects.season_kind,
            "events": self.effects.event_kind,
            "calendar": self.effects.calendar_kind,
        }
        powers = self.comparisons.get(AVAILABILITY, {})
        if powers:
            # What is taken may lie between the candidates.
            kinds[AVAILABILITY] = min(powers, key=lambda power: abs(float(power) - self.availability_power))
        return {**self.models, **kinds}

    @property
    def availability_power(self) -> float:
        """Exponent with which the share of a usual day's sales that found stock counts in sales; 1 if all is lost."""
        return 1.0 if self.sales is None else self.sales.availability_power

    @property
    def recurring_events(self) -> tuple[str, ...]:
        """Names of the events whose effect counts as that of paydays; none without a calendar."""
        return () if self.effects.calendar is None else self.effects.calendar.recurring

    def compared(self) -> pl.DataFrame:
        """Lay out what the backtests compared.

        Returns:
            `choice, candidate, loss_over_best, is_chosen`, the better candidates of each choice first. A loss is the
            mean squared error over the series' level, so 1.02 is two percent more of it than the best candidate's.
        """
        rows = [
            (choice, candidate, loss / max(min(losses.values()), 1e-12), candidate == self.choices[choice])
            for choice, losses in self.comparisons.items()
            for candidate, loss in losses.items()
        ]
        schema = {"choice": pl.String, "candidate": pl.String, "loss_over_best": pl.Float64, "is_chosen": pl.Boolean}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.sort("choice", "loss_over_best", "candidate")

    def quantiles(self, mean: Floats, demand_class: Names) -> Floats:
        """Return the 13 quantiles of every day's demand, wider where backtests did not reach.

        Args:
            mean: [n, H] units.
            demand_class: [n].

        Returns:
            [n, H, 13] units, rising along the last axis.
        """
        return calibrated_quantiles(self.calibration, self.short_history, mean, demand_class)

    def factors(self, panel: Panel, product_groups: Groups) -> Floats:
        """[n, T] What multiplies the level of a series on each day of the history."""
        return lay_out_factors(screened(panel), self.effects, product_groups).product[:, : panel.history_days]

    def facts(self) -> dict[str, Any]:
        """Return how far backtests reached, where that is not as far as the version looks, and a learned power."""
        power = {} if self.sales is None else {"availability_power": self.sales.availability_power}
        return {**power, **({} if self.short_history is None else asdict(self.short_history))}

    def to_bytes(self) -> bytes:
        """Write canonical JSON; equal artifacts are equal bytes."""
        return to_json(FAMILY, FORMAT, self.to_data())

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form, without what is optional where there is none."""
        parts = {
            "effects": self.effects.to_data(),
            "calibration": self.calibration.to_data(),
            "sales": None if self.sales is None else self.sales.to_data(),
            "stock_status": None if self.stock_status is None else self.stock_status.to_data(),
        }
        data, optional = {**asdict(self), **parts}, ("short_history", "node_levels", "sales", "stock_status")
        return {name: value for name, value in data.items() if value or name not in optional}

    @classmethod
    def from_bytes(cls, content: bytes) -> "StatisticalArtifact":
        """Read back what `to_bytes` wrote, exactly.

        Raises:
            InputError: If the bytes are of another family or format.
        """
        remedy = "Train the version again with this release, or score with the release that trained it."
        return cls.from_data(from_json(FAMILY, FORMAT, content, remedy=remedy))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "StatisticalArtifact":
        """Read the JSON form back."""
        parts = {
            "effects": Effects.from_data(data["effects"]),
            "calibration": Calibration.from_data(data["calibration"]),
            "reference": Reference.from_data(data["reference"]) if data.get("reference") else None,
            "short_history": ShortHistory(**data["short_history"]) if data.get("short_history") else None,
            "node_levels": tuple(NodeLevel(**level) for level in data.get("node_levels", ())),
            "sales": SalesEffects.from_data(data["sales"]) if data.get("sales") else None,
            "stock_status": StatusModel.from_data(data["stock_status"]) if data.get("stock_status") else None,
        }
        return cls(**{**data, **parts})
