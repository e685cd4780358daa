"""Every error this product raises on purpose. Anything else that surfaces is a bug.

::

    ForecastAssetsError
    ├── InputError                          what the user gave cannot be used
    │   ├── SourceError                         a source folder, file, column or type is wrong
    │   ├── ContractError                       a frame breaks its contract; carries the failing rows
    │   ├── HierarchyError                      memberships are not a tree per level
    │   ├── NameNotAllowedError                 a version or channel name that SQL or paths cannot carry
    │   ├── UnknownVersionError                 no such model version; carries the known ones
    │   ├── UnknownProductError                 no such product
    │   ├── NotPublishedError                   nothing published under that key
    │   ├── HorizonError                        outside what the cadence or the version allows
    │   └── OutOfMemoryError                    so many rows at a time do not fit into memory
    ├── NotReadyError                       the run waits
    │   ├── IncompleteInputsError               carries what is missing, feed by feed
    │   ├── NotStagedError                      an upstream product of the run has not been made
    │   └── UnhealthyError                      something has to be mended first; carries what
    ├── RefusedError                        doing it would break a promise
    │   ├── AlreadyPublishedError               the key is taken; published numbers never change
    │   ├── NothingToCorrectError               no input of the run has changed since
    │   ├── NothingToRollBackError              the channel never pointed at that version
    │   ├── AlreadyRegisteredError              the version name is taken
    │   ├── NotAcceptedError                    checks have not passed on exactly these bytes
    │   ├── UntrustedModelError                 a model's file is code, and nobody has vouched for it
    │   ├── LostRaceError                       another writer appended first, too often
    │   ├── MirrorConflictError                 what a mirror holds is not this ledger's, or of another release
    │   ├── BackupConflictError                 what a backup holds is not of this ledger, or is not its past
    │   ├── VacuumUnderWayError                 files are being removed that the entry might name
    │   ├── NotAuthenticatedError               a request without a valid key
    │   ├── NotAllowedError                     the key's role does not have the right
    │   ├── ReadOnlyError                       the stores were opened to be read only
    │   └── TooManyRequestsError                the key has asked as often as its role may
    ├── IntegrityError                      stored bytes are not what was recorded
    │   ├── BrokenChainError                    a ledger entry does not follow the one before
    │   ├── UnknownEntryError                   a ledger entry that a later release wrote
    │   ├── FindingsError                       verify found files that are not as they were written
    │   ├── ReplayDifferenceError               a product was rebuilt to other bytes
    │   ├── MirrorDifferenceError               a mirror says other than the ledger
    │   └── ChangedFileError                    a file does not hash to its name
    │       └── MissingFileError                    it is not there at all
    └── StorageError                        disk full, read-only, permission denied, no answer
        ├── MirrorUnavailableError              a mirror does not answer, or refuses
        └── DeliveryError                       a broker or a receiver of events does not answer, or refuses

Messages say what is wrong, which (the first ten) and what to do. What a program needs of it stands in `facts`; what to
do is an action with arguments where there is one. How the command puts it, and its exit codes, are the command's own.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from forecast_assets.core.actions import Action, Sentence

FIRST = 10


def first_ten(items: Iterable[object]) -> str:
    """Return at most ten items as a readable list, saying how many were left out.

    Example:
        >>> first_ten(range(12))
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
        >>> first_ten(["a"])
        'a'
    """
    known: Sequence[object] = list(items)
    shown = ", ".join(str(item) for item in islice(known, FIRST))
    left = len(known) - FIRST
    return f"{shown} and {left} more" if left > 0 else shown


def first_line(error: BaseException) -> str:
    r"""Return what an error of a library says first, for a sentence of ours; what follows is its own business.

    Example:
        >>> first_line(ValueError("Bad magic.\nStack: 1")), first_line(KeyboardInterrupt())
        ('Bad magic', 'KeyboardInterrupt')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".!")


def _plain(value: object) -> Any:
    """Return a fact as JSON can hold it: keys, dates and paths are what they print."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_plain(inner) for inner in value]
    return str(value)


class ForecastAssetsError(Exception):
    """Root of all errors raised on purpose.

    Args:
        message: What is wrong, and which.
        remedy: What to do.
        facts: What a program needs of it, by name: a key, a version, a path, a day.

    Attributes:
        code: What kind of error it is, for programs; it never changes. It follows from the name of the class.
        facts: As given, of the types of JSON.
    """

    code: ClassVar[str] = "error"

    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__.removesuffix("Error")).lower()

    def __init__(self, message: str | Sentence, *, remedy: str | Sentence = "", **facts: object) -> None:
        self.message = message
        self.remedy = remedy
        self.facts: Mapping[str, Any] = {name: _plain(value) for name, value in facts.items()}
        super().__init__(str(self.sentence))

    @property
    def sentence(self) -> Sentence:
        """What is wrong and what to do, with its actions as such."""
        return Sentence(self.message, " " if self.message and self.remedy else "", self.remedy)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pass between processes as it is, whatever its class is made from."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[ForecastAssetsError], args: tuple[str, ...]) -> ForecastAssetsError:
    return kind.__new__(kind, *args)


class InputError(ForecastAssetsError):
    """What the user gave cannot be used."""


class SourceError(InputError):
    """A source folder, file, column or type is wrong."""


class ContractError(InputError):
    """A frame breaks its contract.

    Attributes:
        contract: Name of the contract.
        failures: One line per broken promise, with the first failing values.
        findings: Everything that was found of all the feeds, warnings too, where an ingest was judged.
    """

    def __init__(
        self, contract: str, failures: Sequence[str], *, remedy: str = "", findings: Sequence[Any] = ()
    ) -> None:
        self.contract = contract
        self.failures = tuple(failures)
        self.findings = tuple(findings)
        listed = "; ".join(self.failures[:FIRST])
        super().__init__(
            f"`{contract}` breaks its contract: {listed}.",
            remedy=remedy or "Correct the rows named here at their source and ingest again; nothing was stored.",
            contract=contract,
            failures=self.failures,
        )


class HierarchyError(InputError):
    """Memberships do not form one tree per dimension."""


class NameNotAllowedError(InputError):
    """A version or channel name that SQL schemas or paths cannot carry."""


class UnknownVersionError(InputError):
    """No such model version."""

    def __init__(self, version: str, known: Iterable[str]) -> None:
        self.version = version
        self.known = tuple(known)
        super().__init__(
            f"There is no model version `{version}`. Known: {first_ten(self.known) or 'none'}.",
            remedy=Sentence(
                "Train it: ", Action("train", {"family": "statistical", "version": version, "cutoff": "DATE"})
            ),
            model_version=version,
            known=self.known,
        )


class UnknownProductError(InputError):
    """No such product."""


class NotPublishedError(InputError):
    """Nothing is published under that key."""


class HorizonError(InputError):
    """A horizon outside what the cadence or the version allows."""


class OutOfMemoryError(InputError):
    """So many rows at a time do not fit into memory."""


class NotReadyError(ForecastAssetsError):
    """Something that has to come first is not there yet."""


class IncompleteInputsError(NotReadyError):
    """Inputs for a prediction date are not complete; a run never starts on part of them.

    Attributes:
        missing: One line per feed that is not complete.
    """

    def __init__(self, prediction_date: object, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"Inputs for {prediction_date} are not complete: {'; '.join(self.missing[:FIRST])}.",
            remedy=Sentence(
                "Ingest it, or run an earlier date; ",
                Action("feeds"),
                " shows each feed's newest day. If a store was closed, say so: ",
                Action("ingest closed", {"store": "STORE", "from": "DAY", "to": "DAY", "by": "NAME", "reason": "TEXT"}),
                "; rows in quarantine: ",
                Action("ingest quarantine list"),
                ".",
            ),
            prediction_date=prediction_date,
            missing=self.missing,
        )


class NotStagedError(NotReadyError):
    """An upstream product of the run has not been made."""


class UnhealthyError(NotReadyError):
    """Something of the home or of the installation has to be mended first."""


class RefusedError(ForecastAssetsError):
    """Doing it would break a promise."""


class AlreadyPublishedError(RefusedError):
    """The publication key is taken.

    Attributes:
        sequence: Ledger entry that published it.
    """

    def __init__(self, key: object, sequence: int) -> None:
        self.key = key
        self.sequence = sequence
        super().__init__(
            f"{key} is already published (ledger entry {sequence}), and published numbers never change.",
            remedy=Sentence(
                "Read it with: ", Action("show", on=("forecasts", "...")), "; or run another date or version."
            ),
            key=key,
            sequence=sequence,
        )


class NothingToCorrectError(RefusedError):
    """No input of the published run has changed since its moment of knowledge."""


class NothingToRollBackError(RefusedError):
    """The channel never pointed at that version, or at no earlier one."""


class AlreadyRegisteredError(RefusedError):
    """The model version name is taken."""


class NotAcceptedError(RefusedError):
    """Required checks have not passed on exactly these bytes."""


class UntrustedModelError(RefusedError):
    """A model's file is code that would be run, and nobody has vouched for its bytes."""


class LostRaceError(RefusedError):
    """Another writer appended to the ledger first, more often than is worth retrying."""


class MirrorConflictError(RefusedError):
    """What a mirror holds is not of this ledger, not numbered as it is, or of another release of its software."""


class BackupConflictError(RefusedError):
    """What a backup holds is not of this ledger, or goes on from another past than the ledger does."""


class VacuumUnderWayError(RefusedError):
    """Files that no entry names are being removed; what names files waits until that has ended.

    Attributes:
        sequence: Ledger entry with which the removing began.
    """

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        super().__init__(
            f"A vacuum that began with ledger entry {sequence} has not ended.",
            remedy=Sentence(
                "Run the same command again when it has; if it was interrupted, end it: ",
                Action("vacuum", {"remove": True, "by": "NAME"}),
            ),
            sequence=sequence,
        )


class NotAuthenticatedError(RefusedError):
    """No valid key came with a request."""


class NotAllowedError(RefusedError):
    """The role of a key does not have the right."""


class TooManyRequestsError(RefusedError):
    """A key has asked as often as its role may; carries after how many seconds it may again."""


class ReadOnlyError(RefusedError):
    """The stores were opened to be read only."""


class IntegrityError(ForecastAssetsError):
    """Stored bytes are not what was recorded."""


class BrokenChainError(IntegrityError):
    """A ledger entry does not follow the one before it."""


class UnknownEntryError(IntegrityError):
    """A ledger entry of a kind or a format that this release does not know."""


class FindingsError(IntegrityError):
    """Files of the store are missing, changed or unexpected.

    Attributes:
        found: The files, with what is wrong with each.
    """

    def __init__(self, found: Sequence[str], remedy: str | Sentence = "") -> None:
        self.found = tuple(found)
        super().__init__(
            f"{len(found)} {'file is' if len(found) == 1 else 'files are'} not as written: {first_ten(found)}.",
            remedy=remedy
            or Sentence(
                "See what is wrong with each: ",
                Action("verify"),
                "; restore them from a backup, and move what is unexpected out of the store.",
            ),
            found=self.found,
        )


class ReplayDifferenceError(IntegrityError):
    """A product was rebuilt to other bytes than those that were recorded.

    Attributes:
        product: The first that differs, in the order of the run.
        causes: What was not the same as when it was made; nothing if the same code, libraries and CPU type did it.
    """

    def __init__(self, product: str, what: str, causes: Sequence[str]) -> None:
        self.product = product
        self.causes = tuple(causes)
        remedy = "Install the code and the libraries that it was made with, on that type of CPU, and replay it there."
        if not self.causes:
            remedy = "Please report it; the rebuilt files stay for a look with --keep DIR."
        super().__init__(what, remedy=remedy, product=product, causes=self.causes)


class MirrorDifferenceError(IntegrityError):
    """A mirror says other than the ledger, which is what is true.

    Attributes:
        found: One sentence per difference.
    """

    def __init__(
        self,
        mirror: str,
        found: Sequence[str],
        catch_up: Action | None = None,
        make_anew: Action | None = None,
    ) -> None:
        self.found = tuple(found)
        super().__init__(
            f"{mirror} says other than the ledger: {'; '.join(self.found[:FIRST])}"
            f"{f'; and {len(found) - FIRST} more' if len(found) > FIRST else ''}.",
            remedy=Sentence(
                "Catch up from the ledger: ",
                catch_up or Action("mlflow sync"),
                "; what somebody changed there is made anew: ",
                make_anew or Action("mlflow sync", {"rebuild": True}),
                ".",
            ),
            mirror=mirror,
            found=self.found,
        )


class ChangedFileError(IntegrityError):
    """A file is missing or does not hash to its name."""


class MissingFileError(ChangedFileError):
    """A file that something refers to is not there."""


class StorageError(ForecastAssetsError):
    """The disk is full, read-only or not permitted, or a bucket does not answer."""


class MirrorUnavailableError(StorageError):
    """A mirror does not answer, or refuses; nothing depends on it, and it catches up later."""


class DeliveryError(StorageError):
    """A broker or a receiver of events does not answer, or refuses; what waits is handed over later."""
