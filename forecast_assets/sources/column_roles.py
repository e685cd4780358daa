"""Which column of a foreign table is which of ours: by its name in several languages, and by what is in it.

What belongs here: names that people and programs give to columns, and choosing among the columns of one table. What
does not: reading files, or what else a mapping says (``guessing``).
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from forecast_assets.sources.text_days import found_form, text_days
from forecast_assets.sources.text_numbers import plain_numbers

Kind = Literal["day", "number", "text"]

# The most telling first. English, German, French, Spanish, Italian, Portuguese, Dutch, and names of fields of SAP and
# Navision.
_NAMES: Final[Mapping[str, str]] = {
    "event_date": (
        "event_date date day ds datum tag fecha dia data jour giorno calday kalendertag buchungsdatum budat "
        "belegdatum bondatum verkaufsdatum invoicedate orderdate salesdate saledate transactiondate businessdate "
        "postingdate stichtag timestamp datetime zeitpunkt"
    ),
    "sku_id": (
        "sku_id sku article artikel artikelnummer artikelnr artnr item itemno itemid itemnumber product productid "
        "productcode productnumber produkt material materialnummer matnr ean gtin upc plu barcode stockcode "
        "articulo producto codigo codearticle reference articolo prodotto artigo produto artikelcode"
    ),
    "store_id": (
        "store_id store storeid storenumber storenr shop shopid filiale filialnr filialnummer filial markt laden "
        "werk werks plant branch outlet location locationcode site standort tienda sucursal magasin boutique "
        "negozio loja winkel vestiging betrieb"
    ),
    "sales_units": (
        "sales_units qty quantity units unitssold unitsales sold soldqty salesqty salesquantity menge "
        "verkaufsmenge absatz absatzmenge stueck stuck anzahl verkauft cantidad unidades quantite qte vendu "
        "quantita qta venduto quantidade aantal volume pieces sales fkimg"
    ),
    "on_hand_units": (
        "on_hand_units onhand qtyonhand stockonhand stock soh bestand lagerbestand bestandsmenge inventory "
        "existencias stockactuel giacenza estoque voorraad labst"
    ),
    "unit_price": (
        "unit_price price unitprice sellingprice salesprice retailprice preis verkaufspreis vkpreis einzelpreis "
        "precio prix prezzo preco prijs"
    ),
    "list_price": "list_price listprice regularprice normalprice rrp msrp uvp listenpreis normalpreis regular",
    "known_at": "known_at knownat bookedat createdat recordedat postedat gebuchtam erfasstam erfassungsdatum cpudt",
    "order_id": "order_id orderid orderno ordernumber ponumber purchaseorder bestellnummer bestellnr bestellung ebeln",
    "ordered_units": "ordered_units ordered orderqty orderedqty orderquantity bestellmenge",
    "received_date": "received_date received receiptdate receiveddate wareneingang eingangsdatum lieferdatum",
    "event_name": "event_name event eventname holiday holidayname feiertag feiertagsname anlass",
    "trading_hours": "trading_hours tradinghours openinghours oeffnungsstunden",
    "out_of_stock_hours": "out_of_stock_hours outofstockhours oosstunden fehlstunden",
}
_LEVELS: Final = {
    "department", "dept", "division", "sortiment", "abteilung", "category", "cat", "categoryname", "warengruppe",
    "warengruppenname", "group", "productgroup", "segment", "family", "familie", "marke", "brand", "subcategory",
    "unterwarengruppe", "region", "district", "bezirk", "gebiet", "country", "land", "state", "bundesland", "city",
    "stadt", "cluster", "format",
}  # fmt: skip
_KINDS: Final[Mapping[str, Kind]] = {
    "event_date": "day", "received_date": "day", "known_at": "day", "sales_units": "number", "on_hand_units": "number",
    "unit_price": "number", "list_price": "number", "ordered_units": "number", "trading_hours": "number",
    "out_of_stock_hours": "number",
}  # fmt: skip
# Words that make a name one of a description, not of the thing.
_DESCRIBING: Final = {"name", "bezeichnung", "beschreibung", "description", "desc", "text", "libelle", "nombre", "bez"}
_EXACT, _PART, _DESCRIBED = 3, 2, 1
_MOSTLY: Final = 0.9
# What is looked for where no name tells, and with what: a day, a quantity, then keys.
_BY_CONTENT: Final = ("event_date", "sales_units")


@dataclass(frozen=True)
class Roles:
    """Which column is which.

    Attributes:
        columns: Ours to theirs.
        doubts: Why one of ours may be another column.
        levels: Columns that name groups of articles or stores, in their order.
    """

    columns: Mapping[str, str]
    doubts: Mapping[str, str] = field(default_factory=dict)
    levels: Sequence[str] = ()

    def without(self, names: Collection[str]) -> list[str]:
        """Return the columns among some that have no role."""
        return [name for name in names if name not in {*self.columns.values(), *self.levels}]


def plain_name(name: str) -> str:
    """Return a name in small letters and digits, without accents.

    Example:
        >>> plain_name("Stückzahl (Netto)"), plain_name("Artikel-Nr.")
        ('stuckzahlnetto', 'artikelnr')
    """
    return re.sub(r"[^a-z0-9]", "", _folded(name))


def kind_of(values: pl.Series) -> Kind:
    """Return what most values of a column are.

    Example:
        >>> kind_of(pl.Series(["30.06.2025"])), kind_of(pl.Series(["1.234,5", "-"])), kind_of(pl.Series(["Käse"]))
        ('day', 'text', 'text')
    """
    if values.dtype.is_temporal():
        return "day"
    given = values.cast(pl.String, strict=False).drop_nulls()
    given = given.filter(given.str.strip_chars() != "")
    if given.is_empty():
        return "text"
    form = found_form(given).form
    if form is not None and _share(text_days(given, form).days) >= _MOSTLY:
        return "day"
    as_numbers = [plain_numbers(given, is_comma=comma).cast(pl.Float64, strict=False) for comma in (True, False)]
    return "number" if max(map(_share, as_numbers)) >= _MOSTLY else "text"


def find_roles(table: pl.DataFrame) -> Roles:
    """Choose among the columns of a table.

    Args:
        table: [rows] any columns, texts or of a type.

    Example:
        >>> table = pl.DataFrame({"Datum": ["30.06.2025"], "Artikel": ["Käse"], "Menge": ["1,5"]})
        >>> dict(find_roles(table).columns)
        {'event_date': 'Datum', 'sku_id': 'Artikel', 'sales_units': 'Menge'}
    """
    kinds = {name: kind_of(table[name]) for name in table.columns}
    columns: dict[str, str] = {}
    doubts: dict[str, str] = {}
    for role in _NAMES:
        scores = {
            name: score
            for name in table.columns
            if name not in columns.values() and _fits(role, kinds[name]) and (score := _score(role, name))
        }
        if scores:
            columns[role] = max(scores, key=scores.__getitem__)
            level = scores[columns[role]][0]
            others = [name for name, score in scores.items() if score[0] == level and name != columns[role]]
            if others:
                doubts[role] = f"or {', '.join(map(repr, others))}"
    _by_content(table, kinds, columns, doubts)
    taken = set(columns.values())
    levels = [name for name in table.columns if name not in taken and kinds[name] == "text" and _is_level(name)]
    return Roles(columns, doubts, levels)


def _by_content(
    table: pl.DataFrame, kinds: Mapping[str, Kind], columns: dict[str, str], doubts: dict[str, str]
) -> None:
    """Fill the day, the quantity and the keys of sales where no name tells, each with its doubt."""
    for role in _BY_CONTENT:
        left = [name for name, kind in kinds.items() if kind == _KINDS[role] and name not in columns.values()]
        has_measure = role == "sales_units" and columns.keys() & {"on_hand_units", "unit_price", "ordered_units"}
        if role not in columns and len(left) == 1 and not has_measure:
            columns[role] = left[0]
            doubts[role] = "by its content; no name tells"
    keys = [name for name, kind in kinds.items() if kind == "text" and name not in columns.values()]
    keys = [name for name in keys if not _is_level(name) and not _words(name) & _DESCRIBING]
    if "event_date" in columns and "sales_units" in columns and keys and "sku_id" not in columns:
        columns["sku_id"] = max(keys, key=lambda name: table[name].n_unique())
        doubts["sku_id"] = "the column with most values; no name tells"


def _fits(role: str, kind: Kind) -> bool:
    return role not in _KINDS or _KINDS[role] == kind


def _score(role: str, name: str) -> tuple[int, int] | None:
    """Return how well a name fits a role (all of it, one of its words, or a description), and how telling that is."""
    known = [plain_name(word) for word in _NAMES[role].split()]
    words = _words(name)
    fitting = [at for at, word in enumerate(known) if word == plain_name(name)]
    if fitting:
        return _EXACT, -fitting[0]
    parts = [at for at, word in enumerate(known) if word in words]
    if not parts:
        return None
    return (_DESCRIBED if words & _DESCRIBING else _PART), -parts[0]


def _is_level(name: str) -> bool:
    return plain_name(name) in _LEVELS or bool(_words(name) & _LEVELS)


def _words(name: str) -> set[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {word for word in re.split(r"[^a-z0-9]+", _folded(parted)) if word}


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _share(values: pl.Series) -> float:
    return 1 - values.null_count() / max(len(values), 1)
