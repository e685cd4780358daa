"""Plans of one run beside what another observed: prices, promotions, events, closures and covariates of days ahead.

What belongs here: laying what one panel says of days after another's cutoff into that other one. What does not: what a
single question changes (`changes`), or forecasting.

Two runs are of different dates as often as not. A day that the one plans and the other has observed counts as planned
the way it came, if the other plans at all; days that only one looks at stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Rows
from forecast_assets.features.covariates import Covariates, Words
from forecast_assets.features.panel import SERIES_KEY, Panel


@dataclass(frozen=True)
class _Partners:
    """Which rows and columns of two panels are of the same series and days ahead.

    Attributes:
        own: [k] rows of the series that both have.
        theirs: [k] the same in the other panel.
        shift: What to add to a column of the own panel for the same day in the other.
    """

    own: Rows
    theirs: Rows
    shift: int

    @classmethod
    def of(cls, panel: Panel, other: Panel) -> "_Partners":
        """Pair two panels."""
        left, right = (each.series.select(SERIES_KEY).with_row_index("row") for each in (panel, other))
        joined = left.join(right, on=SERIES_KEY, suffix="_theirs", maintain_order="left")
        own, theirs = (joined[name].to_numpy().astype(np.intp) for name in ("row", "row_theirs"))
        return cls(own, theirs, (panel.first_date - other.first_date).days)

    def ahead(self, panel: Panel, width: int, other_width: int) -> Rows:
        """Columns after the cutoff, of ``width`` in all, that the other panel has too."""
        columns = np.arange(panel.history_days, width)
        return columns[(columns + self.shift >= 0) & (columns + self.shift < other_width)]


def with_plans_of(panel: Panel, other: Panel) -> Panel:
    """Return a panel whose days ahead are as another one says.

    Args:
        panel: n series, T days of history, H ahead.
        other: Of any series and date; series that it lacks keep their plans.

    Returns:
        The panel; the very arrays that it had where both say the same.
    """
    partners = _Partners.of(panel, other)
    width, other_width = (each.history_days + each.horizon_days for each in (panel, other))
    days = partners.ahead(panel, width, other_width)
    mixed = replace(
        _with_prices(panel, other, partners, days), is_closed=_laid(panel.is_closed, other.is_closed, partners, days)
    )
    return replace(_with_events(mixed, other, partners), covariates=_covariates(panel, other, partners, days))


def same_plans(panel: Panel, other: Panel) -> bool:
    """Whether two panels of one cutoff and of the same series say the same of the days ahead."""
    matrices = ("price_ratio", "is_promotion", "is_closed")
    return (
        all(
            np.array_equal(getattr(panel, name)[:, panel.history_days :], getattr(other, name)[:, panel.history_days :])
            for name in matrices
        )
        and np.array_equal(panel.has_plan, other.has_plan)
        and _events_ahead(panel) == _events_ahead(other)
        and panel.covariates is other.covariates
    )


def same_history(panel: Panel, other: Panel) -> bool:
    """Whether two panels say the same of every day up to the cutoff, which is the same, of the same series."""
    if (panel.first_date, panel.history_days) != (other.first_date, other.history_days):
        return False
    days = panel.history_days
    matrices = (
        "sales", "is_censored", "out_of_stock_share", "missed_share", "price_ratio", "is_promotion", "is_closed",
    )  # fmt: skip
    return (
        panel.series.equals(other.series)
        and all(
            np.array_equal(getattr(panel, name)[:, :days], getattr(other, name)[:, :days], equal_nan=name in _UNKNOWN)
            for name in matrices
        )
        and _events(panel, 0, days) == _events(other, 0, days)
        and _kinds(panel) == _kinds(other)
        and all(
            np.array_equal(_as_known(panel, name, days), _as_known(other, name, days), equal_nan=True)
            for name in {*panel.covariates.names, *other.covariates.names}
        )
    )


_UNKNOWN: Final = frozenset({"sales", "out_of_stock_share", "missed_share"})


def _laid(own: Bools, theirs: Bools, partners: _Partners, days: Rows) -> Bools:
    out = own.copy()
    out[np.ix_(partners.own, days)] = theirs[np.ix_(partners.theirs, days + partners.shift)]
    return out


def _with_prices(panel: Panel, other: Panel, partners: _Partners, days: Rows) -> Panel:
    """Plans of prices and promotions."""
    is_ahead = days + partners.shift >= other.history_days
    # Where nothing is ever planned, prices that came would tell what nobody knew ahead.
    days = days if other.has_plan.any() else days[is_ahead]
    is_ahead = days + partners.shift >= other.history_days
    price_ratio, has_plan = panel.price_ratio.copy(), panel.has_plan.copy()
    there = np.ix_(partners.theirs, days + partners.shift)
    price_ratio[np.ix_(partners.own, days)] = other.price_ratio[there]
    planned = np.ones((len(partners.own), len(days)), dtype=np.bool_)
    planned[:, is_ahead] = other.has_plan[np.ix_(partners.theirs, days[is_ahead] + partners.shift - other.history_days)]
    has_plan[np.ix_(partners.own, days - panel.history_days)] = planned
    is_promotion = _laid(panel.is_promotion, other.is_promotion, partners, days)
    return replace(panel, price_ratio=price_ratio, is_promotion=is_promotion, has_plan=has_plan)


# --- events ---

_Places = Mapping[tuple[str, bytes], bytes]


def _events_ahead(panel: Panel) -> _Places:
    return _events(panel, panel.history_days, panel.event_days_and_beyond.shape[1])


def _events(panel: Panel, first: int, end: int) -> _Places:
    """Days of each event between two columns, by name and the series that it applies to, however it is laid out."""
    found: dict[tuple[str, bytes], Bools] = {}
    for name, days, applies in zip(
        panel.event_names, panel.event_days_and_beyond[:, first:end], panel.event_series, strict=True
    ):
        if days.any() and applies.any():
            key = (name, applies.tobytes())
            found[key] = found[key] | days if key in found else days
    return {key: days.tobytes() for key, days in found.items()}


def _with_events(panel: Panel, other: Panel, partners: _Partners) -> Panel:
    known, theirs = panel.event_days_and_beyond, other.event_days_and_beyond
    columns = partners.ahead(panel, known.shape[1], theirs.shape[1])
    count = panel.series.height
    has_partner = np.zeros(count, dtype=np.bool_)
    has_partner[partners.own] = True
    found: dict[tuple[str, bytes], Bools] = {}

    def add(name: str, days: Bools, applies: Bools) -> None:
        key = (name, applies.tobytes())
        found[key] = found[key] | days if key in found else days

    for name, days, applies in zip(panel.event_names, known, panel.event_series, strict=True):
        add(name, _without(days, columns), applies)
        if not has_partner.all():
            add(name, _only(days, columns), applies & ~has_partner)
    for name, days, applies in zip(other.event_names, theirs, other.event_series, strict=True):
        laid, ours = np.zeros(known.shape[1], dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        laid[columns] = days[columns + partners.shift]
        ours[partners.own] = applies[partners.theirs]
        if laid.any() and ours.any():
            add(name, laid, ours)
    order = sorted(found)
    kinds = {**_kinds(other), **_kinds(panel)}
    all_days = np.array([found[key] for key in order], dtype=np.bool_).reshape(len(order), known.shape[1])
    applies = np.array([np.frombuffer(key[1], dtype=np.bool_) for key in order], dtype=np.bool_)
    mixed = replace(
        panel,
        event_names=tuple(name for name, _ in order),
        event_kinds=tuple(kinds.get(name) for name, _ in order) if kinds else (),
        event_days=all_days[:, : panel.event_days.shape[1]],
        events_beyond=None if panel.events_beyond is None else all_days[:, panel.event_days.shape[1] :],
        event_series=applies.reshape(len(order), count),
    )
    return panel if _events_ahead(panel) == _events_ahead(mixed) else mixed


def _kinds(panel: Panel) -> dict[str, str | None]:
    return dict(zip(panel.event_names, panel.event_kinds, strict=False))


def _only(days: Bools, columns: Rows) -> Bools:
    out = np.zeros_like(days)
    out[columns] = days[columns]
    return out


def _without(days: Bools, columns: Rows) -> Bools:
    out = days.copy()
    out[columns] = False
    return out


# --- covariates ---


def _covariates(panel: Panel, other: Panel, partners: _Partners, days: Rows) -> Covariates:
    """Words on covariates of which those on days ahead are the other's; the own ones where they say the same."""
    own = panel.covariates
    names = tuple(sorted({*own.names, *other.covariates.names}))
    stores, store = np.unique(panel.series["store_id"].to_numpy().astype(str), return_inverse=True)
    other_stores = np.unique(other.series["store_id"].to_numpy().astype(str))
    is_known = np.isin(stores, other_stores)
    place = np.searchsorted(other_stores, stores[is_known])
    width = panel.history_days + panel.horizon_days
    before = {name: _by_store(panel, name, width, len(stores)) for name in names}
    after = {}
    for name in names:
        said = _by_store(other, name, other.history_days + other.horizon_days, len(other_stores))
        plans = ~np.isnan(said[:, other.history_days :]).all()
        columns = days if plans else days[days + partners.shift >= other.history_days]
        after[name] = before[name].copy()
        after[name][np.ix_(is_known, columns)] = said[np.ix_(place, columns + partners.shift)]
    if all(np.array_equal(before[name], after[name], equal_nan=True) for name in names):
        return own
    told = [_words(at, values[:, days], days + own.first, len(own.scopes), panel.history_days - 1 + own.first)
            for at, values in enumerate(after.values())]  # fmt: skip
    kept = own.words.only(~np.isin(own.words.day - own.first, days))
    what = np.array([names.index(name) for name in own.names], dtype=np.intp)
    kept = replace(kept, what=what[kept.what])
    words = Words(**{name: np.concatenate([getattr(each, name) for each in (kept, *told)]) for name in vars(kept)})
    scopes = np.concatenate([own.scopes.reshape(len(own.scopes), len(stores)), np.eye(len(stores), dtype=np.bool_)])
    return Covariates(names, store.astype(np.intp), scopes, words, own.first)


def _as_known(panel: Panel, name: str, days: int) -> Floats:
    return panel.covariates.as_known(name, panel.history_days - 1, days)


def _by_store(panel: Panel, name: str, days: int, stores: int) -> Floats:
    """[S, D] a covariate as the panel's cutoff knows it; NaN where nobody speaks of any."""
    return _as_known(panel, name, days) if panel.covariates.names else np.full((stores, days), np.nan)


def _words(what: int, values: Floats, days: Rows, first_place: int, since: int) -> Words:
    """Say values by store and day, known at a cutoff."""
    store, at = np.nonzero(~np.isnan(values))
    return Words(
        np.full(len(store), what, dtype=np.intp),
        (store + first_place).astype(np.intp),
        days[at].astype(np.intp),
        np.full(len(store), since, dtype=np.intp),
        values[store, at],
    )
