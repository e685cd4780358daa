"""Whatever happens to the bytes of a store, verify names the files it happened to."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forecast_assets.core.errors import ChangedFileError
from resources.ledger.entries.evaluate import BacktestRecord
from resources.ledger.log import bundle_path, bundled, entry_path, is_entry
from resources.ledger.records import canonical
from resources.maintenance.verification import verify_store
from resources.store.blobs import sha256
from resources.stores.home import Stores, open_stores
from tests.support import ledger_cases, store_cases
from tests.torture.sizes import size

ENTRIES = 112
BUNDLE = bundle_path(100)
SEED = 20250701


@dataclass(frozen=True)
class Scene:
    """A store, what is in it, and its head."""

    root: Path
    stores: Stores
    head: str
    named: tuple[str, ...]
    paths: tuple[str, ...]
    backtest: BacktestRecord

    def found(self, *, with_head: bool) -> dict[str, str]:
        heads = [self.head] if with_head else []
        return {finding.path: finding.kind for finding in verify_store(self.stores.blobs, expect_heads=heads).findings}


@dataclass
class Damage:
    """Changes to files that can all be undone; and whether only a recorded head can tell."""

    root: Path
    needs_head: bool = False
    _before: dict[str, bytes | None] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> str:
        self._keep(path)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)
        return path

    def remove(self, path: str) -> str:
        self._keep(path)
        (self.root / path).unlink()
        return path

    def _keep(self, path: str) -> None:
        file = self.root / path
        self._before.setdefault(path, file.read_bytes() if file.exists() else None)

    def undo(self) -> None:
        for path, data in self._before.items():
            if data is None:
                (self.root / path).unlink()
            else:
                (self.root / path).write_bytes(data)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("corruption") / "store"
    stores = open_stores(root)
    store_cases.ingest(stores)
    store_cases.register(stores)
    store_cases.register(stores, "stat-2")
    stores.registry.promote("stat-1", by="ana", reason="first")
    stores.registry.promote("stat-2", by="ana", reason="better")
    stores.registry.rollback(by="ana", reason="worse")
    for day in range(3):
        store_cases.publish(stores, store_cases.run_key(day))
    store_cases.publish(stores, store_cases.run_key(1, revision=1), units=5)
    measure(stores)
    backtest, _ = ledger_cases.record_backtest(stores)
    day = 1
    while stores.ledger.state().sequence < ENTRIES - 1:
        store_cases.ingest(stores, day)
        day += 1
    store_cases.publish(stores, store_cases.run_key(4, version="stat-2"))
    verification = verify_store(stores.blobs)
    assert verification.entries == ENTRIES
    paths = tuple(sorted(blob.path for blob in stores.blobs.everything()))
    return Scene(root, stores, verification.head, tuple(sorted(verification.named)), paths, backtest)


def measure(stores: Stores) -> None:
    product = stores.predictions.write_artifact(
        "forecast_accuracy", b"rows", key="2025-01-02", folder="accuracy", inputs={},
        facts={"known_until": "k", "runs": 1},
    )  # fmt: skip
    stores.predictions.accept(product.version, "adds_up")
    stores.predictions.record_measurement("daily", store_cases.CUTOFF, product, since=0, required_checks=["adds_up"])


@contextmanager
def damaged(scene: Scene) -> Iterator[Damage]:
    damage = Damage(scene.root)
    try:
        yield damage
    finally:
        damage.undo()


# --- what happens to bytes; each returns the paths that have to be named ---


def bit_flip(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    path = dice.choice(scene.paths)
    data = bytearray(damage.read(path))
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return {damage.write(path, bytes(data))}


def truncation(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    path = dice.choice(scene.paths)
    data = damage.read(path)
    return {damage.write(path, data[: dice.randrange(len(data))])}


def appended_byte(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    path = dice.choice(scene.paths)
    return {damage.write(path, damage.read(path) + dice.choice((b"\n", b" ", b"\0", b"}")))}


def swap(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    return exchanged(damage, dice.sample(scene.paths, 2))


def removal(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    return {damage.remove(dice.choice(scene.named))}


def planted(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    """A file that nothing writes, or one under a name that its bytes do not hash to."""
    like = dice.choice([path for path in scene.paths if not path.startswith("staging/")])
    folder, _, name = like.rpartition("/")
    path = dice.choice((f"{folder}/notes.txt", f"{folder}/{dice.randbytes(32).hex()}.json", f"{like}.bak", name))
    return {damage.write(path, b"planted")}


def edited_entry(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    path = entry_path(dice.randint(1, ENTRIES))
    return {damage.write(path, edited(damage.read(path), dice))}


def removed_entry(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    return {damage.remove(entry_path(dice.randint(1, ENTRIES)))}


def reordered(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    return exchanged(damage, [entry_path(sequence) for sequence in dice.sample(range(1, ENTRIES + 1), 2)])


def cut_tail(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    damage.needs_head = True
    first = dice.randint(ENTRIES - 99, ENTRIES)
    gone = {damage.remove(entry_path(sequence)) for sequence in range(first, ENTRIES + 1)}
    if first <= 100:
        cut = bundled(damage.read(BUNDLE).split(b"\n")[: first - 1])
        dice.choice((lambda: BUNDLE, lambda: damage.remove(BUNDLE), lambda: damage.write(BUNDLE, cut)))()
    return gone


def rewritten_tail(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    """An entry edited and all after it chained anew: consistent in itself."""
    damage.needs_head = True
    first = dice.randint(1, ENTRIES)
    rewrite(damage, first, dice)
    wrong = {entry_path(ENTRIES)}
    if first <= 100:
        with_bundle = dice.random() < 0.5
        if with_bundle:
            damage.write(BUNDLE, bundled(damage.read(entry_path(sequence)) for sequence in range(1, 101)))
        else:
            wrong.add(BUNDLE)
    return wrong


def published_again(scene: Scene, damage: Damage, dice: random.Random) -> set[str]:
    """A further entry, rightly chained, that publishes a run under a key that is taken."""
    publications = [
        raw for at in range(1, ENTRIES + 1) if (raw := json.loads(damage.read(entry_path(at))))["kind"] == "publish"
    ]
    taken, other = dice.choice(publications), dice.choice(publications)
    body = {**other["body"], "key": taken["body"]["key"]}
    following = {"sequence": ENTRIES + 1, "previous": scene.head.split(":")[1], "nonce": dice.randbytes(16).hex()}
    return {damage.write(entry_path(ENTRIES + 1), canonical({**taken, **following, "body": body}))}


def replaced_bundle(_: Scene, damage: Damage, dice: random.Random) -> set[str]:
    lines = damage.read(BUNDLE).split(b"\n")
    at = dice.randrange(len(lines))
    lines[at] = dice.choice((edited(lines[at], dice), lines[at - 1], b"{}"))
    return {damage.write(BUNDLE, bundled(lines))}


KINDS: Sequence[Callable[[Scene, Damage, random.Random], set[str]]] = (
    bit_flip, truncation, appended_byte, swap, removal, planted, edited_entry, removed_entry, reordered, cut_tail,
    rewritten_tail, published_again, replaced_bundle,
)  # fmt: skip


def exchanged(damage: Damage, paths: Sequence[str]) -> set[str]:
    first, second = (damage.read(path) for path in paths)
    return {damage.write(paths[0], second), damage.write(paths[1], first)}


def edited(data: bytes, dice: random.Random) -> bytes:
    """An entry as a careful forger writes it: one value of it changed, in the canonical form."""
    raw = json.loads(data)
    holder, key = dice.choice(list(leaves(raw)))
    value = holder[key]
    holder[key] = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else f"{value}x"
    return canonical(raw)


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value, key


def rewrite(damage: Damage, first: int, dice: random.Random) -> None:
    raw = json.loads(damage.read(entry_path(first)))
    raw["body"]["by"], raw["nonce"] = "mallory", f"{dice.randrange(1 << 32):x}"
    data = damage.write(entry_path(first), canonical(raw))
    for sequence in range(first + 1, ENTRIES + 1):
        raw = json.loads(damage.read(entry_path(sequence)))
        raw["previous"] = sha256(damage.read(data))
        data = damage.write(entry_path(sequence), canonical(raw))


# --- and what verify says of it ---


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_damaged_file_is_named(scene: Scene, kind: Callable[[Scene, Damage, random.Random], set[str]]) -> None:
    dice = random.Random(f"{SEED} {kind.__name__}")
    for round_ in range(size(60, 1000) // len(KINDS) + 1):
        with damaged(scene) as damage:
            wrong = kind(scene, damage, dice)
            is_last = entry_path(ENTRIES) in wrong
            found = scene.found(with_head=damage.needs_head or is_last or dice.random() < 0.5)
            assert wrong <= set(found), f"round {round_}: {sorted(wrong - set(found))} of {sorted(wrong)}: {found}"
    assert scene.found(with_head=True) == {}


def test_a_flipped_bit_in_an_entry_accuses_no_other_entry(scene: Scene) -> None:
    dice = random.Random(SEED)
    for _ in range(size(20, 300)):
        path = entry_path(dice.randint(1, ENTRIES))
        with damaged(scene) as damage:
            data = bytearray(damage.read(path))
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            damage.write(path, bytes(data))
            found = scene.found(with_head=True)
            assert [name for name in found if is_entry(name) or name == BUNDLE] == [path]


def test_a_flipped_bit_in_a_batch_accuses_no_other_file(scene: Scene) -> None:
    dice = random.Random(SEED)
    batches = [path for path in scene.named if path.startswith("observations/")]
    for path in dice.sample(batches, size(5, 50)):
        with damaged(scene) as damage:
            data = bytearray(damage.read(path))
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            damage.write(path, bytes(data))
            assert scene.found(with_head=True) == {path: "changed"}


@pytest.mark.parametrize("kind", ["flipped", "cut", "swapped"])
def test_a_damaged_report_of_a_backtest_is_named_not_read_and_not_backtested_over(scene: Scene, kind: str) -> None:
    stores, backtest = scene.stores, scene.backtest
    (file,) = stores.predictions.version(backtest.product_version).files
    other = stores.predictions.version(stores.ledger.state().publications[store_cases.run_key(0)].products["forecasts"])
    with damaged(scene) as damage:
        data = damage.read(file.path)
        flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        harm = {"flipped": flipped, "cut": data[:-1], "swapped": damage.read(other.files[0].path)}
        damage.write(file.path, harm[kind])
        assert scene.found(with_head=True) == {file.path: "changed"}
        with pytest.raises(ChangedFileError, match="changed after it was written"):
            stores.predictions.read(stores.predictions.version(backtest.product_version))
        with pytest.raises(ChangedFileError, match="does not hold what its name says"):
            ledger_cases.record_backtest(stores)
    assert ledger_cases.record_backtest(stores) == (backtest, False)
    assert stores.ledger.state().sequence == ENTRIES


def test_without_damage_nothing_is_found(scene: Scene) -> None:
    assert scene.found(with_head=True) == {}
    assert scene.found(with_head=False) == {}
