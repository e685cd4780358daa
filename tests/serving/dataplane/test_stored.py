"""Stored reads: the published numbers, page by page, of a version that is named."""

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from forecast_assets.core.errors import InputError, NotPublishedError, UnknownVersionError
from forecast_assets.operations.reading import scan_product
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import STORED, Page, StoredQuestion, VersionAsked
from forecast_assets.serving.dataplane.stored import answered
from tests.support.retailers import KEY

STAT = VersionAsked(model_version="stat-1")
NOW = datetime(2025, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize("product", STORED)
def test_pages_together_are_every_published_row_once_and_in_order(plane: DataPlane, product: str) -> None:
    (run,) = plane.stores.ledger.state().publications.values()
    whole = scan_product(plane.stores, run, STORED[product].name).collect()
    read, page = [], None
    while True:
        answer = plane.stored(StoredQuestion(product, STAT, limit=300, page=page))
        read.append(answer.rows)
        assert answer.rows.height <= 300
        if answer.next_page is None:
            break
        page = Page.parse(answer.next_page)
    assert len(read) == -(-whole.height // 300)
    assert_frame_equal(pl.concat(read).drop("prediction_id"), whole)


def test_an_answer_names_version_run_artifact_and_age(plane: DataPlane) -> None:
    answer = plane.stored(StoredQuestion("forecasts", VersionAsked(channel="champion"), limit=1))
    (run,) = answer.runs
    state = plane.stores.ledger.state()
    assert (run.run, run.model_version, run.channel) == (str(KEY), "stat-1", "champion")
    assert run.artifact == state.versions["stat-1"].artifact
    assert (run.prediction_date, run.age_days, run.served_from) == ("2025-06-30", 1, "published")
    assert run.ledger_sequence == state.publications[KEY].sequence
    assert run.overrides == ()


def test_an_answer_says_which_gates_its_version_was_promoted_in_spite_of(plane: DataPlane) -> None:
    marked = replace(plane.stores.ledger.state().publications[KEY], overrides=("bias_is_small",))
    assert answered(plane.stores, marked, None, NOW).overrides == ("bias_is_small",)


def test_one_series_by_columns_and_steps(plane: DataPlane) -> None:
    first = plane.stored(StoredQuestion("forecasts", STAT, limit=1)).rows.row(0, named=True)
    answer = plane.stored(
        StoredQuestion(
            "forecasts",
            STAT,
            store_ids=[first["store_id"]],
            sku_ids=[first["sku_id"]],
            first_step=2,
            last_step=4,
            columns=["forecast_units"],
        )
    )
    assert answer.rows["step"].to_list() == [2, 3, 4]
    assert "q500_units" not in answer.rows.columns
    assert answer.rows["prediction_id"][0] == f"{KEY}/{first['sku_id']}/{first['store_id']}/2"
    assert plane.explain(answer.rows["prediction_id"][0]).forecast["forecast_units"] == answer.rows["forecast_units"][0]


@pytest.mark.parametrize("named", [{}, {"model_version": "stat-1", "channel": "champion"}])
def test_a_version_is_never_implied(named: dict[str, str]) -> None:
    with pytest.raises(InputError, match="either a model version or a channel"):
        VersionAsked(**named)


def test_what_is_not_there_is_told(plane: DataPlane) -> None:
    with pytest.raises(UnknownVersionError, match="stat-9"):
        plane.stored(StoredQuestion("forecasts", VersionAsked(model_version="stat-9")))
    with pytest.raises(InputError, match="no channel `best`"):
        plane.stored(StoredQuestion("forecasts", VersionAsked(channel="best")))
    with pytest.raises(NotPublishedError, match="points at no version"):
        plane.stored(StoredQuestion("forecasts", VersionAsked(channel="challenger")))
    with pytest.raises(NotPublishedError, match="has published no weekly run"):
        plane.stored(StoredQuestion("forecasts", VersionAsked(model_version="stat-1", cadence="weekly")))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"product": "base_forecasts"}, "cannot be read"),
        ({"columns": ["price"]}, "no column `price`"),
        ({"limit": 0}, "1 to 50,000 rows"),
        ({"sku_ids": ["s"] * 1001}, "at most 1,000"),
        ({"first_step": 5, "last_step": 4}, "no steps 5 to 4"),
    ],
)
def test_what_cannot_be_asked_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        StoredQuestion(**{"product": "forecasts", "asked": STAT, **wrong})  # type: ignore[arg-type]


def test_a_page_of_another_version_is_refused(plane: DataPlane) -> None:
    page = Page(("daily/2025-06-30/stat-2/28/r0",), 10)
    with pytest.raises(InputError, match="not what is asked for"):
        plane.stored(StoredQuestion("forecasts", STAT, page=page))


@pytest.mark.parametrize("text", ["", "x", "W10", "eyJhIjogMX0", "WyJhIiwgLTFd", "é"])
def test_a_page_that_nobody_answered_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no page"):
        Page.parse(text)
