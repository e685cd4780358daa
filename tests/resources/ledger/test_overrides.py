"""Entries `override` and `override_decision`: what is written is read, what follows from them, what is refused."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.overrides import Override, Scope
from resources.ledger.entries.override import MOST_AT_ONCE, OVERRIDE, OverrideRecord, PlannedOverrides
from resources.ledger.entries.override_decision import OVERRIDE_DECISION, OverrideDecision
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import overrides
from tests.support.store_cases import CUTOFF, catalogue, ingest, publish, register, run_key

DAYS = CUTOFF + timedelta(days=2), CUTOFF + timedelta(days=3)
PLAIN = Override(Scope.of(sku="A"), *DAYS, "units", "2.5", "event")


def record(stores: Stores, by: str = "ana", *, needs_approval: bool = False, count: int = 1) -> OverrideRecord:
    return append(stores, OverrideRecord((PLAIN,) * count, by, CUTOFF, needs_approval))


def append(stores: Stores, said: OverrideRecord) -> OverrideRecord:
    return OVERRIDE.read(stores.ledger.append(OVERRIDE.name, OVERRIDE.body(said)))


def decide(stores: Stores, status: str, *names: str, by: str = "ben", reason: str = "asked") -> OverrideDecision:
    said = OverrideDecision(status, names, by, reason)
    return OVERRIDE_DECISION.read(stores.ledger.append(OVERRIDE_DECISION.name, OVERRIDE_DECISION.body(said)))


def standing(stores: Stores) -> dict[str, tuple[str, str, bool]]:
    kept = stores.ledger.state().part(PlannedOverrides).by_id
    return {name: (each.status, each.decided_by, each.is_in_force) for name, each in kept.items()}


def test_what_is_written_is_read_also_by_whoever_opens_the_store_later(stores: Stores) -> None:
    said = (PLAIN, replace(PLAIN, note="<b>Fair</b>; DROP TABLE x; --", expires_on=DAYS[0], scope=Scope.of()))
    recorded = append(stores, OverrideRecord(said, "ana", CUTOFF, needs_approval=True))
    assert (recorded.overrides, recorded.by, recorded.observed_until) == (said, "ana", CUTOFF)
    decision = decide(stores, "approved", f"o{recorded.sequence}-2")
    assert decision == OVERRIDE_DECISION.read(stores.ledger.entries()[-1])
    assert standing(stores) == standing(open_stores(stores.blobs.root))
    assert open_stores(stores.blobs.root).ledger.state().part(PlannedOverrides).records == [recorded]


def test_an_override_stands_as_the_last_decision_says(stores: Stores) -> None:
    waiting, plain = record(stores, needs_approval=True, count=1), record(stores, count=2)
    first, second = f"o{plain.sequence}-1", f"o{plain.sequence}-2"
    of_waiting = [name for name in standing(stores) if name not in (first, second)]
    assert of_waiting == [f"o{waiting.sequence}-1"]
    assert standing(stores)[first] == ("recorded", "", True)
    decide(stores, "withdrawn", first, by="ana")
    assert standing(stores)[first] == ("withdrawn", "ana", False)
    assert standing(stores)[second] == ("recorded", "", True)


def test_what_was_true_at_an_earlier_entry_stays_so(stores: Stores) -> None:
    recorded = append(stores, OverrideRecord((PLAIN,), "ana", CUTOFF, needs_approval=True))
    name = f"o{recorded.sequence}-1"
    decide(stores, "approved", name)
    decide(stores, "withdrawn", name, by="cleo")
    found = [standing(stores.as_of(recorded.sequence + later))[name] for later in range(3)]
    assert found == [("pending", "", False), ("approved", "ben", True), ("withdrawn", "cleo", False)]


def test_ids_of_whole_entries_are_those_of_their_overrides(stores: Stores) -> None:
    recorded = record(stores, count=3)
    kept = stores.ledger.state().part(PlannedOverrides)
    assert [each.id for each in kept.of(f"o{recorded.sequence}")] == [f"o{recorded.sequence}-{n}" for n in (1, 2, 3)]
    assert [each.id for each in kept.of(f"o{recorded.sequence}-2")] == [f"o{recorded.sequence}-2"]
    assert kept.of("o99") == []
    with pytest.raises(InputError, match="There is no override o99"):
        kept.require("o99")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (OverrideRecord((PLAIN,), "", CUTOFF), "who"),
        (OverrideRecord((PLAIN,), "  ", CUTOFF), "who"),
        (OverrideRecord((), "ana", CUTOFF), "0 overrides cannot be recorded"),
        (OverrideRecord((PLAIN,) * (MOST_AT_ONCE + 1), "ana", CUTOFF), "10,001 overrides cannot be recorded"),
    ],
    ids=["nobody", "blank", "none", "too many"],
)
def test_overrides_of_nobody_none_or_too_many_are_refused(stores: Stores, said: OverrideRecord, message: str) -> None:
    before = stores.ledger.state().sequence
    with pytest.raises(InputError, match=message):
        append(stores, said)
    assert stores.ledger.state().sequence == before


def test_decisions_that_cannot_be_are_refused_and_leave_nothing(stores: Stores) -> None:
    waiting = append(stores, OverrideRecord((PLAIN, PLAIN), "ana", CUTOFF, needs_approval=True))
    plain = record(stores)
    one, two, own = f"o{waiting.sequence}-1", f"o{waiting.sequence}-2", f"o{plain.sequence}-1"
    decide(stores, "rejected", two)
    before = standing(stores), stores.ledger.state().sequence
    wrong = [
        ("approved", (one,), "ana", "mine", "ana cannot approve"),
        ("approved", ("o77-1",), "ben", "yes", "There is no override o77-1"),
        ("approved", (one, "o77-1"), "ben", "yes", "There is no override o77-1"),
        ("approved", (), "ben", "yes", "No override is named"),
        ("approved", (own,), "ben", "yes", "is recorded, so it cannot be approved"),
        ("rejected", (own,), "ben", "no", "is recorded, so it cannot be rejected"),
        ("approved", (two,), "ben", "yes", "is rejected by ben, so it cannot be approved"),
        ("withdrawn", (two,), "ana", "off", "is rejected by ben, so it cannot be withdrawn"),
        ("forgotten", (one,), "ben", "why not", "cannot be forgotten"),
        ("approved", (one,), "", "yes", "who"),
        ("approved", (one,), "ben", " ", "why|reason"),
    ]
    for status, names, by, reason, message in wrong:
        with pytest.raises(InputError, match=message):
            decide(stores, status, *names, by=by, reason=reason)
    assert (standing(stores), stores.ledger.state().sequence) == before
    decide(stores, "withdrawn", own, by="ana")
    with pytest.raises(InputError, match="is withdrawn by ana, so it cannot be withdrawn"):
        decide(stores, "withdrawn", own, by="ana")


def test_views_say_what_was_said_and_decided(stores: Stores, tmp_path: Path) -> None:
    ingest(stores)
    register(stores)
    publish(stores, run_key())
    recorded = overrides(stores)
    built = catalogue(stores, tmp_path / "catalogue")
    with duckdb.connect(str(built), read_only=True) as connection:
        said = connection.sql("""
            SELECT override_id, product_node, store_level, first_date, form, value, note, expires_on, "by",
                needs_approval, ledger_sequence
            FROM audit.planner_overrides ORDER BY override_id""").fetchall()
        decided = connection.sql(
            'SELECT override_id, status, "by", reason FROM audit.planner_override_decisions ORDER BY ALL'
        ).fetchall()
    at = recorded.sequence
    assert said == [
        (f"o{at}-1", "A", "total", DAYS[0], "percent", "20", "local festival", None, "ana", True, at),
        (f"o{at}-2", "B", "store", DAYS[0], "zero", "", "", DAYS[1], "ana", True, at),
    ]
    assert decided == [(f"o{at}-1", "approved", "ben", "asked the store"),
                       (f"o{at}-2", "rejected", "ben", "asked the store")]  # fmt: skip
