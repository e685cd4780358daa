"""What stages share of a run: one panel, laid out once, let go when the last has read it."""

from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.scoring.context import RunInputs, release_panel


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    release_panel()
    yield
    release_panel()


def stage(laid_out: list[str], snapshot: str = "s1", history_days: int = 28, horizon: int = 14) -> RunInputs:
    """A stage's view of a run whose history counts how often it is laid out."""
    key = RunKey("daily", date(2025, 6, 30), "stat-1", horizon)
    run = RunInputs(cast("Any", None), key, cast("Any", SimpleNamespace(version=snapshot)), cast("Any", None))

    def panel(_features: object, **days: int) -> object:
        laid_out.append(f"{snapshot} {days}")
        return object()

    vars(run).update(
        artifact=SimpleNamespace(history_days=history_days), features=None, history=SimpleNamespace(panel=panel)
    )
    return run


def test_stages_of_a_run_lay_their_panel_out_once() -> None:
    laid_out: list[str] = []
    assert stage(laid_out).panel is stage(laid_out).panel
    assert laid_out == ["s1 {'history_days': 28, 'horizon_days': 14}"]


@pytest.mark.parametrize(
    "other", [{"snapshot": "s2"}, {"history_days": 29}, {"horizon": 7}], ids=["snapshot", "history", "horizon"]
)
def test_another_run_has_a_panel_of_its_own_and_only_the_newest_is_kept(other: dict[str, Any]) -> None:
    laid_out: list[str] = []
    first, second = stage(laid_out), stage(laid_out, **other)
    assert first.panel is not second.panel
    assert first.panel is not None
    assert len(laid_out) == 3


def test_what_was_let_go_is_laid_out_again() -> None:
    laid_out: list[str] = []
    run = stage(laid_out)
    before = run.panel
    release_panel()
    assert run.panel is not before
