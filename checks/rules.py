"""Rules over stored products, as data: one SQL query each, which returns the rows that break the rule.

What belongs here: what must hold of a product, why it matters, and what to do when it does not.
What does not: Dagster, or where files are.

A query reads `product` and, by name, the products that it was made from; of a snapshot, the observations that its
manifest names, as `getvariable('known_until_us')` the moment by which they had to be known, and as `has_silence`
whether days without a word may count as zero. SQL is a second pair of eyes: the same promise, computed by another
engine than the one that made the numbers.
"""

from itertools import pairwise
from typing import Final

from checks.rule import BUG, Rule
from checks.trial_rules import TRIAL_RULES
from forecast_assets.base_forecasts.quality import UNUSUAL_SCORE
from forecast_assets.contracts import (
    COMPONENTS,
    COVERING_COLUMNS,
    FIRST_DAYS,
    FORECAST_ACCURACY,
    QUANTILE_COLUMNS,
    VALUE_STAGES,
)

ROW: Final = "store_id, sku_id, step"
NODE: Final = "product_level, product_node, store_level, store_node"


_RISING: Final = " OR ".join(f"{low} > {high}" for low, high in pairwise(QUANTILE_COLUMNS))
_COVERING_RISING: Final = " OR ".join(f"{low} > {high}" for low, high in pairwise(COVERING_COLUMNS))
# Of fixed periods; that of the whole horizon has no number of its own.
_PERIOD_DAYS: Final = ", ".join([*(f"('first_{days}_days', {days})" for days in FIRST_DAYS), "('horizon', NULL)"])
_SUM: Final = " + ".join(COMPONENTS)
_PARTS: Final = (
    "coalesce(demand_probability, 0) + coalesce(on_hand_probability, 0) + coalesce(on_order_probability, 0)"
    " + coalesce(replenishment_probability, 0) + coalesce(usual_probability, 0) + coalesce(series_probability, 0)"
)


def _complete(product: str) -> Rule:
    return Rule(
        name="every_series_has_every_step",
        product=product,
        reads=("feature_snapshots",),
        # Each step sets its bit, which costs a sixth of counting distinct steps; horizons end far below 127 days.
        failing="""
            WITH made AS (
                SELECT store_id, sku_id, count(*) AS steps, bit_or(1::HUGEINT << step::HUGEINT) AS present FROM product
                GROUP BY ALL),
            run AS (SELECT max(forecast_horizon) AS forecast_horizon FROM product)
            SELECT s.store_id, s.sku_id, coalesce(m.steps, 0) AS steps, run.forecast_horizon
            FROM feature_snapshots s LEFT JOIN made m USING (store_id, sku_id), run
            WHERE m.steps IS DISTINCT FROM run.forecast_horizon
                OR m.present <> (1::HUGEINT << (run.forecast_horizon + 1)::HUGEINT) - 2""",
        remedy="Run the whole run again: some series of the snapshot are not in the product.",
    )


def _target_dates(product: str) -> Rule:
    return Rule(
        name="target_dates_follow_the_prediction_date",
        product=product,
        failing="SELECT * FROM product WHERE target_date <> prediction_date + step::INTEGER",
        remedy=BUG,
    )


def _flags(product: str) -> Rule:
    return Rule(
        name="quality_flags_agree_with_their_columns",
        product=product,
        failing=f"""
            WITH told AS (SELECT *, string_split(quality_flags, ';') AS flags FROM product)
            SELECT {ROW}, quality_flags, is_fallback, demand_class, out_of_distribution_score FROM told
            WHERE list_contains(flags, 'fallback') <> is_fallback
                OR list_contains(flags, 'new_series') <> (demand_class = 'new')
                OR list_contains(flags, 'out_of_distribution')
                    <> coalesce(out_of_distribution_score >= {UNUSUAL_SCORE}, false)""",  # noqa: S608
        remedy=BUG,
    )


_RUN: Final = "cadence, prediction_date, model_version, forecast_horizon, revision, target_date"
_ADDITIVE: Final = tuple(
    column.name for column in FORECAST_ACCURACY.columns if column.name not in (*FORECAST_ACCURACY.key, "step")
)

RULES: Final = (
    Rule(
        name="last_weeks_sales_were_known_at_the_time",
        product="feature_snapshots",
        reads=("sales",),
        # Sources may disagree, so a day's sales lie between the least and the most that was said of it by then; where
        # one word was said, they are that word. A row of a later day, or one that became known later, falls outside.
        # Where silence means zero, days without a word may be zeros or not known, so that the mean is lower at most.
        failing="""
            WITH said AS (
                SELECT store_id, sku_id, event_date, min(sales_units) AS least, max(sales_units) AS most FROM sales
                WHERE epoch_us(known_at) <= getvariable('known_until_us')
                    AND event_date > (SELECT max(prediction_date) - 7 FROM product)
                    AND event_date <= (SELECT max(prediction_date) FROM product)
                GROUP BY ALL),
            known AS (
                SELECT store_id, sku_id, avg(most) AS most_mean,
                    sum(least) / CASE WHEN getvariable('has_silence') THEN 7 ELSE count(*) END AS least_mean
                FROM said GROUP BY ALL)
            SELECT store_id, sku_id, sales_mean_7d_units, least_mean, most_mean
            FROM product FULL JOIN known USING (store_id, sku_id)
            WHERE CASE WHEN getvariable('has_silence') AND least_mean IS NULL THEN sales_mean_7d_units <> 0
                ELSE (sales_mean_7d_units IS NULL) <> (least_mean IS NULL) END
                OR sales_mean_7d_units NOT BETWEEN least_mean - 1e-5 AND most_mean + 1e-5""",
        remedy="Rows were read that were not known by then, or some were left out: keep the store as it is and report "
        "the snapshot.",
    ),
    _complete("base_forecasts"),
    _target_dates("base_forecasts"),
    Rule(
        name="components_sum_to_base_units",
        product="base_forecasts",
        failing=f"SELECT {ROW}, base_units, {_SUM} AS parts FROM product WHERE {_SUM} <> base_units",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="quantiles_rise_with_probability",
        product="base_forecasts",
        failing=f"SELECT {ROW}, {', '.join(QUANTILE_COLUMNS)} FROM product WHERE {_RISING}",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="few_series_fall_back",
        product="base_forecasts",
        failing="""
            SELECT demand_class, model_used, count(*) AS series FROM product WHERE step = 1 AND is_fallback
            GROUP BY ALL
            HAVING (
                SELECT count(*) FILTER (is_fallback AND demand_class NOT IN ('dead', 'ended')) > 0.05 * count(*)
                FROM product WHERE step = 1)""",
        remedy="More than 5% of the series still sell and could not be forecast by their chosen model: look at the "
        "newest ingest.",
    ),
    _flags("base_forecasts"),
    Rule(
        name="scores_and_shares_lie_between_zero_and_one",
        product="base_forecasts",
        failing=f"""
            SELECT {ROW}, out_of_distribution_score, lost_share FROM product
            WHERE out_of_distribution_score NOT BETWEEN 0 AND 1 OR lost_share NOT BETWEEN 0 AND 1""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="few_rows_are_out_of_distribution",
        product="base_forecasts",
        failing=f"""
            SELECT step, count(*) FILTER (out_of_distribution_score >= {UNUSUAL_SCORE}) AS unusual, count(*) AS rows
            FROM product GROUP BY step
            HAVING unusual > 0 AND (
                SELECT count(*) FILTER (out_of_distribution_score >= {UNUSUAL_SCORE}) > 0.05 * count(*) FROM product)
            ORDER BY step""",  # noqa: S608
        remedy="More than 5% of the rows have inputs unlike those that the version was trained on: look at the newest "
        "ingest and the plan, and train a version on the newest days.",
        is_blocking=False,
    ),
    _complete("reconciled_forecasts"),
    Rule(
        name="quantiles_rise_with_probability",
        product="reconciled_forecasts",
        failing=f"SELECT {ROW}, {', '.join(QUANTILE_COLUMNS)} FROM product WHERE {_RISING}",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="reconciliation_keeps_the_total_in_reach",
        product="reconciled_forecasts",
        failing="""
            SELECT step, sum(base_units) AS base_units, sum(reconciled_units) AS reconciled_units FROM product
            GROUP BY step HAVING abs(sum(reconciled_units) - sum(base_units)) > 0.5 * sum(base_units) + 1""",
        remedy="Reconciliation moved the total by more than half: compare base_node_forecasts with base_forecasts.",
    ),
    Rule(
        name="overrides_begin_with_the_untouched_forecast",
        product="forecast_overrides",
        reads=("reconciled_forecasts",),
        failing="""
            SELECT p.store_id, p.sku_id, p.step, p.model_units, r.reconciled_units
            FROM product p LEFT JOIN reconciled_forecasts r USING (store_id, sku_id, step)
            WHERE p.model_units IS DISTINCT FROM r.reconciled_units""",
        remedy="Two runs of this key overlapped: run it again.",
    ),
    Rule(
        name="overrides_follow_one_another",
        product="forecast_overrides",
        # The first goes on from the model, each other from the one before it, and one that did not act moved nothing.
        failing=f"""
            WITH told AS (
                SELECT *, lag(after_units, 1, model_units) OVER row AS found_units,
                    row_number() OVER row AS place
                FROM product WINDOW row AS (PARTITION BY {ROW} ORDER BY application))
            SELECT {ROW}, application, override_id, found_units, before_units, after_units FROM told
            WHERE before_units <> found_units OR place <> application
                OR (superseded_by <> '' AND after_units <> before_units)""",  # noqa: S608
        remedy=BUG,
    ),
    _complete("stockout_risks"),
    Rule(
        name="probabilities_lie_between_zero_and_one",
        product="stockout_risks",
        failing=f"SELECT {ROW}, stockout_probability FROM product WHERE stockout_probability NOT BETWEEN 0 AND 1",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="parts_sum_to_the_probability",
        product="stockout_risks",
        failing=f"""
            SELECT {ROW}, stockout_probability, {_PARTS} AS parts FROM product
            WHERE stockout_probability IS NOT NULL AND {_PARTS} <> stockout_probability""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="lost_units_never_exceed_the_forecast",
        product="stockout_risks",
        reads=("reconciled_forecasts", "forecast_overrides"),
        failing=f"""
            WITH last AS (
                SELECT {ROW}, arg_max(after_units, application) AS after_units FROM forecast_overrides GROUP BY ALL)
            SELECT p.store_id, p.sku_id, p.step, p.expected_lost_units,
                coalesce(o.after_units, r.reconciled_units) AS forecast_units
            FROM product p JOIN reconciled_forecasts r USING (store_id, sku_id, step)
            LEFT JOIN last o USING (store_id, sku_id, step)
            WHERE p.expected_lost_units > coalesce(o.after_units, r.reconciled_units)""",  # noqa: S608
        remedy=BUG,
    ),
    _complete("forecast_explanations"),
    Rule(
        name="drivers_sum_to_the_published_number",
        product="forecast_explanations",
        failing=f"""
            SELECT {ROW}, forecast_units, expected_sales_units FROM product
            WHERE {_SUM} + reconciliation_units + override_units <> forecast_units
                OR forecast_units + stock_units <> expected_sales_units""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="override_is_what_was_applied",
        product="forecast_explanations",
        reads=("forecast_overrides",),
        failing=f"""
            WITH moved AS (
                SELECT {ROW}, sum(after_units - before_units) AS units FROM forecast_overrides GROUP BY ALL)
            SELECT {ROW}, p.override_units, m.units FROM product p FULL JOIN moved m USING (store_id, sku_id, step)
            WHERE coalesce(m.units, 0) IS DISTINCT FROM p.override_units""",  # noqa: S608
        remedy="Two runs of this key overlapped: run it again.",
    ),
    Rule(
        name="every_row_has_its_reasons",
        product="forecast_explanations",
        failing=f"SELECT {ROW} FROM product WHERE forecast_reason = '' OR risk_reason = ''",  # noqa: S608
        remedy=BUG,
    ),
    _complete("forecasts"),
    _target_dates("forecasts"),
    _flags("forecasts"),
    Rule(
        name="forecast_is_what_the_explanation_says",
        product="forecasts",
        reads=("forecast_explanations",),
        failing="""
            SELECT p.store_id, p.sku_id, p.step, p.forecast_units, e.forecast_units AS explained_units
            FROM product p LEFT JOIN forecast_explanations e USING (store_id, sku_id, step)
            WHERE p.forecast_units IS DISTINCT FROM e.forecast_units
                OR p.expected_sales_units IS DISTINCT FROM e.expected_sales_units""",
        remedy="Two runs of this key overlapped: run it again.",
    ),
    Rule(
        name="every_level_sums_to_the_total",
        product="aggregate_forecasts",
        failing="""
            WITH level_sums AS (
                SELECT product_level, store_level, step, sum(forecast_units) AS forecast_units,
                    sum(expected_sales_units) AS expected_sales_units, sum(series_count) AS series_count
                FROM product GROUP BY ALL)
            SELECT l.*, t.forecast_units AS total_units FROM level_sums l
            JOIN level_sums t ON t.step = l.step AND t.product_level = 'total' AND t.store_level = 'total'
            WHERE l.forecast_units <> t.forecast_units OR l.expected_sales_units <> t.expected_sales_units
                OR l.series_count <> t.series_count""",
        remedy=BUG,
    ),
    Rule(
        name="quantiles_rise_with_probability",
        product="aggregate_forecasts",
        failing=f"SELECT {NODE}, step, {', '.join(QUANTILE_COLUMNS)} FROM product WHERE {_RISING}",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="children_sum_to_parent",
        product="aggregate_forecasts",
        reads=("forecasts",),
        failing="""
            WITH ours AS (
                SELECT product_level, product_node, store_level, store_node, step, forecast_units, expected_sales_units
                FROM product WHERE product_level IN ('sku', 'total') AND store_level IN ('store', 'total')),
            -- A node is told by its level: a store, or an SKU, may be called `total` too.
            theirs AS (
                SELECT CASE WHEN grouping(sku_id) = 1 THEN 'total' ELSE 'sku' END AS product_level,
                    CASE WHEN grouping(sku_id) = 1 THEN 'total' ELSE sku_id END AS product_node,
                    CASE WHEN grouping(store_id) = 1 THEN 'total' ELSE 'store' END AS store_level,
                    CASE WHEN grouping(store_id) = 1 THEN 'total' ELSE store_id END AS store_node, step,
                    sum(forecast_units) AS forecast_units, sum(expected_sales_units) AS expected_sales_units
                FROM forecasts GROUP BY GROUPING SETS ((sku_id, step), (store_id, step), (step)))
            SELECT product_level, product_node, store_level, store_node, step, o.forecast_units,
                t.forecast_units AS sum_units
            FROM ours o FULL JOIN theirs t USING (product_level, product_node, store_level, store_node, step)
            WHERE o.forecast_units IS DISTINCT FROM t.forecast_units
                OR o.expected_sales_units IS DISTINCT FROM t.expected_sales_units""",
        remedy=BUG,
    ),
    Rule(
        name="every_series_has_its_periods",
        product="cumulative_forecasts",
        reads=("forecasts",),
        failing=f"""
            WITH there AS (SELECT DISTINCT store_id, sku_id, forecast_horizon FROM forecasts),
            wanted AS (
                SELECT store_id, sku_id, period FROM there, (VALUES {_PERIOD_DAYS}) AS fixed (period, days)
                WHERE coalesce(days, forecast_horizon) <= forecast_horizon),
            made AS (SELECT store_id, sku_id, period FROM product)
            SELECT * FROM wanted ANTI JOIN made USING (store_id, sku_id, period)
            UNION ALL SELECT * FROM made ANTI JOIN there USING (store_id, sku_id)""",  # noqa: S608
        remedy="Run the whole run again: some periods of a series are not in the product.",
    ),
    Rule(
        name="periods_sum_their_days",
        product="cumulative_forecasts",
        reads=("forecasts",),
        failing=f"""
            WITH ours AS (
                SELECT store_id, sku_id, period, forecast_units, coalesce(days, forecast_horizon) AS days
                FROM product JOIN (VALUES {_PERIOD_DAYS}) AS fixed (period, days) USING (period)),
            theirs AS (
                SELECT o.store_id, o.sku_id, o.period, sum(f.forecast_units) AS sum_units
                FROM ours o JOIN forecasts f ON f.store_id = o.store_id AND f.sku_id = o.sku_id AND f.step <= o.days
                GROUP BY ALL)
            SELECT store_id, sku_id, period, forecast_units, sum_units
            FROM ours JOIN theirs USING (store_id, sku_id, period) WHERE forecast_units <> sum_units""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="quantiles_rise_with_probability",
        product="cumulative_forecasts",
        failing=f"""
            SELECT store_id, sku_id, period, {", ".join((*QUANTILE_COLUMNS, *COVERING_COLUMNS))} FROM product
            WHERE {_RISING} OR {_COVERING_RISING}""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="every_level_counts_the_same_units",
        product="forecast_accuracy",
        failing=f"""
            WITH levels AS (SELECT * FROM product WHERE segment_kind = 'all')
            SELECT {_RUN}, l.product_level, l.store_level, l.sales_units, f.sales_units AS finest_sales_units,
                l.expected_sales_units, f.expected_sales_units AS finest_expected_sales_units
            FROM levels l JOIN levels f USING ({_RUN}) WHERE f.product_level = 'sku' AND f.store_level = 'store'
                AND (l.sales_units, l.expected_sales_units, l.forecast_units, l.series, l.series_without_actual)
                <> (f.sales_units, f.expected_sales_units, f.forecast_units, f.series, f.series_without_actual)""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="segments_sum_to_all_rows",
        product="forecast_accuracy",
        failing=f"""
            WITH sums AS (
                SELECT {_RUN}, segment_kind, {", ".join(f"sum({name}) AS {name}" for name in _ADDITIVE)}
                FROM product WHERE product_level = 'sku' AND store_level = 'store' GROUP BY ALL)
            SELECT k.* FROM sums k JOIN sums a USING ({_RUN}) WHERE a.segment_kind = 'all'
                AND ({" OR ".join(f"k.{name} <> a.{name}" for name in _ADDITIVE)})""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="judged_rows_are_rows",
        product="forecast_accuracy",
        failing="""
            SELECT * FROM product WHERE quantile_rows > rows OR stockout_rows > risk_rows
                OR inside_50_rows > inside_80_rows OR inside_80_rows > inside_95_rows
                OR inside_95_rows > quantile_rows OR at_most_q975_rows > at_most_q995_rows
                OR at_most_q995_rows > quantile_rows OR abs(error_units) > absolute_error_units
                OR error_units <> expected_sales_units - sales_units
                OR (product_level = 'sku' AND store_level = 'store'
                    AND (rows, rows_without_actual) <> (series, series_without_actual))""",
        remedy=BUG,
    ),
    Rule(
        name="stages_are_judged_by_the_same_sales",
        product="forecast_value_added",
        # No forecast and no sales are below zero, so that a stage's error is at least what was sold, taken away.
        failing=f"""
            SELECT * FROM product WHERE {
            " OR ".join(
                f"abs({stage}_error_units) > {stage}_absolute_error_units OR {stage}_error_units < -sales_units"
                for stage in VALUE_STAGES
            )
        }""",  # noqa: S608
        remedy=BUG,
    ),
    Rule(
        name="moves_are_in_their_direction",
        product="forecast_value_added",
        # What acts after planners (minimum presentation) only raises; rules have the published forecast at once.
        failing="""
            SELECT * FROM product WHERE (direction = 'none') <> (size = 'none')
                OR (direction = 'none' AND moved_squared_units2 <> 0)
                OR (rows = 0 AND (sales_units, moved_squared_units2, override_absolute_error_units) <> (0, 0, 0))
                OR (direction = 'up' AND NOT is_rule AND override_error_units < rules_error_units)
                OR (is_rule AND (override_error_units, override_absolute_error_units)
                    <> (rules_error_units, rules_absolute_error_units))""",
        remedy=BUG,
    ),
    *TRIAL_RULES,
)


def rules_of(product: str) -> list[Rule]:
    """Return the rules of one product."""
    return [rule for rule in RULES if rule.product == product]
