"""The weekly business review: figures of a week beside those of the weeks before.

What belongs here: its contract. What does not: computing it, or what follows from it.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.reports import ACCURACY_SEGMENTS
from forecast_assets.contracts.schema import Column, Contract

# Whose figures: the champion's, the challenger's where both were measured, the champion's on exactly those days.
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
CHAMPION_SAME_DAYS: Final = "champion_same_days"
REVIEW_ROLES: Final = (CHAMPION, CHALLENGER, CHAMPION_SAME_DAYS)
REVIEW_KPIS: Final = ("lost_units_a_day", "stockout_rate", "wape", "wape_less_naive", "bias", "coverage_80")
WEEKS_BEFORE: Final = 4


def _figure(name: str, meaning: str) -> Column:
    return Column(name, pl.Float64, f"{meaning}; null where it is not known", nullable=True)


BUSINESS_REVIEWS: Final = Contract(
    name="business_reviews",
    grain="one KPI of one segment in one week, of the champion or the challenger of a cadence",
    description="How published forecasts did in a week, beside the four weeks before and the bounds of the policy.",
    columns=(
        Column("cadence", pl.String, "rhythm of the runs", one_of=("daily", "weekly")),
        Column("week", pl.String, "ISO week, as `2025-W26`"),
        Column("role", pl.String, "whose figures: the champion's of the review; the challenger's on days on which both "
               "were measured; the champion's on those days", one_of=REVIEW_ROLES),
        Column("model_version", pl.String, "the version in that role when the week was reviewed"),
        Column("segment_kind", pl.String, "what rows are divided by", one_of=ACCURACY_SEGMENTS),
        Column("segment", pl.String, "which class, store, node or band; `all`"),
        Column("kpi", pl.String, "`lost_units_a_day` (units a day that were expected to be lost for want of stock), "
               "`stockout_rate` (share of rows with a stock-out), `wape`, `wape_less_naive` (value added over seasonal "
               "naive, if negative), `bias` (errors over sales), `coverage_80` (share inside the 80% interval)",
               one_of=REVIEW_KPIS),
        _figure("figure", "that of the week"),
        *(_figure(f"figure_{back}_before", f"that of the week {back} before") for back in range(1, WEEKS_BEFORE + 1)),
        _figure("shift", "figure less the mean of the four weeks before"),
        _figure("chance", "shift in either direction that chance exceeds once in a hundred weeks"),
        Column("is_beyond_chance", pl.Boolean, "whether the shift exceeds it; null where it is not known",
               nullable=True),
        _figure("lowest", "least that the policy allows"),
        _figure("highest", "most that the policy allows"),
        Column("is_beyond_bound", pl.Boolean, "whether the figure lies outside of these; null without figure or bound",
               nullable=True),
        Column("days", pl.Int32, "days of the week that were measured", at_least=0, at_most=7),
        Column("rows", pl.Int64, "forecasts of a series and day that were judged in the week", at_least=0),
        Column("policy", pl.String, "version of the policy that the bounds are of"),
    ),
    key=("cadence", "week", "role", "segment_kind", "segment", "kpi"),
    promises=(
        "Every figure is a quotient of exact sums of `forecast_accuracy`, by the newest measurement of each day.",
        "Each day counts once: by the newest run, as first published, that had forecast it.",
        "A week that is measured anew is reviewed anew; earlier reviews stay, with their numbers.",
    ),
    limits=(
        "Of many segments one in a hundred shifts by chance; `chance` is null until four weeks before are known.",
        "Figures of weeks before are those of the same version: a new champion has none before its first runs.",
        "Lost units are what was published as expected, on days whose sales are known; they are not seen.",
        "Figures are of what was published, overrides included; what these were worth is in `forecast_value_added`.",
    ),
)  # fmt: skip
