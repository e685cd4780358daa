"""What a planner may say of a forecast: for which node, which days, in which form, and why.

What belongs here: reading an override as it is given, and what it is called. What does not: recording one
(`resources.ledger.entries.override`), or what it does to a forecast (`forecast_assets.overrides`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from forecast_assets.core.errors import InputError

UNITS_FORM: Final = "units"
PERCENT: Final = "percent"
ADD: Final = "add"
FLOOR: Final = "floor"
CAP: Final = "cap"
ZERO: Final = "zero"
# By form, what its value means; with `{}` in place of the value.
FORMS: Final[Mapping[str, str]] = {
    UNITS_FORM: "{} units a day",
    PERCENT: "{}%",
    ADD: "{} units a day more",
    FLOOR: "at least {} units a day",
    CAP: "at most {} units a day",
    ZERO: "zero",
}
_SIGNED: Final = (PERCENT, ADD)
# Reasons that say that an item is not sold: an override with one of them is zero, and nothing else moves its rows.
LISTING_REASONS: Final = ("delisted", "not_yet_listed")
TOTAL: Final = "total"
SKU: Final = "sku"
STORE: Final = "store"

_MOST_UNITS: Final = Decimal(10**9)
_MOST_PERCENT: Final = Decimal(100_000)
_DECIMALS: Final = 6
_LONGEST_NOTE: Final = 500
_MOST_DAYS: Final = 3660


@dataclass(frozen=True)
class Scope:
    """A node of product x store: of every pair of levels, the pair of members included.

    Example:
        >>> str(Scope.of(sku="A", store="S1")), str(Scope.of(product=("category", "dairy")))
        ('sku A in store S1', 'category dairy in all stores')

    Attributes:
        product_level: `total`, a level of the product hierarchy, or `sku`.
        product_node: Node of that level.
        store_level: `total`, a level of the store hierarchy, or `store`.
        store_node: Node of that level.
    """

    product_level: str
    product_node: str
    store_level: str
    store_node: str

    @classmethod
    def of(
        cls,
        *,
        sku: str = "",
        store: str = "",
        product: tuple[str, str] | None = None,
        stores: tuple[str, str] | None = None,
    ) -> "Scope":
        """Return a node by a member or a node of each dimension; all of a dimension where nothing is said of it."""
        of_product = (SKU, sku) if sku else product or (TOTAL, TOTAL)
        of_store = (STORE, store) if store else stores or (TOTAL, TOTAL)
        return cls(*of_product, *of_store)

    @property
    def is_series(self) -> bool:
        """Whether it is one SKU in one store."""
        return self.product_level == SKU and self.store_level == STORE

    def __str__(self) -> str:
        """Return the node in words."""
        product = "all products" if self.product_level == TOTAL else f"{self.product_level} {self.product_node}"
        store = "all stores" if self.store_level == TOTAL else f"{self.store_level} {self.store_node}"
        return f"{product} in {store}"


@dataclass(frozen=True)
class Override:
    """What a planner says of the forecasts of a node on some days.

    Attributes:
        scope: The node.
        first_date: First target date.
        last_date: Last target date.
        form: One of `FORMS`.
        value: Units a day of the whole node, or percent, exactly; empty of `zero`.
        reason: A code from the policy's list, or one of `LISTING_REASONS`.
        note: Free words; may be empty.
        expires_on: Last prediction date of runs that it moves; None where only its days end it.
    """

    scope: Scope
    first_date: date
    last_date: date
    form: str
    value: str
    reason: str
    note: str = ""
    expires_on: date | None = None

    @property
    def is_listing(self) -> bool:
        """Whether it says that an item is not sold."""
        return self.reason in LISTING_REASONS

    @property
    def change_text(self) -> str:
        """What it says, without where and when.

        Example:
            >>> Override(Scope.of(sku="A"), date(2025, 7, 1), date(2025, 7, 2), "percent", "20", "event").change_text
            '+20%'
        """
        return change_text(self.form, self.value)

    def shares_days(self, other: "Override") -> bool:
        """Whether both are about some day."""
        return self.first_date <= other.last_date and other.first_date <= self.last_date

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.scope}, {self.first_date} to {self.last_date}: {self.change_text}"

    def body(self) -> dict[str, Any]:
        """Return what is stored of it, without what is empty."""
        said = {**asdict(self.scope), **{name: value for name, value in vars(self).items() if name != "scope"}}
        return {name: str(value) for name, value in said.items() if value not in ("", None)}

    @classmethod
    def of_body(cls, body: Mapping[str, str]) -> "Override":
        """Return what was stored; what a later release adds is left out."""
        expires = body.get("expires_on")
        return cls(
            Scope(*(body[name] for name in ("product_level", "product_node", "store_level", "store_node"))),
            date.fromisoformat(body["first_date"]),
            date.fromisoformat(body["last_date"]),
            body["form"],
            body.get("value", ""),
            body["reason"],
            body.get("note", ""),
            date.fromisoformat(expires) if expires else None,
        )


def change_text(form: str, value: str) -> str:
    """Return what a form and its value say, in words.

    Example:
        >>> change_text("add", "-5")
        '-5 units a day more'
    """
    sign = "+" if form in _SIGNED and not value.startswith("-") else ""
    return FORMS[form].format(f"{sign}{value}")


def require_sound(override: Override, reasons: tuple[str, ...]) -> Override:
    """Return an override with its value as it is kept, unless it contradicts itself.

    Args:
        override: As it was given.
        reasons: Codes that the policy knows.

    Raises:
        InputError: If its form, value, days or reason are none that an override can have.

    Example:
        >>> given = Override(Scope.of(sku="A"), date(2025, 7, 1), date(2025, 7, 2), "percent", "+20.0", "event")
        >>> require_sound(given, ("event",)).value
        '20'
    """
    if override.form not in FORMS:
        raise InputError(
            f"`{override.form}` is no form of an override.",
            remedy=f"Take one of {', '.join(FORMS)}.",
            form=override.form,
        )
    if override.last_date < override.first_date:
        raise InputError(
            f"The days end before they begin: {override.first_date} to {override.last_date}.",
            remedy="Name the first day, then the last.",
        )
    if (override.last_date - override.first_date).days >= _MOST_DAYS:
        raise InputError(
            f"{override.first_date} to {override.last_date} is more than ten years.", remedy="Name an earlier last day."
        )
    known = (*reasons, *LISTING_REASONS)
    if override.reason not in known:
        raise InputError(
            f"`{override.reason}` is no reason that the policy knows." if override.reason else "No reason is given.",
            remedy=f"Take one of {', '.join(known)}; put free words into the note.",
            reason=override.reason,
        )
    if override.is_listing and override.form != ZERO:
        raise InputError(
            f"`{override.reason}` says that nothing is sold, and {override.change_text} that something is.",
            remedy="Take the form zero, or another reason.",
        )
    if len(override.note) > _LONGEST_NOTE or not override.note.isprintable():
        raise InputError(
            f"The note has {len(override.note)} characters, or some that cannot be printed.",
            remedy=f"Write at most {_LONGEST_NOTE} characters in one line.",
        )
    return Override(**{**vars(override), "value": _value(override)})


def _value(override: Override) -> str:
    """Return the value as it is kept: exact, without a plus, needless zeros, or the minus of nothing."""
    form, text = override.form, override.value.strip()
    if form == ZERO:
        if text:
            raise InputError("The form zero has no value.", remedy="Leave the value out.")
        return ""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    most = _MOST_PERCENT if form == PERCENT else _MOST_UNITS
    if not value.is_finite() or abs(value) > most or value != round(value, _DECIMALS):
        raise InputError(
            f"`{text}` is no value of an override.",
            remedy=f"Give a number with a point and at most {_DECIMALS} decimals, up to {most:,}.",
            value=text,
        )
    if form not in _SIGNED and value < 0:
        raise InputError(f"{value} units cannot be sold.", remedy="Give a number of units from 0.", value=text)
    if form == PERCENT and value < -100:  # noqa: PLR2004
        raise InputError(f"{value}% would leave less than nothing.", remedy="Give at least -100.", value=text)
    if form in _SIGNED and not value:
        raise InputError(f"{override.change_text or 'It'} changes nothing.", remedy="Give another value.", value=text)
    return f"{(value + 0).normalize():f}"


def override_id(sequence: int, number: int) -> str:
    """Return what an override is called: its entry and its place in it, from 1.

    Example:
        >>> override_id(412, 3)
        'o412-3'
    """
    return f"o{sequence}-{number}"
