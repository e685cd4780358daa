"""What overrides were worth over some days, small samples, and advice, against numbers worked out by hand."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from forecast_assets.accuracy.value_added import value_by
from forecast_assets.cli.override_value import value
from forecast_assets.core.errors import InputError, NotAcceptedError, NotReadyError
from forecast_assets.operations.value_added import advice, value_added, value_by_week, valued_cadences
from forecast_assets.plots import value_added_png
from forecast_assets.presentation.value_added import advice_text, value_page, value_text
from resources.catalogue.build import build_catalogue
from resources.stores.home import Stores, open_stores
from tests.support.value_cases import DAY, value_frame, value_row, valued


def record(stores: Stores, rows: list[dict[str, Any]]) -> None:
    """Record rows, each on its day."""
    for day in sorted({row["target_date"] for row in rows}):
        valued(stores, [row for row in rows if row["target_date"] == day], day)


def many(first: int = 1, overrides: int = 5, days: int = 6, **said: Any) -> list[dict[str, Any]]:
    """Rows of several overrides on several days, one SKU and store each."""
    return [
        value_row(f"o{first + at}-1", day=DAY + timedelta(days=later), **said)
        for at in range(overrides)
        for later in range(days)
    ]


def test_value_added_is_the_difference_of_errors_over_sales(stores: Stores) -> None:
    # Found 10 and 20, published 12 and 18, sold 11 and 16: errors of 1 + 4 become 1 + 2, of 27 units sold.
    rows = [value_row("o3-1"), value_row("o4-1", found=20, published=18, sales=16, planner="ben", reason="price")]
    record(stores, rows)
    found = value_added(stores)
    assert [(line.name, line.overrides, line.row_days) for line in found.lines] == [("ana", 1, 1), ("ben", 1, 1)]
    assert [line.value_added_points for line in found.lines] == pytest.approx([0.0, 100 * 2 / 16])
    assert found.overall is not None
    assert found.overall.value_added_points == pytest.approx(100 * (5 - 3) / 27)
    assert found.overall.wape["reconciled"] == pytest.approx(5 / 27)
    assert found.overall.wape["override"] == pytest.approx(3 / 27)
    assert {line.name for line in value_added(stores, by="reason").lines} == {"event", "price"}
    assert {line.name for line in value_added(stores, by="direction").lines} == {"up", "down"}
    assert [line.name for line in value_added(stores, planner="ben").lines] == ["ben"]


def test_rules_have_lines_of_their_own_and_are_held_against_the_model(stores: Stores) -> None:
    # The model said 8 and 11 were sold: a rule made 12 of it; elsewhere it made 10, and ana 12 of these.
    model = {"reconciled_absolute_error_units": 3, "reconciled_error_units": -3}
    after_all = {"rules_error_units": 1, "rules_absolute_error_units": 1}
    rule = value_row("event_uplift", planner="policy", reason="event_uplift", is_rule=True, **model, **after_all)
    after_rule = value_row("o3-1", **model)
    record(stores, [rule, after_rule])
    lines = {(line.name, line.is_rule): line for line in value_added(stores).lines}
    assert lines["policy", True].value_added_points == pytest.approx(100 * (3 - 1) / 11)
    assert lines["ana", False].value_added_points == pytest.approx(0.0)
    assert [line.name for line in value_added(stores, by="size").lines] == ["medium"]
    overall = value_added(stores).overall
    assert overall is not None
    assert overall.rows == 1
    assert "policy (rule)" in value_text(value_added(stores))


def test_of_several_revisions_and_runs_a_row_day_counts_once() -> None:
    rows = [
        value_row("o3-1", rows=4),
        value_row("o3-1", rows=3, revision=1),
        value_row("o9-1", rows=2),
        value_row("o3-1", rows=5, ahead=1),
    ]
    (line,) = value_by(value_frame(rows), ("planner",)).to_dicts()
    # Of o3-1 revision 1 counts instead of revision 0, and the two runs look at the same five; o9-1 was withdrawn.
    assert (line["rows"], line["row_days"], line["overrides"]) == (3 + 5 + 2, 5 + 2, 2)
    assert line["sales_units"] == 110.0


@pytest.mark.parametrize(
    ("overrides", "days", "is_small"), [(5, 6, False), (5, 5, True), (4, 30, True), (30, 1, False), (29, 1, True)]
)
def test_small_samples_are_marked(overrides: int, days: int, is_small: bool) -> None:
    (line,) = value_by(value_frame(many(overrides=overrides, days=days))).to_dicts()
    assert line["row_days"] == overrides * days
    assert line["is_small_sample"] is is_small


def test_advice_is_what_least_squares_gives_by_hand(stores: Stores) -> None:
    # Upward moves of 4 came true by 3, as many of 2 by nothing: (4 * 3 + 2 * 0) / (16 + 4) = 0.6.
    # Small ones made 9.5 of 10 where 9.5 were sold: better by 0.5 of 9.5 units.
    record(stores, [
        *many(1, 5, 6, found=20, published=24, sales=23), *many(11, 5, 6, found=10, published=12, sales=10),
        *many(21, 5, 6, found=10, published=9.5, sales=9.5),
        *many(31, 5, 6, found=10, published=8, sales=1, planner="ben"),
    ])  # fmt: skip
    found = advice(stores, "ana")
    assert found.shrink_upward_to == pytest.approx(0.6)
    assert found.small_paid_points == pytest.approx(100 * 0.5 / 9.5)
    upward, small = found.words
    assert upward == (
        "Your upward changes came true by 60% of their size over 60 row-days of 10 overrides: +20% would best have "
        "been +12%."
    )
    assert small == (
        "Your changes of under 10% made forecasts better by 5.3 points of sales over 30 row-days of 5 overrides: they "
        "paid."
    )
    assert "Nothing is changed by itself." in advice_text(found)


@pytest.mark.parametrize(
    ("sales", "share", "best"), [(8, 0.0, "to leave the forecast alone"), (20, 1.0, "+20%"), (11, 0.5, "+10%")]
)
def test_the_share_is_bounded(stores: Stores, sales: float, share: float, best: str) -> None:
    record(stores, many(sales=sales))
    found = advice(stores, "ana")
    assert found.shrink_upward_to == pytest.approx(share)
    assert found.words[0].endswith(f"+20% would best have been {best}.")


def test_small_changes_that_made_it_worse_did_not_pay(stores: Stores) -> None:
    record(stores, many(found=10, published=9.5, sales=10))
    found = advice(stores, "ana")
    assert found.shrink_upward_to is None
    assert found.small_paid_points == pytest.approx(-5.0)
    assert found.words[0].endswith(
        "made forecasts worse by 5.0 points of sales over 30 row-days of 5 overrides: they did not pay."
    )


def test_a_short_record_gives_no_advice_but_says_so(stores: Stores) -> None:
    record(stores, many(overrides=4))
    found = advice(stores, "ana")
    assert (found.shrink_upward_to, found.small_paid_points) == (None, None)
    (words,) = found.words
    assert words == (
        "Too little is known of how ana's changes came out for advice: 24 row-days of 4 overrides, and it takes 30 "
        "row-days of 5 overrides in one direction or size."
    )
    assert "nothing, and it takes 30" in advice(stores, "nobody").words[0]


def test_days_are_those_up_to_the_newest_and_what_cannot_be_answered_says_why(stores: Stores) -> None:
    with pytest.raises(NotReadyError, match="No daily forecast that was overridden has been measured"):
        value_added(stores)
    old, new = value_row("o1-1", planner="cleo"), value_row("o2-1", day=DAY + timedelta(days=40))
    record(stores, [old, new])
    assert [line.name for line in value_added(stores).lines] == ["ana", "cleo"]
    assert [line.name for line in value_added(stores, days=40).lines] == ["ana"]
    with pytest.raises(NotReadyError, match="overridden by cleo has been measured in the newest 40 days"):
        value_added(stores, planner="cleo", days=40)
    with pytest.raises(NotReadyError, match="No weekly forecast"):
        value_added(stores, cadence="weekly")
    with pytest.raises(InputError, match="`store` divides no overrides"):
        value_added(stores, by="store")
    with pytest.raises(InputError, match="0 days are none"):
        value_added(stores, days=0)


def test_weeks_are_told_by_their_monday_without_rules(stores: Stores) -> None:
    # A Tuesday with two overrides and a rule, and the Monday after.
    rule = value_row("event_uplift", planner="policy", reason="event_uplift", is_rule=True)
    monday = DAY + timedelta(days=6)
    record(stores, [value_row("o1-1"), value_row("o2-1", planner="ben"), rule, value_row("o3-1", day=monday, sales=12)])
    found = value_by_week(stores)
    assert found.select("name", "row_days").rows() == [("2025-06-02", 2), ("2025-06-09", 1)]
    assert found["override_wape"].to_list() == pytest.approx([2 / 22, 0.0])
    assert value_by_week(stores, planner="ben")["row_days"].to_list() == [1]
    assert value_by_week(stores, planner="nobody").is_empty()
    assert valued_cadences(stores) == ["daily"]


def test_rows_that_were_not_judged_are_told_without_a_figure(stores: Stores) -> None:
    late = {name: 0 for name in value_frame([value_row()]).columns if name.endswith(("_units", "_units2"))}
    record(stores, [value_row(rows=0, rows_without_actual=3, rows_left_out=2) | late])
    (line,) = value_added(stores).lines
    assert (line.rows, line.rows_without_actual, line.rows_left_out) == (0, 3, 2)
    assert (line.value_added_points, line.moves_that_came_true, line.wape["override"]) == (None, None, None)
    assert line.is_small_sample
    assert "small sample" in value_text(value_added(stores))


def test_a_day_measured_again_replaces_what_was_known_and_both_stay(stores: Stores, tmp_path: Path) -> None:
    first = valued(stores, [value_row()])
    second = valued(stores, [value_row(sales=12)])
    assert (first.numbers, first.sequence) == (second.numbers, second.sequence - 1)
    assert valued(stores, [value_row(sales=12)]) == second, "the same numbers are recorded once"
    (line,) = value_added(open_stores(stores.predictions._blobs.root)).lines
    assert line.wape["override"] == 0
    with duckdb.connect() as connection:
        path = build_catalogue(stores.predictions, tmp_path, connection)
    with duckdb.connect(str(path), read_only=True) as connection:
        shown = connection.execute(
            "SELECT measured_sequence, is_newest, override_absolute_error_units FROM audit.forecast_value_added "
            "ORDER BY 1"
        ).fetchall()
        comments = connection.execute(
            "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'forecast_value_added' AND comment IS NULL"
        ).fetchall()
    assert shown == [(first.sequence, False, 1), (second.sequence, True, 0)]
    assert comments == [(0,)]


def test_a_day_without_overrides_records_what_earlier_releases_did(stores: Stores) -> None:
    recorded = valued(stores, [])
    assert (recorded.value_version, recorded.value_numbers, recorded.value_acceptances) == ("", "", {})
    (entry,) = stores.ledger.entries()
    assert set(entry.body) == {
        "cadence", "target_date", "product_version", "numbers", "known_until", "runs", "acceptances",
    }  # fmt: skip


def test_what_no_check_has_accepted_is_not_recorded(stores: Stores) -> None:
    with pytest.raises(NotAcceptedError, match="`forecast_value_added` has not passed moves_are_in_their_direction"):
        valued(stores, [value_row()], checks=["moves_are_in_their_direction"])
    assert stores.ledger.state().sequence == 0


def test_page_and_picture_show_every_line_and_mark_small_samples(stores: Stores) -> None:
    record(stores, [*many(), *many(11, 1, 1, planner="b<en", published=8)])
    found = value_added(stores)
    page = value_page(found, advice(stores, "ana"))
    assert "b&lt;en" in page
    assert "data:image/png;base64," in page
    assert "+20% would best have been +10%." in page
    assert "All in all planners made them worse by" in page
    drawn = value_added_png(found.frame)
    assert drawn.startswith(b"\x89PNG")
    assert drawn == value_added_png(found.frame)
    assert drawn != value_added_png(found.frame.with_columns(is_small_sample=True))


def test_help_names_every_split() -> None:
    shown = CliRunner().invoke(value, ["--help"]).output
    assert "Examples:" in shown
    assert "[planner|reason|direction|size]" in shown
