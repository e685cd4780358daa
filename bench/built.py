"""What one would build from libraries for the daily job, timed: the denominator that says whether a run is worth it.

The job: forecasts of all series with conformal intervals (LightGBM through mlforecast), sums that agree over the same
hierarchy (hierarchicalforecast), SHAP values of every row (LightGBM's own TreeSHAP, on a sample of the rows and counted
for all), and Parquet. Training comes before and is not counted, as for a run.

What is cheap is taken where there is a choice: LightGBM's default of a hundred trees of 31 leaves, eleven inputs, upper
nodes by exponential smoothing, only the levels that a run's reconciliation listens to. What the libraries do not do at
this size is left out: reconciled intervals, for which hierarchicalforecast asks for a dense covariance of all nodes or
refuses. What a run does besides is left out too: lost sales, risk, words, checks, hashes, lineage.

    python -m bench.built [--folder DIR] [--cutoff 2024-05-28]
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.demo import fixed_job
from bench.measured import in_process
from bench.meter import lap, metering
from bench.real_input import fresh_parser
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy.membership import INFORMATIVE_SHARE
from forecast_assets.presentation.text import table
from forecast_assets.sources.freshretailnet import DAILY_FILE, PLAN_FILE

HORIZON = 14
LAGS, WINDOWS = (1, 7, 14, 28), (7, 28)
OFFERS = ("discount", "activity_flag", "holiday_flag")
PRODUCTS = ("management_group_id", "first_category_id", "second_category_id", "third_category_id")
LEVELS = (("all", *PRODUCTS, "product_id"), ("all", "city_id", "store_id"))
NODES = tuple(dict.fromkeys(name for names in LEVELS for name in names))
ID, DAY, UNITS, MODEL = "unique_id", "ds", "y", "lightgbm"
COVERAGES = (80, 95)
# How many weeks upper nodes are smoothed over, and how quickly.
NODE_DAYS, SMOOTHING = 56, 0.3
# One row in so many has its SHAP values computed.
EXPLAINED_EVERY = 50
EXPLAINING = "SHAP values of every row"


@dataclass(frozen=True)
class Built:
    """What the job took.

    Attributes:
        steps: Seconds of each, in order; those of SHAP values are the sample's, counted for all rows.
        rows: Forecasts of series that it made.
        nodes: Forecast nodes, series included.
    """

    steps: dict[str, float]
    rows: int
    nodes: int

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())

    @property
    def unexplained_seconds(self) -> float:
        """What it took without SHAP values."""
        return self.seconds - self.steps[EXPLAINING]

    def table(self, fixed: float) -> str:
        """Return the steps in seconds and in multiples of the fixed job."""
        rows = [*self.steps.items(), ("all", self.seconds), ("all without SHAP values", self.unexplained_seconds)]
        shown = [(name, f"{seconds:.1f}", f"{seconds / fixed:.2f}") for name, seconds in rows]
        title = f"What one would build from libraries, {self.rows:,} rows, {self.nodes:,} nodes"
        return table(("step", "seconds", "multiples of the fixed job"), shown, title=title)


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--cutoff", type=date.fromisoformat, default=date(2024, 5, 28), help="last known day")
    given = parser.parse_args()
    if not given.folder.is_dir():
        print(f"skipped: no FreshRetailNet files at {given.folder}; name them with FORECAST_ASSETS_DATA")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fixed = in_process(fixed_job, Path(scratch) / "rows.parquet")
        print(built(given.folder, given.cutoff, HORIZON, Path(scratch)).table(fixed))
    return 0


def built(folder: Path, cutoff: date, horizon: int, scratch: Path) -> Built:
    """Train, then do the job of a day in a process of its own.

    Args:
        folder: FreshRetailNet's files.
        cutoff: Last known day.
        horizon: H.
        scratch: Where the model and what is published are written.
    """
    in_process(train, folder, cutoff, horizon, scratch)
    return in_process(job, folder, cutoff, horizon, scratch)


def train(folder: Path, cutoff: date, horizon: int, scratch: Path) -> None:
    """Fit the model, with what its last two horizons were missed by, and save it with the last days of all series."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean
    from mlforecast.utils import PredictionIntervals

    sales = read_sales(folder).filter(pl.col(DAY) <= cutoff)
    model = MLForecast(
        {MODEL: LGBMRegressor(verbosity=-1)},
        freq="1d",
        lags=list(LAGS),
        lag_transforms={1: [RollingMean(window) for window in WINDOWS]},
        date_features=["weekday"],
    )
    model.fit(
        sales.select(ID, DAY, UNITS, *OFFERS, "store_id"),
        static_features=["store_id"],
        prediction_intervals=PredictionIntervals(n_windows=2, h=horizon),
        as_numpy=True,
    )
    model.save(scratch)


def job(folder: Path, cutoff: date, horizon: int, scratch: Path) -> Built:
    """Do what is done every day; libraries are imported before the clock starts."""
    import hierarchicalforecast.core
    import hierarchicalforecast.methods  # noqa: F401
    import lightgbm  # noqa: F401
    import mlforecast
    import statsforecast  # noqa: F401

    steps: dict[str, float] = {}
    with metering() as meter:

        def timed(name: str, step: Callable[..., Any], *given: object) -> Any:
            with lap(meter) as spent:
                made = step(*given)
            steps[name] = spent.seconds
            return made

        sales, offers = timed("read files", lambda: (read_sales(folder), read_offers(folder, cutoff, horizon)))
        known = sales.filter(pl.col(DAY) <= cutoff)
        inputs: list[Floats] = []
        model = timed("load the model", mlforecast.MLForecast.load, scratch)
        forecasts = timed("mlforecast: forecast with intervals", forecast, model, offers, horizon, inputs)
        everything = timed("hierarchicalforecast: make sums agree", reconciled, known, forecasts, horizon)
        timed("write Parquet", write, scratch, forecasts, everything)
        sample = np.concatenate(inputs)[::EXPLAINED_EVERY]
        timed(EXPLAINING, explain, model.models_[MODEL].booster_, sample, scratch)
        steps[EXPLAINING] *= forecasts.height / len(sample)
    return Built(steps, forecasts.height, everything.select(ID).n_unique())


def read_sales(folder: Path) -> pl.DataFrame:
    """`unique_id, ds, y`, what was offered and what each series is, sorted by series and day."""
    rows = pl.read_parquet(folder / DAILY_FILE).rename({"dt": DAY, "sale_amount": UNITS})
    return _keyed(rows).select(ID, DAY, UNITS, *OFFERS, *NODES[1:]).sort(ID, DAY)


def read_offers(folder: Path, cutoff: date, horizon: int) -> pl.DataFrame:
    """`unique_id, ds` and what is offered on the days ahead, past days or planned ones."""
    files = [file for file in (folder / DAILY_FILE, folder / PLAN_FILE) if file.is_file()]
    rows = pl.concat(pl.read_parquet(file).select("store_id", "product_id", "dt", *OFFERS) for file in files)
    ahead = rows.rename({"dt": DAY}).filter(pl.col(DAY).is_between(cutoff, cutoff + timedelta(horizon), closed="right"))
    return _keyed(ahead).select(ID, DAY, *OFFERS).sort(ID, DAY)


def _keyed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.concat_str("store_id", "product_id", separator="/").alias(ID))


def forecast(model: Any, offers: pl.DataFrame, horizon: int, inputs: list[Floats]) -> pl.DataFrame:
    """Forecast every series, with intervals; the model's inputs are kept step by step."""

    def kept(step: Floats) -> Floats:
        inputs.append(step)
        return step

    made: pl.DataFrame = model.predict(horizon, before_predict_callback=kept, level=list(COVERAGES), X_df=offers)
    return made


def levels(series: pl.DataFrame) -> list[list[str]]:
    """Pairs of levels that a run's reconciliation would listen to, and the series themselves by all of their nodes."""
    pairs = [list(dict.fromkeys(pair)) for pair in product(*LEVELS)]
    most = INFORMATIVE_SHARE * series.height
    return [*(pair for pair in pairs if series.select(pair).n_unique() <= most), list(NODES)]


def reconciled(known: pl.DataFrame, forecasts: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Forecast upper nodes from their own sums, and make all agree by weighted least squares, none below nothing.

    Args:
        known: Sales, as read.
        forecasts: `unique_id, ds, lightgbm` of every series.
        horizon: H.

    Returns:
        `unique_id, ds`, forecasts and reconciled forecasts of all nodes; a series goes by the names of all its nodes.
    """
    from hierarchicalforecast.core import HierarchicalReconciliation
    from hierarchicalforecast.methods import MinTraceSparse
    from hierarchicalforecast.utils import aggregate
    from statsforecast import StatsForecast
    from statsforecast.models import SeasonalExponentialSmoothing

    recent = known.filter(pl.col(DAY) > forecasts[DAY].min() - timedelta(NODE_DAYS + 1))
    # Levels number their nodes from 0: a node goes by its level too.
    named = [pl.concat_str(pl.lit(f"{name} "), name).alias(name) for name in NODES[1:]]
    recent = recent.with_columns(pl.lit("all").alias("all"), *named)
    series = recent.unique(ID).select(ID, *NODES, node=pl.concat_str(NODES, separator="/"))
    sums, summing, tags = aggregate(recent.drop(ID), levels(series), sparse_s=True)
    upper = sums.join(series, left_on=ID, right_on="node", how="anti")
    engine = StatsForecast([SeasonalExponentialSmoothing(7, SMOOTHING, alias=MODEL)], freq="1d")
    smoothed = engine.forecast(df=upper.select(ID, DAY, UNITS), h=horizon)
    below = forecasts.join(series, on=ID).select(pl.col("node").alias(ID), DAY, MODEL)
    means = pl.concat([each.with_columns(pl.col(MODEL).cast(pl.Float64)) for each in (smoothed, below)])
    method = MinTraceSparse("wls_struct", nonnegative=True, qp=False)
    made: pl.DataFrame = HierarchicalReconciliation([method]).reconcile(Y_hat_df=means, S_df=summing, tags=tags)
    return made


def write(scratch: Path, forecasts: pl.DataFrame, everything: pl.DataFrame) -> None:
    """Write forecasts with intervals, and forecasts that agree."""
    for name, frame in (("forecasts", forecasts), ("reconciled", everything)):
        frame.write_parquet(scratch / f"{name}.parquet", compression="zstd")


def explain(booster: Any, inputs: Floats, scratch: Path) -> Floats:
    """[k, f + 1] SHAP values of some rows, the mean forecast last; written too."""
    values = np.asarray(booster.predict(inputs, pred_contrib=True), dtype=np.float64)
    pl.DataFrame(values.astype(np.float32)).write_parquet(scratch / "shap.parquet", compression="zstd")
    return values


if __name__ == "__main__":
    sys.exit(main())
