"""Runs as the release before the contracts grew published them: fewer columns, and no word of which."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from forecast_assets.contracts import PRODUCTS, absent_columns
from forecast_assets.core.keys import RunKey
from resources.ledger.entries.publish import Publication
from resources.ledger.log import Ledger
from resources.stores.home import Stores
from tests.support.store_cases import publish

GROWN = tuple(name for name in PRODUCTS if absent_columns(name, None))


def publish_as_before(stores: Stores, key: RunKey, units: int = 4) -> Publication:
    """Publish a run by today's code under the contracts of then."""
    with pytest.MonkeyPatch.context() as patch:
        for name in GROWN:
            contract, absent = PRODUCTS[name], absent_columns(name, None)
            columns = tuple(column for column in contract.columns if column.name not in absent)
            patch.setitem(PRODUCTS, name, replace(contract, columns=columns))
        patch.setattr(Ledger, "append", _without_schemas(Ledger.append))
        return publish(stores, key, units)


def _without_schemas(append: Any) -> Any:
    def as_before(ledger: Ledger, kind: str, body: Mapping[str, Any], *args: Any, **named: Any) -> Any:
        return append(ledger, kind, {name: said for name, said in body.items() if name != "schemas"}, *args, **named)

    return as_before
