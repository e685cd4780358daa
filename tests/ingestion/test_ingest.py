"""Ingests as a whole: one batch in memory at a time, everything or nothing, known by content."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ContractError, LostRaceError
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches, inspect_batches
from forecast_assets.launch import Runner
from forecast_assets.settings import Settings
from resources.stores.home import Stores
from tests.ingestion.test_intake import batch, sales


def taken(stores: Stores, *batches: Batch, unexpected: dict[str, list[str]] | None = None) -> IngestOutcome:
    return ingest_batches(
        iter(batches),
        stores.observations,
        expect=lambda each: (unexpected or {}).get(each.feed, []),
        progress=lambda *_: None,
    )


def held(stores: Stores) -> pl.DataFrame:
    rows = stores.observations.scan(stores.observations.batches(), "sales")
    assert rows is not None
    return rows.collect().sort("event_date", "known_at")


def test_only_one_batch_is_in_memory_at_a_time(stores: Stores) -> None:
    alive: list[weakref.ref[Batch]] = []
    most = 0

    def made() -> Iterator[Batch]:
        nonlocal most
        for month in range(1, 7):
            days = pl.date_range(date(2025, month, 1), date(2025, month + 1, 1), closed="left", eager=True)
            frame = pl.concat([sales([1])] * len(days)).with_columns(
                event_date=days, known_at=(days + timedelta(days=1)).cast(pl.Datetime("us", "UTC"))
            )
            gc.collect()
            most = max(most, sum(each() is not None for each in alive))
            each = batch(frame)
            alive.append(weakref.ref(each))
            yield each
            del each

    outcome = ingest_batches(made(), stores.observations, expect=lambda _: [], progress=lambda *_: None)
    assert len(outcome.added) == 6
    assert most <= 1
    assert len({each.sequence for each in outcome.added}) == 1


def test_all_batches_become_visible_in_one_entry_or_none_does(stores: Stores) -> None:
    bad = batch(sales([3], units=-1.0))
    with pytest.raises(ContractError, match="is below 0"):
        taken(stores, batch(sales([1, 2])), bad)
    assert stores.observations.batches() == []
    assert stores.ledger.state().sequence == 0
    outcome = taken(stores, batch(sales([1, 2])), batch(sales([3])))
    assert (outcome.sequence, len(outcome.added), outcome.findings) == (1, 2, ())


def test_errors_of_every_batch_are_collected(stores: Stores) -> None:
    events = Batch("events", "city", 0.5, timedelta(0), pl.DataFrame({"event_name": ["fair"]}))
    with pytest.raises(ContractError) as caught:
        taken(stores, batch(sales([1], units=-1.0)), events, batch(sales([3])))
    assert [(each.feed, each.kind) for each in caught.value.findings] == [
        ("sales", "too small"), ("events", "columns"), ("sales", "missing days"),
    ]  # fmt: skip
    assert "events: it lacks the columns" in str(caught.value)
    assert "Nothing was stored." in str(caught.value)


def test_warnings_do_not_stop_an_ingest(stores: Stores) -> None:
    taken(stores, batch(sales([1, 2])))
    outcome = taken(stores, batch(sales([5])))
    assert [(each.kind, each.is_error) for each in outcome.findings] == [("late days", False)]
    late = taken(stores, batch(sales([3, 4])))
    assert late.findings == ()
    assert held(stores)["event_date"].dt.day().to_list() == [1, 2, 3, 4, 5]


def test_the_same_again_is_known_by_content_and_not_judged_anew(stores: Stores) -> None:
    first = taken(stores, batch(sales([1, 2])))
    again = taken(stores, batch(sales([1, 2])), unexpected={"sales": ["never asked"]})
    assert (again.added, again.sequence) == ((), None)
    assert [each.sha256 for each in again.known] == [each.sha256 for each in first.added]


def test_a_file_that_has_grown_adds_only_its_new_rows(stores: Stores) -> None:
    taken(stores, batch(sales([1, 2])))
    outcome = taken(stores, batch(sales([1, 2, 3])))
    assert [each.rows for each in outcome.added] == [1]
    assert outcome.notes == ("2 rows of `sales` from pos were there already.",)
    assert held(stores).height == 3
    again = taken(stores, batch(sales([1, 2, 3])))
    assert (again.sequence, [each.rows for each in again.known]) == (None, [3])


def test_a_restated_row_is_new_and_a_silent_change_is_refused(stores: Stores) -> None:
    taken(stores, batch(sales([1, 2])))
    outcome = taken(stores, batch(pl.concat([sales([1, 2]), sales([1], units=5.0, delay_days=4)])))
    assert [each.rows for each in outcome.added] == [1]
    with pytest.raises(ContractError, match="1 rows say something else than before, as known at the same moment"):
        taken(stores, batch(sales([2], units=9.0)))
    assert held(stores).height == 3


def test_two_batches_of_an_ingest_may_not_contradict_each_other(stores: Stores) -> None:
    with pytest.raises(ContractError, match="say something else than before"):
        taken(stores, batch(sales([1])), batch(sales([1], units=9.0)))
    assert stores.observations.batches() == []


def meanwhile(stores: Stores, ours: Batch, theirs: Batch) -> IngestOutcome:
    """Ingest `ours`; after it was judged, another process ingests `theirs`."""

    def made() -> Iterator[Batch]:
        yield ours
        taken(stores, theirs)

    return ingest_batches(made(), stores.observations, expect=lambda _: [], progress=lambda *_: None)


def test_of_two_ingests_at_once_that_speak_of_the_same_days_the_second_is_refused(stores: Stores) -> None:
    with pytest.raises(LostRaceError, match="Another ingest recorded the same days meanwhile") as caught:
        meanwhile(stores, batch(sales([1, 2])), batch(sales([2, 3], units=9.0)))
    assert "`sales` from pos, 2025-01-02 to 2025-01-03 (ledger entry 1). Nothing of this one" in str(caught.value)
    assert "Run the same command again" in caught.value.remedy
    assert exit_code(type(caught.value)) == 4
    assert held(stores)["sales_units"].to_list() == [9.0, 9.0]
    with pytest.raises(ContractError, match="1 rows say something else than before"):
        taken(stores, batch(sales([1, 2])))


def test_two_ingests_at_once_of_the_same_or_of_other_things_both_stand(stores: Stores) -> None:
    same = meanwhile(stores, batch(sales([1, 2])), batch(sales([1, 2])))
    assert (same.sequence, len(same.known)) == (None, 1)
    assert meanwhile(stores, batch(sales([3])), batch(sales([4]))).sequence == 3
    other = replace(batch(sales([5], units=9.0)), source="till")
    assert meanwhile(stores, batch(sales([5])), other).sequence == 5
    assert held(stores).height == 6


def test_what_is_beyond_the_contract_is_an_error_too(stores: Stores) -> None:
    with pytest.raises(ContractError, match="Expected that something was sold") as caught:
        taken(stores, batch(sales([1])), unexpected={"sales": ["Expected that something was sold."]})
    assert [each.kind for each in caught.value.findings] == ["expectation"]


def test_inspecting_says_the_same_and_stores_nothing(tmp_path: Path) -> None:
    runner = Runner(Settings(home=tmp_path / "home"))
    broken = [batch(sales([1, 2])), replace(batch(sales([4], units=-1.0)), source="till")]
    found = runner.inspect(broken)
    assert [(each.kind, each.is_error) for each in found] == [("too small", True)]
    assert list(tmp_path.iterdir()) == []
    assert inspect_batches([batch(sales([1]))], expect=lambda _: [], progress=lambda *_: None) == []


def test_a_failing_dagster_does_not_undo_a_recorded_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(Settings(home=tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/dagster").write_text("in the way")
    monkeypatch.setattr("forecast_assets.operations.use_cases.validate_feed", lambda *_, **__: _Fine())
    outcome = runner.ingest([batch(sales([1]))])
    assert outcome.sequence == 1
    assert outcome.notes[0].startswith("The data is recorded, but the Dagster UI will not show it:")
    assert [each.rows for each in runner.stores.observations.batches()] == [1]


class _Fine:
    failed: tuple[str, ...] = ()


@pytest.mark.parametrize("days", [-1_000_000, 2_932_896])
def test_days_beyond_all_calendars_are_findings_wherever_they_come_from(stores: Stores, days: int) -> None:
    frame = sales([1, 2]).with_columns(event_date=pl.Series([20_089, days], dtype=pl.Int32).cast(pl.Date))
    with pytest.raises(ContractError, match=r"column `event_date` is outside 1900 to 2200 in 1 rows"):
        taken(stores, batch(frame))
    assert stores.observations.batches() == []
