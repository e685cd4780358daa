"""A whole run in plain Python: its stages, in order.

What belongs here: which stages there are and what follows what. What does not: what a stage computes, checks,
publication, or Dagster, which runs the same stages one by one where people can watch.
"""

from collections.abc import Callable, Mapping
from typing import Final

from forecast_assets.base_forecasts.stage import forecast_base
from forecast_assets.contracts import (
    BASE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    FORECASTS,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.spans import span
from forecast_assets.explanations.stage import explain
from forecast_assets.forecast_overrides.stage import override
from forecast_assets.publication.stage import assemble
from forecast_assets.reconciliation.stage import reconcile
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.stage import StageResult
from forecast_assets.stockout_risk.stage import assess_risks
from resources.store.manifests import ProductVersion

Stage = Callable[[RunContext], StageResult]

# By the product of each; every stage goes on from what the ones before it made.
STAGES: Final[Mapping[str, Stage]] = {
    BASE_FORECASTS.name: forecast_base,
    RECONCILED_FORECASTS.name: reconcile,
    FORECAST_OVERRIDES.name: override,
    STOCKOUT_RISKS.name: assess_risks,
    FORECAST_EXPLANATIONS.name: explain,
    FORECASTS.name: assemble,
}


def score(
    context: RunContext, *, first: str = BASE_FORECASTS.name, last: str = FORECASTS.name
) -> dict[str, ProductVersion]:
    """Run the stages of a run and store what they make; nothing is published.

    Args:
        context: The run.
        first: Product of the first stage; what is before it has been made.
        last: Product of the last stage.

    Returns:
        The product version of each stage that ran, by name.

    Raises:
        NotStagedError: If something that has to come first has not been made.
        ContractError: If a stage makes what its contract does not allow; nothing of that is stored.
    """
    names = [*STAGES]
    chosen = names[names.index(first) : names.index(last) + 1]
    return {name: stored_stage(STAGES[name], name, context)[1] for name in chosen}


def stored_stage(stage: Stage, product: str, context: RunContext) -> tuple[StageResult, ProductVersion]:
    """Run a stage and store what it makes.

    Args:
        stage: The stage.
        product: Its product.
        context: The run.

    Returns:
        What it made, and the version of its product.

    Raises:
        ContractError: If it makes what its contract does not allow; nothing of that is stored.
    """
    with span(product) as now:
        result = stage(context)
        version = context.write(result)
        now.note(rows=result.rows.height)
    return result, version
