"""Object storage: the same promises as a folder's, kept by another storage; and which of both a location means.

What belongs here: how a bucket is written to, listed, waited for and copied from, and what its providers' errors mean
to people. What does not: what the bytes mean.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from forecast_assets.core.errors import (
    ChangedFileError,
    ForecastAssetsError,
    InputError,
    MissingFileError,
    StorageError,
    first_line,
)
from resources.store.blobs import CHUNK, Blob, BlobStore, named_hash, sha256, translated

# How many small blobs are asked of a bucket at once.
MAX_CONCURRENCY: Final = 16
# A bucket that does not answer is an error within half a minute; the library's defaults are minutes.
CONNECT_TIMEOUT: Final = timedelta(seconds=4)
ANSWER_TIMEOUT: Final = timedelta(seconds=8)
RETRIES: Final[Any] = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=8),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}
# What is larger is given this long to be sent, since an answer comes after the last byte only.
LARGE_BYTES: Final = 4 << 20
SEND_TIMEOUT: Final = timedelta(minutes=10)
# How often a name is tried that somebody else was writing and did not write, and the pause before.
CONFLICT_ATTEMPTS: Final = 10
CONFLICT_SECONDS: Final = 0.2
_RESTORE: Final = "Restore it from a backup."
_PROVIDERS: Final = ("AWS", "GOOGLE", "AZURE")


class BucketStore(BlobStore):
    """Immutable blobs in object storage: S3 and what speaks like it, Google Cloud Storage, Azure.

    Readers that scan files (Polars, DuckDB) are given local copies, kept below a mirror folder that may be removed at
    any time. A copy is checked against the hash in its name when it is fetched and when a process first uses it.

    Args:
        url: For example ``s3://bucket/prefix``; credentials, region and endpoint come from the provider's usual
            environment variables (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...).
        mirror: Folder of the local copies; each URL has its own below it.

    Raises:
        InputError: If the URL is not one of object storage.
    """

    is_local = False
    lists_quickly = True

    def __init__(self, url: str, mirror: Path) -> None:
        self.url = url.rstrip("/")
        super().__init__(mirror / sha256(self.url.encode())[:12])
        self._store = self._opened(ANSWER_TIMEOUT)
        self._mirror = BlobStore(self.root)

    def _opened(self, patience: timedelta) -> Any:
        # Options given here replace all that the library reads from the environment; plain http is one that is needed.
        allows_http = any(os.environ.get(f"{name}_ALLOW_HTTP", "").lower() == "true" for name in _PROVIDERS)
        client: Any = {
            "allow_http": allows_http,
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": patience,
            "timeout": max(patience, SEND_TIMEOUT),
        }
        try:
            return from_url(self.url, client_options=client, retry_config=RETRIES)
        except (BaseError, ValueError) as error:
            raise InputError(
                f"`{self.url}` cannot be used as a store: {first_line(error)}.",
                remedy="Give s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, and the provider's "
                "environment variables (AWS_REGION, AWS_ENDPOINT_URL, ...).",
            ) from error

    @cached_property
    def _patient(self) -> Any:
        return self._opened(SEND_TIMEOUT)

    def _sender(self, data: bytes) -> Any:
        return self._patient if len(data) > LARGE_BYTES else self._store

    @staticmethod
    def _translated(place: str | Path) -> AbstractContextManager[None]:
        return _translated(str(place))

    def place(self, path: str) -> str:
        """Return the URL of ``path``."""
        return f"{self.url}/{path}"

    def _create(self, path: str, data: bytes) -> bool:
        for _ in range(CONFLICT_ATTEMPTS):
            try:
                obstore.put(self._sender(data), path, data, mode="create")
            except AlreadyExistsError:
                # S3 refuses too while somebody else is writing, who may not come to an end.
                if self._stamp(path) is not None:
                    return False
                time.sleep(CONFLICT_SECONDS)
            except BaseError:
                # The answer is missing, and perhaps only the answer.
                if self.find(path) != data:
                    raise
                return True
            else:
                return True
        raise StorageError(
            f"`{self.place(path)}` could not be written: somebody else was always about to.",
            remedy="Run the same command again; if it stays so, look for unfinished uploads below the URL.",
        )

    def _renew(self, path: str, data: bytes) -> None:
        obstore.put(self._sender(data), path, data)

    def _replace(self, path: str, data: bytes) -> None:
        obstore.put(self._sender(data), path, data)

    def _is_there(self) -> bool:
        return True

    def _stamp(self, path: str) -> tuple[object, ...] | None:
        try:
            found = obstore.head(self._store, path)
        except FileNotFoundError:
            return None
        return found["e_tag"], found["size"], found["last_modified"]

    def find_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the bytes under each path, or None; several are asked for at once."""
        with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
            for some in (paths[at : at + MAX_CONCURRENCY] for at in range(0, len(paths), MAX_CONCURRENCY)):
                yield from pool.map(self.find, some)

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self._translated(self.place(path)):
            for piece in obstore.get(self._store, path).stream(min_chunk_size=CHUNK):
                yield bytes(piece)

    def everything(self) -> list[Blob]:
        """Return every blob of the store, sorted by path."""
        with self._translated(self.url):
            found = [
                Blob(str(meta["path"]), meta["size"], meta["last_modified"])
                for chunk in obstore.list(self._store)
                for meta in chunk
            ]
        return sorted(found, key=lambda blob: blob.path)

    def local(self, path: str, size: int | None = None) -> Path:
        """Return a local copy of ``path``, fetched if it is not there or not whole.

        Args:
            path: The blob.
            size: Its bytes, if a copy of that size will do. By default the copy's hash is compared with the one in its
                name, at the first use in a process and whenever it was written to; a copy without one is fetched anew.

        Raises:
            MissingFileError: If nothing is there.
            ChangedFileError: If the bytes in the bucket do not hash to the name.
        """
        copy = self._mirror.local(path)
        with translated(copy):
            has_copy = self._has_copy(path, size)
        if not has_copy:
            with self._translated(self.place(path)):
                self._fetch(path, copy)
        return copy

    def _has_copy(self, path: str, size: int | None) -> bool:
        expected = named_hash(path)
        with suppress(FileNotFoundError, MissingFileError):
            if size is not None:
                return self._mirror.local(path).stat().st_size == size
            return expected is not None and self._mirror.is_intact(path, expected)
        return False

    def _fetch(self, path: str, copy: Path) -> None:
        copy.parent.mkdir(parents=True, exist_ok=True)
        scratch = copy.with_name(f".{uuid4().hex}")
        digest = hashlib.sha256()
        try:
            with scratch.open("xb") as file:
                for piece in self._pieces(path):
                    digest.update(piece)
                    file.write(piece)
            if named_hash(path) not in (None, digest.hexdigest()):
                raise ChangedFileError(
                    f"`{self.place(path)}` does not hold what its name says.", remedy=_RESTORE, path=path
                )
            scratch.replace(copy)
        except FileNotFoundError as error:
            raise self._missing(path) from error
        finally:
            scratch.unlink(missing_ok=True)


def open_blobs(location: str | Path, mirror: Path | None = None) -> BlobStore:
    """Open a local folder, or a bucket by its URL.

    Args:
        location: Folder, or URL with ``://``.
        mirror: Folder of local copies; needed for a bucket.
    """
    if "://" not in str(location):
        return BlobStore(Path(location))
    if mirror is None:
        raise InputError(f"`{location}` needs a folder for local copies.", remedy="Name one.")
    return BucketStore(str(location), mirror)


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Turn what a provider answers into errors with what to do; a full disk of local copies is one of a disk."""
    with translated(place):
        try:
            yield
        except BaseError as error:
            raise _bucket_error(place, error) from error
        except FileNotFoundError as error:
            if _is_of_no_bucket(error):
                raise _bucket_error(place, error) from error
            raise


def _is_of_no_bucket(error: Exception) -> bool:
    return any(code in str(error) for code in _NO_BUCKET)


# S3, Azure, Google.
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_REFUSED: Final = ("401 Unauthorized", "403 Forbidden")


def _bucket_error(place: str, error: Exception) -> ForecastAssetsError:
    """Return what a person can do something about; what the provider calls it goes along."""
    said = str(error)
    code = re.search(r"<Code>(\w+)</Code>", said)
    what = code.group(1) if code else first_line(error)
    if _is_of_no_bucket(error):
        return InputError(
            f"`{place}`: there is no such bucket.", remedy="Make the bucket, or correct FORECAST_ASSETS_STORE_URL."
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or any(words in said for words in _REFUSED):
        return StorageError(
            f"Not permitted to use `{place}`: {what}.",
            remedy="Check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...), and that they may list, "
            "read, write and delete below the URL; then run the same command again.",
        )
    if "BadScheme" in said:
        return InputError(
            f"`{place}` is at an endpoint without TLS.", remedy="If that is meant, set AWS_ALLOW_HTTP=true."
        )
    return StorageError(
        f"`{place}` was not answered: {what}.",
        remedy="Check the network, AWS_ENDPOINT_URL and AWS_REGION, then run the same command again. If this was a "
        "write, it may have arrived all the same; repeating is safe.",
    )
