"""Names, values and files as SQL of DuckDB has them, whatever characters they hold.

What belongs here: quoting. What does not: any query.
"""

import re
from collections.abc import Iterable
from typing import Final

_PATTERN_MARKS: Final = re.compile(r"[*?\[]")


def text(value: object) -> str:
    """Return a value as a literal.

    Example:
        >>> text("it's")
        "'it''s'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name of a schema, a view or a column, quoted.

    Example:
        >>> identifier('the "best" one')
        '"the ""best"" one"'
    """
    return '"' + name.replace('"', '""') + '"'


def file_list(paths: Iterable[str]) -> str:
    """Return files as the list that `read_parquet` takes; none of them is a pattern.

    DuckDB takes `*`, `?` and `[` in a path for marks of a pattern: below a folder `shop*` it would read the files of a
    folder `shop 2` beside it as well. A class of one character stands for that character.

    Example:
        >>> file_list(["a*/x.parquet", "b/x.parquet"])
        "['a[*]/x.parquet', 'b/x.parquet']"
    """
    return f"[{', '.join(text(_literal(path)) for path in paths)}]"


def file_pattern(folder: object, pattern: str) -> str:
    """Return the files of a folder that a pattern names, as `read_parquet` takes them; the folder's name is none.

    Example:
        >>> file_pattern("a*", "*/*.parquet")
        "'a[*]/*/*.parquet'"
    """
    return text(f"{_literal(str(folder))}/{pattern}")


def _literal(path: str) -> str:
    return _PATTERN_MARKS.sub(r"[\g<0>]", path)
