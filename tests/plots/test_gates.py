"""The picture of a judgement: bounds at -1 and 1, whatever they are."""

import pytest

from forecast_assets.plots.gates import _scaled, gates_png
from forecast_assets.promotion.verdicts import GateVerdict, gates_frame, within


def scaled(*verdicts: GateVerdict) -> dict[str, tuple[float, float]]:
    frame = gates_frame(verdicts, model_version="v", cadence="daily", policy="p", overridable=())
    return {name: (at, reach) for name, at, reach, _ in _scaled(frame).iter_rows()}


def test_figures_are_drawn_where_they_are_between_their_bounds() -> None:
    found = scaled(
        within("bias_is_small", 0.05, "", margin=0.02, lowest=-0.1, highest=0.1),
        within("coverage_is_right", 0.6, "", lowest=0.7, highest=0.9),
        within("inputs_are_familiar", 0.05, "", highest=0.05),
        within("stable_between_runs", 0.0, "", highest=0.3),
        within("beats_seasonal_naive", -0.18, "", highest=0.0),
        within("risk_is_reliable", 9.0, "", highest=0.1, segment_kind="risk_band", segment="high"),
        within("not_worse_than_champion", None, "", highest=0.05),
        within("lineage_is_complete", 0.0, "", highest=0.0),
    )
    assert found == {
        "bias is small": pytest.approx((0.5, 0.2)), "coverage is right": pytest.approx((-2.0, 0.0)),
        "inputs are familiar": pytest.approx((1.0, 0.0)), "stable between runs": pytest.approx((0.0, 0.0)),
        "beats seasonal naive": pytest.approx((-0.8, 0.0)), "risk is reliable, high": pytest.approx((2.5, 0.0)),
    }  # fmt: skip


def test_a_stricter_bound_below_nothing_is_at_1_too_and_far_below_it_is_within() -> None:
    assert scaled(within("beats_seasonal_naive", -0.2, "", highest=-0.2))["beats seasonal naive"][0] == pytest.approx(
        1.0
    )
    assert scaled(within("beats_seasonal_naive", -0.9, "", highest=0.0))["beats seasonal naive"][0] == -1.0


def test_a_judgement_without_a_figure_is_a_picture_too() -> None:
    frame = gates_frame(
        [within("bias_is_small", None, "nothing was sold", highest=0.1)], model_version="v", cadence="daily",
        policy="p", overridable=(),
    )  # fmt: skip
    assert gates_png(frame).startswith(b"\x89PNG")
