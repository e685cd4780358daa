"""What a planner may say: every form as it is kept, every contradiction refused with what to do."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.overrides import FORMS, LISTING_REASONS, Override, Scope, override_id, require_sound

REASONS = ("event", "other")
PLAIN = Override(Scope.of(sku="A"), date(2025, 7, 1), date(2025, 7, 2), "units", "20", "event", "a fair")
HTML = "<script>alert('x')</script> & \"; DROP TABLE forecasts; --"


@pytest.mark.parametrize(
    ("form", "given", "kept"),
    [
        ("units", "20", "20"), ("units", "20.50", "20.5"), ("units", "+20", "20"), ("units", " 20 ", "20"),
        ("units", "0", "0"), ("units", "-0", "0"), ("units", "0.000001", "0.000001"),
        ("units", "1000000000", "1000000000"),
        ("units", "1e3", "1000"), ("percent", "+20.0", "20"), ("percent", "-100", "-100"),
        ("percent", "1e5", "100000"),
        ("add", "-3.5", "-3.5"), ("floor", "2", "2"), ("cap", "0", "0"), ("zero", "", ""), ("zero", " ", ""),
    ],
)  # fmt: skip
def test_a_value_is_kept_exactly_and_plainly(form: str, given: str, kept: str) -> None:
    sound = require_sound(replace(PLAIN, form=form, value=given), REASONS)
    assert sound.value == kept
    assert require_sound(sound, REASONS) == sound


@pytest.mark.parametrize(
    ("form", "value"),
    [
        *(("units", text) for text in ("", "x", "1,5", "1.0000001", "1000000001", "1e30", "-1e400", "1e999999", "nan",
                                       "-inf", "sNaN", "1 000", "0x10", "--1", "1;2")),
        ("percent", "20%"), ("percent", "1e-7"), ("add", "9" * 5000),
    ],
)  # fmt: skip
def test_what_is_no_number_or_too_fine_or_too_large_is_no_value(form: str, value: str) -> None:
    with pytest.raises(InputError, match="is no value of an override") as told:
        require_sound(replace(PLAIN, form=form, value=value), REASONS)
    assert "at most 6 decimals" in str(told.value.remedy)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such form": ({"form": "double"}, "`double` is no form"),
    "an empty form": ({"form": ""}, "`` is no form"),
    "days that end before they begin": ({"last_date": date(2025, 6, 30)}, "end before they begin"),
    "more than ten years": ({"last_date": date(2035, 7, 10)}, "more than ten years"),
    "no reason": ({"reason": ""}, "No reason is given"),
    "a reason that nobody knows": ({"reason": "hunch"}, "`hunch` is no reason"),
    "an item that is not sold but sells": ({"reason": "delisted"}, "nothing is sold, and 20 units a day"),
    "an item that is not there yet but sells": ({"reason": "not_yet_listed", "form": "floor"}, "nothing is sold"),
    "a note that is too long": ({"note": "x" * 501}, "501 characters"),
    "a note of two lines": ({"note": "a\nb"}, "cannot be printed"),
    "a note that rings": ({"note": "a\x07"}, "cannot be printed"),
    "a note that turns text around": ({"note": "a\u202eb"}, "cannot be printed"),
    "a value of zero": ({"form": "zero", "value": "0"}, "has no value"),
    "fewer than none": ({"value": "-1"}, "-1 units cannot be sold"),
    "a floor below nothing": ({"form": "floor", "value": "-0.5"}, "cannot be sold"),
    "a cap below nothing": ({"form": "cap", "value": "-2"}, "cannot be sold"),
    "less than nothing left": ({"form": "percent", "value": "-100.5"}, "less than nothing"),
    "no change in percent": ({"form": "percent", "value": "0"}, "changes nothing"),
    "no change in units": ({"form": "add", "value": "0.0"}, "changes nothing"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_contradicts_itself_is_refused_with_what_to_do(wrong: str) -> None:
    changes, message = WRONG[wrong]
    with pytest.raises(InputError, match=message) as told:
        require_sound(replace(PLAIN, **changes), REASONS)
    assert str(told.value.remedy)


def test_items_that_are_not_sold_are_zero_whatever_the_policy_lists() -> None:
    for reason in LISTING_REASONS:
        said = replace(PLAIN, form="zero", value="", reason=reason)
        assert require_sound(said, ()).is_listing


def test_the_longest_note_and_days_are_taken() -> None:
    said = replace(PLAIN, note="é" * 500, last_date=date(2035, 7, 8))
    assert require_sound(said, REASONS) == said


@pytest.mark.parametrize("note", [HTML, "", "Ünïcödé 節分", "=1+1"])
@pytest.mark.parametrize("expires", [None, date(2025, 7, 9)])
@pytest.mark.parametrize("scope", [Scope.of(), Scope.of(sku="A/1", store="S 1"), Scope.of(product=("category", "x"))])
def test_what_is_stored_is_read_back(note: str, expires: date | None, scope: Scope) -> None:
    said = require_sound(replace(PLAIN, note=note, expires_on=expires, scope=scope), REASONS)
    body = said.body()
    assert all(isinstance(value, str) and value for value in body.values())
    assert Override.of_body(body) == said
    assert Override.of_body({**body, "of_a_later_release": "1"}) == said


def test_each_form_has_its_words() -> None:
    said = {form: replace(PLAIN, form=form, value="" if form == "zero" else "20").change_text for form in FORMS}
    assert said == {
        "units": "20 units a day", "percent": "+20%", "add": "+20 units a day more", "floor": "at least 20 units a day",
        "cap": "at most 20 units a day", "zero": "zero",
    }  # fmt: skip
    assert replace(PLAIN, form="percent", value="-15").change_text == "-15%"
    assert str(PLAIN) == "sku A in all stores, 2025-07-01 to 2025-07-02: 20 units a day"
    assert str(Scope.of(store="S1")) == "all products in store S1"
    assert override_id(7, 10_000) == "o7-10000"
