"""Reading a channel while a challenger has a share: each store's rows are of the run that it follows."""

from datetime import UTC, datetime

import polars as pl
import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.operations.challengers import stop_challenger
from forecast_assets.serving.dataplane.questions import Page, StoredQuestion, VersionAsked
from forecast_assets.serving.dataplane.resolving import run_of_stores
from forecast_assets.serving.dataplane.row_blocks import RowBlocks
from forecast_assets.serving.dataplane.stored import StoredAnswer, read_stored
from resources.ledger.entries.assign import ChannelAssignments
from resources.stores.home import Stores
from tests.support import store_cases
from tests.support.store_cases import publish, run_key
from tests.support.trial_cases import CHALLENGER, CHAMPION, assigned, begin, with_champion

NOW = datetime(2025, 1, 6, 9, tzinfo=UTC)
DAY = run_key(1).prediction_date
CHANNEL = VersionAsked(channel="champion")
STORES = [f"S-{number:02}" for number in range(20)]


@pytest.fixture
def shared(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """Twenty stores, of which half are the challenger's, as hashes come."""
    of_one = store_cases.product_frame

    def of_all(product: str, key: RunKey, units: int = 4) -> pl.DataFrame:
        frame = of_one(product, key, units)
        if "store_id" not in frame.columns:
            return frame
        return pl.concat(frame.with_columns(store_id=pl.lit(store)) for store in STORES)

    monkeypatch.setattr(store_cases, "product_frame", of_all)
    with_champion(stores)
    begin(stores, 0.5)
    publish(stores, run_key(1), units=4)
    publish(stores, run_key(1, CHALLENGER), units=9)
    assigned(stores, DAY)
    return stores


def read(stores: Stores, asked: VersionAsked = CHANNEL, page: str | None = None, **narrowed: object) -> StoredAnswer:
    given = None if page is None else Page.parse(page)
    return read_stored(stores, StoredQuestion("forecasts", asked, page=given, **narrowed), NOW, RowBlocks(stores))  # type: ignore[arg-type]


def units_by_store(answer: StoredAnswer) -> dict[str, float]:
    return dict(answer.rows.select("store_id", pl.col("forecast_units").cast(pl.Float64)).iter_rows())


def followers(stores: Stores) -> set[str]:
    newest = stores.ledger.state().part(ChannelAssignments).newest("daily", DAY)
    assert newest is not None
    rows = stores.predictions.read(stores.predictions.version(newest.product_version))
    return set(rows.filter("is_challenger_store")["store_id"])


def test_each_store_of_a_channel_has_the_rows_of_the_run_that_it_follows(shared: Stores) -> None:
    answer, theirs = read(shared), followers(shared)
    assert 0 < len(theirs) < len(STORES)
    assert units_by_store(answer) == {store: 9.0 if store in theirs else 4.0 for store in STORES}
    assert [run.model_version for run in answer.runs] == [CHAMPION, CHALLENGER]
    (entry,) = {run.assignment for run in answer.runs}
    assert shared.ledger.entries()[entry - 1].kind == "assign"
    assert all(name.split("/")[2] == CHALLENGER for name in of_stores(answer, theirs))


def of_stores(answer: StoredAnswer, stores: set[str]) -> list[str]:
    return answer.rows.filter(pl.col("store_id").is_in(stores))["prediction_id"].to_list()


def test_a_version_that_is_named_is_read_in_all_stores(shared: Stores) -> None:
    answer = read(shared, VersionAsked(model_version=CHAMPION))
    assert set(units_by_store(answer).values()) == {4.0}
    assert [run.assignment for run in answer.runs] == [None]


def test_one_store_of_a_channel_is_of_one_run(shared: Stores) -> None:
    theirs = min(followers(shared))
    assert units_by_store(read(shared, store_ids=[theirs])) == {theirs: 9.0}


def test_a_question_about_stores_is_about_the_run_that_they_follow(shared: Stores) -> None:
    theirs = sorted(followers(shared))
    ours = sorted(set(STORES) - set(theirs))
    assert run_of_stores(shared, CHANNEL, theirs[:2]).publication.key.model_version == CHALLENGER
    assert run_of_stores(shared, CHANNEL, ours[:2]).publication.key.model_version == CHAMPION
    assert run_of_stores(shared, CHANNEL, ["none"]).publication.key.model_version == CHAMPION
    assert run_of_stores(shared, VersionAsked(CHAMPION), [theirs[0]]).publication.key.model_version == CHAMPION
    with pytest.raises(InputError, match="follow different versions") as refused:
        run_of_stores(shared, CHANNEL, [theirs[0], ours[0]])
    assert refused.value.facts["versions"] == {CHAMPION: [ours[0]], CHALLENGER: [theirs[0]]}


def test_pages_go_on_as_the_first_was_shared_out_whatever_happens(shared: Stores) -> None:
    whole, found = read(shared).rows, read(shared, limit=3)
    stop_challenger(shared.registry, "daily", by="ana", reason="done")
    assigned(shared, DAY)
    pages = [found.rows]
    while found.next_page is not None:
        found = read(shared, page=found.next_page, limit=3)
        pages.append(found.rows)
    assert pl.concat(pages).equals(whole)
    assert set(units_by_store(read(shared)).values()) == {4.0}


def test_of_another_champion_an_assignment_says_nothing(shared: Stores) -> None:
    shared.registry.promote(CHALLENGER, by="ana", reason="better")
    assert set(units_by_store(read(shared)).values()) == {9.0}


def test_a_page_of_an_assignment_that_nobody_made_is_refused(shared: Stores) -> None:
    keys = (str(run_key(1)), str(run_key(1, CHALLENGER)))
    with pytest.raises(InputError, match="entry 3 assigns no stores"):
        read(shared, page=str(Page(keys, 0, 3)))
