"""Signals of a snapshot: feeds of which so many series are anomalous that the feed itself must be looked at.

What belongs here: shares of anomalous series by feed and store, and which signals open or are told no more. What does
not: judging a series, or recording.
"""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Final

import polars as pl

from forecast_assets.contracts import ANOMALOUS, TOO_LITTLE_HISTORY
from forecast_assets.core.errors import first_ten
from resources.ledger.entries.judged_days import Signal, SignalName, opened_and_closed

SUBJECT: Final = "series"
SHARE: Final = "anomaly_share"
ALL: Final = "all"
STORES: Final = "stores"
# Five times the false alarms of all series, and in one store so many that chance does not reach them.
MOST_OF_ALL: Final = 0.05
MOST_OF_STORE: Final = 0.2
LEAST_SERIES: Final = 5


def anomaly_shares(rows: pl.DataFrame) -> pl.DataFrame:
    """Return how many series are anomalous by each feed, over all stores and in each.

    Args:
        rows: Contract `feature_anomalies`.

    Returns:
        `feed, scope, judged, anomalous, share, inputs`; feeds without an anomalous series are not there.
    """
    judged = rows.filter(pl.col("verdict") != TOO_LITTLE_HISTORY)
    told = judged.filter(pl.col("verdict") == ANOMALOUS)
    counts = pl.concat([judged.with_columns(scope=pl.lit(ALL)), judged.with_columns(scope="store_id")])
    found = pl.concat([told.with_columns(scope=pl.lit(ALL)), told.with_columns(scope="store_id")])
    by_feed = found.group_by("feed", "scope").agg(
        anomalous=pl.len(), inputs=pl.col("inputs").str.split(";").list.first().unique().sort()
    )
    of_scope = counts.group_by("scope").agg(judged=pl.len())
    made = by_feed.join(of_scope, on="scope").with_columns(share=pl.col("anomalous") / pl.col("judged"))
    return made.select("feed", "scope", "judged", "anomalous", "share", "inputs").sort("feed", "scope")


def signals_of_rows(rows: pl.DataFrame, day: date) -> list[Signal]:
    """Return the signals of a day, by name: what is told of all stores is not told again of each.

    Args:
        rows: Contract `feature_anomalies`.
        day: The day.
    """
    shares = anomaly_shares(rows).filter(pl.col("anomalous") >= LEAST_SERIES)
    is_all = pl.col("scope") == ALL
    told = shares.filter((is_all & (pl.col("share") > MOST_OF_ALL)) | (~is_all & (pl.col("share") > MOST_OF_STORE)))
    made = []
    for (feed,), some in told.sort("feed").group_by("feed", maintain_order=True):
        whole = some.filter(is_all)
        counted = whole if whole.height else some
        reach = ALL if whole.height else STORES
        name = SignalName(SUBJECT, str(feed), SHARE, ANOMALOUS, reach)
        where = "over all stores" if whole.height else f"in {first_ten(some['scope'].to_list())}"
        inputs = sorted({each for names in counted["inputs"].to_list() for each in names})
        share = float(str(counted["share"].max()))
        made.append(
            Signal(
                str(name),
                day.isoformat(),
                round(share, 6),
                f"{share:.0%} of series are unlike their past by {feed} {where} on {day}: {first_ten(inputs)}",
            )
        )
    return made


def opened_and_closed_signals(
    told: Iterable[Signal], present: Iterable[str], known_feeds: Collection[str]
) -> tuple[tuple[Signal, ...], tuple[str, ...]]:
    """Return which signals are new, and which are told no more; those of other kinds are left alone.

    Args:
        told: Signals of the day.
        present: All that were told before, of whatever kind.
        known_feeds: Feeds of which the snapshot has values. What was told of another is not over: of a feed that is not
            there, nobody knows.
    """
    before = {name for name in present if name.startswith(f"{SUBJECT}/")}
    return opened_and_closed(told, before, lambda name: name.name in known_feeds)
