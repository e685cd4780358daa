"""Product versions, acceptance and the commit."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forecast_assets.contracts import PUBLISHED, Column, Contract
from forecast_assets.core.errors import (
    AlreadyPublishedError,
    AlreadyRegisteredError,
    ChangedFileError,
    ContractError,
    InputError,
    NameNotAllowedError,
    NotAcceptedError,
    NotPublishedError,
    NotStagedError,
    UnknownVersionError,
)
from forecast_assets.core.keys import RunKey
from resources.ledger.entries.publish import Correction
from resources.store import blobs
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion, acceptance_path, staging_path
from resources.stores.home import Stores, open_stores
from resources.stores.products import PredictionStore, snapshot_key
from tests.support.ledger_cases import record_backtest
from tests.support.store_cases import register

KEY = RunKey("daily", date(2025, 1, 1), "stat-1", 7)
CHECKS = ("first", "second")


def contract(name: str) -> Contract:
    return Contract(name, "a row", "a test", (Column("n", pl.Int64, "a number", at_least=0),), ("n",))


def required(product: str) -> tuple[str, ...]:
    assert product in PUBLISHED
    return CHECKS


def write(store: PredictionStore, name: str, numbers: list[int], **inputs: Any) -> ProductVersion:
    return store.write(
        contract(name), pl.DataFrame({"n": numbers}), key=KEY, folder=f"predictions/{name}", inputs=inputs, facts={}
    )


def write_all(store: PredictionStore, *, accept: bool = True) -> dict[str, str]:
    products = {name: write(store, name, [1, 2, 3]).version for name in PUBLISHED}
    for version in products.values():
        for check in CHECKS if accept else ():
            store.accept(version, check)
    return products


def test_equal_content_is_the_same_version_and_reads_back(stores: Stores) -> None:
    store = stores.predictions
    first, again = write(store, "forecasts", [1, 2]), write(store, "forecasts", [1, 2])
    assert first.version == again.version
    assert store.read(first)["n"].to_list() == [1, 2]
    assert write(store, "forecasts", [1, 3]).version != first.version


def test_a_broken_contract_stops_before_a_byte_is_written(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"`forecasts` breaks its contract.*'n': '-1'"):
        write(stores.predictions, "forecasts", [-1])
    assert not list((tmp_path / "store").rglob("*.parquet"))


def test_what_was_not_made_is_named(stores: Stores) -> None:
    with pytest.raises(NotStagedError, match=r"`forecasts` has not been made for daily/2025-01-01/stat-1/7/r0"):
        stores.predictions.staged("forecasts", KEY)


@pytest.mark.parametrize("torn", [b"", b"abc", b"\0" * 64, b"\xff" * 64], ids=["empty", "cut", "zeros", "no text"])
def test_a_pointer_that_points_at_nothing_counts_as_none_until_the_product_is_made_again(
    stores: Stores, torn: bytes
) -> None:
    store = stores.predictions
    made = write(store, "forecasts", [1])
    assert store.is_staged("forecasts", KEY)
    stores.blobs.local(staging_path("forecasts", KEY)).write_bytes(torn)
    assert not store.is_staged("forecasts", KEY)
    with pytest.raises(NotStagedError, match=r"`forecasts` has not been made.*Materialize"):
        store.staged("forecasts", KEY)
    write(store, "forecasts", [1])
    assert store.is_staged("forecasts", KEY)
    assert store.staged("forecasts", KEY) == made


def test_a_published_run_is_visible_to_another_process_and_never_published_twice(
    stores: Stores, tmp_path: Path
) -> None:
    register(stores)
    products = write_all(stores.predictions)
    publication = stores.predictions.publish(KEY, products, required)
    assert publication.accepted == {name: list(CHECKS) for name in PUBLISHED}
    other = open_stores(tmp_path / "store").predictions
    assert other.publication(KEY).products == products
    with pytest.raises(AlreadyPublishedError, match="ledger entry 2"):
        other.publish(KEY, products, required)


def test_publication_refuses_products_without_their_acceptances(stores: Stores) -> None:
    register(stores)
    products = write_all(stores.predictions, accept=False)
    stores.predictions.accept(products["forecasts"], "first")
    with pytest.raises(NotAcceptedError, match="`forecasts` has not passed second on exactly these bytes"):
        stores.predictions.publish(KEY, products, required)
    assert not stores.ledger.state().publications


def test_an_acceptance_does_not_carry_over_to_other_bytes(stores: Stores) -> None:
    register(stores)
    products = write_all(stores.predictions)
    products["forecasts"] = write(stores.predictions, "forecasts", [4]).version
    with pytest.raises(NotAcceptedError):
        stores.predictions.publish(KEY, products, required)


def record_of(stores: Stores, version: str) -> Path:
    return stores.blobs.local(acceptance_path(version, "first"))


def test_a_record_that_a_killed_process_wrote_is_durable_before_it_counts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = write(stores.predictions, "forecasts", [1]).version
    record, synced = record_of(stores, version), list[Path]()
    with monkeypatch.context() as killed:
        killed.setattr(blobs, "sync", lambda _path: None)
        stores.predictions.accept(version, "first")
    said = record.read_bytes()
    monkeypatch.setattr(blobs, "sync", synced.append)
    stores.predictions.accept(version, "first")
    assert synced[-2:] == [record, record.parent]
    assert record.read_bytes() == said


def test_what_another_version_of_the_code_accepted_stands(stores: Stores) -> None:
    version = write(stores.predictions, "forecasts", [1]).version
    stores.predictions.accept(version, "first")
    record = record_of(stores, version)
    said = json.dumps({**json.loads(record.read_bytes()), "code_version": "0.0.1+another"}).encode()
    record.write_bytes(said)
    stores.predictions.accept(version, "first")
    assert stores.predictions.acceptances(version, ["first"]) == {"first": sha256(said)}


@pytest.mark.parametrize("change", ["emptied", "cut", "of another check", "of another version", "a list", "no text"])
def test_a_record_that_says_something_else_accepts_nothing_and_is_not_passed_over(stores: Stores, change: str) -> None:
    version = write(stores.predictions, "forecasts", [1]).version
    stores.predictions.accept(version, "first")
    record = record_of(stores, version)
    said = record.read_bytes()
    changed = {
        "emptied": b"",
        "cut": said[:-1],
        "of another check": said.replace(b"first", b"other"),
        "of another version": said.replace(version.encode(), 64 * b"0"),
        "a list": b"[1]",
        "no text": b"\xff",
    }[change]
    record.write_bytes(changed)
    assert stores.predictions.acceptances(version, ["first"]) == {}
    with pytest.raises(
        ChangedFileError, match=r"first\.json` is not the acceptance.*Restore it.*move it aside and run again"
    ):
        stores.predictions.accept(version, "first")
    assert record.read_bytes() == changed, "what may be evidence is left as it is"
    record.unlink()
    stores.predictions.accept(version, "first")
    assert record.read_bytes() == said


def test_a_torn_acceptance_is_found_before_the_commit(stores: Stores) -> None:
    register(stores)
    products = write_all(stores.predictions)
    record_of(stores, products["forecasts"]).write_bytes(b"")
    with pytest.raises(NotAcceptedError, match="`forecasts` has not passed first on exactly these bytes"):
        stores.predictions.publish(KEY, products, required)
    assert not stores.ledger.state().publications


def test_a_changed_file_is_found_before_a_measurement_is_committed(stores: Stores) -> None:
    day = date(2025, 1, 8)
    made = stores.predictions.write(
        contract("forecast_accuracy"), pl.DataFrame({"n": [1]}), key=f"daily/{day}", folder="accuracy", inputs={},
        facts={"known_until": "2025-01-09T06:00:00+00:00", "runs": 1},
    )  # fmt: skip
    stores.predictions.accept(made.version, "first")
    file = stores.blobs.local(made.files[0].path)
    intact = file.read_bytes()

    def measure() -> bool:
        return stores.predictions.record_measurement("daily", day, made, since=0, required_checks=["first"])[1]

    file.write_bytes(intact[:-1] + b"x")
    with pytest.raises(ChangedFileError, match=file.name):
        measure()
    assert not stores.ledger.state().measurements
    file.write_bytes(intact)
    assert measure()


def test_of_the_same_backtest_recorded_twice_at_once_one_stands(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(stores)
    append, others = stores.ledger.append, []

    def append_after_another(*arguments: Any, **names: Any) -> Any:
        monkeypatch.setattr(stores.ledger, "append", append)
        others.append(record_backtest(open_stores(tmp_path / "store")))
        return append(*arguments, **names)

    monkeypatch.setattr(stores.ledger, "append", append_after_another)
    assert record_backtest(stores) == (others[0][0], False)
    assert others[0][1]
    assert stores.ledger.state().backtests == {"stat-1": [others[0][0]]}
    _, is_new = record_backtest(stores, wape=0.5)
    assert is_new
    assert record_backtest(stores)[1], "another one is the newest"


def test_a_changed_file_is_found_before_the_commit(stores: Stores, tmp_path: Path) -> None:
    register(stores)
    products = write_all(stores.predictions)
    victim = tmp_path / "store" / stores.predictions.version(products["forecasts"]).files[0].path
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedFileError, match=victim.name):
        stores.predictions.publish(KEY, products, required)
    assert not stores.ledger.state().publications


def test_a_changed_ancestor_is_found_too(stores: Stores, tmp_path: Path) -> None:
    parent = write(stores.predictions, "base", [1])
    child = write(stores.predictions, "forecasts", [2], base=parent.version)
    stores.predictions.verify(child.version)
    (tmp_path / "store" / parent.files[0].path).unlink()
    with pytest.raises(ChangedFileError, match="is missing"):
        stores.predictions.verify(child.version)


def test_a_run_must_bring_every_published_product(stores: Stores) -> None:
    register(stores)
    products = write_all(stores.predictions)
    del products["stockout_risks"]
    with pytest.raises(NotStagedError, match="stockout_risks"):
        stores.predictions.publish(KEY, products, required)


def test_versions_are_registered_once_and_named_well(stores: Stores) -> None:
    register(stores)
    with pytest.raises(AlreadyRegisteredError, match="already registered"):
        register(stores)
    taken = ("main", "audit", "catalogue", "champion", "weekly-challenger")
    for bad in ("Stat-1", "7", *taken, "a_b", "", "a" * 64, 'x"; drop'):
        with pytest.raises(NameNotAllowedError, match="cannot name a model version"):
            register(stores, bad)


def test_only_versions_whose_gates_passed_are_promoted(stores: Stores) -> None:
    register(stores, "good", gates={"beats_seasonal_naive": True})
    register(stores, "bad", gates={"beats_seasonal_naive": False})
    stores.registry.promote("good", by="ana", reason="better")
    with pytest.raises(NotAcceptedError, match="beats_seasonal_naive"):
        stores.registry.promote("bad", by="ana", reason="hope")
    with pytest.raises(UnknownVersionError, match=r"no model version `none`. Known: bad, good"):
        stores.registry.promote("none", by="ana", reason="?")
    assert stores.ledger.state().channel("champion") == "good"
    assert stores.ledger.state().channel("challenger") is None


def test_reading_what_is_not_published_says_what_is(stores: Stores) -> None:
    register(stores)
    stores.predictions.publish(KEY, write_all(stores.predictions), required)
    other = RunKey("daily", date(2025, 1, 2), "stat-1", 7)
    with pytest.raises(NotPublishedError, match=r"Published with this version: daily/2025-01-01/stat-1/7/r0"):
        stores.predictions.publication(other)


FIRST, SECOND = replace(KEY, revision=1), replace(KEY, revision=2)
WHY = Correction("ana", "store S sent its sales again", known_until="2025-01-05T00:00:00+00:00")


def test_a_correction_is_a_new_revision_that_says_who_and_why_and_leaves_the_first_alone(stores: Stores) -> None:
    register(stores)
    first = stores.predictions.publish(KEY, write_all(stores.predictions), required)
    second = stores.predictions.publish(FIRST, write_all(stores.predictions), required, WHY)
    assert second.correction == replace(WHY, corrects=str(KEY))
    assert first.correction == Correction()
    assert stores.predictions.publication(KEY) == first
    assert stores.predictions.revisions(SECOND) == [first, second]
    assert stores.predictions.horizons("daily", KEY.prediction_date, "stat-1") == [7]


def test_a_correction_needs_what_it_corrects_and_who_and_why(stores: Stores) -> None:
    register(stores)
    products = write_all(stores.predictions)
    with pytest.raises(NotPublishedError, match=r"7/r0 is not published, so .*/r1 has nothing to correct"):
        stores.predictions.publish(FIRST, products, required, WHY)
    with pytest.raises(InputError, match=r"7/r0 is no correction\."):
        stores.predictions.publish(KEY, products, required, WHY)
    stores.predictions.publish(KEY, products, required)
    with pytest.raises(InputError, match=r"7/r1 is a correction\. Say who and why"):
        stores.predictions.publish(FIRST, products, required)
    for lacking in (replace(WHY, by=" "), replace(WHY, reason="")):
        with pytest.raises(InputError, match="A correction needs who and why"):
            stores.predictions.publish(FIRST, products, required, lacking)
    with pytest.raises(NotPublishedError, match="/r1 is not published"):
        stores.predictions.publish(SECOND, products, required, WHY)
    assert len(stores.ledger.state().publications) == 1


def test_of_corrections_at_once_one_wins(stores: Stores, tmp_path: Path) -> None:
    register(stores)
    products = write_all(stores.predictions)
    stores.predictions.publish(KEY, products, required)

    def correct(by: str) -> str:
        try:
            open_stores(tmp_path / "store").predictions.publish(FIRST, products, required, replace(WHY, by=by))
        except AlreadyPublishedError:
            return "refused"
        return by

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(correct, ["ana", "bob", "cem", "dia"]))
    assert done.count("refused") == 3
    assert stores.predictions.publication(FIRST).correction.by in done


def test_snapshots_of_corrections_have_names_of_their_own() -> None:
    day, moment = date(2025, 1, 1), datetime(2025, 1, 5, 6, 30, tzinfo=UTC)
    assert snapshot_key(day) == str(day)
    assert snapshot_key(day, moment) == "2025-01-01_known_until_20250105T063000000000"
