"""Why two runs differ: how long all rows take and what they hold in memory, and how long one series takes to answer.

Shares the difference of two published runs out among causes, checks that the causes of every row add up, and then asks
the data plane about random series of the prepared pair, beside the bare reads of the same process. Exits with 1 when a
promise is missed.

    python -m bench.compare --home DIR --before daily/2025-06-29/stat-1/28/r0 --after daily/2025-06-30/stat-1/28/r0
"""

import argparse
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.what_if import Took, p95_of, row, timed
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.quantities import from_units
from forecast_assets.operations.attributing import RunPair
from forecast_assets.operations.prepared_pair import PreparedPair
from forecast_assets.presentation.text import table
from forecast_assets.serving.dataplane.comparing import CompareQuestion, Comparer, PredictionAsked
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.published import explain_row
from resources.stores.home import Stores, open_stores

LIMIT_SECONDS, LIMIT_MS, AIM_MS = 300.0, 1_000.0, 400.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="home folder with the runs")
    parser.add_argument("--before", type=RunKey.parse, required=True, help="key of a published run")
    parser.add_argument("--after", type=RunKey.parse, required=True, help="key of another")
    parser.add_argument("--questions", type=int, default=40, help="questions about one series")
    arguments = parser.parse_args()
    return measure(open_stores(arguments.home / "store"), arguments.before, arguments.after, arguments.questions)


def measure(stores: Stores, before: RunKey, after: RunKey, questions: int) -> int:
    """Measure one pair of runs; return 1 if a promise is missed."""
    began, used = time.perf_counter(), time.process_time()
    pair = RunPair.of(stores, before, after)
    rows = pair.attribution.rows()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    causes = sum(from_units(rows[f"{cause}_units"]) for cause in pair.attribution.causes)
    adds_up = bool((causes == from_units(rows["change_units"])).all())
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{rows.height:,} rows by {', '.join(pair.attribution.causes)}: {seconds:.1f} s ({processor:.1f} s of the "
          f"processor), peak memory {gigabytes:.2f} GB; causes add up: {adds_up}")  # fmt: skip
    took = asked_of_the_service(stores, pair, PreparedPair.of(stores, before, after), questions)
    print(
        table(["what", "median ms", "p95 ms", "of the processor"], [[name, *row(each)] for name, each in took.items()])
    )
    p95 = p95_of(took["one series, all figures"])
    print(f"one series at p95: {p95:.0f} ms; promised {LIMIT_MS:.0f}, aimed at {AIM_MS:.0f}")
    return int(not adds_up or seconds > LIMIT_SECONDS or p95 > LIMIT_MS)


def asked_of_the_service(
    stores: Stores, pair: RunPair, prepared: PreparedPair, questions: int
) -> dict[str, list[Took]]:
    """Ask about random rows of a pair that is prepared."""
    found, random = pair.attribution, np.random.default_rng(1)
    keys = (found.before.key, found.after.key)
    comparer = Comparer(stores, PreparedRuns(stores), pair=lambda *_: prepared)
    comparer.prepare(*keys)
    series = [found.common.series.row(int(at)) for at in random.integers(0, found.common.series.height, questions)]
    day, now = found.common.days[len(found.common.days) // 2], datetime.now(UTC)

    def ids(one: tuple[str, str]) -> list[str]:
        return [str(PredictionId(key, one[1], one[0], (day - key.prediction_date).days)) for key in keys]

    def compare(one: tuple[str, str]) -> object:
        return comparer.compare(CompareQuestion(*(PredictionAsked(each) for each in ids(one))), now)

    compare(series[0])
    return {
        "one series, all figures": timed(compare, series),
        "the same, forecasts alone": timed(lambda one: found.of(store_id=one[0], sku_id=one[1], day=day), series),
        "bare: two published rows read": timed(
            lambda one: [explain_row(stores, each, now) for each in ids(one)], series
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
