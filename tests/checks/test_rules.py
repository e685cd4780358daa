"""Every rule passes on coherent products and fails on the defect that it is there for."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from checks.judging import Verdict, judge
from checks.rule import Rule
from checks.rules import RULES, rules_of
from forecast_assets.contracts import PRODUCTS
from forecast_assets.lifecycle.assigning import assignment_rows
from forecast_assets.lifecycle.judging import judge as judge_trial
from forecast_assets.lifecycle.pairs import compared_rows
from resources.ledger.entries.assign import AssignmentTerms
from tests.support.products import KEY, KNOWN_UNTIL, make_all
from tests.support.trial_cases import Said, both, rows_of_days, trial
from tests.support.value_cases import value_frame, value_row

Break = Callable[[pl.DataFrame], pl.DataFrame]

TRIAL_DAY = trial().first_day
FIRST = (pl.col("sku_id") == "A") & (pl.col("step") == 1)


def plus_one(column: str, where: pl.Expr | None = None) -> Break:
    condition = FIRST if where is None else where
    return lambda frame: frame.with_columns(
        pl.when(condition).then(pl.col(column) + 1).otherwise(pl.col(column)).cast(frame.schema[column]).alias(column)
    )


def without(where: pl.Expr) -> Break:
    return lambda frame: frame.filter(~where)


def replaced(column: str, value: object) -> Break:
    return lambda frame: frame.with_columns(pl.when(FIRST).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


def day_later(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("target_date") + timedelta(days=1))


def offsetting(frame: pl.DataFrame) -> pl.DataFrame:
    """Give one SKU what is taken from the other: sums of the level stay right, the nodes do not."""
    moved = pl.col("product_node").replace_strict({"A": 1, "B": -1}, default=0, return_dtype=pl.Int32)
    return frame.with_columns((pl.col("forecast_units") + moved).cast(frame.schema["forecast_units"]))


TOTAL = (pl.col("product_level") == "total") & (pl.col("store_level") == "total") & (pl.col("step") == 1)


def every_frame() -> dict[str, pl.DataFrame]:
    """Every product, and what a trial of nine days stores of two of four stores."""
    said = {TRIAL_DAY + timedelta(days=at): both(Said(), Said(loss=90.0 + at)) for at in range(9)}
    measured = [day for at, day in enumerate(said) if at != 3]
    compared = compared_rows(rows_of_days({day: said[day] for day in measured}).lazy(), trial()).collect()
    terms = AssignmentTerms("stat-1", 7, 9, "stat-2", 0.5, "salt", is_challenger_published=True)
    stores = ["S1", "S2", "S3", "S4"]
    assigned = assignment_rows("champion", "daily", TRIAL_DAY, terms, stores, [*stores[:3]])
    assert set(assigned["is_challenger_store"]) == {True, False}
    evidence = judge_trial(trial(), compared, measured).rows
    valued = value_frame([value_row(), value_row("o4-1", published=7), value_row("o5-1", published=10)])
    return {
        **make_all(),
        "channel_assignments": assigned,
        "challenger_evidence": evidence,
        "forecast_value_added": valued,
    }


def of_store(column: str, value: object, number: int = 0, *, challenger: bool = True) -> Break:
    """Another value in a store that follows the challenger, or not."""

    def broken(frame: pl.DataFrame) -> pl.DataFrame:
        store = frame.filter(is_challenger_store=challenger)["store_id"][number]
        return frame.with_columns(
            pl.when(pl.col("store_id") == store).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
        )

    return broken


BREAKS: dict[str, Break] = {
    "every_store_is_assigned_once": lambda frame: pl.concat([frame, frame.head(1)]),
    "only_challenger_stores_leave_the_champion": of_store("model_version", "stat-3", challenger=False),
    "stores_follow_by_their_hash": of_store("hashed_share", 0.99),
    "every_day_of_a_step_is_there": without(pl.col("target_date") == TRIAL_DAY + timedelta(days=3)),
    "one_step_decides": lambda frame: frame.with_columns(is_deciding=pl.lit(value=True)),
    "days_without_a_pair_have_no_losses": lambda frame: frame.with_columns(no_pair=pl.lit("")),
    "evidence_counts_its_observations": lambda frame: frame.with_columns(pl.col("observations") + 1),
    "every_level_counts_the_same_units": plus_one("series_without_actual", pl.col("product_level") == "total"),
    "segments_sum_to_all_rows": plus_one("pinball_loss_units", pl.col("segment") == "lumpy"),
    "judged_rows_are_rows": lambda frame: frame.with_columns(pl.col("quantile_rows") + 9),
    "stages_are_judged_by_the_same_sales": lambda frame: frame.with_columns(pl.col("base_error_units") + 3),
    "moves_are_in_their_direction": lambda frame: frame.with_columns(direction=pl.lit("up")),
    "last_weeks_sales_were_known_at_the_time": lambda frame: frame.with_columns(pl.col("sales_mean_7d_units") + 1),
    "every_series_has_every_step": without((pl.col("sku_id") == "B") & (pl.col("step") == 7)),
    "target_dates_follow_the_prediction_date": day_later,
    "components_sum_to_base_units": plus_one("price_units"),
    "quantiles_rise_with_probability": lambda frame: frame.with_columns(pl.col("q025_units") + 9),
    "few_series_fall_back": lambda frame: frame.with_columns(is_fallback=pl.col("sku_id") == "A"),
    "quality_flags_agree_with_their_columns": replaced("quality_flags", "short_history;fallback"),
    "scores_and_shares_lie_between_zero_and_one": replaced("out_of_distribution_score", 1.5),
    "few_rows_are_out_of_distribution": replaced("out_of_distribution_score", 0.996),
    "reconciliation_keeps_the_total_in_reach": lambda frame: frame.with_columns(pl.col("reconciled_units") * 2),
    "overrides_begin_with_the_untouched_forecast": plus_one("model_units"),
    "overrides_follow_one_another": plus_one("before_units", FIRST & (pl.col("application") == 3)),
    "override_is_what_was_applied": plus_one("override_units"),
    "probabilities_lie_between_zero_and_one": plus_one("stockout_probability"),
    "parts_sum_to_the_probability": plus_one("replenishment_probability"),
    "lost_units_never_exceed_the_forecast": lambda frame: frame.with_columns(pl.col("expected_lost_units") + 4),
    "drivers_sum_to_the_published_number": plus_one("event_units"),
    "every_row_has_its_reasons": replaced("risk_reason", ""),
    "forecast_is_what_the_explanation_says": plus_one("expected_sales_units"),
    "every_level_sums_to_the_total": plus_one("forecast_units", TOTAL),
    "children_sum_to_parent": offsetting,
    "every_series_has_its_periods": without((pl.col("sku_id") == "B") & (pl.col("period") == "first_7_days")),
    "periods_sum_their_days": plus_one("forecast_units", pl.col("period") == "first_7_days"),
}


def verdict(rule: Rule, frames: Mapping[str, pl.DataFrame], folder: Path) -> Verdict:
    paths = {}
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        frame.write_parquet(path)
        paths[name] = [str(path)]
    with duckdb.connect() as connection:
        return judge(rule, paths, connection, KNOWN_UNTIL)


def rule_id(rule: Rule) -> str:
    return f"{rule.product}.{rule.name}"


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_the_rule_passes_on_coherent_products(rule: Rule, tmp_path: Path) -> None:
    found = verdict(rule, every_frame(), tmp_path)
    assert found.passed, found.examples
    assert found.message == "No row breaks it."


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_the_rule_fails_on_its_defect_and_shows_the_rows(rule: Rule, tmp_path: Path) -> None:
    frames = every_frame()
    damaged = BREAKS[rule.name](frames[rule.product])
    frames[rule.product] = damaged
    found = verdict(rule, frames, tmp_path)
    assert not found.passed
    assert 0 < found.examples.height <= 10
    assert rule.remedy in found.message


@pytest.mark.parametrize("name", ["total", "all", "store", "sku", "it's"])
def test_sums_are_told_by_their_level_whatever_members_are_called(name: str, tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.name == "children_sum_to_parent")
    frames = dict(make_all())
    renamed = pl.when(pl.col("sku_id") == "A").then(pl.lit(name)).otherwise("sku_id")
    frames["forecasts"] = frames["forecasts"].with_columns(sku_id=renamed)
    node = pl.when(product_level="sku", product_node="A").then(pl.lit(name)).otherwise("product_node")
    frames["aggregate_forecasts"] = frames["aggregate_forecasts"].with_columns(product_node=node)
    found = verdict(rule, frames, tmp_path)
    assert found.passed, found.examples
    # A member that takes from the total what it gives is still found.
    more = pl.col("forecast_units") + (pl.col("product_node") == name).cast(pl.Int32)
    wrong = frames["aggregate_forecasts"].with_columns(more.cast(frames["forecasts"].schema["forecast_units"]))
    frames["aggregate_forecasts"] = wrong
    assert not verdict(rule, frames, tmp_path).passed


def test_products_below_a_folder_like_a_partition_or_a_pattern_are_read_as_they_are(tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.name == "every_series_has_every_step" and rule.product == "forecasts")
    for folder in ("store_id=7", "sku_id=[A]*"):
        (tmp_path / folder).mkdir()
        found = verdict(rule, make_all(), tmp_path / folder)
        assert found.passed, found.examples


STEPS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "a step comes twice in place of another": lambda frame: frame.with_columns(
        pl.when((pl.col("sku_id") == "B") & (pl.col("step") == 2)).then(1).otherwise("step").alias("step")
    ),
    "a step comes twice beside all others": lambda frame: pl.concat([frame, frame.filter(step=3, sku_id="B")]),
    "steps are counted from nought": lambda frame: frame.with_columns(pl.col("step") - 1),
    "a series has no step": lambda frame: frame.filter(pl.col("sku_id") != "B"),
}


@pytest.mark.parametrize("wrong", STEPS)
def test_whatever_is_wrong_with_the_steps_of_a_series_is_found(wrong: str, tmp_path: Path) -> None:
    frames = dict(make_all())
    rule = next(rule for rule in RULES if rule.name == "every_series_has_every_step" and rule.product == "forecasts")
    frames["forecasts"] = STEPS[wrong](frames["forecasts"]).cast({"step": pl.Int32})
    assert not verdict(rule, frames, tmp_path).passed


LOOKS_AHEAD: dict[str, pl.Expr] = {
    "a day after the cutoff": pl.col("event_date") > KEY.prediction_date,
    "a row that became known later": pl.col("known_at") > KNOWN_UNTIL,
}


@pytest.mark.parametrize("ahead", LOOKS_AHEAD)
def test_a_snapshot_that_read_what_was_not_known_yet_is_found(ahead: str, tmp_path: Path) -> None:
    frames = dict(make_all())
    sales = frames["sales"]
    leaked = sales.filter(LOOKS_AHEAD[ahead])
    assert leaked.height == 1
    rule = next(rule for rule in RULES if rule.name == "last_weeks_sales_were_known_at_the_time")
    known = sales.filter(pl.col("event_date") <= KEY.prediction_date, pl.col("known_at") <= KNOWN_UNTIL)
    last = pl.concat([known, leaked]).sort("known_at").unique(["sku_id", "event_date"], keep="last")
    means = last.group_by("store_id", "sku_id").agg(sales_mean_7d_units=pl.col("sales_units").mean())
    snapshot = frames["feature_snapshots"].drop("sales_mean_7d_units")
    frames["feature_snapshots"] = snapshot.join(means, on=["store_id", "sku_id"])
    found = verdict(rule, frames, tmp_path)
    assert found.failing_rows == 1
    assert found.examples["sku_id"].item() == leaked["sku_id"].item()


def test_a_series_that_a_snapshot_left_out_is_found(tmp_path: Path) -> None:
    frames = dict(make_all())
    frames["feature_snapshots"] = frames["feature_snapshots"].filter(pl.col("sku_id") != "B")
    rule = next(rule for rule in RULES if rule.name == "last_weeks_sales_were_known_at_the_time")
    assert verdict(rule, frames, tmp_path).examples["sku_id"].to_list() == ["B"]


def test_hand_made_products_keep_their_contracts() -> None:
    for name, frame in make_all().items():
        if name in PRODUCTS:
            assert PRODUCTS[name].validate(frame) is frame


def test_rule_names_are_unique_within_a_product() -> None:
    assert len({rule_id(rule) for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_moments_of_failing_rows_are_shown_in_utc_on_every_machine(
    zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    rule = Rule("nothing_is_known", "snapshot", "SELECT known_at, known_at::DATE AS day FROM product", "none")
    found = verdict(rule, {"snapshot": pl.DataFrame({"known_at": [KNOWN_UNTIL]})}, tmp_path)
    assert found.examples.rows() == [(KNOWN_UNTIL, KNOWN_UNTIL.date())]
    assert found.examples.schema["known_at"] == pl.Datetime("us", "UTC")


WRONG_ASSIGNMENTS: dict[str, tuple[str, Break]] = {
    "a store follows without a hash": ("stores_follow_by_their_hash", of_store("hashed_share", None)),
    "a store with a low hash does not follow": (
        "stores_follow_by_their_hash", of_store("hashed_share", 0.0, challenger=False),
    ),
    "a third version": ("only_challenger_stores_leave_the_champion", of_store("model_version", "stat-3")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_ASSIGNMENTS)
def test_whatever_is_wrong_with_an_assignment_is_found(wrong: str, tmp_path: Path) -> None:
    name, spoil = WRONG_ASSIGNMENTS[wrong]
    frames, rule = every_frame(), next(rule for rule in RULES if rule.name == name)
    frames["channel_assignments"] = spoil(frames["channel_assignments"])
    assert not verdict(rule, frames, tmp_path).passed


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all_of_the_stores_may_follow_and_without_a_trial_none_has_a_hash(share: float, tmp_path: Path) -> None:
    for terms in (AssignmentTerms("stat-1", 7, 9, "stat-2", share, "salt"), AssignmentTerms("stat-1", 7)):
        rows = assignment_rows("champion", "daily", TRIAL_DAY, terms, ["S1", "S2"], [])
        for rule in rules_of("channel_assignments"):
            found = verdict(rule, {"channel_assignments": rows}, tmp_path)
            assert found.passed, (rule.name, found.examples)


WRONG_EVIDENCE: dict[str, tuple[str, Break]] = {
    "wealth before anything was observed": (
        "evidence_counts_its_observations", lambda frame: frame.with_columns(e_value=pl.lit(1.5)),
    ),
    "another mean": (
        "evidence_counts_its_observations", lambda frame: frame.with_columns(pl.col("mean_difference") * 0.9),
    ),
    "no step decides": ("one_step_decides", lambda frame: frame.with_columns(is_deciding=pl.lit(value=False))),
    "the last day of a step is missing": (
        "every_day_of_a_step_is_there",
        without((pl.col("step") == 1) & (pl.col("target_date") == TRIAL_DAY + timedelta(days=8))),
    ),
    "one loss of a pair is missing": (
        "days_without_a_pair_have_no_losses", lambda frame: frame.with_columns(challenger_loss=None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_EVIDENCE)
def test_whatever_is_wrong_with_evidence_is_found(wrong: str, tmp_path: Path) -> None:
    name, spoil = WRONG_EVIDENCE[wrong]
    frames, rule = every_frame(), next(rule for rule in RULES if rule.name == name)
    frames["challenger_evidence"] = spoil(frames["challenger_evidence"])
    assert not verdict(rule, frames, tmp_path).passed
