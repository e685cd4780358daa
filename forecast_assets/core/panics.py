"""Defects of libraries that go around `except Exception`, as errors like others.

What belongs here: turning them into one. What does not: what is done about it.

What is written in Rust reports a defect of its own as a `BaseException`, which would end a thread that has to go on.
"""


def as_error(error: BaseException) -> Exception:
    """Return an error that whoever handles errors is told of: the same, or one with its words.

    Args:
        error: Whatever was raised in a thread in the background.
    """
    if isinstance(error, Exception):
        return error
    found = RuntimeError(f"{type(error).__name__}: {error}")
    found.__cause__ = error
    return found
