"""Pages over the data plane: who may see them, what stands on them, and what is wrong said on them."""

import base64
import re
from datetime import timedelta
from hashlib import sha256
from html import unescape
from urllib.parse import urlencode

import pytest
from httpx import ASGITransport, Response

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.serving.pages.routes import add_pages
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW
from tests.support.callers import Client
from tests.support.retailers import KEY

STAT = VersionAsked("stat-1")


def browser(plane: DataPlane, keys: ApiKeys, role: str) -> Client:
    key = keys.create(role, role, now=NOW, valid_for=timedelta(days=1))[1]
    callers = Callers(keys, lambda: NOW)
    app = create_app(plane, callers)
    add_pages(app, plane, callers)
    return Client(ASGITransport(app=app, raise_app_exceptions=False), key)


@pytest.fixture(scope="module")
def supporter(plane: DataPlane, keys: ApiKeys) -> Client:
    return browser(plane, keys, "support")


@pytest.fixture(scope="module")
def sandbox(plane: DataPlane, keys: ApiKeys) -> Client:
    made = DataPlane(plane.stores, lambda: NOW, is_sandbox=True)
    made.predictor.prepare(STAT)
    return browser(made, keys, "planner")


@pytest.fixture(scope="module")
def row(plane: DataPlane) -> dict[str, object]:
    return plane.stored(StoredQuestion("forecasts", STAT, limit=1)).rows.row(0, named=True)


def shown(client: Client, path: str, **asked: object) -> str:
    found = client.get(f"{path}?{urlencode(asked)}")
    assert found.status_code == 200, found.text
    return unescape(found.text)


# --- who may see them ---


def test_a_browser_signs_in_with_a_key_as_its_password(supporter: Client) -> None:
    key, supporter.key = supporter.key, None
    try:
        refused = supporter.get("/support")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        signed = base64.b64encode(f"ana:{key}".encode()).decode()
        assert supporter.get("/support", headers={"Authorization": f"Basic {signed}"}).status_code == 200
        assert supporter.get("/support", headers={"Authorization": "Basic é".encode()}).status_code == 401
    finally:
        supporter.key = key


def test_a_reader_is_told_that_the_page_is_for_others(plane: DataPlane, keys: ApiKeys) -> None:
    found = browser(plane, keys, "reader").get("/support")
    assert found.status_code == 403
    assert "support" in found.text


def test_a_browser_may_load_the_page_s_own_style_and_nothing_else(supporter: Client) -> None:
    found = supporter.get("/support")
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in found.text
    (style,) = re.findall("<style>(.*?)</style>", found.text, re.DOTALL)
    assert f"'sha256-{sha256_of(style)}'" in policy


def sha256_of(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()


# --- support ---


def test_a_link_with_a_prediction_shows_every_forecast_of_its_day_and_why_it_is_so(
    supporter: Client, row: dict[str, object], plane: DataPlane
) -> None:
    text = shown(supporter, "/support", prediction_id=row["prediction_id"])
    explained = plane.explain(str(row["prediction_id"]))
    assert f"Every forecast of {row['target_date']}" in text
    assert f'value="{row["sku_id"]}"' in text
    assert str(explained.explanation["forecast_reason"]) in text
    assert explained.made_from["model_artifact"] in text
    assert text.count('src="data:image/png;base64,') == 2


def test_a_form_shows_the_same_as_the_link(supporter: Client, row: dict[str, object]) -> None:
    text = shown(supporter, "/support", **{name: row[name] for name in ("store_id", "sku_id", "target_date")})
    assert f"Every forecast of {row['target_date']}" in text
    assert str(row["prediction_id"]) in text


def test_two_that_are_chosen_are_compared_by_cause(supporter: Client, row: dict[str, object]) -> None:
    name = row["prediction_id"]
    text = shown(supporter, "/support", prediction_id=name, first=name, second=name)
    assert "Why these two differ" in text
    assert text.count('src="data:image/png;base64,') == 3
    odd = shown(supporter, "/support", prediction_id=name, first=name, second="x")
    assert re.search('role="alert">[^<]*not a prediction id', odd)
    assert "Why it is what it is" in odd


def test_an_empty_page_is_a_form_that_works_by_keyboard(supporter: Client) -> None:
    text = shown(supporter, "/support")
    inputs = re.findall(r"<(?:input|select) ", text)
    assert len(inputs) == len(re.findall(r"<label>", text)) == 4
    assert 'href="#answer"' in text
    assert '<html lang="en">' in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prediction_id": "x"}, "not a prediction id"),
        ({"store_id": "S", "sku_id": "K", "target_date": "2025-13-01"}, "`2025-13-01` is no day"),
        ({"store_id": "S", "sku_id": "K", "target_date": "2025-07-05"}, "says anything of K in S"),
        ({"store_id": "S", "sku_id": "K", "target_date": "2025-07-05", "cadence": "hourly"}, "no cadence"),
        ({"prediction_id": f"{KEY}/K/S/1"}, "says anything of K in S"),
    ],
)
def test_what_is_wrong_stands_below_the_form(supporter: Client, asked: dict[str, str], words: str) -> None:
    text = shown(supporter, "/support", **asked)
    assert re.search(f'role="alert">[^<]*{words}', text)
    assert "<form" in text


def test_what_is_asked_is_never_markup(supporter: Client) -> None:
    odd = {"store_id": '<b>"x', "sku_id": "<i>", "target_date": "<u>"}
    found = supporter.get(f"/support?{urlencode(odd)}")
    assert "<b>" not in found.text
    assert "<i>" not in found.text
    assert "<u>" not in found.text


# --- a sandbox ---


def test_another_price_redraws_the_series_beside_what_is_published(sandbox: Client, row: dict[str, object]) -> None:
    day = KEY.prediction_date + timedelta(days=3)
    text = shown(
        sandbox, "/explore", store_id=row["store_id"], sku_id=row["sku_id"], version="stat-1", on_hand="0",
        price_ratio="0.7", promotion="yes", from_day=day, to_day=day, order_day=day, order_units="12",
    )  # fmt: skip
    assert "made in a sandbox" in text
    assert re.search(r"Over 28 days [\d.,]+ units more than published", text)
    assert text.count('src="data:image/png;base64,') == 2
    assert 'value="0.7"' in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"price_ratio": "0.7"}, "`` is no day"),
        ({"price_ratio": "low", "from_day": "2025-07-03"}, "`price_ratio` is no number"),
        ({"promotion": "yes", "from_day": "2025-07-03", "to_day": "2025-07-02"}, "no days ahead"),
        ({"order_day": "2025-07-03"}, "`order_units` is no number"),
        ({"version": "stat-9"}, "stat-9"),
        ({"on_hand": "-3"}, "units are 0 or more"),
    ],
)
def test_what_cannot_be_tried_stands_below_the_form(
    sandbox: Client, row: dict[str, object], asked: dict[str, str], words: str
) -> None:
    named = {"store_id": row["store_id"], "sku_id": row["sku_id"], "version": "stat-1"}
    text = shown(sandbox, "/explore", **{**named, **asked})
    assert re.search(f'role="alert">[^<]*({words})', text)


def test_only_a_sandbox_has_the_page(supporter: Client) -> None:
    found: Response = supporter.get("/explore")
    assert found.status_code == 404
