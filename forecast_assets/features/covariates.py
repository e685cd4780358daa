"""Covariates: numeric drivers of demand, such as weather or tourism, with what was known of each at every cutoff.

What belongs here: laying words on covariates out by store and day, and reading them as a cutoff knew them. What does
not: which source counts (history), what models make of a covariate, or its effect.

Of a day ahead a cutoff knows a plan or nothing, and of a past day the newest word. Both are read from the same words:
each has the first cutoff that knew it. So a model that is trained on past days ahead reads the plans of then, with
their errors, and not what came; what is only ever observed is not known ahead, whoever asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Rows
from forecast_assets.features.places import stores_in

# What a word is laid out from: of what, where, of which day, the first cutoff that knew it, and the value.
WORD_COLUMNS: Final = ("covariate", "store_node", "event_date", "since", "value")


@dataclass(frozen=True)
class Words:
    """What was said of covariates, w words; one of the same covariate, place and day stands until the next.

    Attributes:
        what: [w] covariate, as its place among the names.
        place: [w] place, as a row of the scopes.
        day: [w] column of the day that it speaks of.
        since: [w] column of the first cutoff that knew it, rising.
        value: [w].
    """

    what: Rows
    place: Rows
    day: Rows
    since: Rows
    value: Floats

    def only(self, chosen: Bools) -> "Words":
        """Return some of the words."""
        return Words(**{name: values[chosen] for name, values in vars(self).items()})


def _no_words() -> Words:
    nothing = np.zeros(0, dtype=np.intp)
    return Words(nothing, nothing, nothing, nothing, np.zeros(0))


@dataclass(frozen=True)
class Covariates:
    """K covariates of n series in S stores.

    Attributes:
        names: K names, sorted.
        store: [n] store of each series.
        scopes: [P, S] which stores each place holds, the widest place first.
        words: What was said.
        first: Column of the words' days that is column 0 here.
    """

    names: tuple[str, ...] = ()
    store: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    scopes: Bools = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    words: Words = field(default_factory=_no_words)
    first: int = 0

    def as_known(self, name: str, cutoff: int, days: int) -> Floats:
        """Return a covariate as a cutoff knew it: the past by the newest word of then, days ahead by plans of then.

        Where several places say something of a store and day, the narrowest counts.

        Args:
            name: Covariate; one that nobody speaks of is unknown.
            cutoff: Column of the cutoff.
            days: D, columns to return.

        Returns:
            [S, D], NaN where nothing was known.
        """
        out = np.full((self.scopes.shape[1], days), np.nan)
        if name not in self.names:
            return out
        day = self.words.day - self.first
        is_known = (self.words.since <= cutoff + self.first) & (day >= 0) & (day < days)
        told = self.words.only(is_known & (self.words.what == self.names.index(name)))
        placed = np.full((len(self.scopes), days), np.nan)
        # Words come in the order in which they were known: the last assignment of a cell stands.
        placed[told.place, told.day - self.first] = told.value
        for place in np.unique(told.place):
            said = ~np.isnan(placed[place])
            out[np.ix_(self.scopes[place], said)] = placed[place, said]
        return out

    def as_of(self, cutoff: int) -> "Covariates":
        """Return what was known at an earlier cutoff, given by its column, and before."""
        return replace(self, words=self.words.only(self.words.since <= cutoff + self.first))

    def since(self, column: int) -> "Covariates":
        """Return the same with another column as the first."""
        return replace(self, first=self.first + column)

    def take(self, rows: Rows) -> "Covariates":
        """Return those of some series."""
        return replace(self, store=self.store[rows]) if self.names else self


def lay_out_covariates(
    words: pl.LazyFrame | None, series: pl.DataFrame, first: date, days: int, store_nodes: pl.DataFrame | None
) -> Covariates:
    """Lay words on covariates out by store and day.

    Args:
        words: `WORD_COLUMNS`, `since` as the date of the cutoff; of words of the same since the last one stands. None
            where there is no such feed.
        series: `store_id` of n series.
        first: Day of column 0.
        days: Columns; words of other days are left out.
        store_nodes: `store_id, node_id` of every level of the store hierarchy; None where there is none. What is said
            of a place that holds no store is left out.
    """
    if words is None:
        return Covariates()
    last = first + timedelta(days=days - 1)
    told = words.filter(pl.col("event_date").is_between(first, last)).select(WORD_COLUMNS).collect()
    stores, store = np.unique(series["store_id"].to_numpy().astype(str), return_inverse=True)
    every = pl.Series(stores, dtype=pl.String)
    scopes = {node: stores_in(node, every, store_nodes) for node in told["store_node"].unique().sort()}
    # The narrowest last, so that it is written over the others.
    places = sorted((node for node, inside in scopes.items() if inside.any()), key=lambda node: -scopes[node].sum())
    told = told.filter(pl.col("store_node").is_in(places)).sort("since", maintain_order=True)
    names = tuple(told["covariate"].unique().sort())
    if not names:
        return Covariates()
    day, since = ((told[name] - first).dt.total_days().to_numpy().astype(np.intp) for name in ("event_date", "since"))
    what, place = _at(told["covariate"], names), _at(told["store_node"], places)
    return Covariates(
        names=names,
        store=store.astype(np.intp),
        scopes=np.stack([scopes[node] for node in places]),
        words=Words(what, place, day, since, told["value"].to_numpy()),
    )


def _at(names: pl.Series, order: Sequence[str]) -> Rows:
    """[w] Place of each name in an order."""
    place = {name: at for at, name in enumerate(order)}
    return names.replace_strict(place, return_dtype=pl.Int64).to_numpy().astype(np.intp)
