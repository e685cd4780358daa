"""A version and its report are the same bytes however many processes worked on them."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.statistical.family import STATISTICAL_FAMILY
from forecast_assets.models.training import TrainingInputs
from forecast_assets.training import fitting
from forecast_assets.training.fitting import fit_version
from tests.support.digests import digest
from tests.support.forecast_cases import lawful_panel, one_group


def _inputs() -> TrainingInputs:
    panel = lawful_panel(count=60, days=90)
    sales = panel.sales.copy()
    # Some had not begun by the first past cutoff, some not by the second.
    sales[:4, :80], sales[4:9, :65] = np.nan, np.nan
    empty = (np.arange(60)[:, None] + np.arange(90)) % 9 == 0
    return TrainingInputs(
        panel=replace(panel, sales=sales, is_censored=empty),
        product_groups=one_group(60),
        hierarchy=Hierarchy.build(panel.series, None, None),
        horizon=14,
    )


def test_past_cutoffs_that_are_judged_beside_give_the_same_report(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    inputs = replace(_inputs(), progress=lambda *step: told.append(step))
    alone = fit_version(STATISTICAL_FAMILY, replace(inputs, workers=1))
    one_after_the_other, told[:] = [*told], []
    monkeypatch.setattr(fitting, "_WORTH_CELLS", 1)
    monkeypatch.setattr(fitting, "evaluate", None)  # what works beside does not call it
    beside = fit_version(STATISTICAL_FAMILY, replace(inputs, workers=2))
    assert digest(beside.artifact.to_bytes()) == digest(alone.artifact.to_bytes())
    assert alone.report is not None
    assert beside.report is not None
    assert beside.report.equals(alone.report)
    assert told == one_after_the_other


@pytest.mark.parametrize(
    ("cells", "workers", "evaluates", "expected"),
    [
        (400_000, 2, True, True),
        (399_000, 2, True, False),
        (2_666_000, 2, True, True),
        (2_667_000, 2, True, False),
        (400_000, 1, True, False),
        (400_000, 2, False, False),
    ],
)
def test_processes_are_started_where_they_pay_and_memory_holds_all(
    cells: int, workers: int, evaluates: bool, expected: bool
) -> None:
    inputs = _inputs()
    panel = replace(inputs.panel, sales=np.broadcast_to(0.0, (cells // 1000, 1000)))
    assert fitting._is_worth_processes(replace(inputs, panel=panel, workers=workers, evaluates=evaluates)) is expected
