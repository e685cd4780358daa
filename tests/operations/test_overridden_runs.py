"""A planner overrides a node, a second person approves, and a revision is published with it: numbers, words, replay."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.core.errors import InputError, NothingToCorrectError
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.features.changes import SeriesChange
from forecast_assets.launch import Runner
from forecast_assets.operations.attributing import RunPair
from forecast_assets.operations.attribution import CODE, OVERRIDE
from forecast_assets.operations.overrides import decide_overrides, record_overrides
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.serving.dataplane.prepared import prepare_run
from forecast_assets.serving.dataplane.what_if import what_if
from resources.maintenance.verification import verify_store
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FIRST = replace(KEY, revision=1)
DAYS = (KEY.prediction_date + timedelta(days=2), KEY.prediction_date + timedelta(days=4))


def node_override(runner: Runner, form: str = "percent", value: str = "20") -> Override:
    del runner
    return Override(Scope.of(), *DAYS, form, value, "event", "local festival")


@pytest.fixture(scope="module")
def revised(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    runner = copied(published[0], tmp_path_factory.mktemp("overridden") / "home")
    record, preview = record_overrides(runner.stores, [node_override(runner)], by="ana", needs_approval=True)
    assert preview.effects[0].change_percent == pytest.approx(20, abs=1e-6)
    with pytest.raises(NothingToCorrectError):
        runner.publish_overrides(KEY, by="ana", reason="nobody has approved it yet")
    name = f"o{record.sequence}-1"
    with pytest.raises(InputError, match="ana cannot approve"):
        decide_overrides(runner.stores, [name], "approved", by="ana", reason="mine")
    decide_overrides(runner.stores, [name], "approved", by="ben", reason="seen")
    outcome = runner.publish_overrides(KEY, by="ana", reason="local festival")
    assert outcome.publication.key == FIRST
    return runner


def rows(runner: Runner, name: str, key: object = FIRST) -> pl.DataFrame:
    return read_product(runner.stores, runner.stores.predictions.publication(key), name)  # type: ignore[arg-type]


def test_a_node_is_moved_exactly_and_all_else_stays(revised: Runner) -> None:
    before, after = rows(revised, "forecasts", KEY), rows(revised, "forecasts")
    is_moved = pl.col("target_date").is_between(*DAYS)
    # What more is sold on these days is lacking on later ones, so that expected sales of those may follow.
    others = [frame.filter(~is_moved).drop("revision", "expected_sales_units") for frame in (before, after)]
    assert others[0].equals(others[1])
    assert after["reconciled_units"].equals(before["forecast_units"])
    sums = after.filter(is_moved).group_by("target_date").agg(pl.col("forecast_units", "reconciled_units").sum())
    assert sums.height == 3
    for row in sums.iter_rows(named=True):
        assert abs(row["forecast_units"] - row["reconciled_units"] * Decimal("1.2")) <= Decimal("0.000001")


def test_quantiles_and_risk_follow(revised: Runner) -> None:
    before, after = rows(revised, "forecasts", KEY), rows(revised, "forecasts")
    is_moved = pl.col("target_date").is_between(*DAYS) & (pl.col("reconciled_units") > 1)
    ratio = (
        after.filter(is_moved)["q500_units"].cast(float) / before.filter(is_moved)["q500_units"].cast(float)
    ).drop_nans()
    assert ratio.min() == pytest.approx(1.2, abs=1e-3)
    assert ratio.max() == pytest.approx(1.2, abs=1e-3)
    lost = [rows(revised, "stockout_risks", key)["expected_lost_units"].cast(float).sum() for key in (KEY, FIRST)]
    assert lost[1] > lost[0]


def test_the_explanation_says_who_what_and_why(revised: Runner) -> None:
    told = rows(revised, "forecast_explanations").filter(pl.col("override_units") != 0)
    assert told["target_date"].unique().sort().to_list() == [DAYS[0] + timedelta(days=at) for at in range(3)]
    assert told["forecast_reason"].str.contains("ana: +20%, event, local festival", literal=True).all()


def test_it_is_coherent_in_sql(revised: Runner) -> None:
    with duckdb.connect(str(revised.refresh_catalogue()), read_only=True) as connection:
        connection.execute(f'USE "{KEY.model_version}"')
        wrong = connection.execute("""
            SELECT count(*) FROM aggregate_forecasts a JOIN (
                SELECT revision, target_date, sum(forecast_units) AS units FROM forecasts GROUP BY ALL) f
            USING (revision, target_date)
            WHERE a.product_level = 'total' AND a.store_level = 'total' AND a.forecast_units <> f.units""").fetchone()
        assert wrong == (0,)
        moved = connection.execute("""
            SELECT sum(after_units - before_units) = sum(e.override_units), count(DISTINCT override_id)
            FROM forecast_overrides o JOIN forecast_explanations e
            USING (prediction_date, revision, store_id, sku_id, step) WHERE revision = 1""").fetchone()
        assert moved == (True, 1)
        assert connection.execute('SELECT "by", status FROM audit.planner_override_decisions').fetchall() == [
            ("ben", "approved")
        ]


def test_both_revisions_are_replayed_to_the_byte(revised: Runner) -> None:
    for key in (KEY, FIRST):
        found = replay(revised.stores, revised.settings, key, lambda *_: None)
        found.require_equal()
        assert {each.recorded.product for each in found.products} >= {"reconciled_forecasts", "forecast_overrides"}
    assert not verify_store(revised.stores.blobs).findings


def test_the_difference_of_both_revisions_is_the_override_alone(revised: Runner) -> None:
    pair = RunPair.of(revised.stores, KEY, FIRST, workers=1)
    assert pair.attribution.causes == (OVERRIDE, CODE)
    moved = rows(revised, "forecast_overrides").filter(pl.col("after_units") != pl.col("before_units"))
    row = moved.sort("after_units", descending=True).row(0, named=True)
    figures = pair.figures(store_id=row["store_id"], sku_id=row["sku_id"], day=row["target_date"])
    for figure in figures.values():
        shares = dict(zip(figure.causes["cause"], figure.causes["change_units"], strict=True))
        assert sum(shares.values()) == figure.after - figure.before
        assert shares[CODE] == 0


def test_a_what_if_without_a_change_is_the_overridden_row_and_a_price_moves_it_by_as_much(revised: Runner) -> None:
    prepared = prepare_run(revised.stores, FIRST, workers=1)
    moved = rows(revised, "forecast_overrides").filter(pl.col("after_units") > 5)
    one = moved.sort("after_units", descending=True).row(0, named=True)
    store, sku, day = one["store_id"], one["sku_id"], one["target_date"]
    same = what_if(prepared, [SeriesChange(store, sku)])
    own = pl.col("store_id") == store, pl.col("sku_id") == sku
    for made, name in ((same.forecasts, "forecasts"), (same.risks, "stockout_risks")):
        assert_frame_equal(made, rows(revised, name).filter(*own), check_row_order=False)
    told = rows(revised, "forecast_explanations").filter(*own)
    assert same.explanations["forecast_reason"].to_list() == told["forecast_reason"].to_list()
    assert "overrides" in same.held
    cut = what_if(prepared, [SeriesChange(store, sku, price_ratios={day: 0.7})]).forecasts.filter(target_date=day)
    (model, forecast), row = cut.select("reconciled_units", "forecast_units").row(0), one
    assert model > row["model_units"]
    assert float(forecast / model) == pytest.approx(1.2, abs=1e-5)


def test_withdrawing_brings_the_untouched_forecast_back(revised: Runner) -> None:
    name = rows(revised, "forecast_overrides")["override_id"][0]
    decide_overrides(revised.stores, [name], "withdrawn", by="ana", reason="rain")
    outcome = revised.publish_overrides(KEY, by="ana", reason="rain")
    second = rows(revised, "forecasts", outcome.publication.key)
    assert second.drop("revision").equals(rows(revised, "forecasts", KEY).drop("revision"))
    assert rows(revised, "forecast_overrides", outcome.publication.key).is_empty()
    replay(revised.stores, revised.settings, outcome.publication.key, lambda *_: None).require_equal()
