"""What stages share of a run: one panel, laid out once, let go when the last has read it."""

from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.core.run import RunRequest
from forecast_assets.scoring.context import RunContext


def run_of(laid_out: list[str], history_days: int = 28, horizon: int = 14) -> RunContext:
    """A run whose history counts how often it is laid out."""
    run = RunContext(cast("Any", None), RunRequest(RunKey("daily", date(2025, 6, 30), "stat-1", horizon)))

    def panel(_features: object, **days: int) -> object:
        laid_out.append(str(days))
        return object()

    vars(run).update(
        artifact=SimpleNamespace(history_days=history_days), features=None, history=SimpleNamespace(panel=panel)
    )
    return run


def test_stages_of_a_run_lay_their_panel_out_once() -> None:
    laid_out: list[str] = []
    run = run_of(laid_out)
    assert run.panel is run.panel
    assert laid_out == ["{'history_days': 28, 'horizon_days': 14}"]


@pytest.mark.parametrize("other", [{}, {"history_days": 29}, {"horizon": 7}], ids=["same", "history", "horizon"])
def test_another_run_has_a_panel_of_its_own(other: dict[str, Any]) -> None:
    laid_out: list[str] = []
    first, second = run_of(laid_out), run_of(laid_out, **other)
    before = first.panel
    assert first.panel is not second.panel
    assert first.panel is before
    assert len(laid_out) == 2


def test_what_was_let_go_is_laid_out_again() -> None:
    laid_out: list[str] = []
    run = run_of(laid_out)
    before = run.panel
    run.release_panel()
    assert run.panel is not before
    assert len(laid_out) == 2
