"""The real-input run: all 50,000 FreshRetailNet series, published, beside the bare library calls on the same data.

Prints the time and peak memory of each step, the bare calls of the same process, the overhead ratio, and the accuracy
of the same pipeline as of an earlier cutoff. Exits with 1 when a promise is missed.

    python -m bench.real_input [--folder DIR] [--keep DIR] [--family statistical]
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench.bare import BOOSTING, bare_calls, boosting_timed, library_accuracy
from bench.meter import Lap, Meter, lap, metering
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.presentation.text import progress_lines, table
from forecast_assets.settings import Settings
from forecast_assets.sources.freshretailnet import read_freshretailnet
from resources.ledger.entries.publish import Publication

HORIZON = 14
NEWEST, EARLIER = date(2024, 6, 11), date(2024, 5, 28)
LIMIT_SECONDS, LIMIT_GB = 600.0, 8.0


@dataclass
class Step:
    name: str
    lap: Lap


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="home folder to keep; default: a temporary one")
    parser.add_argument("--family", default="statistical", help="model family to train and run")
    arguments = parser.parse_args()
    folder = arguments.folder
    if not folder.is_dir():
        print(f"skipped: no FreshRetailNet files at {folder}; name them with FORECAST_ASSETS_DATA")
        return 0
    with tempfile.TemporaryDirectory() as scratch, progress_lines() as report, metering() as meter:
        runner = Runner(Settings(home=arguments.keep or Path(scratch)), report)
        return measure(runner, folder, arguments.family, meter)


def fresh_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that takes the folder of FreshRetailNet's files; FORECAST_ASSETS_DATA names it too."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FORECAST_ASSETS_DATA", Path(__file__).parents[2] / "shared/data/freshretailnet")
    parser.add_argument("--folder", type=Path, default=default, help="FreshRetailNet files")
    return parser


def measure(runner: Runner, folder: Path, family: str, meter: Meter) -> int:
    steps: list[Step] = []
    with lap(meter) as whole:
        with lap(meter) as ingest:
            runner.ingest(read_freshretailnet(folder))
        steps.append(Step("ingest, with contracts and expectations", ingest))
        publication, boosting = train_and_run(runner, NEWEST, family, meter, steps)
    scoring = [step for step in steps if step.name.startswith("  ")]
    bare = [*bare_calls(runner, publication, meter), (BOOSTING, boosting)]
    print(table(("step", "seconds", "peak GB"), [(s.name, s.lap.seconds, s.lap.peak_gb) for s in steps]))
    print(
        table(
            ("bare library call", "seconds", "peak GB"), [(n, each.seconds, each.peak_gb or None) for n, each in bare]
        )
    )
    run_seconds = sum(step.lap.seconds for step in scoring)
    bare_seconds = sum(each.seconds for _, each in bare)
    ratio = run_seconds / bare_seconds
    print(f"run {run_seconds:.1f} s, bare calls {bare_seconds:.1f} s, overhead ratio {ratio:.2f}")
    print(
        f"all in all {whole.seconds:.0f} s (limit {LIMIT_SECONDS:.0f}), "
        f"peak {whole.peak_gb:.1f} GB (limit {LIMIT_GB:.0f})"
    )
    print(accuracy(runner, family, meter))
    return int(whole.seconds > LIMIT_SECONDS or whole.peak_gb > LIMIT_GB)


def train_and_run(runner: Runner, day: date, family: str, meter: Meter, steps: list[Step]) -> tuple[Publication, Lap]:
    """Return what was published, and what LightGBM took of the run."""
    version = f"{family}-{day:%m%d}"
    with lap(meter) as training:
        runner.train(family=family, version=version, cutoff=day, horizon=HORIZON)
    steps.append(Step("train, with its snapshot and backtests", training))
    with lap(meter) as promoting:
        runner.stores.registry.promote(version, by="bench", reason="real-input run")
    steps.append(Step("promote", promoting))
    with lap(meter) as scoring, boosting_timed() as boosting:
        publication = runner.score(RunKey("daily", day, version, HORIZON)).publication
    steps.append(Step("run, all six steps with their checks", scoring))
    steps += step_laps(runner, meter)
    return publication, boosting


def step_laps(runner: Runner, meter: Meter) -> list[Step]:
    """Return what each asset of the newest runs took; checks are summed into one line."""
    laps: dict[str, Lap] = {}
    for run in reversed(runner.instance.get_runs(limit=2)):
        for stats in runner.instance.get_run_step_stats(run.run_id):
            is_asset, is_check = any(stats.step_key.endswith(each) for each in ASSETS), "check" in stats.step_key
            # The snapshot of a run may have been made for the training before it, which is no part of the run.
            if not is_asset and not is_check:
                continue
            label = "  checks" if is_check else f"  {stats.step_key.split('__', 1)[-1]}"
            each = laps.setdefault(label, Lap())
            each.seconds += (stats.end_time or 0) - (stats.start_time or 0)
            each.peak_gb = max(each.peak_gb, meter.peak_gb(stats.start_time or 0, stats.end_time or 0))
    return [Step(name, each) for name, each in laps.items()]


ASSETS = (
    "feature_snapshots", "base_forecasts", "reconciled_forecasts", "stockout_risks", "forecast_explanations",
    "forecasts", "published_predictions",
)  # fmt: skip


def accuracy(runner: Runner, family: str, meter: Meter) -> str:
    """Run the same pipeline as of the earlier cutoff and score the days after it."""
    publication, _ = train_and_run(runner, EARLIER, family, meter, [])
    forecasts = read_product(runner.stores, publication, "forecasts").select(
        "store_id", "sku_id", "target_date", pl.col("expected_sales_units").cast(pl.Float64)
    )
    risks = read_product(runner.stores, publication, "stockout_risks").select(
        "store_id", "sku_id", "target_date", pl.col("stockout_probability").cast(pl.Float64)
    )
    actual = actuals(runner)
    scored = actual.join(forecasts, on=["store_id", "sku_id", "target_date"]).join(
        risks, on=["store_id", "sku_id", "target_date"]
    )
    library = library_accuracy(runner, EARLIER, HORIZON, actual)
    rows = [("this pipeline: expected sales", *errors(scored, "expected_sales_units")), *library]
    head = ("method", "WAPE", "bias", "WAPE in stock", "bias in stock", "RMSE")
    return "\n\n".join(
        (
            table(head, rows, title=f"As of {EARLIER}, the {HORIZON} days after it, {scored.height:,} rows"),
            brier_text(runner, scored),
        )
    )


def actuals(runner: Runner) -> pl.DataFrame:
    history = runner.history(NEWEST)
    since = EARLIER + timedelta(days=1)
    sales, status = history.feed("sales", since=since), history.feed("stock_status", since=since)
    assert sales is not None
    assert status is not None
    key = ["store_id", "sku_id", "event_date"]
    joined = sales.select(*key, "sales_units").join(status.select(*key, "out_of_stock_hours"), on=key)
    return joined.rename({"event_date": "target_date"}).sort("store_id", "sku_id", "target_date").collect()


def errors(scored: pl.DataFrame, column: str) -> tuple[float, float, float, float, float]:
    """WAPE and bias over all rows, the same over rows fully in stock, RMSE over all rows."""
    in_stock = scored.filter(pl.col("out_of_stock_hours") == 0)
    return (*wape_bias(scored, column), *wape_bias(in_stock, column), rmse(scored, column))


def wape_bias(rows: pl.DataFrame, column: str) -> tuple[float, float]:
    forecast, actual = rows[column].to_numpy(), rows["sales_units"].to_numpy()
    return float(np.abs(forecast - actual).sum() / actual.sum()), float((forecast - actual).sum() / actual.sum())


def rmse(rows: pl.DataFrame, column: str) -> float:
    return float(np.sqrt(((rows[column] - rows["sales_units"]).to_numpy() ** 2).mean()))


def brier_text(runner: Runner, scored: pl.DataFrame) -> str:
    outcome = (scored["out_of_stock_hours"] > 0).to_numpy().astype(float)
    predicted = scored["stockout_probability"].to_numpy()
    history = runner.history(EARLIER).feed("stock_status")
    assert history is not None
    rate = history.select((pl.col("out_of_stock_hours") > 0).mean()).collect().item()
    brier, climatology = float(((predicted - outcome) ** 2).mean()), float(((rate - outcome) ** 2).mean())
    gap = calibration_error(predicted, outcome)
    return f"stock-out risk: Brier {brier:.4f} (climatology {climatology:.4f}), calibration error {gap:.4f} (10 bins)"


def calibration_error(predicted: np.ndarray, outcome: np.ndarray) -> float:
    bins = np.clip((predicted * 10).astype(int), 0, 9)
    members = [bins == number for number in range(10) if (bins == number).any()]
    return float(sum(abs(predicted[each].mean() - outcome[each].mean()) * each.mean() for each in members))


if __name__ == "__main__":
    sys.exit(main())
