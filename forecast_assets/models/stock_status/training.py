"""Training the classifier of stock status, on the last days with the steps that are known by now.

What belongs here: which days it learns from and is calibrated on. What does not: what it sees, or probabilities by it.

How shelves are filled changes, so the latest cutoffs are learned from: of the last two weeks for the days ahead, and of
the last four for the next day. What all series had on a day is given to the trees as where they start; they learn what
tells series apart. The slope is learned from a line and trees that know two weeks less, on those two weeks, and taken
half-way to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from forecast_assets.core.arrays import Floats, Groups, InputMatrix
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import TOTAL
from forecast_assets.models.boosted.trees import TreeRows, Trees
from forecast_assets.models.stock_status.inputs import StatusInput, StatusRecord, StatusView, inputs_for
from forecast_assets.models.stock_status.linear import fit_linear
from forecast_assets.models.stock_status.model import StatusModel, StatusTrees
from forecast_assets.models.stock_status.rates import log_odds

STATUS_STAGE: Final = "train classifiers of stock status"
# Days of history before the first cutoff that is learned from.
_LEAST_HISTORY_DAYS: Final = 8
# Days that a slope is learned on.
_CALIBRATED_DAYS: Final = 14
# With fewer rows, or fewer of either outcome, rates say as much.
_LEAST_ROWS: Final = 2_000
_LEAST_OUTCOMES: Final = 100
# Rows by which a slope is drawn towards 1, and steps of Newton's method, which takes four or five.
_SLOPE_PRIOR_ROWS: Final = 200.0
_NEWTON_STEPS: Final = 12
_MOST_SLOPE: Final = 3.0
# The series of a fortnight err together, so that it is one observation; one more is expected to have said 1.
_SLOPE_SHARE: Final = 0.5


class _Span(NamedTuple):
    """What an ensemble learns from.

    Attributes:
        first_step: First day ahead that rows are of.
        last_step: Last one.
        cutoffs: Past cutoffs, the latest of them.
        most_rows: Rows in all.
        rounds: Trees.
        leaves: Of each.
    """

    first_step: int
    last_step: int
    cutoffs: int
    most_rows: int
    rounds: int
    leaves: int


# The latest cutoffs that are learned from: four weeks, and for later days at least a horizon.
_CUTOFFS: Final = 28
_NEXT_DAY: Final = _Span(1, 1, _CUTOFFS, 80_000, 60, 31)
_LATER: Final = _Span(2, 0, _CUTOFFS, 150_000, 60, 15)
_PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "max_bin": 63,
}


@dataclass(frozen=True)
class _StatusExamples:
    """Days ahead of past cutoffs, k of them.

    Attributes:
        inputs: [k, f].
        shared: [k] log odds that all series had on the day.
        is_out: [k] 1 where any trading hour was without stock, else 0.
    """

    inputs: InputMatrix
    shared: Floats
    is_out: Floats

    @property
    def is_enough(self) -> bool:
        """Whether there is something to learn."""
        out = int(self.is_out.sum())
        return len(self.is_out) >= _LEAST_ROWS and min(out, len(self.is_out) - out) >= _LEAST_OUTCOMES


def fit_status(
    panel: Panel,
    product_groups: Groups,
    hierarchy: Hierarchy,
    *,
    horizon: int,
    earlier: Sequence[int] = (),
    workers: int | None = None,
    progress: Progress = silent,
) -> dict[int, StatusModel]:
    """Train a classifier on everything up to a panel's cutoff, and others as of earlier cutoffs.

    Args:
        panel: n series, T days of history.
        product_groups: [n] group of each series.
        hierarchy: Of the same series.
        horizon: Days ahead that it is for.
        earlier: How many days before the panel's cutoff others are trained as of.
        workers: Threads; all cores if left out. The result is the same.
        progress: Called with the stage, classifiers done and classifiers in all.

    Returns:
        A classifier by how many days before the panel's cutoff it knew; none for those of which too little is known:
        no status, one outcome only, or a short history.
    """
    if not panel.knows_stock_status:
        return {}
    areas = hierarchy.store_levels[-2].name if len(hierarchy.store_levels) > 1 else TOTAL
    record = StatusRecord.of(panel, product_groups, hierarchy, areas)
    training = _Training(record, inputs_for(areas), horizon, workers, {})
    found: dict[int, StatusModel] = {}
    wanted = 0, *earlier
    for done, back in enumerate(wanted):
        progress(STATUS_STAGE, done, len(wanted))
        model = training.version(areas, back)
        if model is not None:
            found[back] = model
    progress(STATUS_STAGE, len(wanted), len(wanted))
    return found


@dataclass(frozen=True)
class _Training:
    """What classifiers as of several cutoffs are trained from, and the trees that were fitted so far."""

    record: StatusRecord
    specs: tuple[StatusInput, ...]
    horizon: int
    workers: int | None
    fitted: dict[tuple[int, _Span], StatusTrees | None]

    def version(self, area_level: str, back: int) -> StatusModel | None:
        next_day = self._ensemble(back, _NEXT_DAY)
        later = self._ensemble(back, self.later) if self.horizon > 1 else next_day
        if next_day is None or later is None:
            return None
        return StatusModel(self.specs, area_level, next_day, later)

    @property
    def later(self) -> _Span:
        return _LATER._replace(last_step=self.horizon, cutoffs=max(_CUTOFFS, self.horizon))

    def _ensemble(self, back: int, span: _Span) -> StatusTrees | None:
        """Trees as of a cutoff, with the slope that those of two weeks before should have had."""
        trees, older = (self._trees(before, span) for before in (back, back + _CALIBRATED_DAYS))
        if trees is None or older is None:
            return None
        later = self._examples(back, span._replace(cutoffs=_CALIBRATED_DAYS))
        found = slope_of(older.odds(later.inputs)[0], later.shared, later.is_out)
        return replace(trees, slope=1.0 + _SLOPE_SHARE * (found - 1.0))

    def _trees(self, back: int, span: _Span) -> StatusTrees | None:
        key = back, span
        if key not in self.fitted:
            examples = self._examples(back, span)
            self.fitted[key] = self._fit(examples, span) if examples.is_enough else None
        return self.fitted[key]

    def _fit(self, examples: _StatusExamples, span: _Span) -> StatusTrees:
        linear = fit_linear(examples.inputs, examples.shared, examples.is_out)
        everything = np.ones(len(self.specs), dtype=np.bool_)
        start = examples.shared + linear.start + linear.odds(examples.inputs, [everything])[0]
        names, parts = ([getattr(spec, what) for spec in self.specs] for what in ("name", "part"))
        rows = TreeRows.of(examples.inputs, names=names, workers=self.workers)
        parameters = {**_PARAMETERS, "num_leaves": span.leaves}
        text = rows.grow(examples.is_out, start, parameters, rounds=span.rounds).text
        return StatusTrees(linear, Trees(text, 0.0, tuple(parts)))

    def _examples(self, back: int, span: _Span) -> _StatusExamples:
        """Rows of the cutoffs of a span, as of so many days before the newest; of evenly spread series."""
        last = self.record.panel.history_days - 1 - back
        first = max(last - span.cutoffs, _LEAST_HISTORY_DAYS)
        days = {
            origin: min(span.last_step, last - origin)
            for origin in range(first, last)
            if last - origin >= span.first_step
        }
        series = self.record.panel.series.height
        wanted = series * sum(ahead - span.first_step + 1 for ahead in days.values())
        every = max(-(-wanted // span.most_rows), 1)
        parts = [
            self._examples_of(origin, span.first_step, ahead, np.arange(origin % every, series, every))
            for origin, ahead in days.items()
        ]
        nothing = np.zeros(0)
        return _StatusExamples(
            np.concatenate([part.inputs for part in parts] or [np.zeros((0, len(self.specs)), np.float32)]),
            np.concatenate([part.shared for part in parts] or [nothing]),
            np.concatenate([part.is_out for part in parts] or [nothing]),
        )

    def _examples_of(self, origin: int, first_step: int, ahead: int, rows: Any) -> _StatusExamples:
        record = self.record
        view = StatusView(record, origin, ahead, rows)
        targets = view.targets[first_step - 1 :]
        inputs = view.inputs(self.specs).reshape(len(rows), ahead, -1)[:, first_step - 1 :]
        is_told = (record.known[targets][:, rows].T > 0).ravel()
        shared = np.broadcast_to(log_odds(np.nan_to_num(record.rates[targets])), (len(rows), len(targets)))
        return _StatusExamples(
            inputs.reshape(-1, len(self.specs))[is_told],
            shared.ravel()[is_told],
            record.out[targets][:, rows].T.ravel()[is_told].astype(np.float64),
        )


def slope_of(score: Floats, shared: Floats, is_out: Floats) -> float:
    """Return what scores have to be multiplied by to mean what they say, by logistic regression; drawn towards 1.

    Args:
        score: [k] what is added to the log odds.
        shared: [k] log odds without it.
        is_out: [k] 1 or 0.

    Returns:
        0 to 3; 1 where scores tell nothing apart.

    Example:
        >>> score = np.repeat([-1.0, 1.0], 5000)
        >>> share = 1.0 / (1.0 + np.exp(-0.5 * score))
        >>> outcome = (np.tile(np.arange(5000) / 5000, 2) < share).astype(float)
        >>> round(slope_of(score, np.zeros(10000), outcome), 2)
        0.51
    """
    slope = 1.0
    prior = _SLOPE_PRIOR_ROWS * float((score**2).mean()) / 4.0 if len(score) else 0.0
    for _ in range(_NEWTON_STEPS):
        said = 1.0 / (1.0 + np.exp(-(shared + slope * score)))
        steepness = float((said * (1.0 - said) * score**2).sum()) + prior
        if steepness <= 0.0:
            return 1.0
        slope += (float(((is_out - said) * score).sum()) - prior * (slope - 1.0)) / steepness
        slope = min(max(slope, 0.0), _MOST_SLOPE)
    return slope
