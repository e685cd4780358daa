"""The global family: exact in its parts, reproducible, blind to the future, better than nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.boosted import model
from forecast_assets.models.boosted.inputs import DEFAULT_INPUTS, CutoffInputs, TreePanel, inputs_version
from forecast_assets.models.boosted.model import (
    COMBINED,
    GLOBAL,
    GlobalArtifact,
    forecast_global,
    kept_share,
    scoring_cutoff,
    share_out,
)
from forecast_assets.models.boosted.sales_inputs import SalesCutoff
from forecast_assets.models.boosted.training import is_live, train_global
from forecast_assets.models.demand import level_and_demand, usual_lost_share
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.screening import screened
from forecast_assets.models.statistical.effects import Factors
from forecast_assets.models.statistical.series import FACTORED, clean
from forecast_assets.models.training import TrainingInputs
from forecast_assets.training.evaluation import seasonal_naive
from tests.support.digests import digest
from tests.support.fitted import fit
from tests.support.forecast_cases import lawful_fields, lawful_panel, one_group, panel_of

COUNT, HORIZON = 60, 14
FIELDS, TRUE_MEAN = lawful_fields(COUNT, days=112, horizon=HORIZON, level=20.0, seed=1)


def forecast(panel: Panel, version: GlobalArtifact) -> Forecasts:
    """Forecast series, not the nodes above them, by the version's family."""
    return family(version.family).forecast(version, ForecastInputs(panel, one_group(panel.series.height), workers=1))


def with_stock_status(panel: Panel) -> Panel:
    """A third of days without stock for part of the day; sales are what was left of it."""
    random = np.random.default_rng(8)
    share = np.where(random.random(panel.sales.shape) < 0.3, 0.5, 0.0)
    sales = panel.sales * (1.0 - share)
    return replace(panel, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = with_stock_status(panel_of(**FIELDS))
    sales = made.sales.copy()
    # One that has just begun, and one that is over.
    sales[3, :-5], sales[4, 20:] = np.nan, 0.0
    return replace(made, sales=sales)


@pytest.fixture(scope="module")
def versions(panel: Panel) -> dict[int, GlobalArtifact]:
    return train_global(GLOBAL, panel, one_group(COUNT), horizon=HORIZON, earlier=[HORIZON], workers=1)


def test_components_add_up_to_the_forecast(panel: Panel, versions: dict[int, GlobalArtifact]) -> None:
    made = forecast_global(panel, versions[0], one_group(COUNT), workers=1).series
    assert list(made.components) == list(FACTORED)
    np.testing.assert_allclose(sum(made.components.values()), made.mean, rtol=1e-12, atol=1e-12)
    assert (made.mean >= 0).all()
    assert (np.diff(made.quantiles, axis=2) >= 0).all()


def test_series_without_a_record_are_forecast_by_the_statistical_family(
    panel: Panel, versions: dict[int, GlobalArtifact]
) -> None:
    made = forecast_global(panel, versions[0], one_group(COUNT), workers=1)
    np.testing.assert_array_equal(made.series.mean[3:5], made.statistical.mean[3:5])
    assert made.series.demand_class[3:5].tolist() == ["new", "dead"]
    assert np.isnan(made.series.lost_share[3:5]).all()
    others = np.delete(np.arange(COUNT), [3, 4])
    assert set(made.series.model_used[others]) == {"LightGBM"}
    share = made.series.lost_share[others]
    assert ((share >= 0) & (share < 1)).all()


def test_demand_and_lost_share_come_back(panel: Panel, versions: dict[int, GlobalArtifact]) -> None:
    """By the law, 15% of demand meets no stock."""
    made = forecast_global(panel, versions[0], one_group(COUNT), workers=1).series
    assert np.nanmean(made.lost_share) == pytest.approx(0.15, abs=0.03)
    whole = TRUE_MEAN[:, -HORIZON:]
    rows = np.delete(np.arange(COUNT), [3, 4])
    assert made.mean[rows].sum() / whole[rows].sum() == pytest.approx(1.0, abs=0.03)
    naive = seasonal_naive(panel.sales / 0.85, HORIZON)
    assert np.abs(made.mean - whole)[rows].sum() < 0.4 * np.abs(naive - whole)[rows].sum()


def test_sales_are_forecast_directly_and_never_above_demand(
    panel: Panel, versions: dict[int, GlobalArtifact], directly: Floats
) -> None:
    made = forecast_global(panel, versions[0], one_group(COUNT), workers=1).series
    others = np.delete(np.arange(COUNT), [3, 4])
    assert made.lost_share is not None
    sales = (made.mean * (1.0 - made.lost_share))[others]
    np.testing.assert_allclose(sales, np.minimum(made.mean[others], directly), rtol=1e-12)
    whole = TRUE_MEAN[others, -HORIZON:]
    assert sales.sum() / whole.sum() == pytest.approx(0.85, abs=0.03)
    assert np.abs(sales - 0.85 * whole).sum() < 0.12 * whole.sum()


@pytest.fixture(scope="module")
def directly(panel: Panel, versions: dict[int, GlobalArtifact]) -> Floats:
    """Sales of all series that trees forecast, by the models themselves."""
    screened_panel, version = screened(panel), versions[0]
    factors = clean(screened_panel, version.statistical.effects, one_group(COUNT)).factors
    record = TreePanel.of(screened_panel, factors, one_group(COUNT), version.categories, version.smallest)
    cutoff, rows = scoring_cutoff(record), np.delete(np.arange(COUNT), [3, 4])
    assert version.sales is not None
    return version.sales.units(SalesCutoff(cutoff).view(rows), cutoff.inputs(version.inputs, rows))


def test_a_version_from_before_there_were_models_of_sales_serves_as_it_did(
    panel: Panel, versions: dict[int, GlobalArtifact]
) -> None:
    """Its bytes have no word of sales; what it says is lost is half of what is usual, half by its second ensemble."""
    kept = versions[0].demand
    before = replace(versions[0], family=COMBINED, sales=None, kept=replace(kept, start=kept.start - 0.3))
    content = before.to_bytes()
    assert sorted(json.loads(content)) == [
        "calibration", "categories", "comparisons", "demand", "family", "format", "inputs", "kept", "shares",
        "smallest", "statistical",
    ]  # fmt: skip
    again = family(COMBINED).load(content)
    assert again == before
    assert digest(again.to_bytes()) == digest(content)
    assert again.inputs_version == inputs_version(before.inputs)
    made = forecast_global(panel, again, one_group(COUNT), workers=2).series
    record_of = forecast_global(panel, versions[0], one_group(COUNT), workers=1)
    screened_panel = screened(panel)
    record = TreePanel.of(
        screened_panel, record_of.statistical.history.factors, one_group(COUNT), before.categories, before.smallest
    )
    cutoff, rows = scoring_cutoff(record), np.delete(np.arange(COUNT), [3, 4])
    own = 1.0 - kept_share(before.kept, cutoff.inputs(before.inputs, rows)).reshape(len(rows), HORIZON)
    usual = usual_lost_share(screened_panel, record_of.statistical.history.demand)[rows, None]
    np.testing.assert_array_equal(made.lost_share[rows], usual + 0.5 * (own - usual))
    assert own.max() > usual.max()


def test_forecasts_are_the_same_for_any_number_of_threads(
    panel: Panel, versions: dict[int, GlobalArtifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "_CHUNK", 7)
    one, three = (forecast_global(panel, versions[0], one_group(COUNT), workers=workers).series for workers in (1, 3))
    np.testing.assert_array_equal(one.mean, three.mean)
    np.testing.assert_array_equal(one.lost_share, three.lost_share)
    for name, units in one.components.items():
        np.testing.assert_array_equal(units, three.components[name])


def test_an_artifact_survives_its_bytes(panel: Panel, versions: dict[int, GlobalArtifact]) -> None:
    content = versions[0].to_bytes()
    again = family(GLOBAL).load(content)
    assert isinstance(again, GlobalArtifact)
    assert again == versions[0]
    assert digest(again.to_bytes()) == digest(content)
    ours, theirs = (forecast(panel, each).mean for each in (again, versions[0]))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="not of the family `combined`"):
        family(COMBINED).load(content)


def paid(name: str) -> Panel:
    """Eight series, and an event that recurs."""
    fields, _ = lawful_fields(8, days=60, horizon=7, level=20.0, seed=1)
    return panel_of(**{**fields, "event_names": (name,), "event_kinds": ("recurring",)})


def test_events_that_recur_may_have_any_name() -> None:
    name = 'pay "day", 1st [of ü]'
    made = train_global(GLOBAL, paid(name), one_group(8), horizon=7, workers=1)[0]
    assert name in {spec.of for spec in made.inputs}
    assert family(GLOBAL).load(made.to_bytes()) == made


def test_what_training_is_told_to_leave_out_is_not_learned() -> None:
    panel = paid("payday")
    inputs = TrainingInputs(
        panel=panel,
        product_groups=one_group(8),
        hierarchy=Hierarchy.build(panel.series, None, None),
        horizon=7,
        evaluates=False,
        workers=1,
        calendars=("none",),
        reads_recurring=False,
    )
    made = family(GLOBAL).train(inputs).artifact
    assert isinstance(made, GlobalArtifact)
    assert made.inputs == DEFAULT_INPUTS
    assert made.statistical.choices["calendar"] == "none"


def test_training_twice_gives_the_same_bytes(panel: Panel, versions: dict[int, GlobalArtifact]) -> None:
    told: list[tuple[int, int]] = []
    again = train_global(
        GLOBAL,
        panel,
        one_group(COUNT),
        horizon=HORIZON,
        workers=2,
        progress=lambda _stage, done, total: told.append((done, total)),
    )
    assert digest(again[0].to_bytes()) == digest(versions[0].to_bytes())
    # Both versions grew at the same time, and only the one that is served has models of sales.
    *grown, last = told
    assert [done for done, _ in grown] == list(range(1, len(grown) + 1))
    model = versions[0].sales
    assert model is not None
    trees = [versions[0].demand, versions[0].demand, *(member.trees for member in model.members)]
    assert len(grown) == sum(each.booster.num_trees() for each in trees)
    assert last == (1, 1)


def test_a_version_as_of_an_earlier_day_is_the_one_trained_then(
    panel: Panel, versions: dict[int, GlobalArtifact]
) -> None:
    then = panel.as_of(HORIZON)
    begun = np.flatnonzero(~np.isnan(then.sales).all(axis=1))
    assert len(begun) == COUNT - 1
    alone = train_global(GLOBAL, then, one_group(COUNT), horizon=HORIZON, workers=1)
    assert digest(alone[0].to_bytes()) == digest(versions[HORIZON].to_bytes())


def test_the_combined_family_is_the_mean_of_the_two(panel: Panel, versions: dict[int, GlobalArtifact]) -> None:
    both = replace(versions[0], family=COMBINED)
    assert both.shares == {}
    made, alone = (forecast_global(panel, each, one_group(COUNT), workers=1) for each in (both, versions[0]))
    np.testing.assert_allclose(made.series.mean, 0.5 * (alone.series.mean + alone.statistical.mean))
    np.testing.assert_allclose(sum(made.series.components.values()), made.series.mean)
    assert made.series.model_used[0].startswith("LightGBM+")
    assert set(both.compared().filter(choice="family for smooth")["candidate"]) == {"statistical", GLOBAL, COMBINED}


def test_shares_of_the_trees_are_those_that_would_have_been_best(panel: Panel) -> None:
    both = train_global(COMBINED, panel, one_group(COUNT), horizon=HORIZON, workers=1)[0]
    # Drawn towards a half by a hundred series, of which there are fewer.
    assert all(
        0.5 * 100 / (100 + COUNT) <= share <= (COUNT + 0.5 * 100) / (100 + COUNT) for share in both.shares.values()
    )
    losses = both.comparisons["smooth"]
    assert losses[COMBINED] < max(losses.values())
    made = forecast_global(panel, both, one_group(COUNT), workers=1)
    rows = np.flatnonzero(made.series.demand_class == "smooth")
    assert len(rows) > COUNT / 2
    mixed = made.statistical.mean + both.shares["smooth"] * (made.trees - made.statistical.mean)
    np.testing.assert_allclose(made.series.mean[rows], mixed[rows])
    np.testing.assert_allclose(sum(made.series.components.values()), made.series.mean)


def test_without_stock_status_no_lost_share_is_forecast() -> None:
    panel = lawful_panel(count=20, days=60, horizon=7)
    version = train_global(GLOBAL, panel, one_group(20), horizon=7, workers=1)[0]
    made = forecast(panel, version)
    assert version.kept is None
    assert version.sales is None
    assert made.lost_share is None
    demand = level_and_demand(panel, version.factors(panel, one_group(20))).demand
    np.testing.assert_allclose(made.lost_share_or(usual_lost_share(panel, demand)), 0.0, atol=1e-12)
    factors = version.statistical.factors(panel, one_group(20))
    np.testing.assert_array_equal(version.factors(panel, one_group(20)), factors)


def test_a_shelf_that_was_empty_for_months_is_left_to_the_statistical_family(
    panel: Panel, versions: dict[int, GlobalArtifact]
) -> None:
    sales, share = panel.sales.copy(), panel.out_of_stock_share.copy()
    sales[0, -95:], share[0, -95:] = 0.0, 1.0
    empty = replace(panel, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    made = forecast_global(empty, versions[0], one_group(COUNT), workers=1)
    assert made.series.demand_class[0] == "smooth"
    np.testing.assert_array_equal(made.series.mean[0], made.statistical.mean[0])
    assert made.series.mean[0].min() > 1.0
    assert np.isnan(made.series.lost_share[0]).all()


def test_only_a_family_beside_the_statistical_one_moves_levels_above(
    panel: Panel, versions: dict[int, GlobalArtifact]
) -> None:
    inputs = ForecastInputs(panel, one_group(COUNT), Hierarchy.build(panel.series, None, None), workers=1)
    both = family(GLOBAL).forecast(versions[0], inputs)
    part = family("statistical").forecast(versions[0].statistical, inputs)
    assert both.nodes is not None
    assert part.nodes is not None
    sums = inputs.hierarchy.information.matrix @ both.mean
    np.testing.assert_array_equal(both.nodes.mean, 0.5 * (part.nodes.mean + sums))
    np.testing.assert_array_equal(both.alternatives["statistical"], part.mean)
    assert not part.alternatives


def test_a_retailer_that_sold_nothing_is_refused_by_name() -> None:
    nothing = lawful_panel(count=5, days=60, horizon=7)
    with pytest.raises(InputError, match="Nothing was sold"):
        train_global(GLOBAL, replace(nothing, sales=0.0 * nothing.sales), one_group(5), horizon=7, workers=1)
    share = np.ones_like(nothing.sales)
    empty = replace(nothing, sales=0.0 * share, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    with pytest.raises(InputError, match="Nothing was sold"):
        train_global(GLOBAL, empty, one_group(5), horizon=7, workers=1)


def test_stock_status_of_days_without_a_sale_forecasts_no_lost_share() -> None:
    made = lawful_panel(count=10, days=60, horizon=7)
    share, sales = np.full_like(made.sales, np.nan), made.sales.copy()
    share[0], sales[0] = 1.0, 0.0
    told = replace(made, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    assert train_global(GLOBAL, told, one_group(10), horizon=7, workers=1)[0].sales is None


def test_a_series_that_ended_before_what_trees_read_is_no_trouble() -> None:
    made = lawful_panel(count=8, days=500, horizon=7)
    sales = made.sales.copy()
    sales[0, 20:] = np.nan
    version = train_global(GLOBAL, replace(made, sales=sales), one_group(8), horizon=7, workers=1)[0]
    assert 0 < version.smallest < 1


def test_history_too_short_is_refused_by_name() -> None:
    for days in (20, 34):
        with pytest.raises(InputError, match=f"{days} days of history are too few to train trees for 14"):
            train_global(GLOBAL, lawful_panel(count=5, days=days), one_group(5), horizon=14)


@pytest.mark.parametrize(("days", "judged_days"), [(35, 7), (41, 13), (42, 14), (45, 14), (56, 14), (62, 28)])
def test_short_histories_are_enough(days: int, judged_days: int) -> None:
    report = fit(lawful_panel(count=20, days=days), one_group(20), horizon=14, family=GLOBAL, workers=1).report
    assert report is not None
    assert report.filter(segment_kind="all", metric="wape")["rows"].item() == 20 * judged_days


def test_what_a_short_history_could_not_calibrate_is_told_and_wider() -> None:
    short, whole = lawful_panel(count=30, days=35), lawful_panel(count=30, days=42)
    version, longer = (train_global(GLOBAL, each, one_group(30), horizon=14, workers=1)[0] for each in (short, whole))
    assert {"known_days": 35, "backtested_days": 7}.items() <= version.facts().items()
    assert "backtested_days" not in longer.facts()
    again = GlobalArtifact.from_bytes(GLOBAL, version.to_bytes())
    assert again.to_bytes() == version.to_bytes()
    made = forecast(short, again)
    assert made.backtested_days == 7
    assert forecast(whole, longer).backtested_days is None
    assert set(made.model_used) == {"LightGBM"}
    spread = (made.quantiles[:, :, -1] - made.mean) / made.mean
    np.testing.assert_allclose(spread[:, 13] / spread[:, 6], 2.0**0.5)


def test_a_version_is_judged_on_days_that_it_has_not_seen() -> None:
    report = fit(lawful_panel(count=40, days=80), one_group(40), horizon=14, family=GLOBAL, workers=1).report
    assert report is not None
    overall = report.filter(segment_kind="all")
    wape = overall.filter(metric="wape").row(0, named=True)
    assert wape["rows"] == 40 * 14 * 2
    assert wape["value"] < 0.8 * wape["baseline_value"]


def test_units_are_shared_out_without_a_remainder_and_without_an_order() -> None:
    random = np.random.default_rng(2)
    logs = {name: random.normal(0.0, 0.4, (7, 3)) for name in FACTORED[1:7]}
    logs["price_units"][0, 0] = -sum(parts[0, 0] for name, parts in logs.items() if name != "price_units")
    level = random.gamma(2.0, 3.0, (7, 1))
    parts = share_out(level, logs)
    np.testing.assert_allclose(sum(parts.values()), level * np.exp(sum(logs.values())))
    turned = share_out(level, dict(reversed(logs.items())))
    for name, units in parts.items():
        np.testing.assert_allclose(units, turned[name])
    assert (np.sign(parts["trend_units"]) == np.sign(logs["trend_units"])).all()


def test_trees_learn_from_series_that_died_since(panel: Panel) -> None:
    """At a past cutoff all that was known then counts, and nothing of what came."""
    sales = panel.sales.copy()
    sales[7, 50:], sales[8, 50:], sales[9, :50] = 0.0, np.nan, np.nan
    dying = replace(panel, sales=sales)
    factors = Factors(*[np.ones((COUNT, 112 + HORIZON))] * 7)
    record = TreePanel.of(dying, factors, one_group(COUNT), ("all",), 0.01)
    then, now = (is_live(CutoffInputs(record, origin, np.array([origin + 1]))) for origin in (49, 110))
    assert then[7:10].tolist() == [True, True, False]
    assert now[7:10].tolist() == [False, False, True]
