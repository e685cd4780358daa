"""The key of a prepared run: hashes of all that it is made from.

What belongs here: what tells one prepared run from another. What does not: what is prepared.
"""

from dataclasses import dataclass

from forecast_assets.core.keys import RunKey


@dataclass(frozen=True)
class PreparedKey:
    """What a prepared run was made from.

    Attributes:
        run: The published run.
        publication: Sequence number of the ledger entry that published it.
        feature_version: Of its snapshot.
        snapshot: Hash of the snapshot's manifest.
        artifact: Hash of the manifest of the version's artifact.
    """

    run: RunKey
    publication: int
    feature_version: str
    snapshot: str
    artifact: str
