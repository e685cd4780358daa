"""Product versions: manifests and the files that they name.

What belongs here: reading and verifying them, and walking from one to what it was made from. What does not: writing
them, the ledger, or what the files mean. No library for frames is loaded here, so that quick commands stay quick.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ChangedFileError, NotStagedError
from resources.ledger.records import ProductFile, with_known_fields
from resources.store.blobs import BlobStore, sha256


@dataclass(frozen=True)
class ProductVersion:
    """A product version as its manifest describes it.

    Attributes:
        version: SHA-256 of the manifest.
        product: Name of the product.
        key: What it was made for, as text.
        schema: Fingerprint of the contract.
        files: Parquet files, or one opaque blob for an artifact.
        inputs: Versions of what it was made from, by name.
        facts: Feature version, specs, model version, known-until, and whatever else the stage records.
        code_version: Version and source fingerprint of this product's code.
        libraries: Versions of the libraries that shape numbers.
    """

    version: str
    product: str
    key: str
    schema: str
    files: tuple[ProductFile, ...]
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any]
    code_version: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def parents(self) -> list[str]:
        """Product versions that it was made from."""
        return [version for name, version in self.inputs.items() if name != "batches"]


class Manifests:
    """Product versions on blobs.

    Staging pointers say which version of a product an unfinished run last made; they are conveniences of a run, never
    read by consumers, and what they point at is checked again before the commit.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def version(self, version: str) -> ProductVersion:
        """Return a product version by its hash.

        Raises:
            ChangedFileError: If the manifest is missing or does not hash to its name.
        """
        return _parsed(version, self.verified(manifest_path(version), version))

    def readable(self, versions: Sequence[str]) -> dict[str, ProductVersion]:
        """Return those product versions whose manifests are there and unchanged; several are asked for at once."""
        found = zip(versions, self._blobs.find_each([manifest_path(version) for version in versions]), strict=True)
        return {version: _parsed(version, data) for version, data in found if data and sha256(data) == version}

    def staged(self, product: str, key: object) -> ProductVersion:
        """Return the version of a product that was last made for a key.

        Raises:
            NotStagedError: If it has not been made.
        """
        version = self._pointer(product, key)
        if version is None:
            raise NotStagedError(
                f"`{product}` has not been made for {key}.",
                remedy=Sentence("Materialize the assets before it, or run them all: ", Action("run", on=("...",))),
                product=product,
                key=key,
            )
        return self.version(version)

    def stage(self, made: ProductVersion, key: object) -> None:
        """Point a run's staging at a product version, so that the run's stages find it."""
        self._blobs.replace(staging_path(made.product, key), made.version.encode())

    def is_staged(self, product: str, key: object) -> bool:
        """Return whether a version of the product was made for the key."""
        return self._pointer(product, key) is not None

    def _pointer(self, product: str, key: object) -> str | None:
        """Return the version that a staging pointer names; one that names none counts as not there."""
        data = self._blobs.find(staging_path(product, key)) or b""
        return data.decode() if re.fullmatch(rb"[0-9a-f]{64}", data) else None

    def read_bytes(self, version: ProductVersion, at: int = 0) -> bytes:
        """Return the verified bytes of one file of a product version."""
        file = version.files[at]
        return self.verified(file.path, file.sha256)

    def paths(self, files: Sequence[ProductFile], *, by_size: bool = False) -> list[str]:
        """Return the local paths of files.

        Args:
            files: Which.
            by_size: Whether local copies of what is in a bucket are compared by size only, not by hash: for views over
                all there is.
        """
        return [str(self._blobs.local(file.path, file.bytes if by_size else None)) for file in files]

    def verified(self, path: str, expected: str) -> bytes:
        """Return the bytes under a path.

        Raises:
            ChangedFileError: If they are missing or do not hash to what is expected.
        """
        data = self._blobs.get(path)
        if sha256(data) != expected:
            raise self._changed(path)
        return data

    def _changed(self, path: str) -> ChangedFileError:
        return ChangedFileError(
            f"`{self._blobs.place(path)}` changed after it was written.",
            remedy="Restore it from a backup.",
            path=path,
        )

    def verify(self, version: str) -> ProductVersion:
        """Re-hash a product version: its manifest and all its files, and every product version it was made from.

        Raises:
            ChangedFileError: Naming the first file that is missing or changed.
        """
        for found in self.lineage([version]):
            self.verify_files(found)
        return self.version(version)

    def verify_files(self, product: ProductVersion) -> None:
        """Re-hash the files of one product version; one that has not changed since it was last hashed is not read.

        Raises:
            ChangedFileError: Naming the first file that is missing or changed.
        """
        for file in product.files:
            if not self._blobs.is_intact(file.path, file.sha256):
                raise self._changed(file.path)

    def lineage(self, versions: Iterable[str]) -> list[ProductVersion]:
        """Return product versions and all that they were made from, each once, the given ones first.

        Raises:
            ChangedFileError: If a manifest is missing or changed.
        """
        found: dict[str, ProductVersion] = {}
        waiting = list(versions)
        while waiting:
            version = waiting.pop(0)
            if version not in found:
                found[version] = self.version(version)
                waiting += found[version].parents
        return list(found.values())


def _parsed(version: str, data: bytes) -> ProductVersion:
    raw = json.loads(data)
    files = tuple(with_known_fields(ProductFile, file) for file in raw["files"])
    return with_known_fields(ProductVersion, {**raw, "version": version, "files": files})


def manifest_path(version: str) -> str:
    """Return where the manifest of a product version is."""
    return f"manifests/{version}.json"


def staging_path(product: str, key: object) -> str:
    """Return where the pointer is to the version of a product that was last made for a key."""
    return f"staging/{product}/{key}"


def acceptance_path(version: str, check: str) -> str:
    """Return where it is recorded that a check passed on exactly this product version."""
    return f"acceptances/{version}/{check}.json"


def is_acceptance(path: str, data: bytes) -> bool:
    """Return whether the record of an acceptance says what its path says."""
    try:
        said = json.loads(data)
        return path == acceptance_path(said["product_version"], said["check"])
    except (ValueError, KeyError, TypeError):
        return False


def paths_of(products: Sequence[ProductVersion]) -> list[str]:
    """Return the paths of manifests and files of product versions."""
    return [path for made in products for path in (manifest_path(made.version), *(file.path for file in made.files))]
