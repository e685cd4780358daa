"""A retailer with known truth: what its systems say, what really happened, and what was going to.

What belongs here: playing the retailer once and writing it down in the native format.
What does not: its law of demand, its supply, its feeds (each in a module of its own), or reading (``simulated``).

The truth stays in a folder of its own that no reader opens: it judges forecasts, it never makes them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.ingestion.batch import Batch
from forecast_assets.simulation.assortment import DEMAND_TYPES, Assortment, SimulatorSettings, make_assortment
from forecast_assets.simulation.calendar_law import make_calendar
from forecast_assets.simulation.calendar_settings import CalendarSettings
from forecast_assets.simulation.demand_law import DemandLaw, make_law, make_offers
from forecast_assets.simulation.feeds import Cells, make_feeds
from forecast_assets.simulation.replenishment import (
    ShareProgress,
    SupplyHistory,
    make_terms,
    simulate_supply,
    true_probabilities,
)
from forecast_assets.sources.files import write_folder
from forecast_assets.sources.simulated import FEEDS_FILE, FORMAT, FORMAT_VERSION

__all__ = ["CalendarSettings", "Simulation", "SimulatorSettings", "simulate_retailer", "write_native"]

_ROW_GROUP: Final = 100_000


@dataclass(frozen=True)
class Simulation:
    """A retailer, played.

    Attributes:
        settings: What was asked for.
        batches: What its systems say, one batch per source and feed.
        truth: `sku_id, store_id, event_date, demand_units, mean_demand_units, sales_units, on_hand_units` (at the end
            of the day)`, is_stockout, lost_units`, for the history and the horizon after it.
        stockout_probability: `sku_id, store_id, step, target_date, true_stockout_probability` for the horizon.
        series: `sku_id, store_id, demand_type`.
        effects: True effects of the calendar and the weather, by name of the frame (see `CalendarLaw.truth`); empty
            where the settings ask for none.
    """

    settings: SimulatorSettings
    batches: tuple[Batch, ...]
    truth: pl.DataFrame
    stockout_probability: pl.DataFrame
    series: pl.DataFrame
    effects: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def simulate_retailer(settings: SimulatorSettings, progress: ShareProgress | None = None) -> Simulation:
    """Play a retailer; the same settings give the same simulation.

    Args:
        settings: What to simulate.
        progress: Called with what is being made and the share of it that is done, 0..1.
    """
    report = progress or _silent
    assortment = make_assortment(settings)
    offers = make_offers(settings, assortment)
    effects = make_calendar(settings, assortment)
    law = make_law(settings, assortment, offers, effects)
    terms = make_terms(settings, law)
    report("demand and stock", 0.0)
    supply = simulate_supply(settings, law, terms, assortment.launch[assortment.sku_of_series])
    report("demand and stock", 1.0)
    probabilities = true_probabilities(settings, law, terms, supply, report)
    report("feeds", 0.0)
    feeds = make_feeds(settings, assortment, offers, terms, supply, effects)
    report("feeds", 1.0)
    return Simulation(
        settings,
        feeds,
        _truth(Cells.of(settings, assortment, settings.days + settings.horizon), law, supply),
        _probabilities(settings, assortment, probabilities),
        _series(assortment),
        {} if effects is None else effects.truth(settings),
    )


def write_native(simulation: Simulation, folder: Path) -> bool:
    """Write a simulation as Parquet files with a description, all or nothing.

    Args:
        simulation: What to write.
        folder: New or empty; or one that already holds a simulation of the same settings, which is left as it is.

    Returns:
        Whether it was written; False if it was there already.

    Raises:
        SourceError: If the folder holds anything else.
        StorageError: If it cannot be written.
    """
    facts = describe(simulation.settings)
    return write_folder(folder, FEEDS_FILE, facts, lambda draft: _write_files(simulation, draft))


def make_native(settings: SimulatorSettings, folder: Path, progress: ShareProgress | None = None) -> bool:
    """Simulate and write a retailer, unless the folder holds it already; see `write_native`."""
    return write_folder(
        folder, FEEDS_FILE, describe(settings), lambda draft: _write_files(simulate_retailer(settings, progress), draft)
    )


def describe(settings: SimulatorSettings) -> dict[str, Any]:
    """Return what a simulated folder follows from, as JSON facts; of what is not asked for they say nothing."""
    asked = {name: value for name, value in asdict(settings).items() if value is not None}
    facts = {**asked, "end": settings.end.isoformat()}
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "settings": facts}


def file_name(batch: Batch, batches: tuple[Batch, ...]) -> str:
    """Return the file of a batch: named by its feed, and by its source where a feed has several."""
    is_shared = sum(other.feed == batch.feed for other in batches) > 1
    return f"{batch.feed}_{batch.source}.parquet" if is_shared else f"{batch.feed}.parquet"


def _silent(_what: str, _share: float) -> None:
    pass


def _write_files(simulation: Simulation, folder: Path) -> None:
    (folder / "truth").mkdir()
    files = {file_name(batch, simulation.batches): batch for batch in simulation.batches}
    for name, batch in files.items():
        _write_parquet(batch.frame, folder / name)
    _write_parquet(simulation.truth, folder / "truth" / "demand.parquet")
    _write_parquet(simulation.stockout_probability, folder / "truth" / "stockout_probability.parquet")
    _write_parquet(simulation.series, folder / "truth" / "series.parquet")
    for name, frame in simulation.effects.items():
        _write_parquet(frame, folder / "truth" / f"{name}.parquet")
    description = {
        **describe(simulation.settings),
        "files": {
            name: {
                "feed": batch.feed,
                "source": batch.source,
                "trust": batch.trust,
                "declared_lag_hours": batch.declared_lag / timedelta(hours=1),
            }
            for name, batch in files.items()
        },
    }
    (folder / FEEDS_FILE).write_text(json.dumps(description, indent=2) + "\n")


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", row_group_size=_ROW_GROUP)


def _truth(cells: Cells, law: DemandLaw, supply: SupplyHistory) -> pl.DataFrame:
    demand, sales = supply.demand[cells.series, cells.day], supply.sales[cells.series, cells.day]
    return pl.DataFrame(
        {
            **cells.names(),
            "demand_units": demand.astype(np.float64),
            "mean_demand_units": law.mean_units[cells.series, cells.day],
            "sales_units": sales.astype(np.float64),
            "on_hand_units": cells.pick(supply.on_hand).astype(np.float64),
            "is_stockout": demand > sales,
            "lost_units": (demand - sales).astype(np.float64),
        }
    )


def _probabilities(settings: SimulatorSettings, assortment: Assortment, probabilities: Floats) -> pl.DataFrame:
    series, step = np.indices(probabilities.shape).reshape(2, -1)
    names = Cells(settings, assortment, settings.days + step, series).names()
    frame = pl.DataFrame(
        {
            **names,
            "step": pl.Series(step + 1, dtype=pl.Int32),
            "true_stockout_probability": probabilities.ravel(),
        }
    )
    columns = ["sku_id", "store_id", "step", pl.col("event_date").alias("target_date"), "true_stockout_probability"]
    return frame.select(columns)


def _series(assortment: Assortment) -> pl.DataFrame:
    sku = assortment.sku_of_series
    return pl.DataFrame(
        {
            "sku_id": assortment.sku_ids[sku].tolist(),
            "store_id": assortment.store_ids[assortment.store_of_series].tolist(),
            "demand_type": [DEMAND_TYPES[kind] for kind in assortment.demand_type[sku]],
        }
    )
