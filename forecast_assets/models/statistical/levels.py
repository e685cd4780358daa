"""Level models: the non-seasonal path of a cleaned series, by statsforecast, in chunks and over processes.

What belongs here: which models there are, running them, and what stands in when one fails. What does not: cleaning
series, choosing a model per class, or factors.

statsforecast's own `fallback_model` does not say which series fell back, so failures are handled here: every series
says which model made its path and whether that was the chosen one.
"""

import logging
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Bools, Floats, Names, Rows
from forecast_assets.core.errors import first_ten
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.threads import thread_count

Chunk = tuple[str, Rows]

AVERAGE: Final = "HistoricAverage"
ZERO: Final = "ZeroModel"
ONE: Final = "ConstantModel(1.0)"
NOTHING: Final = ""
SUBSTITUTE: Final = "WindowAverage(28)"
SMOOTHING: Final = tuple(f"SimpleExponentialSmoothing({alpha})" for alpha in (0.02, 0.05, 0.1, 0.2, 0.3))
CROSTON: Final = ("TSB(0.1, 0.05)", "TSB(0.2, 0.1)", "CrostonSBA")
THETA: Final = "DynamicOptimizedTheta"
MODELS: Final = (*SMOOTHING, *CROSTON, THETA, AVERAGE, ZERO, ONE)

# A path this many times above anything the series has seen, or on average this many times above its best week, is a
# diverged model, not a forecast.
DIVERGED: Final = 10.0
DIVERGED_ON_AVERAGE: Final = 3.0
# What is left of a trend from one day ahead to the next.
DAMPING: Final = 0.98
_WEEK: Final = 7
_SUBSTITUTE_DAYS: Final = 28
_CHUNK: Final = 1000
# Below this many series of a slow model, starting processes costs more than it saves.
_WORTH_PROCESSES: Final = 1500
# statsforecast raises these, or a bare Exception, for a series that a model cannot fit; anything else is a bug.
_MODEL_FAILURES: Final = (ValueError, ArithmeticError, NotImplementedError, RuntimeError)

# What people are told is being done while series are forecast.
SERIES_STAGE: Final = "series forecast"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LevelPaths:
    """What level models made of n series.

    Attributes:
        path: [n, H] level, units; finite and at least 0.
        model_used: [n] the model that made the path.
        is_fallback: [n] whether it stands in for the chosen one, which failed.
    """

    path: Floats
    model_used: npt.NDArray[np.object_]
    is_fallback: Bools


def forecast_levels(
    cleaned: Floats,
    names: Names,
    horizon: int,
    *,
    progress: Progress = silent,
    stage: str = SERIES_STAGE,
    workers: int | None = None,
) -> LevelPaths:
    """Forecast the level of every series with the model chosen for it.

    A model that raises, or whose path is not finite, negative, more than ten times the series' largest value or on
    average more than three times its best week, is replaced by the average of the last 28 days, and the series says so.
    Trends are damped (Gardner & McKenzie 1985, doi:10.1287/mnsc.31.10.1237): what a model adds from one day ahead to
    the next fades by 2% a day, so that ninety days ahead a trend has added what 41 did without.

    Args:
        cleaned: [n, T] level series, units; days with NaN are left out. A series without any value gets zeros.
        names: [n] one of `MODELS` for each series.
        horizon: H.
        progress: Called with the stage, series done and series in all.
        stage: What people are told is being done.
        workers: Processes for slow models; all cores if left out, 1 for none.

    Raises:
        ValueError: If a name is not a model here.
    """
    unknown = sorted(set(names.tolist()) - set(MODELS))
    if unknown:
        raise ValueError(f"Unknown level models: {first_ten(unknown)}. Choose from {', '.join(MODELS)}.")
    has_values = ~np.isnan(cleaned).all(axis=1)
    used = np.where(has_values, names, ZERO).astype(np.object_)
    path = np.zeros((len(cleaned), horizon))
    done = 0
    for rows, chunk_path in _run_chunks(cleaned, np.where(has_values, names, NOTHING), horizon, workers):
        path[rows] = _damped(chunk_path)
        done += len(rows)
        progress(stage, done, int(has_values.sum()))
    return _replace_failures(cleaned, path, used)


def _damped(path: Floats) -> Floats:
    """Return the [c, H] path with its steps from day to day fading."""
    with np.errstate(invalid="ignore", over="ignore"):  # a path that is not finite is replaced
        steps = np.diff(path, axis=1) * DAMPING ** np.arange(1, path.shape[1])
        return np.concatenate([path[:, :1], path[:, :1] + np.cumsum(steps, axis=1)], axis=1)


def _best_week(cleaned: Floats) -> Floats:
    """[n] Largest mean of any seven days in a row, of fewer where a series is younger."""
    sums = np.cumsum(np.nan_to_num(cleaned), axis=1)
    known = np.cumsum(~np.isnan(cleaned), axis=1)
    sums[:, _WEEK:], known[:, _WEEK:] = sums[:, _WEEK:] - sums[:, :-_WEEK], known[:, _WEEK:] - known[:, :-_WEEK]
    return np.asarray((sums / np.maximum(known, 1)).max(axis=1))


def _replace_failures(cleaned: Floats, path: Floats, used: npt.NDArray[np.object_]) -> LevelPaths:
    largest = np.fmax.reduce(cleaned, axis=1, initial=0.0)[:, None]
    is_sane = np.isfinite(path) & (path >= 0.0) & (path <= DIVERGED * largest)
    is_likely = path.mean(axis=1) <= DIVERGED_ON_AVERAGE * _best_week(cleaned)
    failed = ~(is_sane.all(axis=1) & is_likely)
    if failed.any():
        rows = np.flatnonzero(failed).tolist()
        _log.warning("%d series fall back to %s, rows %s", len(rows), SUBSTITUTE, first_ten(rows))
        path[failed] = _window_average(cleaned[failed])[:, None]
        used = np.where(failed, SUBSTITUTE, used).astype(np.object_)
    return LevelPaths(path, used, failed)


def _window_average(cleaned: Floats) -> Floats:
    recent = cleaned[:, -_SUBSTITUTE_DAYS:]
    return np.asarray(np.nan_to_num(recent).sum(axis=1) / np.maximum((~np.isnan(recent)).sum(axis=1), 1))


def _run_chunks(cleaned: Floats, names: Names, horizon: int, workers: int | None) -> Iterator[tuple[Rows, Floats]]:
    """Yield row numbers and paths, chunk by chunk in a fixed order; rows without a name are left out."""
    chosen = sorted(set(names.tolist()) - {NOTHING})
    chunks = [(name, rows) for name in chosen for rows in _split(np.flatnonzero(names == name))]
    processes = thread_count(workers)
    if processes > 1 and np.count_nonzero(names == THETA) >= _WORTH_PROCESSES:
        paths = _over_processes(chunks, cleaned, horizon, processes)
    else:
        paths = (forecast_chunk(name, cleaned[rows], horizon) for name, rows in chunks)
    yield from zip((rows for _, rows in chunks), paths, strict=True)


def _split(rows: Rows) -> list[Rows]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _over_processes(chunks: Sequence[Chunk], cleaned: Floats, horizon: int, processes: int) -> Iterator[Floats]:
    """Yield paths in the order of the chunks; an interrupt waits for no more than the chunks in hand."""
    # Forking a process in which Polars runs threads can deadlock, so workers start clean and ignore Ctrl-C: the
    # parent tells them.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_ignore_interrupts)
    try:
        futures = [pool.submit(forecast_chunk, name, cleaned[rows], horizon) for name, rows in chunks]
        yield from (future.result() for future in futures)
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def forecast_chunk(name: str, cleaned: Floats, horizon: int) -> Floats:
    """Run one model over [c, T] series; returns [c, H] paths, NaN where the model failed."""
    try:
        return _fit(name, cleaned, horizon)
    except Exception as error:  # noqa: BLE001 - what is not a model's failure is raised again
        _require_model_failure(error)
        return np.concatenate([_fit_alone(name, series[None], horizon) for series in cleaned])


def _fit_alone(name: str, series: Floats, horizon: int) -> Floats:
    try:
        return _fit(name, series, horizon)
    except Exception as error:  # noqa: BLE001 - what is not a model's failure is raised again
        _require_model_failure(error)
        _log.warning("%s fails on a series: %s", name, error)
        return np.full((1, horizon), np.nan)


def _require_model_failure(error: Exception) -> None:
    if type(error) is not Exception and not isinstance(error, _MODEL_FAILURES):
        raise error


def _fit(name: str, cleaned: Floats, horizon: int) -> Floats:
    """Forecast series by series with the model itself.

    Laying them out for `StatsForecast` and reading its answer costs four times what a simple model takes.
    """
    model = build_model(name)
    paths = [model.forecast(y=series[~np.isnan(series)], h=horizon)["mean"] for series in cleaned]
    return np.array(paths, dtype=np.float64)


def build_model(name: str) -> Any:
    """Build the statsforecast model that a name such as `TSB(0.1, 0.05)` stands for."""
    from statsforecast import models

    kind, _, arguments = name.rstrip(")").partition("(")
    return getattr(models, kind)(*(float(value) for value in arguments.split(",") if value))
