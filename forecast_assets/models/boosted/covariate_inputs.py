"""What trees see of covariates: how far a planned day, and the last week, are from the weeks before.

What belongs here: which inputs a panel's covariates make. What does not: what was known of a covariate when
(features.covariates), how a distance is measured (features.deviations), or any other input.

Of a day without a plan nothing is known: observed values are never read ahead, neither in training nor in a run.
"""

from collections.abc import Sequence
from typing import Final

from forecast_assets.features.deviations import BASE_DAYS

DRIVER: Final = "covariates_units"
# Kinds of inputs: the day ahead, and the last days.
AHEAD: Final = "covariate"
LATELY: Final = "covariate_lately"
LATELY_DAYS: Final = 7


def covariate_inputs(names: Sequence[str]) -> list[dict[str, str | int]]:
    """Return the inputs of some covariates, as fields of `InputSpec`.

    They are called by number: names of covariates may hold what LightGBM's text cannot.

    Example:
        >>> [spec["name"] for spec in covariate_inputs(["rain"])]
        ['covariate_1', 'covariate_1_7d_over_28d']
    """
    found: list[dict[str, str | int]] = []
    for number, name in enumerate(names, start=1):
        found.append({"name": f"covariate_{number}", "driver": DRIVER, "kind": AHEAD, "of": name})
        late = f"covariate_{number}_{LATELY_DAYS}d_over_{BASE_DAYS}d"
        found.append({"name": late, "driver": DRIVER, "kind": LATELY, "days": LATELY_DAYS, "of": name})
    return found
