"""Gates of merit: by default what a version was registered with, by another policy what that says."""

import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.policy import DEFAULT_POLICY, Policy
from forecast_assets.models.gates import PROMOTION_GATES, judged
from forecast_assets.promotion.champion import ComparedWape
from forecast_assets.promotion.merit import champion_verdicts, report_verdicts, risk_verdict
from forecast_assets.promotion.verdicts import GateVerdict
from tests.models.test_gates import made_up
from tests.support.calibration_cases import calibration_frame

REPORTED = ("beats_seasonal_naive", "bias_is_small", "coverage_is_right")


def found(report: pl.DataFrame | None, policy: Policy = DEFAULT_POLICY, **registered: bool) -> dict[str, GateVerdict]:
    verdicts = [*report_verdicts(report, registered, policy)]
    return {each.gate: each for each in verdicts if each.segment_kind == "all"}


@pytest.mark.parametrize("wape", [0.5, 0.6, 0.61])
@pytest.mark.parametrize("bias", [-0.3, -0.114, 0.0, 0.1, 0.13])
@pytest.mark.parametrize("coverage", [0.6, 0.7, 0.8, 0.905, 0.95])
def test_the_policy_of_the_release_decides_as_registration_does(wape: float, bias: float, coverage: float) -> None:
    report = made_up(wape, 0.6, bias, coverage, 0.02)
    then = [each.is_met for each in judged(report, PROMOTION_GATES)]
    now = found(report)
    assert [now[gate].verdict == "met" for gate in REPORTED] == then
    assert [now[gate].figure for gate in REPORTED] == [each.value for each in judged(report, PROMOTION_GATES)]


def test_another_policy_moves_the_bounds() -> None:
    report = made_up(0.5, 0.6, 0.09, 0.8, 0.0)
    stricter = DEFAULT_POLICY.with_changes({"gates.largest_bias": 0.08, "gates.largest_wape_less_naive": -0.2})
    assert [found(report)[gate].verdict for gate in REPORTED] == ["met", "met", "met"]
    assert [found(report, stricter)[gate].verdict for gate in REPORTED] == ["failed", "failed", "met"]
    moved = DEFAULT_POLICY.with_changes({"calibration.coverage_80": 0.95, "gates.largest_coverage_miss": 0.1})
    assert found(report, moved)["coverage_is_right"].verdict == "failed"


def test_what_a_report_does_not_say_was_said_at_registration_and_else_by_nobody() -> None:
    names = {"backtest_beats_seasonal_naive": False, "bias_within_10_percent": True}
    verdicts = found(None, **names)
    assert {gate: each.verdict for gate, each in verdicts.items()} == {
        "beats_seasonal_naive": "failed", "bias_is_small": "met", "coverage_is_right": "not_measured",
    }  # fmt: skip
    assert verdicts["bias_is_small"].measured_on == "its registration"


def row(kind: str, segment: str, metric: str, value: float, rows: int) -> dict[str, object]:
    return {"segment_kind": kind, "segment": segment, "metric": metric, "value": value, "baseline_value": 1.0,
            "rows": rows, "gate_margin": 0.01 if (kind, metric) == ("all", "bias") else None}  # fmt: skip


def test_levels_and_their_important_nodes_are_judged_with_the_margin_that_their_share_leaves() -> None:
    report = pl.DataFrame(
        [
            row("all", "all", "bias", 0.0, 1000), row("all", "all", "largest_level_bias", 0.05, 1),
            row("product_node", "FOOD", "bias", 0.25, 900), row("product_node", "HOBBY", "bias", 0.9, 90),
            row("store_node", "EAST", "bias", -0.215, 250),
        ],
        schema=EVALUATION_REPORTS.schema,
    )  # fmt: skip
    verdicts = [each for each in report_verdicts(report, {}, DEFAULT_POLICY) if each.gate == "bias_of_levels_is_small"]
    assert [(each.segment, each.verdict) for each in verdicts] == [("all", "met"), ("FOOD", "failed"), ("EAST", "met")]
    assert [each.margin for each in verdicts] == pytest.approx([0.01, 0.01 * (10 / 9) ** 0.5, 0.02])


def test_the_champion_is_met_overall_and_in_every_important_segment() -> None:
    rows = pl.DataFrame(
        [("all", "all", 0.52, 0.5, 1000), ("demand_class", "smooth", 0.45, 0.4, 700),
         ("demand_class", "lumpy", 2.0, 1.0, 99), ("store_node", "EAST", 0.4, 0.5, 300)],
        schema=["segment_kind", "segment", "ours", "theirs", "rows"], orient="row",
    )  # fmt: skip
    verdicts = [*champion_verdicts(ComparedWape(rows, "a test"), DEFAULT_POLICY)]
    assert [(each.segment, round(each.figure, 3), each.highest, each.verdict) for each in verdicts] == [
        ("all", 0.04, 0.05, "met"), ("smooth", 0.125, 0.1, "failed"), ("EAST", -0.2, 0.1, "met"),
    ]  # fmt: skip


def test_without_a_champion_on_the_same_days_nothing_is_measured() -> None:
    nothing = pl.DataFrame(schema=["segment_kind", "segment", "ours", "theirs", "rows"])
    [verdict] = champion_verdicts(ComparedWape(nothing, "there is no champion yet"), DEFAULT_POLICY)
    assert (verdict.verdict, verdict.measured_on) == ("not_measured", "there is no champion yet")


def test_risk_is_judged_where_a_past_cutoff_judged_it() -> None:
    assert risk_verdict(None, DEFAULT_POLICY).verdict == "not_measured"
    frame = calibration_frame()
    without = frame.filter(pl.col("metric") != "calibration_error")
    assert risk_verdict(without, DEFAULT_POLICY).verdict == "not_measured"
    said = without.head(1).with_columns(
        segment_kind=pl.lit("all"), segment=pl.lit("all"), metric=pl.lit("calibration_error"), value=pl.lit(0.12)
    )
    assert risk_verdict(said, DEFAULT_POLICY).verdict == "failed"
    wider = DEFAULT_POLICY.with_changes({"gates.largest_risk_calibration_error": 0.15})
    assert risk_verdict(said, wider).verdict == "met"
