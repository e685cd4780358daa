"""From a published run to everything that it was made from, as rows of the audit views.

What belongs here: following manifests, what each thing was to the run, and the rows that say so. What does not: the run
itself, or showing these rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from resources.ledger.entries.audit import AuditColumn, AuditRow, AuditSource, ColumnType
from resources.ledger.entries.ingest import Batches
from resources.ledger.entries.register import VersionRecord
from resources.ledger.records import canonical
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion

LINK_COLUMNS: Final = (
    AuditColumn("link", ColumnType.TEXT,
                "what it was to the run: a published product, a product on the way to it (`base_forecasts`, ...), "
                "`scoring_snapshot` and each `scoring_batch` behind it, `model_artifact`, `evaluation_report`, "
                "`training_snapshot` and each `training_batch` behind it"),
    AuditColumn("product", ColumnType.TEXT, "name of the product; of a batch its feed", nullable=True),
    AuditColumn("version", ColumnType.TEXT, "product version (manifest hash); of a batch its id"),
    AuditColumn("path", ColumnType.TEXT,
                "file below the store; null if the manifest is missing or changed, which verifying the store names",
                nullable=True),
    AuditColumn("sha256", ColumnType.TEXT, "SHA-256 of the file", nullable=True),
    AuditColumn("rows", ColumnType.INT64, "rows of the file; 0 for what is no table", nullable=True),
    AuditColumn("made_from", ColumnType.TEXTS, "product versions that it was made from", nullable=True),
    AuditColumn("code_version", ColumnType.TEXT, "release, and fingerprint of the source files, that made it",
                nullable=True),
    AuditColumn("libraries", ColumnType.TEXT, "versions of the libraries that shape numbers", nullable=True),
    AuditColumn("feature_version", ColumnType.TEXT, "version of the features that it was made with", nullable=True),
    AuditColumn("specs_sha256", ColumnType.TEXT, "SHA-256 of the feature specs in a snapshot's manifest",
                nullable=True),
    AuditColumn("known_until", ColumnType.TEXT, "moment of knowledge of a snapshot, ISO 8601 in UTC", nullable=True),
    AuditColumn("training_run_id", ColumnType.TEXT,
                "run that trained the model version: of artifact and report", nullable=True),
)  # fmt: skip
# What runs were made from lies beside them; batches by their numbers, since there are many.
NESTED_COLUMNS: Final = (*LINK_COLUMNS, AuditColumn("batches", ColumnType.INT32S))

_ReadManifests = Mapping[str, ProductVersion | None]


def links_of(
    runs: Sequence[tuple[Mapping[str, str], VersionRecord]], source: AuditSource
) -> tuple[list[list[AuditRow]], bool]:
    """Return the links of each run, and whether all manifests could be read.

    Args:
        runs: Of each run its product versions by name, and its model version.
        source: Where manifests are.
    """
    walks = [_Walk(products, model) for products, model in runs]
    made: dict[str, ProductVersion | None] = {}
    while wanted := {version for walk in walks for version in walk.unread(made)}:
        found = source.readable(sorted(wanted))
        made |= {version: found.get(version) for version in wanted}
    numbers = source.state.part(Batches).numbers()
    links = [[row for link in walk.links for row in _rows(*link, made, numbers, walk.model)] for walk in walks]
    return links, None not in made.values()


def _rows(
    link: str, version: str, made: _ReadManifests, numbers: Mapping[str, int], model: VersionRecord
) -> Iterator[AuditRow]:
    product = made[version]
    if product is None:
        yield {"link": link, "version": version, "batches": []}
        return
    specs = product.facts.get("specs")
    batches = (numbers.get(name) for name in product.inputs.get("batches", ()))
    row = {
        "link": link,
        "product": product.product,
        "version": version,
        "made_from": product.parents,
        "code_version": product.code_version,
        "libraries": ", ".join(f"{name} {number}" for name, number in sorted(product.libraries.items())),
        "feature_version": product.facts.get("feature_version"),
        "specs_sha256": None if specs is None else sha256(canonical(specs)),
        "known_until": product.facts.get("known_until"),
        "training_run_id": model.training_run_id if link in {"model_artifact", "evaluation_report"} else None,
        "batches": sorted(number for number in batches if number is not None),
    }
    for at, file in enumerate(product.files):
        own = {"path": file.path, "sha256": file.sha256, "rows": file.rows}
        yield {**row, **own} if at == 0 else {**row, **own, "batches": []}


@dataclass
class _Walk:
    """From a published run to everything that it was made from, as far as manifests have been read.

    Attributes:
        products: Product versions of the run, by name.
        model: Its model version.
        links: What was found: its name and its product version.
    """

    products: Mapping[str, str]
    model: VersionRecord
    links: dict[tuple[str, str], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trained = {
            "model_artifact": self.model.artifact,
            "evaluation_report": self.model.evaluation_report,
            "training_snapshot": self.model.training_snapshot,
        }
        self.links |= dict.fromkeys([*self.products.items(), *trained.items()])
        self._waiting: list[tuple[str, str]] = list(self.links)

    def unread(self, made: _ReadManifests) -> set[str]:
        """Go on as far as manifests are there; return those that are still wanted."""
        while ready := [link for link in self._waiting if link[1] in made]:
            self._waiting = [link for link in self._waiting if link[1] not in made]
            for name, version in ready:
                self._follow(name, made[version])
        return {version for _, version in self._waiting}

    def _follow(self, name: str, product: ProductVersion | None) -> None:
        if product is None:
            return
        for role, version in product.inputs.items():
            link = (_role(role, name), version)
            if role != "batches" and link not in self.links:
                self.links[link] = None
                self._waiting.append(link)


_OF_TRAINING: Final = frozenset({"model_artifact", "evaluation_report", "training_snapshot"})


def _role(name: str, of: str) -> str:
    """Return what an input is to the run: a snapshot of scoring is another thing than one of training."""
    if name == "feature_snapshots":
        return "training_snapshot" if of in _OF_TRAINING else "scoring_snapshot"
    return {"model_artifacts": "model_artifact", "evaluation_reports": "evaluation_report"}.get(name, name)
