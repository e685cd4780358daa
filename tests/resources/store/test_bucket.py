"""What is particular to a bucket: answers that do not come, local copies, and every failure says what to do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import (
    ChangedFileError,
    ForecastAssetsError,
    InputError,
    MissingFileError,
    StorageError,
)
from resources.store import bucket as buckets
from resources.store.blobs import BlobStore, sha256
from resources.store.bucket import BucketStore
from tests.support.buckets import BUCKET, Server, served

SALES = b"what was said"
PATH = f"observations/sales/{sha256(SALES)}.parquet"


@pytest.fixture
def bucket(url: str, tmp_path: Path) -> BucketStore:
    return BucketStore(url, tmp_path / "mirror")


def copies(store: BucketStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


# --- answers that do not come ---


def test_an_answer_that_was_lost_leaves_one_blob_and_no_error(server: Server, bucket: BucketStore) -> None:
    server.disturb(("PUT", "lost"))
    bucket.create_addressed(PATH, SALES)
    assert server.requests()["PUT"] == 3, "the lost one, the client's second, and the renewal"
    assert bucket.get(PATH) == SALES


def test_a_write_that_was_done_and_answered_by_silence_was_done(
    bucket: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = buckets.obstore.put

    def silent(*given: object, **options: object) -> None:
        put(*given, **options)  # type: ignore[call-overload]
        raise buckets.BaseError("the connection was closed")

    monkeypatch.setattr(buckets.obstore, "put", silent)
    assert bucket.create("a", b"x")


def test_a_writer_that_came_to_nothing_does_not_keep_a_name(
    server: Server, bucket: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "CONFLICT_SECONDS", 0.0)
    server.disturb(("PUT", "conflict"), ("PUT", "conflict"))
    bucket.create_addressed(PATH, SALES)
    assert bucket.get(PATH) == SALES


def test_a_name_that_others_never_finish_is_an_error_and_not_a_name_that_is_taken(
    server: Server, bucket: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "CONFLICT_SECONDS", 0.0)
    server.disturb(*[("PUT", "conflict")] * buckets.CONFLICT_ATTEMPTS)
    error = failure(lambda: bucket.create(PATH, SALES))
    assert isinstance(error, StorageError)
    assert (
        f"`{bucket.url}/{PATH}` could not be written: somebody else was always about to. Run the same command again"
        in str(error)
    )
    assert bucket.create(PATH, SALES), "the name is still free"


def test_a_blob_that_was_found_intact_is_asked_for_no_more_than_its_stamp(server: Server, bucket: BucketStore) -> None:
    bucket.create(PATH, SALES)
    assert bucket.is_intact(PATH, sha256(SALES))
    server.requests()
    assert bucket.is_intact(PATH, sha256(SALES))
    assert server.requests() == {"HEAD": 1}


# --- local copies ---


def test_a_copy_is_fetched_once(server: Server, bucket: BucketStore) -> None:
    bucket.create(PATH, SALES)
    first = bucket.local(PATH)
    server.requests()
    assert bucket.local(PATH) == first
    assert first.read_bytes() == SALES
    assert server.requests().total() == 0


@pytest.mark.parametrize("damage", [b"what was sold", b"what"])
def test_a_damaged_copy_is_replaced_before_it_is_read(bucket: BucketStore, damage: bytes) -> None:
    bucket.create(PATH, SALES)
    bucket.local(PATH).write_bytes(damage)
    assert bucket.local(PATH).read_bytes() == SALES


def test_a_cut_copy_is_replaced_where_sizes_are_compared(bucket: BucketStore) -> None:
    bucket.create(PATH, SALES)
    bucket.local(PATH).write_bytes(SALES[:-1])
    assert bucket.local(PATH, len(SALES)).read_bytes() == SALES


def test_what_is_damaged_in_the_bucket_is_never_copied(bucket: BucketStore) -> None:
    bucket.create(PATH, b"what was sold")
    with pytest.raises(ChangedFileError, match=f"`{bucket.url}/{PATH}` does not hold what its name says"):
        bucket.local(PATH)
    assert copies(bucket) == []


def test_a_copy_of_what_is_missing_names_it(bucket: BucketStore) -> None:
    with pytest.raises(MissingFileError, match=f"`{bucket.url}/{PATH}` is missing"):
        bucket.local(PATH)
    assert copies(bucket) == []


def test_many_may_fetch_the_same_copy_at_once(bucket: BucketStore, url: str, tmp_path: Path) -> None:
    bucket.create(PATH, SALES)
    others = [BucketStore(url, tmp_path / "mirror") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda store: store.local(PATH).read_bytes(), others))
    assert found == [SALES] * 8
    assert [copy.name for copy in copies(bucket)] == [PATH.rsplit("/", 1)[-1]], "nothing unfinished is left"


def test_a_mirror_that_is_full_or_not_permitted_is_a_storage_error(url: str, tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("not a folder")
    store = BucketStore(url, tmp_path / "mirror")
    store.create(PATH, SALES)
    with pytest.raises(StorageError, match=r"mirror.*Check the disk and the folder's permissions"):
        store.local(PATH)


# --- failures ---


def uses(store: BlobStore) -> list[Callable[[], object]]:
    return [
        lambda: store.find("a"),
        lambda: store.create("a", b"x"),
        lambda: store.replace("a", b"x"),
        lambda: store.names_after("ledger", "ledger/"),
        store.everything,
        lambda: store.hash_of("a"),
        lambda: store.local("a"),
    ]


def failure(use: Callable[[], object]) -> ForecastAssetsError:
    with pytest.raises(ForecastAssetsError) as raised:
        use()
    assert "\n" not in str(raised.value), "one line, which a person can read"
    assert len(str(raised.value)) < 500
    return raised.value


def test_a_bucket_that_does_not_exist_is_an_input_error(server: Server, tmp_path: Path) -> None:
    assert server.endpoint
    for use in uses(BucketStore("s3://no-such-bucket/store", tmp_path)):
        error = failure(use)
        assert isinstance(error, InputError)
        assert "there is no such bucket. Make the bucket, or correct FORECAST_ASSETS_STORE_URL" in str(error)


def test_wrong_credentials_name_what_to_check(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert server.endpoint
    with served(INITIAL_NO_AUTH_ACTION_COUNT="0") as strict:
        monkeypatch.setenv("AWS_ENDPOINT_URL", strict.endpoint)
        for use in uses(BucketStore(f"s3://{BUCKET}/store", tmp_path)):
            error = failure(use)
            assert exit_code(type(error)) == 6
            assert "Not permitted to use `s3://" in str(error)
            assert "AWS_ACCESS_KEY_ID" in str(error)


def test_a_refused_write_names_its_place_and_the_providers_word(server: Server, bucket: BucketStore) -> None:
    server.disturb(("PUT", "denied"))
    error = failure(lambda: bucket.create("ledger/1", b"x"))
    assert f"Not permitted to use `{bucket.url}/ledger/1`: AccessDenied." in str(error)


@contextmanager
def endpoint(answers: bool) -> Iterator[str]:
    """A port that takes connections and never says a word, or one that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if answers:
            listening.listen(100)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("answers", [False, True], ids=["down", "silent"])
def test_an_endpoint_without_answers_is_an_error_within_half_a_minute(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    assert server.endpoint
    # A quarter of the waiting, for an eighth of a minute.
    retries = {**buckets.RETRIES, "retry_timeout": buckets.RETRIES["retry_timeout"] / 4}
    monkeypatch.setattr(buckets, "RETRIES", retries)
    monkeypatch.setattr(buckets, "ANSWER_TIMEOUT", buckets.ANSWER_TIMEOUT / 4)
    with endpoint(answers) as nobody:
        monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
        store = BucketStore(f"s3://{BUCKET}/store", tmp_path)
        seconds: list[float] = []

        def timed(use: Callable[[], object]) -> None:
            start = time.monotonic()
            error = failure(use)
            seconds.append(time.monotonic() - start)
            assert isinstance(error, StorageError)
            assert "was not answered" in str(error)
            assert "AWS_ENDPOINT_URL" in str(error)

        # All at once, since each one waits.
        threads = [threading.Thread(target=timed, args=[use]) for use in uses(store)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seconds) == len(uses(store))
    assert max(seconds) < 7.5


def test_an_endpoint_without_tls_has_to_be_meant(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert server.endpoint
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    error = failure(lambda: BucketStore(f"s3://{BUCKET}/store", tmp_path).find("a"))
    assert isinstance(error, InputError)
    assert "AWS_ALLOW_HTTP=true" in str(error)


@pytest.mark.parametrize("url", ["ftp://host/store", "s3://", "nonsense://x"])
def test_a_url_of_something_else_is_an_input_error(url: str, tmp_path: Path) -> None:
    error = failure(lambda: BucketStore(url, tmp_path))
    assert isinstance(error, InputError)
    assert "s3://BUCKET/PREFIX" in str(error)
