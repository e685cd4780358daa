"""A prepared run as entries of a cache: one for what is common to it, one for each series, and back.

What belongs here: what the bytes say. What does not: where they are kept, or what is read from the store whatever
answers (`run_basis`).

An entry of a series has its row of every matrix and what pooled statistics say of it: numbers as they lie in memory,
the rest as Arrow. How they lie is said once, by the entry of the run. Nothing is read as code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from forecast_assets.core.arrays import Rows
from forecast_assets.core.keys import StoreSku
from forecast_assets.explanations.explanation_context import ExplanationContext
from forecast_assets.features.covariates import Covariates, Words
from forecast_assets.features.panel import SERIES_KEY, Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.run_basis import RunBasis
from forecast_assets.serving.dataplane.told import ToldFacts
from forecast_assets.stockout_risk.inventory import Supply

# To be raised whenever what entries say changes: then nobody reads what another release has put.
FORMAT: Final = 1
_MATRICES: Final = (
    "sales", "is_censored", "out_of_stock_share", "missed_share", "price_ratio", "is_promotion", "has_plan",
    "is_closed",
)  # fmt: skip
_SUPPLY: Final = (
    "on_hand", "lead_time_days", "lead_time_deviation_days", "review_period_days", "reorder_point", "order_up_to",
)  # fmt: skip
_WORDS: Final = ("what", "place", "day", "since", "value")
_STATISTIC: Final = "statistic "
_NUMBERS: Final = "biuf"

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class RunPart:
    """What is common to a run: what of it is not of one series.

    Attributes:
        until: Seconds of the epoch after which it may not be used.
        layout: How the numbers of a series lie.
        schema: Of what else an entry of a series says.
        document: Names, dates and switches.
        arrays: Days of events, words on covariates, and statistics of all series.
        frames: Facts that explanations tell.
    """

    until: float
    layout: "np.dtype[np.void]"
    schema: pa.Schema
    document: Mapping[str, Any]
    arrays: Mapping[str, Numbers]
    frames: Mapping[str, pl.DataFrame]


def run_entry(prepared: PreparedRun, until: float) -> bytes:
    """Return the entry of a run.

    Args:
        prepared: The run, whole or narrowed.
        until: Seconds of the epoch after which it may not be used.
    """
    one = prepared.narrowed(np.arange(1, dtype=np.intp))
    panel, run = prepared.panel, prepared.told.of_run
    document = {
        "until": until,
        "layout": [[name, array.dtype.str, list(array.shape[1:])] for name, array in _numbers(one).items()],
        "first_date": panel.first_date.isoformat(),
        "history_days": panel.history_days,
        "horizon_days": panel.horizon_days,
        "event_names": panel.event_names,
        "event_kinds": panel.event_kinds,
        "availability_power": panel.availability_power,
        "covariates": [panel.covariates.names, panel.covariates.first],
        "recurring": prepared.told.recurring,
        "feeds": sorted(run.feeds),
        "longest_days": run.longest_days,
    }
    arrays = {"event_days": panel.event_days, "events_beyond": panel.events_beyond, "scopes": panel.covariates.scopes}
    arrays |= {f"words {name}": getattr(panel.covariates.words, name) for name in _WORDS}
    arrays |= {_STATISTIC + name: found.values for name, found in prepared.statistics.items() if found.code is None}
    frames = {
        "events": prepared.told.events,
        "memberships": prepared.told.memberships,
        "events of stores": run.events,
        "covariates of stores": run.covariates,
    }
    members: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    members |= {f"frame {name}": _bytes(_ipc(frame)) for name, frame in frames.items() if frame is not None}
    members |= {"schema": _bytes(_batch(one).schema.serialize()), "document": _bytes(json.dumps(document).encode())}
    out = BytesIO()
    np.savez(out, **members)
    return out.getvalue()


def series_batch(prepared: PreparedRun, rows: Rows) -> pa.RecordBatch:
    """Return what entries of some series say, [k] in the order of the run."""
    return _batch(prepared.narrowed(rows))


def entries_of(batch: pa.RecordBatch) -> list[bytes]:
    """Return the entries of series, one of each row."""
    return [batch.slice(at, 1).serialize().to_pybytes() for at in range(batch.num_rows)]


def read_run_entry(content: bytes) -> RunPart:
    """Return what the entry of a run says.

    Raises:
        ValueError: If it is none.
    """
    with np.load(BytesIO(content), allow_pickle=False) as members:
        found = {name: members[name] for name in members.files}
    document = json.loads(found.pop("document").tobytes())
    layout = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in document["layout"]])
    if any(layout[name].base.kind not in _NUMBERS for name in layout.names or ()):
        raise ValueError("The entry of a run names something other than numbers.")
    frames = {name: found.pop(name) for name in list(found) if name.startswith("frame ")}
    return RunPart(
        until=float(document["until"]),
        layout=layout,
        schema=pa.ipc.read_schema(pa.py_buffer(found.pop("schema").tobytes())),
        document=document,
        arrays=found,
        frames={name.removeprefix("frame "): pl.read_ipc_stream(frame.tobytes()) for name, frame in frames.items()},
    )


def prepared_from(basis: RunBasis, part: RunPart, series: Sequence[StoreSku], entries: Sequence[bytes]) -> PreparedRun:
    """Return a prepared run of some series, which answers about them as the whole one does.

    Args:
        basis: Of the run.
        part: What is common to it.
        series: k series, by store and SKU, each once.
        entries: [k] theirs.

    Raises:
        ValueError: If an entry is none, or of another series.
    """
    if sorted(series) != list(series):
        raise ValueError("Series are read in the order of the run.")
    read = [pa.ipc.read_record_batch(pa.py_buffer(entry), part.schema) for entry in entries]
    for batch in read:
        batch.validate(full=True)
    table = pa.Table.from_batches(read).combine_chunks()
    columns = {name: table[name].chunk(0) for name in table.column_names}
    names = pl.DataFrame({name: pl.Series(columns[name].to_pylist(), dtype=pl.String) for name in SERIES_KEY})
    if names.rows() != list(series):
        raise ValueError("An entry is of another series.")
    numbers = np.frombuffer(b"".join(columns["numbers"].to_pylist()), dtype=part.layout)
    if len(numbers) != len(series):
        raise ValueError("An entry is not as long as the run says.")
    of = {name: np.ascontiguousarray(numbers[name]) for name in part.layout.names or ()}
    horizon = part.document["horizon_days"]
    return PreparedRun(
        key=basis.key,
        family=basis.family,
        artifact=basis.artifact,
        panel=_panel(part, names, of),
        product_groups=np.array(columns["group"].to_pylist(), dtype=np.str_),
        statistics=_statistics(part, of),
        given_rows=_rows(columns["given"], len(series) * horizon) if "given" in columns else None,
        is_quarantined=of.get("is_quarantined"),
        base=of["base"],
        reconciled=of["reconciled"],
        overridden=of.get("overridden"),
        supply=_supply(columns["orders"], of),
        risk_paths=basis.risk_paths,
        risk_thresholds=basis.risk_thresholds,
        features=_rows(columns["features"], len(series)),
        specs=basis.specs,
        told=_told(part, _rows(columns["told"], len(series)), _rows(columns["gaps"], len(series) * horizon)),
        causes=basis.causes,
    )


def _numbers(prepared: PreparedRun) -> dict[str, Numbers]:
    """[n, ...] All numbers of each series, by name."""
    panel = prepared.panel
    found: dict[str, Numbers] = {name: getattr(panel, name) for name in _MATRICES}
    found |= {name: getattr(prepared.supply, name) for name in _SUPPLY}
    found |= {"event_series": panel.event_series.T, "base": prepared.base, "reconciled": prepared.reconciled}
    if panel.covariates.names:
        found["store"] = panel.covariates.store
    if prepared.overridden is not None:
        found["overridden"] = prepared.overridden
    if prepared.is_quarantined is not None:
        found["is_quarantined"] = prepared.is_quarantined
    said = {name: one for name, one in prepared.statistics.items() if one.code is not None}
    return found | {_STATISTIC + name: one.values[one.code] for name, one in said.items()}


def _batch(prepared: PreparedRun) -> pa.RecordBatch:
    """One row per series."""
    numbers, series, supply = _numbers(prepared), prepared.panel.series, prepared.supply
    count, horizon = series.height, prepared.key.run.forecast_horizon
    layout = np.dtype([(name, array.dtype.str, array.shape[1:]) for name, array in numbers.items()])
    packed = np.zeros(count, dtype=layout)
    for name, array in numbers.items():
        packed[name] = array
    orders = pl.DataFrame({"elapsed": supply.order_elapsed_days, "units": supply.order_units})
    # Those of a narrowed run lie by series.
    owned = np.searchsorted(supply.order_series, np.arange(count + 1))
    of_steps = np.arange(count + 1) * horizon
    columns = {
        **{name: pa.array(series[name].to_list(), pa.string()) for name in SERIES_KEY},
        "group": pa.array(prepared.product_groups.tolist(), pa.string()),
        "numbers": pa.array([row.tobytes() for row in packed], pa.binary()),
        "features": _structs(prepared.features),
        "told": _structs(_required(prepared.told.of_run.series)),
        "gaps": _lists(_required(prepared.told.of_run.gaps), of_steps),
        "orders": _lists(orders, owned),
    }
    if prepared.given_rows is not None:
        columns["given"] = _lists(prepared.given_rows, of_steps)
    return pa.RecordBatch.from_pydict(columns)


def _panel(part: RunPart, series: pl.DataFrame, of: Mapping[str, Numbers]) -> Panel:
    said, arrays = part.document, part.arrays
    names, first = said["covariates"]
    words = Words(**{name: arrays[f"words {name}"] for name in _WORDS})
    matrices: dict[str, Any] = {name: of[name] for name in _MATRICES}
    return Panel(
        series=series,
        first_date=date.fromisoformat(said["first_date"]),
        history_days=said["history_days"],
        horizon_days=said["horizon_days"],
        **matrices,
        event_names=tuple(said["event_names"]),
        event_days=arrays["event_days"],
        event_series=np.ascontiguousarray(of["event_series"].T),
        event_kinds=tuple(said["event_kinds"]),
        covariates=Covariates(tuple(names), of["store"], arrays["scopes"], words, first) if names else Covariates(),
        events_beyond=arrays.get("events_beyond"),
        availability_power=said["availability_power"],
    )


def _statistics(part: RunPart, of: Mapping[str, Numbers]) -> dict[str, Statistic]:
    """Statistics of all series, and those of these series, each of which is a unit by itself."""
    common = {name: Statistic(values) for name, values in part.arrays.items() if name.startswith(_STATISTIC)}
    own = {
        name: Statistic(values, np.arange(len(values), dtype=np.intp))
        for name, values in of.items()
        if name.startswith(_STATISTIC)
    }
    return {name.removeprefix(_STATISTIC): found for name, found in (common | own).items()}


def _supply(orders: pa.ListArray, of: Mapping[str, Numbers]) -> Supply:
    counts = orders.value_lengths().to_numpy()
    known = orders.flatten()
    return Supply(
        **{name: of[name] for name in _SUPPLY},
        order_series=np.repeat(np.arange(len(counts)), counts),
        order_elapsed_days=known.field("elapsed").to_numpy(zero_copy_only=False),
        order_units=known.field("units").to_numpy(zero_copy_only=False),
    )


def _told(part: RunPart, series: pl.DataFrame, gaps: pl.DataFrame) -> ToldFacts:
    said, frames = part.document, part.frames
    of_run = ExplanationContext(
        feeds=frozenset(said["feeds"]),
        series=series,
        events=frames.get("events of stores"),
        covariates=frames.get("covariates of stores"),
        gaps=gaps,
        longest_days=said["longest_days"],
    )
    return ToldFacts(of_run, tuple(said["recurring"]), frames["events"], frames.get("memberships"))


def _structs(frame: pl.DataFrame) -> pa.Array:
    return frame.to_struct().to_arrow(compat_level=pl.CompatLevel.oldest())


def _lists(frame: pl.DataFrame, offsets: Rows) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _structs(frame))


def _rows(column: pa.Array, count: int) -> pl.DataFrame:
    """Return rows that lie in structs, or in lists of them."""
    structs = column.flatten() if isinstance(column, pa.ListArray) else column
    found = pl.Series(structs).struct.unnest()
    if found.height != count:
        raise ValueError("An entry has more rows, or fewer, than the run has days.")
    return found


def _required(frame: pl.DataFrame | None) -> pl.DataFrame:
    assert frame is not None
    return frame


def _ipc(frame: pl.DataFrame) -> bytes:
    out = BytesIO()
    frame.write_ipc_stream(out)
    return out.getvalue()


def _bytes(content: bytes) -> Numbers:
    return np.frombuffer(content, dtype=np.uint8)
