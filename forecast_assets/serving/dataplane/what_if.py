"""What if: a few series of a published run forecast again with other inputs.

What belongs here: the answer, from changed inputs to published columns. What does not: any model or number of its own.

Each series is forecast twice side by side, as published and as changed. The first has to come out as published, to the
last decimal, or there is no answer: so every answer has shown that it is about the published run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecast_assets.core.errors import InputError
from forecast_assets.core.quantities import from_units
from forecast_assets.features.changes import SeriesChange, changed, require_changes
from forecast_assets.reconciliation.reconciling import carried_over, with_means
from forecast_assets.serving.dataplane.prepared import PreparedKey, PreparedRun, require_as_published


@dataclass(frozen=True)
class WhatIf:
    """Forecasts of k series under changed inputs.

    Attributes:
        of: The prepared run that was asked.
        base: Contract `base_forecasts`, in the order of the changes.
        reconciled: Contract `reconciled_forecasts`, the same rows.
        held: What was held at the published run, though a whole run with the same changes might move it.
    """

    of: PreparedKey
    base: pl.DataFrame
    reconciled: pl.DataFrame
    held: tuple[str, ...]


def what_if(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> WhatIf:
    """Forecast series again with other inputs.

    Args:
        prepared: The published run.
        changes: One for each series that is asked for; they hold together. A change of nothing asks for what was
            published.

    Raises:
        InputError: If there is none, the run has no such series, or an input cannot be so; or if the family's forecasts
            do not follow from inputs.
        ReplayDifferenceError: If unchanged inputs no longer give what was published.
    """
    _require_answerable(prepared, changes)
    rows = np.repeat(prepared.rows_of([change.series for change in changes]), 2)
    as_changed = np.arange(1, len(rows), 2)
    panel = changed(prepared.few(rows), as_changed, changes)
    base = prepared.base_frame(panel, rows, prepared.forecast(panel, rows))
    horizon = prepared.key.run.forecast_horizon
    is_changed = np.repeat(np.arange(len(rows)) % 2 == 1, horizon)
    require_as_published(prepared, rows[::2], base.filter(pl.Series(~is_changed)))
    own = base.filter(pl.Series(is_changed))
    moved = carried_over(
        from_units(own["base_units"]).reshape(-1, horizon), prepared.base[rows[::2]], prepared.reconciled[rows[::2]]
    )
    return WhatIf(prepared.key, own, with_means(own, moved.ravel()), tuple(sorted(prepared.statistics)))


def _require_answerable(prepared: PreparedRun, changes: Sequence[SeriesChange]) -> None:
    if not changes:
        raise InputError("No series is asked for.", remedy="Name a store and a SKU at least.")
    require_changes(changes, prepared.panel)
    if prepared.family.given_product is not None and any(change.moves_demand for change in changes):
        raise InputError(
            f"Forecasts of {prepared.key.run} were given from outside: they do not follow from prices, promotions, "
            "events or sales.",
            remedy="Ask what other stock or orders do to it, or ask a version that is trained here.",
        )
