"""Runs as releases before the contracts grew published them: fewer columns, and at first no word of which."""

from collections.abc import Mapping
from typing import Any

import pytest

from forecast_assets.contracts import PRODUCTS, PUBLISHED, absent_columns, contract_then, earlier_fingerprints
from forecast_assets.core.keys import RunKey
from resources.ledger.entries.publish import Publication
from resources.ledger.log import Ledger
from resources.stores.home import Stores
from tests.support.store_cases import publish

LATER = ("cumulative_forecasts", "forecast_overrides")
GROWN = tuple(name for name in PUBLISHED if absent_columns(name, None))


def publish_as_before(stores: Stores, key: RunKey, units: int = 4) -> Publication:
    """Publish a run by today's code under the contracts of the first release, which named no fingerprints.

    It has no products that came later.
    """
    with pytest.MonkeyPatch.context() as patch:
        for place in ("resources.stores.products", "tests.support.store_cases"):
            patch.setattr(f"{place}.PUBLISHED", tuple(name for name in PUBLISHED if name not in LATER))
        for name in GROWN:
            patch.setitem(PRODUCTS, name, contract_then(name, earlier_fingerprints(name)[0]))
        patch.setattr(Ledger, "append", _without_schemas(Ledger.append))
        return publish(stores, key, units)


def publish_without(stores: Stores, key: RunKey, product: str, fingerprint: str, units: int = 4) -> Publication:
    """Publish a run by today's code under the contract that a product had then; its fingerprint is recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRODUCTS, product, contract_then(product, fingerprint))
        return publish(stores, key, units)


def _without_schemas(append: Any) -> Any:
    def as_before(ledger: Ledger, kind: str, body: Mapping[str, Any], *args: Any, **named: Any) -> Any:
        return append(ledger, kind, {name: said for name, said in body.items() if name != "schemas"}, *args, **named)

    return as_before
