"""Trials of a challenger: which store follows which version, and the evidence day by day.

What belongs here: the contract of each. What does not: assigning or weighing.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.columns import store_column
from forecast_assets.contracts.schema import Column, Contract
from forecast_assets.core.quantities import UNITS

CHANNEL_ASSIGNMENTS: Final = Contract(
    name="channel_assignments",
    grain="one store on one prediction date, of whoever follows a channel",
    description="Which model version's run whoever follows a channel reads in each store.",
    columns=(
        Column("channel", pl.String, "the channel that is followed, such as `champion`"),
        Column("cadence", pl.String, "rhythm of the runs", one_of=("daily", "weekly")),
        Column("prediction_date", pl.Date, "prediction date of the run"),
        store_column(),
        Column("model_version", pl.String, "version whose rows to read"),
        Column("forecast_horizon", pl.Int32, "horizon of that run in days", at_least=1),
        Column(
            "is_challenger_store",
            pl.Boolean,
            "whether the store follows the challenger; one that does has the champion's version nevertheless, as long "
            "as the challenger has not published the date",
        ),
        Column("hashed_share", pl.Float64, "where the store lies between 0 and 1: SHA-256 of salt, a zero byte and "
               "store; below the share it follows the challenger; null where no trial ran", nullable=True,
               at_least=0, at_most=1),
    ),
    key=("channel", "cadence", "prediction_date", "store_id"),
    promises=(
        "Every store of the champion's run is there once, and the version that it names has published its rows.",
        "A greater share of the same trial moves stores to the challenger only, a smaller one back only.",
    ),
    limits=(
        "Dates before the first trial of a cadence have none: all of their stores follow the channel.",
        "A store's share of sales is not looked at: a fifth of the stores may sell more or less than that.",
    ),
)  # fmt: skip

CHALLENGER_EVIDENCE: Final = Contract(
    name="challenger_evidence",
    grain="one trial, one step, one target date",
    description="How much less a challenger lost than the champion, day by day, and what that amounts to.",
    columns=(
        Column("cadence", pl.String, "rhythm of the runs", one_of=("daily", "weekly")),
        Column("trial", pl.Int64, "ledger entry that began the trial, with its rules", at_least=1),
        Column("champion_version", pl.String, "the version that is challenged"),
        Column("challenger_version", pl.String, "the version that challenges it"),
        Column("step", pl.Int32, "days ahead", at_least=1),
        Column("is_deciding", pl.Boolean, "whether the trial decides on this step; others are reported"),
        Column("target_date", pl.Date, "the day"),
        Column("champion_loss", UNITS, "summed loss, in units; null where the day has no pair", nullable=True,
               at_least=0),
        Column("challenger_loss", UNITS, "likewise, over the same rows", nullable=True, at_least=0),
        Column("no_pair", pl.String, "why the day has no pair; empty if it has", may_be_empty=True),
        Column("difference", pl.Float64, "by how much less the challenger lost, as a share of the mean loss, cut off "
               "at the bound and divided by it; null without a pair", nullable=True, at_least=-1, at_most=1),
        Column("observation", pl.Float64, "on the last day of a period: what the period says; null on others, and "
               "where it says nothing", nullable=True, at_least=-1, at_most=1),
        Column("observations", pl.Int64, "known so far", at_least=0),
        Column("e_value", pl.Float64, "wealth of a bettor who began with 1", at_least=0),
        Column("mean_difference", pl.Float64, "mean observation so far; null before the first", nullable=True,
               at_least=-1, at_most=1),
        Column("lower", pl.Float64, "lower limit of the mean difference, at all times at once", at_least=-1,
               at_most=1),
        Column("upper", pl.Float64, "upper limit likewise", at_least=-1, at_most=1),
        Column("is_significant", pl.Boolean, "whether the e-value had reached 1 / level by then"),
    ),
    key=("cadence", "trial", "step", "target_date"),
    promises=(
        "Both losses of a day are of runs as first published, over the same rows, by the newest measurement of it.",
        "Every day from the trial's first on is there, also those without a pair.",
    ),
    limits=(
        "The level holds for the deciding step alone, and for one trial: several trials in a row add up.",
        "28 days ahead there are thirteen observations a year, which decide nothing.",
        "A day that is restated changes what follows from it; verdicts of before stay in the ledger.",
    ),
)  # fmt: skip
