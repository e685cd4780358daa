"""`publish`: a run is visible from here on, all of its products at once.

What belongs here: all that is to be known of this kind of entry, but for the way from a run to what it was made from
(`run_links`). What does not: making, checking or writing products.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import AlreadyPublishedError, LostRaceError, NotPublishedError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import (
    RECORDED_AT,
    SEQUENCE,
    AuditColumn,
    AuditRow,
    AuditSource,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    NestedView,
    TableView,
)
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, EntryLike, References, register_kind
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.ingest import BATCHES
from resources.ledger.entries.register import Versions
from resources.ledger.entries.run_links import LINK_COLUMNS, NESTED_COLUMNS, links_of
from resources.ledger.records import ProductFile, with_known_fields


@dataclass(frozen=True)
class Correction:
    """Who corrected a published run, and why; what is not a correction has none of it.

    Attributes:
        by: Who decided.
        reason: Why.
        corrects: Key of the revision before, as text.
        known_until: Moment of knowledge that it was made from, ISO 8601 in UTC.
    """

    by: str = ""
    reason: str = ""
    corrects: str = ""
    known_until: str = ""


@dataclass(frozen=True)
class Publication:
    """A published run.

    Attributes:
        key: The run.
        products: SHA-256 of each product's manifest, by name.
        files: Each product's files, by name; none in the entries of the first release, whose manifests have them.
        acceptances: SHA-256 of the acceptance of each check, by product version (of published products and of what
            they were made from) and check; empty hashes in the entries of the first release.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        correction: Who corrected the revision before, and why.
        cpu: Type of the processor that it was made on; empty where nobody said.
        schemas: Fingerprint of the contract that each product's files keep, by name; none in entries of releases before
            the contracts grew.
        policy: Version of the policy whose risk bands it has; empty in entries of releases before there were any.
        overrides: Gates that its version was used in spite of (`Channels.overrides_of`), and those of the revision that
            it corrects.
    """

    key: RunKey
    products: Mapping[str, str]
    files: Mapping[str, tuple[ProductFile, ...]]
    acceptances: Mapping[str, Mapping[str, str]]
    sequence: int = 0
    recorded_at: str = ""
    correction: Correction = Correction()
    cpu: str = ""
    schemas: Mapping[str, str] = field(default_factory=dict)
    policy: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def accepted(self) -> dict[str, list[str]]:
        """The checks that accepted each published product, by its name."""
        return {name: [*self.acceptances.get(version, {})] for name, version in self.products.items()}


@dataclass
class Publications:
    """What follows from publications.

    Attributes:
        by_key: By key, in the order of the ledger.
    """

    by_key: dict[RunKey, Publication] = field(default_factory=dict)


class PublishKind(EntryKind[Publication]):
    """Published runs, from their files to the views `publications` and `lineage`."""

    name = "publish"
    meaning = "a run is visible from here on, all of its products at once"
    kept_state = "publications by key; a key comes once"
    record = Publication

    def read(self, entry: EntryLike) -> Publication:
        """Return the publication of an entry."""
        body, products = entry.body, entry.body["products"]
        files = {
            name: tuple(with_known_fields(ProductFile, file) for file in files)
            for name, files in body.get("files", {}).items()
        }
        acceptances = body.get("acceptances")
        if acceptances is None:
            acceptances = {products[name]: dict.fromkeys(checks, "") for name, checks in body["accepted"].items()}
        return Publication(
            key=RunKey.parse(body["key"]),
            products=products,
            files=files,
            acceptances=acceptances,
            sequence=entry.sequence,
            recorded_at=entry.recorded_at,
            correction=with_known_fields(Correction, body.get("correction", {})),
            cpu=body.get("cpu", ""),
            schemas=body.get("schemas", {}),
            policy=body.get("policy", ""),
            overrides=tuple(body.get("overrides", ())),
        )

    def body(self, record: Publication) -> dict[str, Any]:
        """Return the JSON form; correction, policy and overrides only where there are any."""
        said: dict[str, Any] = {"policy": record.policy, "overrides": list(record.overrides)}
        if record.correction != Correction():
            said["correction"] = asdict(record.correction)
        return {
            "key": str(record.key),
            "products": dict(record.products),
            "files": {name: [asdict(file) for file in files] for name, files in record.files.items()},
            "schemas": dict(record.schemas),
            "acceptances": {version: dict(checks) for version, checks in record.acceptances.items()},
            "cpu": record.cpu,
            **{name: value for name, value in said.items() if value},
        }

    def unique_fact(self, record: Publication) -> str:
        """A published run never changes."""
        return f"publishes {record.key}"

    def fold(self, record: Publication, state: FoldedState) -> None:
        """Keep the publication by its key."""
        state.part(Publications).by_key[record.key] = record

    def references(self, record: Publication) -> References:
        """Return the products with their files and acceptances."""
        copies = [(name, version, record.files.get(name)) for name, version in record.products.items()]
        return References(
            # Entries of the first release say nothing of files.
            copies=copies if record.files else (),
            products=tuple(record.products.values()),
            acceptances=record.acceptances,
        )

    def admit(self, record: Publication, state: FoldedState) -> None:
        """Refuse a key that is taken, a correction of nothing, a version that does not exist or serve, and a lost mark.

        Raises:
            AlreadyPublishedError: If the key is taken.
            NotPublishedError: If the revision that it corrects is not published.
            UnknownVersionError: If there is no such model version.
            NotAcceptedError: If it is retired and this is no correction.
            LostRaceError: If it was promoted meanwhile in spite of a gate, which the entry would not say.
        """
        key, published = record.key, state.part(Publications).by_key
        if key in published:
            raise AlreadyPublishedError(key, published[key].sequence)
        if key.revision and revision_before(key) not in published:
            raise NotPublishedError(
                f"{revision_before(key)} is not published, so {key} has nothing to correct.",
                remedy=Sentence("Revisions follow one another from r0; see what is there: ", Action("runs")),
                key=key,
            )
        versions = state.part(Versions)
        versions.known(key.model_version)
        versions.require_in_service(key)
        if overrides_of_run(key, state) != record.overrides:
            raise LostRaceError(
                f"`{key.model_version}` was promoted meanwhile, and other gates are overridden.",
                remedy="Run the same command again.",
                key=key,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the views `publications` and `lineage`."""
        table = publications_table()
        return (
            TableView(
                name=table.name,
                grain="one published run",
                description="Every published run and every correction, in the order of the ledger.",
                key=("publication_key",),
                table=table,
            ),
            NestedView(
                name="lineage",
                grain="one published run, one link, one file of it",
                description="What every published run was made from: from a row's `prediction_id` to products, "
                "snapshots, observation batches, model artifact, report, code and libraries.",
                key=("publication_key", "link", "version", "path"),
                table=table,
                parent_columns=KEY_COLUMNS,
                nested="links",
                nested_columns=LINK_COLUMNS,
                numbers="batches",
                numbered=BATCHES,
                numbered_columns={
                    "product": "feed", "version": "batch_id", "path": "path", "sha256": "sha256", "rows": "rows",
                },
                renamed=("link", "_snapshot", "_batch"),
            ),
        )  # fmt: skip

    def event(self, record: Publication) -> EntryEvent:
        """Return which run is visible, and whether it corrects another."""
        what = "run.corrected" if record.key.revision else "run.published"
        return EntryEvent(what, f"runs/{str(record.key).rpartition('/')[0]}", str(record.key))

    def describe(self, record: Publication) -> EntryDescription:
        """Return which run, how many products and checks, what it corrects, who corrected it and why."""
        checks = sum(len(checks) for checks in record.accepted.values())
        corrects = f"; corrects {record.correction.corrects}" if record.key.revision else ""
        what = f"{record.key}: {len(record.products)} products, {counted(checks, 'check')} accepted{corrects}"
        if record.overrides:
            what = f"{what}; its version is promoted in spite of {first_ten(record.overrides)}"
        return EntryDescription(what, record.correction.by, record.correction.reason)


def overrides_of_run(key: RunKey, state: FoldedState) -> tuple[str, ...]:
    """Return the gates that a run is marked with: those overridden now, and those of the revision that it corrects.

    Args:
        key: The run.
        state: What it would follow.
    """
    before = state.part(Publications).by_key.get(revision_before(key)) if key.revision else None
    marked = set() if before is None else {*before.overrides}
    return tuple(sorted({*state.part(Channels).overrides_of(key.model_version), *marked}))


def revision_before(key: RunKey) -> RunKey:
    """Return the key of the revision that ``key`` corrects."""
    return replace(key, revision=key.revision - 1)


KEY_COLUMNS: Final = (
    AuditColumn("publication_key", ColumnType.TEXT, "the run; a row's `prediction_id` begins with it and a slash"),
    AuditColumn("cadence", ColumnType.TEXT, "rhythm of the run"),
    AuditColumn("prediction_date", ColumnType.DATE, "last observed day of the run"),
    AuditColumn("model_version", ColumnType.TEXT, "model version, the name of its schema"),
    AuditColumn("forecast_horizon", ColumnType.INT32, "days ahead of the run"),
    AuditColumn("revision", ColumnType.INT32, "0, or the number of the correction"),
)


@cache
def publications_table() -> AuditTable:
    """Return the rows of published runs, each with its links; which products a run has is said by their contracts."""
    from forecast_assets.contracts import PUBLISHED

    versions = (
        AuditColumn(
            f"{name}_version",
            ColumnType.TEXT,
            f"product version (manifest hash) of `{name}`; empty if the run was published before there was one",
        )
        for name in PUBLISHED
    )
    return AuditTable(
        "publications",
        (
            *KEY_COLUMNS,
            *versions,
            SEQUENCE,
            RECORDED_AT,
            AuditColumn("corrects", ColumnType.TEXT,
                        "key of the revision that it corrects; empty if it is no correction"),
            AuditColumn("by", ColumnType.TEXT, 'who corrected it (in SQL `"by"`); empty if it is no correction'),
            AuditColumn("reason", ColumnType.TEXT, "why it was corrected; empty if it is no correction"),
            AuditColumn("cpu", ColumnType.TEXT,
                        "type of the processor that it was made on; empty in entries of the first release"),
            AuditColumn("policy", ColumnType.TEXT,
                        "version of the policy whose risk bands it has; empty in runs from before there were policies"),
            AuditColumn("overridden_gates", ColumnType.TEXT,
                        "gates of merit that its version failed and that were overridden when it was promoted, joined "
                        "with `;`; a correction has those of the run before besides; empty if none was"),
            AuditColumn("overrides", ColumnType.TEXT,
                        "`overridden_gates` under its first name; planners' overrides are in `planner_overrides`"),
            AuditColumn("links", NESTED_COLUMNS),
        ),
        lambda state: state.part(Publications).by_key.values(),
        lambda records, source: _rows(records, source, PUBLISHED),
    )  # fmt: skip


def _rows(publications: Sequence[Publication], source: AuditSource, published: Sequence[str]) -> ComputedRows:
    versions = source.state.part(Versions).by_name
    runs = [
        ({name: one.products[name] for name in published if name in one.products}, versions[one.key.model_version])
        for one in publications
    ]
    links, is_complete = links_of(runs, source)
    rows = [{**_row(one, published), "links": of} for one, of in zip(publications, links, strict=True)]
    return ComputedRows(rows, is_complete)


def _row(publication: Publication, published: Sequence[str]) -> AuditRow:
    return {
        "publication_key": str(publication.key),
        **vars(publication.key),
        **{f"{name}_version": publication.products.get(name, "") for name in published},
        "ledger_sequence": publication.sequence,
        "recorded_at": publication.recorded_at,
        "corrects": publication.correction.corrects,
        "by": publication.correction.by,
        "reason": publication.correction.reason,
        "cpu": publication.cpu,
        "policy": publication.policy,
        **dict.fromkeys(("overridden_gates", "overrides"), ";".join(publication.overrides)),
    }


PUBLISH: Final = register_kind(PublishKind())
