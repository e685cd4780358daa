"""Lineage in words: a tree from a published row or run to everything it was made from.

What belongs here: how it is laid out. What does not: finding it (operations.lineage).
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.lineage import Lineage
from forecast_assets.presentation.corrections import correction_text
from forecast_assets.presentation.text import Branch, tree
from resources.ledger.entries.ingest import BatchRecord
from resources.ledger.records import ProductFile
from resources.store.manifests import ProductVersion

_ROW: Final = ("target_date", "base_units", "reconciled_units", "forecast_units", "expected_sales_units")
_FACTS: Final = ("known_until", "plans_known_until", "prediction_timestamp", "feature_version")


def lineage_text(found: Lineage, *, lists_all: bool = False) -> str:
    """Return lineage as a tree.

    Args:
        found: The lineage.
        lists_all: Whether every batch and every acceptance is listed, not only counted.
    """
    return tree(_LineageTree(found, lists_all=lists_all).root())


class _LineageTree:
    """Tells every product once; where it is met again, it says so."""

    def __init__(self, found: Lineage, *, lists_all: bool) -> None:
        self._found = found
        self._lists_all = lists_all
        self._shown: set[str] = set()
        self._made_by = _made_by(next(iter(found.products.values())))

    def root(self) -> Branch:
        found = self._found
        publication = found.publication
        place = f"published as ledger entry {publication.sequence} ({found.entry.hash})"
        said = [
            f"{place}, {moment_text(publication.recorded_at)}{f', on {publication.cpu}' if publication.cpu else ''}",
            *(correction_text(publication).splitlines() if publication.key.revision else ()),
            *([] if found.row is None else [", ".join(f"{name} {found.row[name]}" for name in _ROW)]),
            *self._made_by,
        ]
        model = self._model()
        made = publication.products
        products = [self._product(name, made[name]) for name in PUBLISHED if name in made]
        return Branch(found.identifier, (*map(Branch, said), model, *products))

    def _model(self) -> Branch:
        model = self._found.model
        gates = [f"{'passed' if passed else 'FAILED'}: {gate}" for gate, passed in model.gates.items()]
        said = [
            f"family {model.family}, cutoff {model.cutoff}",
            f"registered as ledger entry {model.sequence}, {moment_text(model.recorded_at)}",
            f"training run {model.training_run_id}",
            f"feature version {model.feature_version}",
        ]
        links = [
            self._product("artifact", model.artifact),
            self._product("evaluation_report", model.evaluation_report),
            self._product("training_snapshot", model.training_snapshot),
        ]
        gated = [Branch(counted(len(gates), "gate"), tuple(map(Branch, gates)))] if gates else []
        return Branch(f"model version {model.model_version}", (*map(Branch, said), *gated, *links))

    def _product(self, name: str, version: str) -> Branch:
        made = self._found.products[version]
        label = f"{name} {version}" if name == made.product else f"{name}: {made.product} {version}"
        if version in self._shown:
            return Branch(f"{label} (see above)")
        self._shown.add(version)
        inputs = [self._product(each, of) for each, of in made.inputs.items() if each != "batches"]
        return Branch(label, (*self._fact_branches(made), *inputs, *self._batches(made)))

    def _fact_branches(self, made: ProductVersion) -> Iterator[Branch]:
        yield Branch(f"made for {made.key}")
        earlier = made.facts.get("known_until_by_feed", {})
        yield from (Branch(f"{feed} known until {moment}") for feed, moment in earlier.items())
        yield from (Branch(_file_text(file)) for file in made.files)
        if "file_sha256" in made.facts:
            # Beside the run's own file there are those that the version was registered with, perhaps of other dates.
            what = "external file" if made.version in self._found.external_forecasts else "registered with"
            yield Branch(f"{what} {made.facts['file']}, SHA-256 {made.facts['file_sha256']}, for {made.key}")
        yield from (Branch(f"{name.replace('_', ' ')} {made.facts[name]}") for name in _FACTS if name in made.facts)
        if "specs" in made.facts:
            yield Branch(f"specs: {', '.join(spec['name'] for spec in made.facts['specs'])}")
        accepted = self._found.publication.acceptances.get(made.version, {})
        if accepted:
            listed = [Branch(f"{check} {sha256}".strip()) for check, sha256 in accepted.items()]
            words = f"accepted by {counted(len(accepted), 'check')}: "
            yield Branch(words[:-2], tuple(listed)) if self._lists_all else Branch(words + ", ".join(accepted))
        yield from (Branch(line) for line in _made_by(made) if line not in self._made_by)

    def _batches(self, made: ProductVersion) -> Iterator[Branch]:
        batches = [self._found.batches[name] for name in made.inputs.get("batches", ())]
        for feed, group in groupby(sorted(batches, key=lambda each: each.feed), key=lambda each: each.feed):
            yield self._feed(feed, [*group])

    def _feed(self, feed: str, batches: list[BatchRecord]) -> Branch:
        first, last = min(b.first_event_date for b in batches), max(b.last_event_date for b in batches)
        sequences = sorted({batch.sequence for batch in batches})
        sources = ", ".join(sorted({batch.source for batch in batches}))
        label = (
            f"{feed}: {counted(len(batches), 'batch', 'batches')} from {sources}, "
            f"{counted(sum(batch.rows for batch in batches), 'row')} of {first} to {last}, "
            f"ledger entries {_spans(sequences)}"
        )
        listed = (
            f"{b.batch_id}: {b.rows:,} rows of {b.first_event_date} to {b.last_event_date} from {b.source}, "
            f"ledger entry {b.sequence}, {b.path}"
            for b in batches
        )
        return Branch(label, tuple(map(Branch, listed)) if self._lists_all else ())


def _file_text(file: ProductFile) -> str:
    rows = f", {file.rows:,} rows" if file.rows else ""
    named = "" if file.sha256 in file.path else f", SHA-256 {file.sha256}"
    return f"file {file.path}{rows}, {file.bytes:,} bytes{named}"


def _made_by(made: ProductVersion) -> list[str]:
    """Return by what code and libraries a product was made; it is said once where it is the same for all."""
    libraries = ", ".join(f"{name} {version}" for name, version in made.libraries.items())
    return [f"code {made.code_version}", f"libraries {libraries}"]


def _spans(sequences: list[int]) -> str:
    """Return numbers with their runs shortened.

    Example:
        >>> _spans([1, 2, 3, 7])
        '1 to 3, 7'
    """
    runs = groupby(enumerate(sequences), key=lambda each: each[1] - each[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{span[0]} to {span[-1]}" if span[1:] else f"{span[0]}" for span in spans)
