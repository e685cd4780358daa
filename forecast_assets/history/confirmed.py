"""When a source last said its words: words that it repeated are not stored again, only that it did.

What belongs here: which confirmations hold for which words. What does not: the form of confirmations (contracts), or
which source counts (choice).
"""

import polars as pl

from forecast_assets.contracts import Contract
from forecast_assets.contracts.confirmations import ALL, EXCEPT, LISTED, group_key, word_key


def confirmed_moments(words: pl.DataFrame, confirmations: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return every moment at which words were said again.

    Args:
        words: `word` (any number), the columns of the word's key, `source` and `batch_number`, the place of its batch
            in the ledger: a confirmation holds for words that were stored before it.
        confirmations: Contract of the feed's confirmations, with `source` and `batch_number`.
        contract: Of the feed.

    Returns:
        `word, said_at`, in no order; a moment may come twice.
    """
    key, group = word_key(contract), group_key(contract)
    said = confirmations.rename({"known_at": "said_at", "batch_number": "by"})
    whole = said.filter(pl.col("scope") == ALL).select(*group, "source", "said_at", "by")
    left_out = said.filter(pl.col("scope") == EXCEPT).select(*key, "source", "said_at", "by")
    listed = said.filter(pl.col("scope") == LISTED).select(*key, "source", "said_at", "by")
    within = words.join(whole, on=[*group, "source"]).join(left_out, on=left_out.columns, how="anti")
    found = pl.concat([each.select("word", "said_at", "by", "batch_number") for each in
                       (within, words.join(listed, on=[*key, "source"]))])  # fmt: skip
    return found.filter(pl.col("by") > pl.col("batch_number")).select("word", "said_at")


def last_said(words: pl.DataFrame, confirmations: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return when words were last said again, of those that were.

    The newest confirmation of a day holds for almost all of its words, so that the older ones are only asked for what
    is left: the cost follows the words, not how often they were repeated.

    Args:
        words: As for ``confirmed_moments``, each word once.
        confirmations: Likewise.
        contract: Of the feed.

    Returns:
        `word, said_at`, each word at most once.
    """
    group = [*group_key(contract), "source"]
    is_listed = pl.col("scope") == LISTED
    age = pl.col("known_at").rank("dense", descending=True).over(group)
    aged = confirmations.filter(~is_listed).with_columns(age=age)
    found = [confirmed_moments(words, confirmations.filter(is_listed), contract)]
    for each, some in sorted(aged.partition_by("age", as_dict=True).items()):
        words = words.join(aged.filter(pl.col("age") >= each[0]), on=group, how="semi")
        told = confirmed_moments(words, some.drop("age"), contract)
        words = words.join(told, on="word", how="anti")
        found.append(told)
    return pl.concat(found).group_by("word").agg(pl.col("said_at").max())
