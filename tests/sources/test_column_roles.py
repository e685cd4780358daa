"""Which column is which, in the words of several languages and systems, and by content where no word tells."""

import polars as pl
import pytest

from forecast_assets.sources.column_roles import find_roles, kind_of

DAYS = ["30.06.2025", "01.07.2025"]
EXPORTS = {
    "Datum;Filiale;Artikelnummer;Artikelbezeichnung;Menge": ("Datum", "Artikelnummer", "Filiale", "Menge"),
    "Fecha;Tienda;Artículo;Cantidad;Importe": ("Fecha", "Artículo", "Tienda", "Cantidad"),
    "Date;Magasin;Référence;Libellé;Quantité": ("Date", "Référence", "Magasin", "Quantité"),
    "Giorno;Negozio;Articolo;Quantità": ("Giorno", "Articolo", "Negozio", "Quantità"),
    "Data;Loja;Produto;Quantidade": ("Data", "Produto", "Loja", "Quantidade"),
    "BUDAT;WERKS;MATNR;MENGE": ("BUDAT", "MATNR", "WERKS", "MENGE"),
    "InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;Country": (
        "InvoiceDate", "StockCode", None, "Quantity",
    ),
    "Order Date;Ship Date;Product ID;Product Name;Sales;Quantity;Store Number": (
        "Order Date", "Product ID", "Store Number", "Quantity",
    ),
    "sku_id;store_id;event_date;sales_units": ("event_date", "sku_id", "store_id", "sales_units"),
}  # fmt: skip


def table(header: str) -> pl.DataFrame:
    numbers = ("menge", "cantidad", "quant", "importe", "sales", "unitprice")
    return pl.DataFrame(
        {
            name: DAYS
            if any(word in name.lower() for word in ("dat", "fecha", "giorno"))
            else ["1,5", "2"]
            if name.lower().startswith(numbers)
            else ["A1", "B2"]
            for name in header.split(";")
        }
    )


@pytest.mark.parametrize("header", EXPORTS)
def test_columns_are_known_by_their_names(header: str) -> None:
    found = find_roles(table(header)).columns
    roles = ("event_date", "sku_id", "store_id", "sales_units")
    assert tuple(found.get(role) for role in roles) == EXPORTS[header]


def test_another_column_that_may_be_meant_is_a_doubt() -> None:
    roles = find_roles(pl.DataFrame({"Menge": ["1"], "Absatz": ["2"], "Artikel": ["A"], "Tag": ["2025-06-30"]}))
    assert roles.columns["sales_units"] == "Menge"
    assert roles.doubts["sales_units"] == "or 'Absatz'"


def test_where_no_name_tells_the_content_does_with_a_doubt() -> None:
    roles = find_roles(
        pl.DataFrame({"a": DAYS * 2, "b": ["x", "y", "z", "x"], "c": ["S"] * 4, "d": ["1", "2", "3", "4"]})
    )
    assert roles.columns == {"event_date": "a", "sales_units": "d", "sku_id": "b"}
    assert set(roles.doubts) == {"event_date", "sales_units", "sku_id"}


def test_a_name_of_words_does_not_make_a_quantity() -> None:
    assert "sales_units" not in find_roles(pl.DataFrame({"Menge": ["viel"], "Tag": DAYS[:1]})).columns


def test_levels_are_groups_that_are_named() -> None:
    roles = find_roles(pl.DataFrame({"Artikel": ["A"], "Warengruppe": ["Milch"], "Marke": ["X"], "Notiz": ["-"]}))
    assert roles.levels == ["Warengruppe", "Marke"]
    assert roles.without(["Artikel", "Warengruppe", "Notiz"]) == ["Notiz"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["30.06.2025", ""], "day"), (["1.234,5", "7-"], "number"), (["A", "1"], "text"), ([None, ""], "text"),
        ([*["5"] * 19, "n/a"], "number"),
    ],
)  # fmt: skip
def test_a_column_is_what_most_of_its_values_are(values: list[str | None], kind: str) -> None:
    assert kind_of(pl.Series(values, dtype=pl.String)) == kind
