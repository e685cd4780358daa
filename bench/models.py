"""Which model does best for which demand class, on simulated and on real days: the tables of docs/benchmarks.md.

Trains a version on each, then scores the days after its cutoff, which training never saw, once with each candidate of
each class. Prints, per class, WAPE and mean squared error over the series' level, each relative to the best candidate,
with the one that training took marked; then what season and event factors are worth; then new series.

    python -m bench.models [--folder DIR] [--skus N] [--stores N] [--days N]
"""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.panels import Retailer, fresh_retailer, simulated_retailer
from bench.real_input import fresh_parser
from forecast_assets.core.arrays import Floats
from forecast_assets.features.demand_class import NEW_DAYS
from forecast_assets.models.demand import uncensor
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.borrowing import BORROWED
from forecast_assets.models.statistical.effects import SEASONS
from forecast_assets.models.statistical.levels import AVERAGE, CROSTON, SMOOTHING, THETA
from forecast_assets.models.statistical.selection_backtest import EffectKinds, variant
from forecast_assets.models.statistical.series import forecast_series
from forecast_assets.models.statistical.training import train_statistical
from forecast_assets.presentation.text import table
from forecast_assets.simulation.simulator import SimulatorSettings

CANDIDATES = (*SMOOTHING, AVERAGE, *CROSTON, THETA)
CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "seasonal")
SLOW_SERIES = 1000


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--skus", type=int, default=120, help="products of the simulated retailer")
    parser.add_argument("--stores", type=int, default=6, help="stores of it")
    parser.add_argument("--days", type=int, default=1000, help="days of history of it")
    arguments = parser.parse_args()
    for horizon in (28, 90):
        settings = SimulatorSettings(arguments.skus, arguments.stores, arguments.days + horizon, seed=5)
        judge(f"simulated, {horizon} days", simulated_retailer(settings, horizon))
    sample = arguments.folder / "sample_890_series_daily.parquet"
    if sample.is_file():
        judge("FreshRetailNet sample, 14 days", fresh_retailer(sample, 14))
    else:
        print(f"skipped: no {sample}; name the folder with --folder")
    return 0


def judge(name: str, retailer: Retailer) -> None:
    """Train on a retailer and print the tables."""
    horizon, groups = retailer.panel.horizon_days, retailer.hierarchy.product_groups()
    artifact = train_statistical(retailer.panel, groups, horizon=horizon)
    actual = actual_demand(retailer)
    head = ("class", "series", "candidate", "WAPE", "WAPE over best", "MSE over best", "")
    print(table(head, list(class_rows(retailer, artifact, actual)), title=f"{name}: level models"), end="\n\n")
    rows = list(season_rows(retailer, artifact, actual))
    print(table(("season", "WAPE", "bias", ""), rows, title=f"{name}: yearly season"), end="\n\n")
    rows = list(new_rows(retailer, artifact, actual))
    print(table(("days known", "series", "model", "WAPE", "bias", ""), rows, title=f"{name}: new series"), end="\n\n")


def actual_demand(retailer: Retailer) -> Floats:
    """The law's mean where it is known; else what stock-outs leave of demand to estimate."""
    if retailer.demand is not None:
        return retailer.demand
    panel, share = retailer.panel, retailer.empty_share
    whole = replace(
        panel,
        history_days=panel.history_days + panel.horizon_days,
        horizon_days=0,
        sales=np.c_[panel.sales, retailer.sales],
        is_censored=np.c_[panel.is_censored, share > 0],
        out_of_stock_share=np.c_[panel.out_of_stock_share, share],
        missed_share=np.c_[panel.missed_share, retailer.missed_share],
    )
    return uncensor(whole)[:, panel.history_days :]


def forecast(retailer: Retailer, artifact: StatisticalArtifact, demand_class: str, model: str) -> Floats:
    """Forecast everything with one class handed to one model."""
    chosen = replace(artifact, models={**artifact.models, demand_class: model})
    panel = retailer.panel.recent(artifact.history_days)
    return forecast_series(panel, chosen, retailer.hierarchy.product_groups()).mean


def class_rows(retailer: Retailer, artifact: StatisticalArtifact, actual: Floats) -> Iterator[tuple[object, ...]]:
    panel = retailer.panel.recent(artifact.history_days)
    classes = forecast_series(panel, artifact, retailer.hierarchy.product_groups()).demand_class
    for name in CLASSES:
        rows = np.flatnonzero(classes == name)
        if not len(rows):
            continue
        models = [model for model in CANDIDATES if model != THETA or len(rows) <= SLOW_SERIES]
        made = {model: forecast(retailer, artifact, name, model)[rows] for model in models}
        level = np.nan_to_num(panel.sales[rows, -91:]).mean(axis=1, keepdims=True)
        errors = {model: (wape(mean, actual[rows]), squares(mean, actual[rows], level)) for model, mean in made.items()}
        least = [min(pair[i] for pair in errors.values()) for i in range(2)]
        for model, (absolute, squared) in sorted(errors.items(), key=lambda item: item[1][1]):
            ratios = f"{absolute / least[0]:.3f}", f"{squared / least[1]:.3f}"
            mark = "taken" if artifact.models[name] == model else ""
            yield name, len(rows), model, f"{absolute:.3f}", *ratios, mark


def kinds_of(artifact: StatisticalArtifact, season: str) -> EffectKinds:
    """What the artifact took, with one of `SEASONS` or `LAST_YEARS`."""
    return EffectKinds(season, artifact.choices["events"], artifact.choices["calendar"])


def season_rows(retailer: Retailer, artifact: StatisticalArtifact, actual: Floats) -> Iterator[tuple[object, ...]]:
    """What the artifact's own season is worth: with it, with its groups' only, without."""
    groups = retailer.hierarchy.product_groups()
    taken = artifact.choices["season"]
    kinds = SEASONS[: SEASONS.index(taken) + 1] if taken in SEASONS else (SEASONS[0], taken)
    for kind in kinds:
        chosen = replace(artifact, effects=variant(artifact.effects, kinds_of(artifact, kind)))
        mean = forecast_series(retailer.panel.recent(artifact.history_days), chosen, groups).mean
        mark = "taken" if kind == taken else ""
        yield kind, f"{wape(mean, actual):.4f}", f"{bias(mean, actual):+.1%}", mark


def new_rows(retailer: Retailer, artifact: StatisticalArtifact, actual: Floats) -> Iterator[tuple[object, ...]]:
    """Hide the past of one series in four, and compare models of new series by how many days are left."""
    panel, row = retailer.panel, np.arange(retailer.panel.series.height)
    is_live = (np.nan_to_num(panel.sales[:, -NEW_DAYS:]) > 0).any(axis=1)
    age = np.where((row % 4 == 1) & is_live, 1 + (row // 4 * 5) % (NEW_DAYS - 1), panel.history_days)
    hidden = np.arange(panel.history_days) < panel.history_days - age[:, None]
    young = replace(retailer, panel=replace(panel, sales=np.where(hidden, np.nan, panel.sales)))
    models = (*BORROWED, AVERAGE)
    made = {model: forecast(young, artifact, "new", model) for model in models}
    for low, high in ((1, 7), (8, 14), (15, 27)):
        rows = np.flatnonzero((age >= low) & (age <= high))
        for model in models:
            mean, truth = made[model][rows], actual[rows]
            taken = "taken" if artifact.models["new"] == model else ""
            yield f"{low}-{high}", len(rows), model, f"{wape(mean, truth):.3f}", f"{bias(mean, truth):+.1%}", taken


def wape(mean: Floats, actual: Floats) -> float:
    return float(np.nansum(np.abs(mean - actual)) / np.nansum(actual))


def bias(mean: Floats, actual: Floats) -> float:
    return float(np.nansum(mean - actual) / np.nansum(actual))


def squares(mean: Floats, actual: Floats, level: Floats) -> float:
    return float(np.nanmean((mean - actual) ** 2 / np.maximum(level, 0.05)))


if __name__ == "__main__":
    sys.exit(main())
