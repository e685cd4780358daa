"""Two predictions of one series and day, side by side: what they say, what they were made from, and why they differ.

What belongs here: the answer, put together from what is published, from pairs of runs and from what-if answers. What
does not: making shares (`operations.attributing`, `legs`), or any protocol.

What is published answers at once. Causes need both runs forecast with inputs of either, which is done once per pair of
runs; until then an answer says so and has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import SERIES_STEP_KEY
from forecast_assets.core.arrays import Ints
from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.quantities import to_units
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.features.changes import SeriesChange
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.operations.attribution import AttributedChange, AttributedFigure
from forecast_assets.operations.change_wording import change_words, side_labels
from forecast_assets.operations.common_rows import require_same_row
from forecast_assets.operations.compared_run import DRIVERS
from forecast_assets.operations.comparison import made_from
from forecast_assets.operations.input_differences import SCHEMA
from forecast_assets.operations.prepared_pair import PreparedPair
from forecast_assets.operations.reading import ReadRows
from forecast_assets.serving.dataplane.legs import MOVED, RISK, SALES, Leg, joined, leg_of_changes, leg_of_runs
from forecast_assets.serving.dataplane.made_once import MadeOnce
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.published import Explained, explain_row, read_once
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.stored import RunAnswered
from forecast_assets.serving.dataplane.what_if import WhatIf
from resources.feature_cache.in_process import InProcessCache
from resources.stores.home import Stores

DEADLINE_SECONDS: Final = 2.0
# Yesterday and today of both cadences; each holds the panels of two runs.
MOST_PAIRS: Final = 2
FORECAST: Final = "forecast_units"
_MODEL: Final = "model"
_OTHER: Final = " with other inputs"
_NUMBERS: Final = ("forecast", "risk", "explanation")

# Prepares a pair of runs.
Pair = Callable[[Stores, RunKey, RunKey], PreparedPair]


@dataclass(frozen=True)
class PredictionAsked:
    """A prediction: a published row, or the same forecast again in real time with other inputs.

    Attributes:
        prediction_id: The published row.
        change: What is other of its series; None for the row as published.
    """

    prediction_id: str
    change: SeriesChange | None = None


@dataclass(frozen=True)
class CompareQuestion:
    """Which two predictions of one series and target day.

    Attributes:
        first: What it was.
        second: What it is.
    """

    first: PredictionAsked
    second: PredictionAsked


@dataclass(frozen=True)
class PredictionsCompared:
    """Two predictions side by side.

    Attributes:
        store_id: Store of both.
        sku_id: SKU of both.
        target_date: Day of both.
        runs: What either is from.
        words: The difference in one sentence.
        figures: `forecast_units`, `expected_sales_units` and, where known, `stockout_probability`: before, after, and
            causes that add up to the difference exactly; no causes where the answer is degraded.
        parts: `cause, driver, change_units`: what each cause moved of each driver of the forecast.
        inputs: Inputs that differ, as `input_differences` returns them.
        features: `name, before, after` of features of the snapshots that differ.
        outputs: The same of published columns: base forecast, quantiles, drivers, risks, words.
        versions: Name, before, after of what else differs: artifact, features, code, libraries, settings.
        is_degraded: Whether causes are missing.
        held: What was held at the published runs, where a prediction was made in real time.
        warnings: What whoever reads the answer has to know, in sentences.
    """

    store_id: str
    sku_id: str
    target_date: date
    runs: tuple[RunAnswered, RunAnswered]
    words: str
    figures: Mapping[str, AttributedFigure]
    parts: pl.DataFrame
    inputs: pl.DataFrame
    features: pl.DataFrame
    outputs: pl.DataFrame
    versions: Sequence[tuple[str, str, str]]
    is_degraded: bool
    held: tuple[str, ...]
    warnings: tuple[str, ...]


class Comparer:
    """Compares predictions of one home; safe to share between threads.

    Args:
        stores: Where everything is; only read.
        prepared: Prepared runs, for predictions in real time.
        features: What those take of series, in place of prepared runs; from them alone if left out.
        few: Reads published rows of few series; of its own if left out.
        pair: Prepares a pair of runs; by default in this process, on all cores.
        deadline_seconds: What a caller waits at most for causes.
    """

    def __init__(
        self,
        stores: Stores,
        prepared: PreparedRuns,
        *,
        features: OnlineFeatures | None = None,
        few: RowBlocks | None = None,
        pair: Pair = PreparedPair.of,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._stores, self._deadline = stores, deadline_seconds
        self._features = features or OnlineFeatures(stores, prepared, InProcessCache())
        self._few = few or RowBlocks(stores)
        self._pairs: MadeOnce[tuple[RunKey, RunKey], PreparedPair] = MadeOnce(
            lambda keys: pair(stores, *keys), MOST_PAIRS, at_once=1
        )

    def prepare(self, before: RunKey, after: RunKey) -> None:
        """Forecast two runs with inputs of either, so that the first caller does not wait."""
        self._pairs.get((before, after))

    def begin(self, before: RunKey, after: RunKey) -> bool:
        """Begin the same and do not wait; return whether it is done."""
        try:
            self._pairs.get((before, after), timeout=0.0)
        except TimeoutError:
            return False
        return True

    def prepare_for(self, question: CompareQuestion) -> None:
        """Make all that a question needs, however long it takes, so that its answer has causes.

        Raises:
            InputError: If the two are not of one series and day.
            NotPublishedError: If a run is not published.
        """
        rows = [PredictionId.parse(each.prediction_id) for each in (question.first, question.second)]
        require_same_row(*rows)
        for row, asked in zip(rows, (question.first, question.second), strict=True):
            self._stores.predictions.publication(row.run)
            if asked.change is not None:
                self._features.warm(row.run)
        if rows[0].run != rows[1].run:
            self.prepare(rows[0].run, rows[1].run)

    def compare(self, question: CompareQuestion, now: datetime) -> PredictionsCompared:
        """Compare two predictions.

        Args:
            question: Which.
            now: The present moment.

        Raises:
            InputError: If they are not of one series and day, there is no such row, or an input cannot be so.
            NotPublishedError: If a run is not published.
            NotReadyError: If a run that a prediction in real time rests on is still being prepared.
        """
        asked = (question.first, question.second)
        first, second = (PredictionId.parse(each.prediction_id) for each in asked)
        day = require_same_row(first, second)
        read = read_once(partial(self._few.rows, keeps=False))
        told = [explain_row(self._stores, each.prediction_id, now, read) for each in asked]
        if first.run != second.run:
            legs = [*self._to_run(question.first, first, day, is_back=True), self._of_runs(first, second, day, read),
                    *self._to_run(question.second, second, day, is_back=False)]  # fmt: skip
        else:
            legs = self._of_changes(question, first, day)
        return _answer(self._stores, (first, second), day, told, legs)

    def _of_runs(self, first: PredictionId, second: PredictionId, day: date, read: ReadRows) -> "_Way | None":
        try:
            pair = self._pairs.get((first.run, second.run), self._deadline)
        except TimeoutError:
            return None
        named = (first.store_id, first.sku_id)
        leg = leg_of_runs(pair.of_series(self._stores, read, *named), *named, day)
        return _Way(leg, snapshots=pair.features(*named))

    def _to_run(self, asked: PredictionAsked, row: PredictionId, day: date, *, is_back: bool) -> list["_Way | None"]:
        """Return the way between a prediction in real time and its published row."""
        if asked.change is None:
            return []
        plain = SeriesChange(row.store_id, row.sku_id)
        return self._between(row, asked.change if is_back else plain, plain if is_back else asked.change, day)

    def _of_changes(self, question: CompareQuestion, row: PredictionId, day: date) -> list["_Way | None"]:
        plain = SeriesChange(row.store_id, row.sku_id)
        if question.first.change is None and question.second.change is None:
            return [_Way(None)]
        return self._between(row, question.first.change or plain, question.second.change or plain, day)

    def _between(self, row: PredictionId, first: SeriesChange, second: SeriesChange, day: date) -> list["_Way | None"]:
        for change in (first, second):
            if change.series != (row.store_id, row.sku_id):
                raise InputError(
                    f"The inputs are of {change.sku_id} in {change.store_id}, the prediction of {row.sku_id} in "
                    f"{row.store_id}.",
                    remedy="Give inputs of the series that is predicted.",
                )
        try:
            prepared = self._features.of(row.run, [(row.store_id, row.sku_id)], self._deadline)
        except TimeoutError:
            raise NotReadyError(
                f"{row.run} is still being prepared, and a prediction in real time rests on it.",
                remedy="Ask again in a moment.",
                run=row.run,
            ) from None
        leg, before, after = leg_of_changes(prepared, first, second, day)
        is_plain = [each == SeriesChange(*each.series) for each in (first, second)]
        return [_Way(leg, None if is_plain[0] else before, None if is_plain[1] else after)]


@dataclass(frozen=True)
class _Way:
    """A leg, what was answered at its ends where they are no published rows, and rows of snapshots that are at hand."""

    leg: Leg | None
    before: WhatIf | None = None
    after: WhatIf | None = None
    snapshots: tuple[pl.DataFrame, pl.DataFrame] | None = None


# --- the answer ---


def _answer(
    stores: Stores,
    rows: tuple[PredictionId, PredictionId],
    day: date,
    told: Sequence[Explained],
    ways: Sequence[_Way | None],
) -> PredictionsCompared:
    known = [way for way in ways if way is not None]
    made = (known[0].before if known and ways[0] is not None else None,
            known[-1].after if known and ways[-1] is not None else None)  # fmt: skip
    legs = [way.leg for way in known if way.leg is not None]
    whole = joined(legs) if legs and len(known) == len(ways) else None
    sides = [_columns(each, answer, row) for each, answer, row in zip(told, made, rows, strict=True)]
    figures = _published_figures(sides) if whole is None else _figures(whole)
    parts = _parts(whole)
    inputs = pl.DataFrame(schema=SCHEMA) if whole is None else whole.inputs
    change = AttributedChange(
        figures[FORECAST].before, figures[FORECAST].after, figures[FORECAST].causes, parts, inputs
    )
    is_degraded = len(known) < len(ways)
    runs = [replace(each.run, served_from=_MODEL) if answer else each.run
            for each, answer in zip(told, made, strict=True)]  # fmt: skip
    publications = [stores.predictions.publication(row.run) for row in rows]
    return PredictionsCompared(
        rows[0].store_id,
        rows[0].sku_id,
        day,
        (runs[0], runs[1]),
        _words(rows, change, is_degraded=is_degraded, is_changed=[answer is not None for answer in made]),
        figures,
        parts,
        inputs,
        _differing(*_snapshots(stores, rows, made, next((way.snapshots for way in known if way.snapshots), None))),
        _differing(*sides),
        made_from(stores, publications[0], publications[1]),
        is_degraded=is_degraded,
        held=tuple(sorted({name for answer in made if answer is not None for name in answer.held})),
        warnings=_warnings(is_degraded),
    )


def _warnings(is_degraded: bool) -> tuple[str, ...]:
    if not is_degraded:
        return ()
    return ("Causes are missing: the two runs are still being forecast with inputs of either. Ask again in a moment.",)


def _words(
    rows: tuple[PredictionId, PredictionId], change: AttributedChange, *, is_degraded: bool, is_changed: Sequence[bool]
) -> str:
    if is_degraded:
        return f"{change.before_units:f} before, {change.after_units:f} after; why is being worked out"
    names = side_labels(rows[0].run, rows[1].run)
    if rows[0].run == rows[1].run:
        names = ("published", "published")
    labels = [f"{name}{_OTHER}" if changed and name != "published" else "other inputs" if changed else name
              for name, changed in zip(names, is_changed, strict=True)]  # fmt: skip
    return change_words(rows[0].run, rows[1].run, change, (labels[0], labels[1]))


def _figures(leg: Leg) -> dict[str, AttributedFigure]:
    sums: dict[str, slice] = {
        FORECAST: slice(0, len(DRIVERS)),
        SALES: slice(MOVED.index(SALES), MOVED.index(SALES) + 1),
    }
    if leg.knows_risk:
        sums[RISK] = slice(MOVED.index(RISK), MOVED.index(RISK) + 1)
    return {
        name: AttributedFigure.of(
            int(leg.before[part].sum()),
            int(leg.after[part].sum()),
            [*leg.shares],
            _array([int(moved[part].sum()) for moved in leg.shares.values()]),
        )
        for name, part in sums.items()
    }


def _published_figures(sides: Sequence[Mapping[str, Any]]) -> dict[str, AttributedFigure]:
    nothing = pl.DataFrame(schema={"cause": pl.String, "change_units": pl.Decimal(18, 6)})
    return {
        name: AttributedFigure(sides[0][name], sides[1][name], nothing)
        for name in (FORECAST, SALES, RISK)
        if None not in (sides[0].get(name), sides[1].get(name))
    }


def _array(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _parts(leg: Leg | None) -> pl.DataFrame:
    found = [
        (cause, driver, int(units))
        for cause, moved in (leg.shares if leg else {}).items()
        for driver, units in zip(DRIVERS, moved, strict=False)
        if units
    ]
    ordered = sorted(found, key=lambda each: -abs(each[2]))
    names = pl.DataFrame([each[:2] for each in ordered], schema={"cause": pl.String, "driver": pl.String}, orient="row")
    return names.with_columns(to_units(_array([each[2] for each in ordered]), "change_units"))


def _columns(told: Explained, answer: WhatIf | None, row: PredictionId) -> dict[str, Any]:
    """Return columns of a row by name."""
    if answer is None:
        return {name: value for part in _NUMBERS for name, value in getattr(told, part).items()}
    frames = (answer.forecasts, answer.risks, answer.explanations)
    return {
        name: value
        for frame in frames
        for name, value in frame.filter(step=row.step).row(0, named=True).items()
        if name not in SERIES_STEP_KEY
    }


def _snapshots(
    stores: Stores,
    rows: Sequence[PredictionId],
    made: Sequence[WhatIf | None],
    known: tuple[pl.DataFrame, pl.DataFrame] | None,
) -> list[dict[str, Any]]:
    """Return the features of two rows, by name: what an answer was made from, else the run's snapshot."""
    found = []
    for side, (row, answer) in enumerate(zip(rows, made, strict=True)):
        if answer is not None:
            features = answer.features
        elif known is not None:
            features = known[side]
        else:
            snapshot = source_snapshot(stores, stores.predictions.publication(row.run).products)
            scan = stores.predictions.scan(snapshot)
            features = scan.filter(store_id=row.store_id, sku_id=row.sku_id).collect()
        named = {} if features.is_empty() else features.row(0, named=True)
        found.append({name: value for name, value in named.items() if name not in SERIES_KEY})
    return found


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> pl.DataFrame:
    """Return what differs of two rows, as text; null where a row does not have the column, or nothing in it."""
    rows = [
        (name, *(None if each.get(name) is None else str(each[name]) for each in (before, after)))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    return pl.DataFrame(rows, schema={"name": pl.String, "before": pl.String, "after": pl.String}, orient="row")
