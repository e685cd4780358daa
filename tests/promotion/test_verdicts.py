"""Verdicts: a figure against its bounds, and the rows that say so."""

from math import inf, nan

import pytest

from forecast_assets.contracts import PROMOTION_GATES
from forecast_assets.core.policy import MERIT_GATES
from forecast_assets.promotion.verdicts import failed_gates, gates_frame, within


@pytest.mark.parametrize(
    ("figure", "margin", "verdict"),
    [
        (0.1, None, "met"), (0.1001, None, "failed"), (-0.1001, None, "failed"), (0.12, 0.03, "met"),
        (-0.12, 0.03, "met"), (0.12, 0.01, "failed"), (None, None, "not_measured"), (nan, 0.5, "not_measured"),
        (inf, None, "failed"),
    ],
)  # fmt: skip
def test_a_figure_fails_where_it_is_beyond_a_bound_by_more_than_its_margin(
    figure: float | None, margin: float | None, verdict: str
) -> None:
    assert within("bias_is_small", figure, "a test", margin=margin, lowest=-0.1, highest=0.1).verdict == verdict


def test_gates_of_merit_are_those_that_a_policy_may_open_and_all_others_are_of_soundness() -> None:
    assert {within(gate, 0.0, "").kind for gate in MERIT_GATES} == {"merit"}
    assert within("lineage_is_complete", 0.0, "").kind == within("file_is_sound", 0.0, "").kind == "soundness"


def test_a_gate_fails_if_one_of_its_segments_does() -> None:
    verdicts = [
        within("not_worse_than_champion", 0.0, "", highest=0.05),
        within("not_worse_than_champion", 0.2, "", highest=0.1, segment_kind="demand_class", segment="lumpy"),
        within("bytes_are_as_recorded", 1.0, "", highest=0.0),
        within("bias_is_small", None, "", highest=0.1),
    ]
    assert failed_gates(verdicts, "merit") == ("not_worse_than_champion",)
    assert failed_gates(verdicts, "soundness") == ("bytes_are_as_recorded",)


def test_rows_keep_their_contract_and_say_null_where_there_is_no_number() -> None:
    verdicts = [within("bias_is_small", 0.02, "the report", margin=0.01, lowest=-0.1, highest=0.1),
                within("stable_between_runs", None, "no run", highest=0.3)]  # fmt: skip
    frame = gates_frame(verdicts, model_version="stat-1", cadence="daily", policy="abc", overridable=("bias_is_small",))
    PROMOTION_GATES.validate(frame)
    assert frame["is_overridable"].to_list() == [True, False]
    assert frame.select("figure", "margin", "lowest", "highest").rows() == [
        (0.02, 0.01, -0.1, 0.1), (None, None, None, 0.3),
    ]  # fmt: skip
