"""What holds of overrides whatever the forecasts, nodes and days: held against plain loops over exact fractions."""

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecast_assets.contracts import QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.overrides import FORMS, Override, Scope
from forecast_assets.core.quantities import SCALE, Millionths
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.overrides.applying import Effect, Instruction, Turn, apply_instructions
from forecast_assets.overrides.effects import following_quantiles
from forecast_assets.overrides.instructions import ScopeRows, days_of, in_force
from forecast_assets.overrides.splitting import split
from resources.ledger.entries.override import APPROVED, PENDING, RECORDED, REJECTED, WITHDRAWN, PlannedOverride
from tests.support.forecast_cases import products, series_of

ROWS, DAYS = 6, 4
# From a millionth to a thousand million units a day, and often nothing at all.
units = st.one_of(st.just(0), st.integers(1, 50), st.integers(1, 10**8), st.integers(1, 10**15))
# What doubles add to the rounding of a share of so many millionths.
PRECISION = Fraction(1, 2**50)


@st.composite
def shared_out(draw: st.DrawFn) -> tuple[Millionths, Millionths]:
    count, days = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    weights = draw(arrays(np.int64, (count, days), elements=st.one_of(st.just(0), st.integers(0, 10**12))))
    return draw(arrays(np.int64, days, elements=units)), weights


@settings(max_examples=300, deadline=None)
@given(case=shared_out())
def test_shares_add_up_exactly_and_are_within_a_millionth_of_their_proportion(
    case: tuple[Millionths, Millionths],
) -> None:
    totals, weights = case
    shares = split(totals, weights)
    assert (shares >= 0).all()
    assert shares.sum(axis=0).tolist() == totals.tolist()
    for total, of_day, found in zip(totals.tolist(), weights.T.tolist(), shares.T.tolist(), strict=True):
        assert_in_proportion(total, of_day, found)
    assert split(totals, weights).tolist() == shares.tolist()


def assert_in_proportion(total: int, weights: Sequence[int], found: Sequence[int]) -> None:
    """Alike where all weights are zero; nothing to a row of weight zero where another has some."""
    whole = sum(weights)
    for weight, share in zip(weights, found, strict=True):
        exact = Fraction(total * weight, whole) if whole else Fraction(total, len(weights))
        assert abs(share - exact) <= 1 + total * PRECISION
        assert weight or not whole or share == 0


@settings(max_examples=100, deadline=None)
@given(units=st.integers(0, 10**15), count=st.integers(1, 60_000))
def test_any_number_of_rows_without_a_forecast_share_alike(units: int, count: int) -> None:
    shares = split(np.array([units]), np.zeros((count, 1), dtype=np.int64))
    assert int(shares.sum()) == units
    assert int(shares.max() - shares.min()) <= 2


@st.composite
def instruction(draw: st.DrawFn, age: int) -> Instruction:
    turn = draw(st.sampled_from(Turn))
    forms = {
        Turn.UPLIFT: ["percent"], Turn.VALUE: ["units", "percent", "add", "zero"], Turn.FLOOR: ["floor"],
        Turn.CAP: ["cap"], Turn.PRESENTATION: ["floor"], Turn.LISTING: ["zero"],
    }[turn]  # fmt: skip
    form = draw(st.sampled_from(forms))
    assert form in FORMS
    value = draw(units)
    if form == "percent":
        value = draw(st.integers(-100 * SCALE, 1000 * SCALE))
    elif form == "add":
        value = draw(st.sampled_from([1, -1])) * value
    series = draw(st.lists(st.integers(0, ROWS - 1), min_size=1, unique=True).map(sorted))
    days = draw(st.lists(st.integers(0, DAYS - 1), min_size=1, unique=True).map(sorted))
    each = turn in (Turn.UPLIFT, Turn.PRESENTATION)
    return Instruction(f"o{age}-1", turn, form, 0 if form == "zero" else value, np.array(series), np.array(days), age,
                       each=each)  # fmt: skip


@st.composite
def planned(draw: st.DrawFn) -> tuple[Millionths, list[Instruction]]:
    model = draw(arrays(np.int64, (ROWS, DAYS), elements=units))
    return model, [draw(instruction(age)) for age in range(draw(st.integers(0, 8)))]


@settings(max_examples=300, deadline=None)
@given(case=planned())
def test_instructions_do_what_a_plain_loop_says(case: tuple[Millionths, list[Instruction]]) -> None:
    model, said = case
    applied = apply_instructions(model, said)
    in_order = sorted(said, key=lambda one: (one.turn, len(one.series), -one.age))
    assert [effect.instruction.name for effect in applied.effects] == [one.name for one in in_order]
    now = {(row, day): int(model[row, day]) for row in range(ROWS) for day in range(DAYS)}
    moved_in: dict[tuple[int, int, Turn], int] = {}
    for place, effect in enumerate(applied.effects):
        follow(effect, place, now, moved_in)
    assert applied.forecast.tolist() == [[now[row, day] for day in range(DAYS)] for row in range(ROWS)]
    assert (applied.forecast >= 0).all()
    touched = {(row, day) for one in said for row in one.series.tolist() for day in one.days.tolist()}
    for (row, day), after in now.items():
        assert (row, day) in touched or after == model[row, day]


def follow(
    effect: Effect, place: int, now: dict[tuple[int, int], int], moved_in: dict[tuple[int, int, Turn], int]
) -> None:
    """Go through an effect row by row, and keep in `now` what it leaves and in `moved_in` which rows it takes."""
    one = effect.instruction
    takes_one = one.turn in (Turn.LISTING, Turn.VALUE, Turn.FLOOR, Turn.CAP)
    for at, day in enumerate(one.days.tolist()):
        rows = one.series.tolist()
        before = [now[row, day] for row in rows]
        # What is not sold keeps its rows from all others.
        unsold = [moved_in.get((row, day, Turn.LISTING), -1) for row in rows]
        own_turn = [moved_in.get((row, day, one.turn), -1) if takes_one else -1 for row in rows]
        movers = [first if first >= 0 else then for first, then in zip(unsold, own_turn, strict=True)]
        after = effect.after[:, at].tolist()
        assert effect.before[:, at].tolist() == before
        assert effect.moved_by[:, at].tolist() == movers
        free = [number for number, mover in enumerate(movers) if mover < 0]
        assert all(after[number] == before[number] for number in range(len(rows)) if number not in free)
        if one.each:
            assert effect.unmet[at] == 0
            # What does not sell on a day stays so.
            wanted_each = [asked(one, before[number], 0) if before[number] else 0 for number in free]
            assert all(
                abs(after[number] - wanted) <= allowed(before[number])
                for number, wanted in zip(free, wanted_each, strict=True)
            )
        else:
            own = sum(before[number] for number in free)
            others = sum(before) - own
            wanted = asked(one, own, others)
            reached = sum(after[number] for number in free)
            if free:
                assert abs(reached - max(wanted, 0)) <= (allowed(own) if one.form == "percent" else 0)
                assert_in_proportion(reached, [before[n] for n in free], [after[n] for n in free])
            assert abs(effect.unmet[at] - (wanted - reached)) <= (allowed(own) if one.form == "percent" else 0)
        for number in free:
            now[rows[number], day] = after[number]
            # A floor or a cap that holds already takes no row.
            if takes_one and (one.turn in (Turn.LISTING, Turn.VALUE) or after[number] != before[number]):
                moved_in[rows[number], day, one.turn] = place


def allowed(units: int) -> Fraction:
    """Half a millionth of rounding, and the precision of doubles."""
    return Fraction(1, 2) + 20 * units * PRECISION


def asked(one: Instruction, own: int, others: int) -> Fraction:
    """What rows that may be moved have to add up to, when others of the node stay as they are."""
    value = Fraction(one.value)
    return {
        "units": value - others,
        "percent": own * (1 + value / (100 * SCALE)),
        "add": own + value,
        "floor": max(Fraction(own), value - others) if own + others < value else Fraction(own),
        "cap": value - others if own + others > value else Fraction(own),
        "zero": Fraction(-others),
    }[one.form]


@settings(max_examples=200, deadline=None)
@given(case=planned())
def test_what_is_not_sold_stays_at_nothing_whatever_else_is_said(case: tuple[Millionths, list[Instruction]]) -> None:
    model, said = case
    forecast = apply_instructions(model, said).forecast
    for one in said:
        if one.turn is Turn.LISTING:
            assert not forecast[np.ix_(one.series, one.days)].any()


@settings(max_examples=200, deadline=None)
@given(
    model=arrays(np.int64, (ROWS, 1), elements=units),
    gone=st.lists(st.integers(0, ROWS - 1), unique=True, max_size=ROWS - 1).map(sorted),
    value=units,
)
def test_a_node_has_what_was_asked_of_it_without_the_items_that_are_not_sold(
    model: Millionths, gone: list[int], value: int
) -> None:
    day = np.array([0])
    node = Instruction("o1-1", Turn.VALUE, "units", value, np.arange(ROWS), day, 0)
    listing = [Instruction("o2-1", Turn.LISTING, "zero", 0, np.array(gone), day, 1)] if gone else []
    applied = apply_instructions(model, [node, *listing])
    assert int(applied.forecast.sum()) == value
    assert not applied.effects[-1].unmet.any()


@settings(max_examples=150, deadline=None)
@given(case=planned(), seed=st.integers(0, 1000))
def test_in_which_order_instructions_are_given_does_not_matter(
    case: tuple[Millionths, list[Instruction]], seed: int
) -> None:
    model, said = case
    other = [said[at] for at in np.random.default_rng(seed).permutation(len(said))]
    assert apply_instructions(model, said).forecast.tolist() == apply_instructions(model, other).forecast.tolist()


@settings(max_examples=200, deadline=None)
@given(
    model=arrays(np.int64, 5, elements=units),
    forecast=arrays(np.int64, 5, elements=st.integers(0, 10**11)),
    spreads=arrays(np.float64, (5, len(QUANTILES)), elements=st.floats(0, 3)),
)
def test_quantiles_of_an_overridden_mean_rise_and_scale_with_it(
    model: Millionths, forecast: Millionths, spreads: Millionths
) -> None:
    assert len(QUANTILES) == len(QUANTILE_COLUMNS)
    of_model = np.sort(np.rint(model[:, None] * spreads), axis=1).astype(np.int64)
    factor = np.divide(forecast, model, out=np.ones(5), where=model > 0)
    moved = following_quantiles(of_model, model, forecast)
    assert (np.diff(moved, axis=1) >= 0).all()
    assert (moved >= 0).all()
    is_rare = (of_model[:, QUANTILES.index(0.5)] == 0) & (forecast >= SCALE) & (forecast > 2 * model)
    is_scaled = (model > 0) & ~is_rare
    wanted = of_model[is_scaled] * factor[is_scaled, None]
    assert np.allclose(moved[is_scaled], wanted, rtol=1e-9, atol=1.0)
    from scipy.stats import poisson

    for row in np.flatnonzero(~is_scaled & (forecast > 0)):
        expected = poisson.ppf(np.array(QUANTILES), forecast[row] / SCALE)
        assert (moved[row] == np.rint(expected * SCALE)).all()
    of_nothing = (model == 0) & (forecast == 0)
    assert (moved[of_nothing] == of_model[of_nothing]).all()


TODAY = date(2025, 3, 1)
days_from_today = st.integers(-12, 12).map(lambda days: TODAY + timedelta(days=days))


@st.composite
def overrides(draw: st.DrawFn) -> PlannedOverride:
    first, last = sorted([draw(days_from_today), draw(days_from_today)])
    said = Override(Scope.of(), first, last, "zero", "", "event", "", draw(st.none() | days_from_today))
    status = draw(st.sampled_from([PENDING, RECORDED, APPROVED, REJECTED, WITHDRAWN]))
    return PlannedOverride("o1-1", said, "ana", draw(days_from_today), 1, "", status)


@settings(max_examples=400, deadline=None)
@given(planned=overrides(), prediction_date=days_from_today, horizon=st.integers(1, 14))
def test_an_override_moves_its_own_days_of_a_run_that_nobody_had_seen(
    planned: PlannedOverride, prediction_date: date, horizon: int
) -> None:
    said = planned.override
    moved = [
        step
        for step in range(horizon)
        for day in [prediction_date + timedelta(days=step + 1)]
        if said.first_date <= day <= said.last_date and day > planned.observed_until
        if said.expires_on is None or prediction_date <= said.expires_on
    ]
    assert [*days_of(planned, prediction_date, horizon)] == moved
    is_in_force = planned.status in (RECORDED, APPROVED) and bool(moved)
    assert in_force([planned], prediction_date, horizon) == ([planned] if is_in_force else [])


@st.composite
def hierarchies(draw: st.DrawFn) -> Hierarchy:
    """Up to four stores in two regions and up to six SKUs in categories, some of which nobody has put anywhere."""
    count, stores = draw(st.integers(1, 18)), draw(st.integers(1, 4))
    series = series_of(count, stores)
    skus = sorted(set(series["sku_id"]))
    of_sku = [(sku, draw(st.sampled_from(["dairy", "bread", "tool"]))) for sku in skus if draw(st.booleans())]
    regions = [(f"S{at}", 1, "region", draw(st.sampled_from(["north", "south"]))) for at in range(stores)]
    schema = {"store_id": pl.String, "depth": pl.Int32, "level_name": pl.String, "node_id": pl.String}
    of_store = pl.DataFrame(regions, schema=schema, orient="row") if draw(st.booleans()) else None
    return Hierarchy.build(series, products(*of_sku) if of_sku else None, of_store)


@settings(max_examples=100, deadline=None)
@given(hierarchy=hierarchies(), data=st.data())
def test_the_series_of_a_node_are_those_that_a_look_at_each_finds(hierarchy: Hierarchy, data: st.DataObject) -> None:
    rows_of = ScopeRows(hierarchy)
    for product in hierarchy.product_levels:
        for store in hierarchy.store_levels:
            product_node = data.draw(st.sampled_from([*product.nodes, "nobody"]))
            store_node = data.draw(st.sampled_from([*store.nodes, "nobody"]))
            found = rows_of(Scope(product.name, product_node, store.name, store_node))
            expected = [
                row
                for row in range(hierarchy.series.height)
                if product.nodes[product.code[row]] == product_node and store.nodes[store.code[row]] == store_node
            ]
            assert found.tolist() == expected
    assert len(rows_of(Scope("shelf", "dairy", "total", "total"))) == 0
    # What is asked for again is what it was.
    assert rows_of(Scope.of()).tolist() == [*range(hierarchy.series.height)]
