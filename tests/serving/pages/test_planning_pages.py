"""Pages of planners: what is at risk and why, and overriding it; who may, and what is wrong said on the page."""

import csv
import io
import re
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from html import unescape

import polars as pl
import pytest

from forecast_assets.core.errors import RefusedError
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.operations.overrides import overrides_of, record_overrides
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.worklist import PlannableRun, WorklistQuestion
from forecast_assets.presentation.planning import worklist_csv
from forecast_assets.serving.dataplane.planning import PlanningDesk
from tests.support.callers import Client
from tests.support.planning_cases import FORM, Planning, page, send, token_of
from tests.support.retailers import KEY

FIRST, LAST = (KEY.prediction_date + timedelta(days=at) for at in (2, 4))
PAGES = ("/plan", "/plan/overrides", "/plan/override", "/plan/nodes", "/plan/changes", "/plan/revision")


@pytest.fixture(scope="module")
def ana(planning: Planning) -> Client:
    return planning.as_planner()


@pytest.fixture(scope="module")
def ben(planning: Planning) -> Client:
    return planning.as_planner("ben")


@pytest.fixture(scope="module")
def worst(planning: Planning) -> dict[str, object]:
    return planning.desk.worklist(WorklistQuestion(Scope.of(), limit=1)).lines.row(0, named=True)


def said(**other: object) -> dict[str, object]:
    fields = {"product": "", "stores": "", "first": FIRST, "last": LAST, "form": "percent", "value": "20",
              "reason": "event", "note": "fair"}  # fmt: skip
    return {**fields, **other}


# --- the worklist ---


def test_the_worklist_has_what_a_plain_sum_finds_the_greatest_loss_first(planning: Planning, ana: Client) -> None:
    stores = planning.desk.stores
    published = planning.desk.newest()
    risks = read_product(stores, published, "stockout_risks")
    prices = stores.observations.scan(stores.observations.batches(), "prices").collect()
    priced = prices.filter(pl.col("event_date") <= KEY.prediction_date).sort("event_date", "known_at")
    newest = priced.group_by("store_id", "sku_id").agg(pl.col("unit_price").last())
    lost = risks.group_by("store_id", "sku_id").agg(pl.col("expected_lost_units").cast(float).sum())
    both = lost.join(newest, on=["store_id", "sku_id"], how="left").with_columns(
        worth=pl.col("expected_lost_units") * pl.col("unit_price")
    )
    expected = both.filter(pl.col("expected_lost_units") > 0).sort("worth", descending=True)
    found = planning.desk.worklist(WorklistQuestion(Scope.of()))
    assert found.lines.height == found.found == expected.height > 10
    assert found.lines.select("store_id", "sku_id").rows() == expected.select("store_id", "sku_id").rows()
    assert found.lines["lost_value"].to_list() == pytest.approx(expected["worth"].to_list())
    assert found.lost_units == pytest.approx(expected["expected_lost_units"].sum())
    day = risks.sort("expected_lost_units", descending=True).group_by("store_id", "sku_id", maintain_order=True).first()
    checked = found.lines.join(day, on=["store_id", "sku_id"], suffix="_day")
    assert checked["day_lost_units"].to_list() == pytest.approx(checked["expected_lost_units"].cast(float).to_list())
    first = found.lines.row(0, named=True)
    text = page(ana, "/plan")
    assert text.index(f"{first['sku_id']} in {first['store_id']}") < text.index(
        f"{found.lines['sku_id'][1]} in {found.lines['store_id'][1]}"
    )
    assert first["risk_reason"] in text
    assert f"All numbers are of {KEY}" in re.sub("</?strong>", "", text)
    assert f"forecast-assets lineage {KEY}" in text


def test_filters_are_links_and_pages_follow(planning: Planning, ana: Client, worst: dict[str, object]) -> None:
    one = page(ana, "/plan", stores=f"store:{worst['store_id']}", band=worst["risk_band"])
    assert f'value="store:{worst["store_id"]}"' in one
    rows = re.findall(r'href="/plan/series\?store=([^&"]+)&', one)
    assert {*rows} == {worst["store_id"]}
    all_of_it = planning.desk.worklist(WorklistQuestion(Scope.of())).found
    second = page(ana, "/plan", page=2)
    assert f"Page 2 of {-(-all_of_it // 25)}" in second
    assert second.count("/plan/series?") == all_of_it - 25
    assert "Nothing is at risk here" in page(ana, "/plan", flag="fallback")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"product": "sku:none"}, "There is no sku `none`"),
        ({"product": "colour:red"}, "There is no product level `colour`"),
        ({"stores": "S-01"}, "`S-01` names no node"),
        ({"band": "extreme"}, "There is no band of risk `extreme`"),
        ({"flag": "'; DROP TABLE x; --"}, "There is no quality flag"),
        ({"page": "-1"}, "`page` is no number"),
        ({"page": "9" * 40}, "`page` is no number"),
        ({"product": "<script>alert(1)</script>"}, "names no node"),
    ],
)
def test_what_cannot_be_filtered_by_is_said_above_the_form(ana: Client, asked: dict[str, str], words: str) -> None:
    found = ana.request("GET", "/plan", params=asked)
    assert found.status_code == 422
    (said_of_it,) = re.findall('role="alert">([^<]*)', found.text)
    assert words in unescape(said_of_it)
    assert "<form" in found.text
    assert "<script" not in found.text


def test_an_export_has_all_lines_and_no_formula(planning: Planning, ana: Client) -> None:
    found = ana.get("/plan/worklist.csv?page=2")
    assert found.headers["content-type"].startswith("text/csv")
    assert "attachment" in found.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert len(rows) == planning.desk.worklist(WorklistQuestion(Scope.of())).found
    assert {row["run"] for row in rows} == {str(KEY)}
    worklist = planning.desk.worklist(WorklistQuestion(Scope.of(), limit=1))
    odd = worklist.lines.with_columns(planners=pl.lit("=HYPERLINK(1)"), sku_id=pl.lit("@x"), store_id=pl.lit(" +1"))
    (row,) = csv.DictReader(io.StringIO(worklist_csv(type(worklist)(**{**vars(worklist), "lines": odd})).decode()))
    assert (row["planners"], row["sku_id"], row["store_id"]) == ("'=HYPERLINK(1)", "'@x", "' +1")


# --- saved filters ---


def saved(client: Client) -> dict[str, str]:
    """Return the links to saved filters on the worklist, by name."""
    listed = re.findall('aria-label="Saved filters">(.*?)</nav>', client.get("/plan").text)
    return {unescape(name): unescape(address) for address, name in re.findall('href="([^"]*)"[^>]*>([^<]*)', *listed)}


def test_a_filter_is_saved_by_name_found_again_by_its_owner_alone_replaced_and_deleted(
    planning: Planning, worst: dict[str, object]
) -> None:
    ria = planning.as_planner("ria")
    token = token_of(ria)
    store = f"store:{worst['store_id']}"
    kept = {"token": token, "name": "my <b>store</b> & 'mine'", "stores": store, "band": worst["risk_band"]}
    done = send(ria, "/plan/filters", kept)
    assert (done.status_code, done.headers["location"].partition("?")[0]) == (303, "/plan")
    text = ria.get(done.headers["location"]).text
    assert 'aria-current="page">my &lt;b&gt;store&lt;/b&gt; &amp; &#x27;mine&#x27;</a>' in text
    assert "<b>store" not in text
    assert ria.get(saved(ria)[str(kept["name"])]).text == text
    # A new key of the same person has it, somebody else has not.
    assert saved(planning.as_planner("ria")) == saved(ria)
    ben = planning.as_planner("ben")
    assert "Saved filters:" not in ben.get("/plan").text
    assert send(ben, "/plan/filters", {"token": token_of(ben), "delete": kept["name"]}).status_code == 422
    # The same name again replaces it.
    assert send(ria, "/plan/filters", {"token": token, "name": kept["name"], "flag": "fallback"}).status_code == 303
    assert saved(ria) == {kept["name"]: "/plan?flag=fallback"}
    assert send(ria, "/plan/filters", {"token": token, "delete": kept["name"]}).status_code == 303
    assert "Saved filters:" not in ria.get("/plan").text


def test_whoever_may_see_the_worklist_may_save_filters_and_no_ledger_entry_comes_of_it(planning: Planning) -> None:
    before = planning.desk.stores.ledger.state().sequence
    for role in ("reader", "support", "operator"):
        one = planning.as_planner(f"filters of {role}", role)
        (token,) = set(re.findall('name="token" value="([0-9a-f]{64})"', one.get("/plan").text))
        assert send(one, "/plan/filters", {"token": token, "name": "all"}).status_code == 303
        assert saved(one) == {"all": "/plan"}
    nobody = planning.as_planner()
    nobody.key = None
    assert send(nobody, "/plan/filters", {"name": "all"}).status_code == 401
    assert planning.desk.stores.ledger.state().sequence == before


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({}, "needs a name"),
        ({"name": "x" * 61}, "up to 60 characters"),
        ({"name": "a\x00b"}, "needs a name"),
        ({"name": "long", "product": "category:" + "x" * 300}, "too long to be kept"),
        ({"delete": "'; DROP TABLE saved_filters; --"}, "There is no saved filter `'; DROP TABLE"),
    ],
)
def test_what_cannot_be_saved_is_said(ana: Client, sent: dict[str, str], words: str) -> None:
    found = send(ana, "/plan/filters", {"token": token_of(ana), **sent})
    assert found.status_code == 422
    assert words in unescape(found.text)


def test_a_form_of_another_page_saves_no_filter(ana: Client) -> None:
    assert send(ana, "/plan/filters", {"name": "mine"}).status_code == 403
    assert send(ana, "/plan/filters", {"name": "mine", "token": "0" * 64}).status_code == 403


# --- who may see what ---


def test_a_reader_sees_every_page_and_no_form_that_records(planning: Planning) -> None:
    reader = planning.as_planner("rita", "reader")
    for path in PAGES:
        found = reader.get(path)
        assert found.status_code == 200, path
        forms = set(re.findall('method="post" action="([^"]*)"', found.text))
        assert forms <= {"/plan/filters"}, path
    for path in ("/plan/override", "/plan/overrides", "/plan/revision"):
        refused = send(reader, path, said())
        assert refused.status_code == 403, path
        assert "may not override forecasts" in refused.text
    assert send(planning.as_planner("sam", "support"), "/plan/override", said()).status_code == 403


def test_nobody_sees_anything_without_a_key(planning: Planning) -> None:
    client = planning.as_planner()
    client.key = None
    for path in PAGES:
        found = client.get(path)
        assert found.status_code == 401
        assert found.headers["www-authenticate"].startswith("Basic ")
        assert KEY.model_version not in found.text


def test_a_page_loads_its_own_style_and_nothing_else(ana: Client) -> None:
    for path in PAGES:
        found = ana.get(path)
        policy = found.headers["content-security-policy"]
        (style,) = re.findall("<style>(.*?)</style>", found.text, re.DOTALL)
        assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
        assert "script-src" not in policy
        assert "<script" not in found.text
        assert " style=" not in found.text


# --- a series ---


def test_a_series_says_why_what_is_ahead_and_what_was_said_before(
    planning: Planning, ana: Client, worst: dict[str, object]
) -> None:
    text = page(ana, "/plan/series", store=worst["store_id"], sku=worst["sku_id"])
    explained = planning.desk.series(str(worst["store_id"]), str(worst["sku_id"])).explained.explanation
    assert str(explained["forecast_reason"]) in text
    assert str(worst["risk_reason"]) in text
    assert text.count('src="data:image/png;base64,') == 2
    assert text.count("/plan/series?store=") >= 27
    assert "stock left" in text
    assert "The same SKU elsewhere" in text
    day = KEY.prediction_date + timedelta(days=9)
    other = page(ana, "/plan/series", store=worst["store_id"], sku=worst["sku_id"], day=day)
    assert f"Why, on {day}" in other


def test_the_days_ahead_are_as_published_and_stock_is_what_is_left(
    planning: Planning, worst: dict[str, object]
) -> None:
    store, sku = str(worst["store_id"]), str(worst["sku_id"])
    days = planning.desk.series(store, sku).ahead.days
    published = planning.desk.newest()
    told = read_product(planning.desk.stores, published, "forecasts").filter(store_id=store, sku_id=sku).sort("step")
    assert days["forecast_units"].equals(told["forecast_units"])
    past = planning.desk.series(store, sku).seen.past
    left = past["on_hand_units"][-1]
    for row in days.iter_rows(named=True):
        left = max(left + row["arriving_units"] - float(row["expected_sales_units"]), 0)
        assert row["stock_units"] == pytest.approx(left)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "No store is named"),
        ({"store": "S-99", "sku": "x"}, "has no SKU x in store S-99"),
        ({"store": "<b>", "sku": "<i>"}, "has no SKU <i> in store <b>"),
        ({"store": "S-01", "sku": "x", "day": "tomorrow"}, "`tomorrow` is no day"),
    ],
)
def test_what_is_no_series_is_said(ana: Client, asked: dict[str, str], words: str) -> None:
    found = ana.request("GET", "/plan/series", params=asked)
    assert found.status_code == 422
    assert words in unescape(found.text)
    assert "<b>" not in found.text


def test_a_day_beyond_the_horizon_is_none(ana: Client, worst: dict[str, object]) -> None:
    text = page(ana, "/plan/series", 422, store=worst["store_id"], sku=worst["sku_id"], day="2026-07-01")
    assert "says nothing of 2026-07-01" in text


# --- overriding ---


def test_a_preview_says_what_would_change_and_records_nothing(planning: Planning, ana: Client) -> None:
    before = planning.desk.stores.ledger.state().sequence
    text = page(ana, "/plan/override", **said())
    assert "What it would do" in text
    assert "+20.0%" in text
    assert f'name="seen" value="{before}"' in text
    assert "nodes that change" in text
    assert planning.desk.stores.ledger.state().sequence == before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"product": "sku:NONE"}, "There is no sku `NONE`"),
        ({"first": "2025-06-01", "last": "2025-06-02"}, "is past"),
        ({"first": "soon"}, "`soon` is no day"),
        ({"value": "many"}, "is no value of an override"),
        ({"value": ""}, "is no value of an override"),
        ({"reason": "<script>"}, "is no reason that the policy knows"),
        ({"form": "double"}, "is no form of an override"),
        ({"note": "x" * 501}, "501 characters"),
        ({"note": "a\nb"}, "cannot be printed"),
        ({"expires_on": "2025-06-01"}, "It expires on 2025-06-01"),
    ],
)
def test_what_cannot_be_overridden_is_said_and_the_form_keeps_what_was_written(
    ana: Client, other: dict[str, object], words: str
) -> None:
    text = page(ana, "/plan/override", 422, **said(**other))
    assert words in text
    assert 'role="alert"' in text
    assert 'value="fair"' in text or "note" in other
    token = token_of(ana)
    sent = send(ana, "/plan/override", said(**other, token=token))
    assert sent.status_code == 422
    assert words in unescape(sent.text)


def test_one_that_is_recorded_waits_and_a_second_person_approves_it(
    planning: Planning, ana: Client, ben: Client, worst: dict[str, object]
) -> None:
    node = {"product": f"sku:{worst['sku_id']}", "stores": f"store:{worst['store_id']}"}
    note = "=1+1 <script>alert('x')</script>'; DROP TABLE x"
    token = token_of(ana)
    done = send(ana, "/plan/override", said(**node, note=note, needs_approval="yes", token=token))
    assert done.status_code == 303
    text = ana.get(done.headers["location"])
    assert "is pending: a second person has to approve it" in text.text
    assert "<script" not in text.text
    each = overrides_of(planning.desk.stores.ledger)[-1]
    assert (each.by, each.override.note, each.status) == ("ana", note, "pending")
    choice = {"override": each.id, "decision": "seen", "status": "approved"}
    own = send(ana, "/plan/overrides", {**choice, "token": token_of(ana)})
    assert own.status_code == 422
    assert "ana cannot approve" in own.text
    assert 'value="seen"' in own.text
    done = send(ben, "/plan/overrides", {**choice, "token": token_of(ben)})
    assert done.status_code == 303
    assert f"{each.id} is approved" in ben.get(done.headers["location"]).text
    of_ana = page(ana, "/plan", planner="ana")
    assert f"{worst['sku_id']} in {worst['store_id']}" in of_ana
    assert ">ana<" in of_ana
    series = page(ana, "/plan/series", store=worst["store_id"], sku=worst["sku_id"])
    assert "a revision takes them in" in series
    exported = ana.get("/plan/worklist.csv?planner=ana").text
    assert len(exported.splitlines()) == 2
    again = send(ben, "/plan/overrides", {**choice, "token": token_of(ben)})
    assert again.status_code == 422
    assert "is approved by ben" in again.text


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"decision": "x", "status": "approved"}, "No override is chosen"),
        ({"override": "o1-1", "status": "approved"}, "A decision needs a reason"),
        ({"override": "o999-1", "decision": "x", "status": "approved"}, "There is no override o999-1"),
        ({"override": "<b>", "decision": "x", "status": "rejected"}, "There is no override <b>"),
    ],
)
def test_a_decision_that_cannot_be_is_said(ben: Client, choice: dict[str, object], words: str) -> None:
    found = send(ben, "/plan/overrides", {**choice, "token": token_of(ben)})
    assert found.status_code == 422
    assert words in unescape(found.text)


def test_a_form_of_another_page_or_another_person_does_nothing(planning: Planning, ana: Client, ben: Client) -> None:
    before = planning.desk.stores.ledger.state().sequence
    for token in (None, "", token_of(ben), "é"):
        fields = said() if token is None else said(token=token)
        refused = send(ana, "/plan/override", fields)
        assert refused.status_code == 403
        assert "not made for you" in refused.text
    no_form = ana.request("POST", "/plan/override", json=said(first="", last=""))
    assert no_form.status_code == 422
    broken = ana.request("POST", "/plan/override", content=b"\xff" * 20, headers=FORM)
    assert broken.status_code == 422
    assert planning.desk.stores.ledger.state().sequence == before


def test_an_unusual_one_is_asked_again(planning: Planning, ana: Client) -> None:
    big = said(value="900", product="", note="big")
    text = page(ana, "/plan/override", **big)
    assert "That is unusual" in text
    assert 'name="confirm"' in text
    token = token_of(ana)
    before = planning.desk.stores.ledger.state().sequence
    refused = send(ana, "/plan/override", {**big, "token": token})
    assert refused.status_code == 422
    assert "tick the box" in refused.text
    assert "That is unusual" in refused.text
    assert planning.desk.stores.ledger.state().sequence == before
    assert send(ana, "/plan/override", {**big, "token": token, "confirm": "yes"}).status_code == 303


def test_of_two_at_once_the_second_is_told_who_was_first_and_what_it_would_do_now(ana: Client, ben: Client) -> None:
    fields = said(first=LAST + timedelta(days=9), last=LAST + timedelta(days=9), value="11")
    seen = re.findall(r'name="seen" value="(\d+)"', page(ben, "/plan/override", **fields))[0]
    assert send(ana, "/plan/override", {**fields, "token": token_of(ana)}).status_code == 303
    lost = send(ben, "/plan/override", {**fields, "token": token_of(ben), "seen": seen, "value": "12"})
    assert lost.status_code == 409
    assert "ana has overridden the same meanwhile" in lost.text
    assert "What it would do" in lost.text
    now = re.findall(r'name="seen" value="(\d+)"', lost.text)[0]
    assert int(now) > int(seen)
    sent = send(ben, "/plan/override", {**fields, "token": token_of(ben), "seen": now, "value": "12"})
    assert sent.status_code == 303


def test_a_form_that_is_sent_twice_records_once(ana: Client) -> None:
    day = LAST + timedelta(days=12)
    fields = said(first=day, last=day, token=token_of(ana), request="twice")
    places = [send(ana, "/plan/override", fields).headers["location"] for _ in range(2)]
    assert places[0] == places[1]
    other = send(ana, "/plan/override", {**fields, "value": "7"})
    assert other.status_code == 422
    assert "has recorded other overrides already" in other.text


# --- nodes and changes ---


def test_a_node_is_the_sum_of_what_is_below_it_and_of_the_published_aggregate(planning: Planning, ana: Client) -> None:
    published, found = planning.desk.node(Scope.of())
    total = read_product(planning.desk.stores, published, "aggregate_forecasts").filter(
        product_level="total", store_level="total"
    )
    assert found.forecast_units == pytest.approx(float(total["forecast_units"].sum()), abs=1e-6)
    assert found.fan.height == KEY.forecast_horizon
    for side in ("product", "store"):
        below = found.below.filter(side=side)
        assert below["forecast_units"].sum() == pytest.approx(found.forecast_units)
        assert below["series"].sum() == found.series
    text = page(ana, "/plan/nodes")
    level, node = found.below.row(0)[1:3]
    assert f"product={level}%3A{node}" in text
    below_text = page(ana, "/plan/nodes", product=f"{level}:{node}")
    assert "all products in all stores" in below_text
    assert "There is no category `x`" in page(ana, "/plan/nodes", 422, product="category:x")


def test_without_a_run_before_there_is_nothing_to_compare(ana: Client) -> None:
    assert "There is no earlier run" in page(ana, "/plan/changes")


def test_a_line_of_the_worklist_is_not_at_risk_where_nothing_is_lost(planning: Planning) -> None:
    run: PlannableRun = planning.desk.run()
    found = run.worklist(planning.desk.stores, WorklistQuestion(Scope.of()))
    assert found.found == int(run.lost.any(axis=1).sum()) <= run.lines.height
    with_planner = WorklistQuestion(Scope.of(), planner="nobody")
    assert run.worklist(planning.desk.stores, with_planner).found == 0


def test_an_override_by_the_command_is_on_the_pages(planning: Planning, ana: Client, worst: dict[str, object]) -> None:
    day = KEY.prediction_date + timedelta(days=20)
    scope = Scope.of(sku=str(worst["sku_id"]))
    record_overrides(
        planning.desk.stores, [Override(scope, day, day, "add", "3", "supply", "one more pallet")], by="carl"
    )
    assert "one more pallet" in page(ana, "/plan/overrides")
    assert "carl" in page(ana, "/plan/series", store=worst["store_id"], sku=worst["sku_id"])


def test_fields_of_nodes_suggest_nodes_that_there_are(planning: Planning, ana: Client) -> None:
    for path in ("/plan", "/plan/override"):
        text = page(ana, path)
        for side in ("product", "stores"):
            (options,) = re.findall(f'<datalist id="{side}-nodes">(.*?)</datalist>', text)
            assert f'list="{side}-nodes"' in text
            named = re.findall("<option>([^<]+)</option>", options)
            assert named == planning.desk.nodes_to_name()[side]
            assert page(ana, "/plan/nodes", **{side: named[0]})


def test_a_service_that_records_nothing_says_so_and_shows_no_form_that_would(planning: Planning) -> None:
    only_reading = PlanningDesk(planning.desk.plane)
    assert not only_reading.is_open
    with pytest.raises(RefusedError, match="No override is recorded here"):
        only_reading.decide(["o1-1"], "approved", by="ana", reason="x")
    with pytest.raises(RefusedError, match="No override is recorded here"):
        only_reading.record([], by="ana", confirmed=True, needs_approval=False)
