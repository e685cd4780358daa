"""What every model family keeps: its bytes, the shape and the parts of its forecasts, a report with gates."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.contracts import (
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    COMPONENTS,
    DEMAND_CLASSES,
    EVALUATION_REPORTS,
    QUANTILES,
)
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import (
    ModelFamily,
    families,
    family,
    family_to_train,
    given_products,
    register,
    trained_families,
)
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.training import TrainingInputs
from forecast_assets.training.fitting import TrainingResult, fit_version
from tests.support.digests import digest
from tests.support.family_cases import LastWeek, given_date, registered
from tests.support.forecast_cases import lawful_panel, one_group, products

COUNT, HORIZON = 30, 14
PANEL = lawful_panel(COUNT, days=84, horizon=HORIZON)
GROUPS = one_group(COUNT)
HIERARCHY = Hierarchy.build(
    PANEL.series,
    products(*((sku, f"c{at % 3}") for at, sku in enumerate(PANEL.series["sku_id"].unique().sort()))),
    None,
)


@dataclass(frozen=True)
class Case:
    """A family with all that it needs to be trained."""

    family: ModelFamily[Any]

    @property
    def training(self) -> TrainingInputs:
        first = PANEL if self.family.given_product is None else PANEL.as_of(HORIZON)
        given = [] if self.family.given_product is None else [given_date(first, PANEL, HORIZON), given_date(PANEL)]
        return TrainingInputs(first, GROUPS, HIERARCHY, HORIZON, given_dates=given, workers=1)

    @property
    def inputs(self) -> ForecastInputs:
        given = None if self.family.given_product is None else given_date(PANEL).rows
        return ForecastInputs(PANEL, GROUPS, HIERARCHY, given, workers=1)

    @cached_property
    def trained(self) -> TrainingResult:
        return fit_version(self.family, self.training)

    @property
    def artifact(self) -> Artifact:
        return self.trained.artifact


@pytest.fixture(scope="module", params=["statistical", "global", "combined", "external", "last_week"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(LastWeek() if request.param == LastWeek.name else family(request.param))


def test_an_artifact_survives_its_bytes_and_training_again_gives_the_same(case: Case) -> None:
    content = case.artifact.to_bytes()
    again = case.family.load(content)
    assert again == case.artifact
    assert digest(again.to_bytes()) == digest(content)
    assert case.family.train(case.training).artifact.to_bytes() == content


def test_stages_find_in_an_artifact_what_they_read_of_any(case: Case) -> None:
    artifact = case.artifact
    assert artifact.history_days == case.training.history_days
    assert artifact.horizon_days >= HORIZON
    assert artifact.group_level == case.training.group_level
    assert list(artifact.risk_thresholds.values()) == sorted(artifact.risk_thresholds.values())
    assert set(artifact.rho) <= set(DEMAND_CLASSES)
    assert all(isinstance(name, str) for name in artifact.facts())
    compared = artifact.compared()
    assert compared is None or compared.columns == ["choice", "candidate", "loss_over_best", "is_chosen"]
    factors = artifact.factors(PANEL, GROUPS)
    assert factors is None or (factors.shape == PANEL.sales.shape and (factors > 0).all())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"family": "oracle", "format": 1}'])
def test_what_is_no_artifact_of_the_family_is_refused(case: Case, content: bytes) -> None:
    with pytest.raises(InputError, match=case.family.name):
        case.family.load(content)


def test_an_artifact_that_lacks_something_is_refused(case: Case) -> None:
    content = case.artifact.to_bytes().replace(b'"history_days"', b'"history_dais"')
    with pytest.raises(InputError, match=f"no artifact of the family `{case.family.name}`"):
        case.family.load(content)


def test_forecasts_have_their_shape_and_parts_that_add_up(case: Case) -> None:
    made = case.family.forecast(case.artifact, case.inputs)
    assert made.mean.shape == (COUNT, HORIZON)
    assert (made.mean >= 0).all()
    assert made.quantiles.shape == (COUNT, HORIZON, len(QUANTILES))
    assert (np.diff(made.quantiles, axis=2) >= 0).all()
    assert set(made.demand_class) <= set(DEMAND_CLASSES)
    parts = case.family.explain(made)
    assert list(parts) == [name for name in COMPONENTS[:-1] if name in parts]
    np.testing.assert_allclose(sum(parts.values()), made.mean, rtol=1e-12, atol=1e-12)
    nodes = made.nodes
    assert nodes is None or nodes.nodes.equals(HIERARCHY.information.nodes)
    assert (
        case.family.forecast(case.artifact, ForecastInputs(PANEL, GROUPS, given_rows=case.inputs.given_rows)).nodes
        is None
    )


def test_frames_keep_their_contracts_and_say_who_made_them(case: Case) -> None:
    key = RunKey("daily", PANEL.cutoff, "any-1", HORIZON)
    made = case.family.forecast(case.artifact, case.inputs)
    base, nodes = forecast_frames(key, PANEL, HIERARCHY, case.family, made)
    assert BASE_FORECASTS.validate(base).height == COUNT * HORIZON
    BASE_NODE_FORECASTS.validate(nodes)
    assert (base.select(pl.sum_horizontal(COMPONENTS)).to_series() == base["base_units"]).all()
    if made.nodes is None:
        total = nodes.filter(product_level="total", store_level="total").sort("step")["base_units"]
        sums = base.group_by("step").agg(pl.col("base_units").sum()).sort("step")["base_units"]
        assert total.to_list() == sums.to_list()
        assert nodes["model_used"].unique().to_list() == [case.family.name]


def test_a_version_is_judged_on_days_that_it_has_not_seen_and_passes_or_fails_gates(case: Case) -> None:
    report = EVALUATION_REPORTS.validate(case.trained.report)
    rows = report.filter(segment_kind="all", metric="wape")["rows"].item()
    assert rows == COUNT * HORIZON * (2 if case.family.given_product is None else 1)
    gates = case.family.gates(report)
    assert gates
    assert all(isinstance(passed, bool) for passed in gates.values())


def test_who_only_wants_the_artifact_gets_no_report(case: Case) -> None:
    few = fit_version(case.family, replace(case.training, evaluates=False))
    assert few.report is None


def test_progress_is_told_by_stage(case: Case) -> None:
    seen: list[tuple[str, int, int]] = []
    inputs = ForecastInputs(
        PANEL, GROUPS, HIERARCHY, case.inputs.given_rows, workers=1, progress=lambda *told: seen.append(told)
    )
    case.family.forecast(case.artifact, inputs)
    assert {stage for stage, _, _ in seen} <= {"series forecast", "upper nodes forecast"}
    for (stage, done, _), (other, later, total) in pairwise(seen):
        assert stage != other or done < later <= total


def test_families_are_found_by_name_and_others_are_refused() -> None:
    assert list(families()) == ["statistical", "global", "combined", "external"]
    assert list(trained_families()) == ["statistical", "global", "combined"]
    assert given_products() == {"external_forecasts"}
    with pytest.raises(InputError, match=r"no model family `oracle`. Known: statistical, .*, external. Read"):
        family("oracle")
    for name in ("oracle", "external"):
        with pytest.raises(InputError, match=f"no model family `{name}` to train. Use --family statistical or"):
            family_to_train(name)


def test_a_family_is_registered_once() -> None:
    with registered(LastWeek()):
        assert list(trained_families())[-1] == "last_week"
        with pytest.raises(ValueError, match="a model family `last_week` already"):
            register(LastWeek())
    with pytest.raises(InputError, match="no model family `last_week`"):
        family("last_week")
