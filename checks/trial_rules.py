"""Rules over what trials store: which store follows which version, and the evidence day by day.

What belongs here: what must hold of `channel_assignments` and `challenger_evidence` whatever the ledger says. What does
not: assigning, weighing, or rules over products of a run.
"""

from typing import Final

from checks.rule import BUG, Rule
from forecast_assets.contracts import CHALLENGER_EVIDENCE, CHANNEL_ASSIGNMENTS

TRIAL_RULES: Final = (
    Rule(
        name="every_store_is_assigned_once",
        product=CHANNEL_ASSIGNMENTS.name,
        failing="SELECT store_id, count(*) AS rows FROM product GROUP BY store_id HAVING count(*) > 1",
        remedy=BUG,
    ),
    Rule(
        name="only_challenger_stores_leave_the_champion",
        product=CHANNEL_ASSIGNMENTS.name,
        # A challenger store keeps the champion's version where the challenger has no rows of it.
        failing="""
            SELECT store_id, model_version, is_challenger_store FROM product
            WHERE (SELECT count(DISTINCT model_version) FROM product WHERE NOT is_challenger_store) > 1
                OR (SELECT count(DISTINCT model_version) FROM product) > 2""",
        remedy=BUG,
    ),
    Rule(
        name="stores_follow_by_their_hash",
        product=CHANNEL_ASSIGNMENTS.name,
        # Those that follow the challenger lie below some share, all others at or above it; without a trial none does.
        failing="""
            WITH others AS (
                SELECT min(hashed_share) FILTER (NOT is_challenger_store) AS least,
                    count(hashed_share) AS hashed, count(*) AS stores FROM product)
            SELECT store_id, is_challenger_store, hashed_share, least FROM product, others
            WHERE (is_challenger_store AND (hashed_share IS NULL OR hashed_share >= coalesce(least, 1)))
                OR hashed NOT IN (0, stores)""",
        remedy=BUG,
    ),
    Rule(
        name="every_day_of_a_step_is_there",
        product=CHALLENGER_EVIDENCE.name,
        failing="""
            SELECT step, count(*) AS days, min(target_date) AS first_day, max(target_date) AS last_day FROM product
            GROUP BY step
            HAVING count(*) <> max(target_date) - min(target_date) + 1
                OR min(target_date) <> (SELECT min(target_date) FROM product)
                OR max(target_date) <> (SELECT max(target_date) FROM product)""",
        remedy=BUG,
    ),
    Rule(
        name="one_step_decides",
        product=CHALLENGER_EVIDENCE.name,
        failing="""
            SELECT step, is_deciding, count(*) AS days FROM product
            WHERE (SELECT count(DISTINCT step) FROM product WHERE is_deciding) <> 1
                OR step IN (SELECT step FROM product GROUP BY step HAVING count(DISTINCT is_deciding) > 1)
            GROUP BY ALL""",
        remedy=BUG,
    ),
    Rule(
        name="days_without_a_pair_have_no_losses",
        product=CHALLENGER_EVIDENCE.name,
        failing="""
            SELECT step, target_date, no_pair, champion_loss, challenger_loss, difference FROM product
            WHERE (no_pair = '') = (champion_loss IS NULL) OR (champion_loss IS NULL) <> (challenger_loss IS NULL)
                OR (champion_loss IS NULL) <> (difference IS NULL)""",
        remedy=BUG,
    ),
    Rule(
        name="evidence_counts_its_observations",
        product=CHALLENGER_EVIDENCE.name,
        failing="""
            WITH counted AS (
                SELECT *, count(observation) OVER so_far AS known, avg(observation) OVER so_far AS mean
                FROM product WINDOW so_far AS (PARTITION BY step ORDER BY target_date))
            SELECT step, target_date, observations, known, mean_difference, mean, e_value FROM counted
            WHERE observations <> known OR (mean_difference IS NULL) <> (known = 0)
                OR abs(mean_difference - mean) > 1e-9
                OR (known = 0 AND (e_value <> 1 OR is_significant OR lower <> -1 OR upper <> 1))""",
        remedy=BUG,
    ),
)
