"""Lineage: everything that a published row or run was made from.

What belongs here: walking from a publication to products, model version and observation batches. What does not: judging
whether the links hold (checks.lineage, resources.maintenance.verification), or printing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import PredictionId, parse_run_or_row
from forecast_assets.operations.reading import is_past, one_series
from forecast_assets.scoring.context import given_inputs_of
from resources.ledger.entries.ingest import BatchRecord
from resources.ledger.entries.publish import Publication
from resources.ledger.entries.register import VersionRecord
from resources.ledger.log import Entry
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores


@dataclass(frozen=True)
class Lineage:
    """What a published row or run was made from; every manifest is verified against its hash.

    Attributes:
        identifier: What was asked for.
        publication: The run.
        entry: Its ledger entry.
        row: The row of `forecasts`, as text by column; None for a run.
        products: The published products first, then all that they, the model's artifact, its report and its training
            snapshot were made from; each once.
        model: The registered model version.
        batches: Observation batches by id, of every snapshot among the products.
        external_forecasts: Versions of the external forecasts that the run's base forecasts repeat.
        head: Sequence and hash of the ledger entry that this was read at.
        is_past: Whether that position was asked for.
    """

    identifier: str
    publication: Publication
    entry: Entry
    row: Mapping[str, str | None] | None
    products: Mapping[str, ProductVersion]
    model: VersionRecord
    batches: Mapping[str, BatchRecord]
    external_forecasts: frozenset[str]
    head: tuple[int, str]
    is_past: bool

    def document(self) -> dict[str, Any]:
        """Return all of it ready for JSON; products and batches by their ids, so that every link can be followed."""
        publication = self.publication
        return {
            "id": self.identifier,
            "read_at": {"ledger_entry": self.head[0], "ledger_hash": self.head[1], "is_past": self.is_past},
            "run": {
                "key": str(publication.key),
                "ledger_entry": publication.sequence,
                "ledger_hash": self.entry.hash,
                "recorded_at": publication.recorded_at,
                "cpu": publication.cpu,
                "correction": asdict(publication.correction) if publication.key.revision else None,
                "products": dict(publication.products),
            },
            "row": None if self.row is None else dict(self.row),
            "model_version": {**asdict(self.model), "cutoff": self.model.cutoff.isoformat()},
            "products": {version: self._product(made) for version, made in self.products.items()},
            "batches": {name: {**batch.body(), "ledger_entry": batch.sequence} for name, batch in self.batches.items()},
        }

    def _product(self, made: ProductVersion) -> dict[str, Any]:
        accepted = dict(self.publication.acceptances.get(made.version, {}))
        return {**asdict(made), "files": [asdict(file) for file in made.files], "acceptances": accepted}


def lineage_of(stores: Stores, identifier: str) -> Lineage:
    """Walk from a published run or row to everything it was made from.

    Args:
        stores: Where everything is, now or as of a past position.
        identifier: A run's key, or a row's `prediction_id`.

    Raises:
        InputError: If it is neither, or the run has no such row.
        NotPublishedError: If nothing is published under it.
        ChangedFileError: If a manifest is missing or changed, or the ledger does not know a batch.
    """
    key, wanted = parse_run_or_row(identifier)
    publication = stores.predictions.publication(key)
    model = stores.registry.model_version(key.model_version)
    starts = [*publication.products.values(), model.artifact, model.evaluation_report, model.training_snapshot]
    products = {made.version: made for made in stores.predictions.lineage(starts)}
    named = dict.fromkeys(name for made in products.values() for name in made.inputs.get("batches", ()))
    entries, state = stores.ledger.entries(), stores.ledger.state()
    return Lineage(
        identifier,
        publication,
        entries[publication.sequence - 1],
        None if wanted is None else _row(stores, publication, wanted),
        products,
        model,
        dict(zip(named, stores.observations.named(named), strict=True)),
        frozenset(made.version for made in given_inputs_of(stores.predictions, publication.products.values())),
        (state.sequence, state.head),
        is_past(stores),
    )


def _row(stores: Stores, publication: Publication, wanted: PredictionId) -> dict[str, str | None]:
    series = one_series(stores, publication, "forecasts", wanted.store_id, wanted.sku_id)
    found = series.filter(step=wanted.step)
    if found.is_empty():
        raise InputError(f"{wanted} is not a row of this run.", remedy="Take the id from a view's `prediction_id`.")
    return {name: None if value is None else str(value) for name, value in found.row(0, named=True).items()}
