"""How good stock-out risks are where stock and orders are known: simulated retailers, against their true law.

A version of a family is trained on each retailer, forecasts the days after its end, and its risks are simulated from
the positions of that day. They are held against the simulator's own probabilities, which share no code with them; lost
units against the same simulation with the true law of demand; and demand over each series' lead time against draws of
that law.

    python -m bench.positions [--family statistical] [--seeds 5 6 7]
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.goals import Goal, goals_table
from bench.panels import KEY
from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.features.panel import Panel, assemble_panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.risks import calibration_error
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.sample_paths.marginals import sells_by_the_piece
from forecast_assets.models.training import TrainingInputs
from forecast_assets.simulation.assortment import make_assortment
from forecast_assets.simulation.demand_law import draw, make_law, make_offers
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer
from forecast_assets.stockout_risk.inventory import Demand, Supply, sampled_demand, simulate_stock, supply_at

SEEDS = (5, 6, 7)
# At least, and aim.
ECE, LOST_BIAS, COVERAGE = (0.02, 0.01), (0.08, 0.03), (0.03, 0.01)
_CENTRAL = (0.5, 0.8, 0.95)
_TRUE_DRAWS = 1000


@dataclass(frozen=True)
class TrueLaw:
    """What the days after a retailer's end are by its law, for the n series of a panel.

    Attributes:
        demand: Its mean and quantiles; days do not depend on one another.
        draws: [n, H, N] units.
        probability: [n, H] of unmet demand, by the simulator itself.
    """

    demand: Demand
    draws: Floats
    probability: Floats


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="statistical")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    reached = [judged(retailer_of(seed), given.family) for seed in given.seeds]
    print(goals_table(position_goals(reached), f"Stock positions, {given.family}, seeds {given.seeds}"))
    return 0


def retailer_of(seed: int) -> SimulatorSettings:
    return SimulatorSettings(skus=60, stores=5, days=400, seed=seed)


def position_goals(reached: Sequence[dict[str, float]]) -> list[Goal]:
    """Return the means over retailers; of biases and coverages the mean size."""
    bounds = {"calibration error": ECE, "bias of expected lost units": LOST_BIAS}
    goals = []
    for name in reached[0]:
        sizes = float(np.mean([abs(each[name]) for each in reached]))
        goals.append(
            Goal(
                f"stock positions, {len(reached)} retailers: {name}, mean size",
                sizes,
                *bounds.get(name, COVERAGE),
                "share",
            )
        )
    return goals


def judged(settings: SimulatorSettings, name: str) -> dict[str, float]:
    """Return how far risks and demand over lead times are off for one retailer."""
    made = simulate_retailer(settings)
    panel, hierarchy = _known(made, settings)
    law, supply = _law(made, settings, panel), _supply(made, settings, panel)
    demand = _forecast(name, panel, hierarchy)
    found, true = simulate_stock(demand, supply), simulate_stock(law.demand, supply)
    is_known = ~np.isnan(found.lost_units)
    came = over_lead_times(law.draws, supply.lead_time_days)
    places = randomised_places(over_lead_times(sampled_demand(demand), supply.lead_time_days), came)
    return {
        "calibration error": calibration_error(found.probability[is_known], law.probability[is_known]) or 0.0,
        "bias of expected lost units": float(found.lost_units[is_known].sum() / true.lost_units[is_known].sum() - 1.0),
        **{
            f"coverage of {level:.0%} over lead times, less that": float(
                (np.abs(places - 0.5) < level / 2).mean() - level
            )
            for level in _CENTRAL
        },
    }


def over_lead_times(draws: Floats, lead_time_days: Floats) -> Floats:
    """[n, N] sums of [n, H, N] draws over each series' mean lead time, in whole days.

    Example:
        >>> over_lead_times(np.ones((2, 5, 1)), np.array([2.0, 3.4])).tolist()
        [[2.0], [3.0]]
    """
    days = np.clip(np.rint(lead_time_days), 1, draws.shape[1])
    return np.asarray((draws * (np.arange(draws.shape[1]) < days[:, None])[:, :, None]).sum(axis=1))


def randomised_places(forecast: Floats, came: Floats) -> Floats:
    """Return where what came lies among what was forecast; whole numbers share their place out at random.

    Uniform where the forecast is right, also of counts (Czado, Gneiting & Held 2009,
    doi:10.1111/j.1541-0420.2009.01191.x).

    Args:
        forecast: [n, N] equally likely outcomes.
        came: [n, k].

    Returns:
        [n, k] 0 to 1.
    """
    ordered, random = np.sort(forecast, axis=1), np.random.default_rng(1).random(came.shape)
    below, upto = (
        np.stack([np.searchsorted(row, values, side) for row, values in zip(ordered, came, strict=True)])
        for side in ("left", "right")
    )
    return np.asarray((below + random * (upto - below)) / ordered.shape[1])


def _known(made: Simulation, settings: SimulatorSettings) -> tuple[Panel, Hierarchy]:
    known = made.truth.filter(pl.col("event_date") <= settings.end)
    stores, products = (_said(made, feed) for feed in ("store_hierarchy", "product_hierarchy"))
    observations = {
        "sales": known.lazy(),
        "inventory_positions": known.lazy(),
        "prices": _said(made, "prices").unique([*KEY, "event_date"], keep="last").lazy(),
        "events": _said(made, "events").unique(["event_name", "store_node", "event_date"], keep="last").lazy(),
    }
    panel = assemble_panel(
        known.select(KEY).unique(),
        observations,
        cutoff=settings.end,
        history_days=settings.days,
        horizon_days=settings.horizon,
        store_nodes=stores,
    )
    return panel, Hierarchy.build(panel.series, products.unique(), stores.unique())


def _said(made: Simulation, feed: str) -> pl.DataFrame:
    """All rows of a feed, the newest last."""
    return pl.concat([batch.frame for batch in made.batches if batch.feed == feed]).sort("known_at")


def _law(made: Simulation, settings: SimulatorSettings, panel: Panel) -> TrueLaw:
    assortment = make_assortment(settings)
    law = make_law(settings, assortment, make_offers(settings, assortment))
    days = range(settings.days, settings.days + settings.horizon)
    random, rows = np.random.default_rng(0), _rows(made, panel)
    draws = np.stack([draw(random, law, day, _TRUE_DRAWS) for day in days], axis=1)[rows]
    quantiles = np.moveaxis(np.quantile(draws, QUANTILES, axis=2, method="inverted_cdf"), 0, 2)
    mean = law.mean_units[rows][:, days.start : days.stop]
    demand = Demand(mean, quantiles, np.zeros(len(rows)), np.ones(len(rows), dtype=np.bool_))
    true = panel.series.join(made.stockout_probability.sort("step"), on=KEY, how="left", maintain_order="left_right")
    return TrueLaw(demand, draws, true["true_stockout_probability"].to_numpy().reshape(mean.shape))


def _rows(made: Simulation, panel: Panel) -> Ints:
    """[n] place of each series in the simulation."""
    placed = made.series.select(KEY).with_row_index("row")
    found = panel.series.join(placed, on=KEY, how="left", maintain_order="left")["row"]
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _supply(made: Simulation, settings: SimulatorSettings, panel: Panel) -> Supply:
    orders = _said(made, "purchase_orders").unique("order_id", keep="last")
    return supply_at(panel.series, _said(made, "inventory_positions"), orders, settings.end)


def _forecast(name: str, panel: Panel, hierarchy: Hierarchy) -> Demand:
    """Demand as a version of the family forecasts it, before reconciliation."""
    chosen = family(name)
    inputs = TrainingInputs(
        panel=panel,
        product_groups=hierarchy.product_groups(),
        hierarchy=hierarchy,
        horizon=panel.horizon_days,
        group_level=hierarchy.group_level.name,
        evaluates=False,
    )
    artifact = chosen.train(inputs).artifact
    groups = hierarchy.product_groups(artifact.group_level)
    made = chosen.forecast(artifact, ForecastInputs(panel.recent(artifact.history_days), groups))
    rho = np.array([artifact.rho.get(str(each), 0.0) for each in made.demand_class])
    return Demand(made.mean, made.quantiles, rho, sells_by_the_piece(panel.sales))


if __name__ == "__main__":
    raise SystemExit(main())
