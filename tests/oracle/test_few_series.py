"""A few series forecast again from what a run kept, beside the whole run: the same code, so the same numbers."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Groups
from forecast_assets.features.changes import SeriesChange
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Held, Kept
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.training import TrainingInputs
from forecast_assets.stockout_risk.assessing import rated_by
from tests.support.few_series import KINDS, WholeRun, mean
from tests.support.forecast_cases import lawful_panel
from tests.support.status_cases import GROUPS, empty_shelves, status_hierarchy, status_panel

COUNT, HORIZON = 30, 7
FAMILIES = ["statistical", "global", "combined"]


def uneven_panel() -> Panel:
    """Thirty series of two stores, some of them new, ended, late or without stock, and a store that was closed."""
    panel = lawful_panel(COUNT, days=84, horizon=HORIZON, level=6.0)
    sales, censored, random = panel.sales.copy(), panel.is_censored.copy(), np.random.default_rng(4)
    sales[3, :70] = np.nan
    sales[17, :75] = np.nan
    sales[8, 40:] = np.nan
    sales[11, -1] = np.nan
    sales[panel.series["store_id"].to_numpy() == "S0", 50:53] = 0.0
    sales[21, 20:52] = 0.0
    censored[random.random(censored.shape) < 0.05] = True
    has_plan = panel.has_plan.copy()
    has_plan[5, 3:] = False
    return replace(panel, sales=sales, is_censored=censored, has_plan=has_plan)


def whole_run(name: str, panel: Panel, groups: Groups, hierarchy: Hierarchy) -> WholeRun:
    trained = family(name).train(TrainingInputs(panel, groups, hierarchy, HORIZON, evaluates=False, workers=1))
    return WholeRun.of(family(name), trained.artifact, panel, groups)


@pytest.fixture(scope="module", params=FAMILIES)
def run(request: pytest.FixtureRequest) -> WholeRun:
    panel = uneven_panel()
    groups = np.where(np.arange(COUNT) % 3 == 0, "a", "b")
    return whole_run(request.param, panel, groups, Hierarchy.build(panel.series, None, None))


@pytest.fixture(scope="module")
def rated() -> WholeRun:
    """A retailer of which only stock status is known, by trees of demand and of sales, with a classifier."""
    panel = status_panel(empty_shelves(63))
    return whole_run("combined", panel, GROUPS, status_hierarchy(panel))


def test_without_a_change_everything_of_a_forecast_is_as_the_run_made_it(run: WholeRun) -> None:
    for row in range(COUNT):
        few, _ = run.again([SeriesChange(*run.panel.series.row(row))])
        for at in (0, 1):
            assert few.mean[at].tobytes() == run.made.mean[row].tobytes()
            assert few.quantiles[at].tobytes() == run.made.quantiles[row].tobytes()
            assert few.demand_class[at] == run.made.demand_class[row]
            assert few.model_used[at] == run.made.model_used[row]
        for name, units in few.components.items():
            assert units[0].tobytes() == run.made.components[name][row].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_changes_give_what_a_whole_run_with_them_gives(run: WholeRun, kind: str) -> None:
    random = np.random.default_rng(KINDS.index(kind))
    moved = 0
    # Levels of new series are those of relatives, which are held.
    own = np.flatnonzero(run.made.demand_class != "new")
    for count in (1, 1, 3, 6):
        rows = random.choice(own, count, replace=False)
        few, whole = run.again([run.change_of(kind, int(row), random) for row in rows])
        assert (mean(few, slice(0, None, 2)) == mean(run.made, rows)).all()
        assert (mean(few, slice(1, None, 2)) == mean(whole, rows)).all()
        moved += int((mean(few, slice(1, None, 2)) != mean(run.made, rows)).sum())
    assert moved > 0


def test_a_part_of_a_run_gives_of_its_series_what_the_whole_gives(run: WholeRun) -> None:
    random = np.random.default_rng(8)
    for count in (1, 2, 5, COUNT):
        rows = np.sort(random.choice(COUNT, count, replace=False))
        asked = [run.change_of(str(random.choice(KINDS)), int(row), random) for row in rows[: random.integers(1, 6)]]
        whole, part = run.few(asked), run.part(rows).few(asked)
        assert part.mean.tobytes() == whole.mean.tobytes()
        assert part.quantiles.tobytes() == whole.quantiles.tobytes()
        assert list(part.demand_class) == list(whole.demand_class)
        for name, units in whole.components.items():
            assert part.components[name].tobytes() == units.tobytes()


def test_a_part_of_a_run_keeps_only_what_its_series_look_at(run: WholeRun) -> None:
    part = run.part(np.array([4]))
    assert set(part.kept) == set(run.kept)
    for name, found in part.kept.items():
        assert found.code is None or (found.code.tolist(), len(found.values)) == ([0], 1), name


def test_new_series_go_on_from_the_levels_that_their_relatives_had(run: WholeRun) -> None:
    (row, *_) = np.flatnonzero(run.made.demand_class == "new")
    few, whole = run.again([run.change_of("sales", int(row), np.random.default_rng(2))])
    assert few.mean[1] == pytest.approx(whole.mean[row], rel=0.1)
    assert (few.mean[1] != run.made.mean[row]).any()


def test_shares_that_find_no_stock_are_as_the_run_made_them(rated: WholeRun) -> None:
    assert rated.made.lost_share is not None
    for row in range(0, len(rated.panel.sales), 7):
        few, _ = rated.again([SeriesChange(*rated.panel.series.row(row))])
        assert few.lost_share is not None
        assert few.lost_share[1].tobytes() == rated.made.lost_share[row].tobytes()
        assert few.mean[1].tobytes() == rated.made.mean[row].tobytes()


def test_a_classifier_says_of_a_few_series_what_it_says_among_all(rated: WholeRun) -> None:
    kept, hierarchy = Kept(), status_hierarchy(rated.panel)
    of_all = rated_by(replace(rated.panel, pooled=kept), rated.groups, hierarchy, rated.artifact, 1)
    assert of_all.status is not None
    assert of_all.lost_share is not None
    for rows in (np.array([5, 5]), np.array([0, 0, 41, 41, 179, 179])):
        own = np.unique(rows)
        of_part = {name: found.take(own) for name, found in kept.found.items()}
        # What the whole run kept, and what a part of it did.
        for held in (Held(kept.found, rows), Held(of_part, np.searchsorted(own, rows))):
            few = replace(rated.panel.take(rows), pooled=held)
            found = rated_by(few, rated.groups[rows], None, rated.artifact, 1)
            assert found.status is not None
            assert found.status.probability.tobytes() == of_all.status.probability[rows].tobytes()
            assert found.status.usual_probability.tobytes() == of_all.status.usual_probability[rows].tobytes()
            assert found.lost_share is not None
            assert found.lost_share.tobytes() == of_all.lost_share[rows].tobytes()


def test_forecasts_that_keep_what_series_say_together_are_those_of_a_run(run: WholeRun) -> None:
    plain = run.family.forecast(run.artifact, ForecastInputs(run.panel, run.groups, workers=1))
    assert plain.mean.tobytes() == run.made.mean.tobytes()
    assert plain.quantiles.tobytes() == run.made.quantiles.tobytes()
