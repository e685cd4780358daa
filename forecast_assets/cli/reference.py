"""The reference of commands, as Markdown, from the commands themselves.

What belongs here: turning commands into the text of `docs/cli.md`, which a test holds against them.
What does not: any word about a command that its help does not say.

Print it with `python -m forecast_assets.cli.reference`.
"""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import click

from forecast_assets.cli import cli

_PROGRAM: Final = "forecast-assets"
# Of this page, never of a terminal: the same text wherever it is printed.
_WIDTH: Final = 118

_HEAD: Final = """\
# Commands

Printed from the commands by `python -m forecast_assets.cli.reference > docs/cli.md`; a test holds the two together, so
change the command, not this page. [The tour](tour.md) has the same commands in the order in which one uses them, with
real output.

Every command has `--help`. Dates are written as 2025-06-30; a model version is never implied. Errors end in one line
that says what is wrong, which, and what to do."""


def cli_markdown() -> str:
    """Return `docs/cli.md`: a list of all commands, then a section for each."""
    found = list(_commands(cli, ()))
    parts = [
        _HEAD,
        _table(("command", "what it does"), [_listed(path, command) for path, command in found]),
        f"## {_PROGRAM}",
        *_body(cli, ()),
        *(part for path, command in found for part in _section(path, command)),
    ]
    return "\n\n".join(parts) + "\n"


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield what a group holds, in the order of names, each group before what it holds."""
    for name in sorted(group.commands):
        command = group.commands[name]
        if command.hidden:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _listed(path: Sequence[str], command: click.Command) -> tuple[str, str]:
    return f"[{' '.join(path)}](#{'-'.join(path)})", next(iter(_paragraphs(command.help)), "")


def _section(path: Sequence[str], command: click.Command) -> Iterator[str]:
    yield f"{'#' * (len(path) + 1)} {' '.join(path)}"
    yield from _body(command, path)


def _body(command: click.Command, path: Sequence[str]) -> Iterator[str]:
    """Yield how a command is called, what it does, what it takes, and the end of its help: examples, and what else."""
    yield f"`{' '.join((_PROGRAM, *path, *_usage(command)))}`"
    yield from map(_filled, _paragraphs(command.help))
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        yield _table(("", "value", "default", "what it is"), rows)
    yield from map(_told, _paragraphs(command.epilog))


def _usage(command: click.Command) -> Iterator[str]:
    if any(isinstance(parameter, click.Option) for parameter in command.params):
        yield "[OPTIONS]"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield _name(parameter) if parameter.required else f"[{_name(parameter)}]"
    if isinstance(command, click.Group):
        yield "COMMAND"


def _row(parameter: click.Parameter) -> tuple[str, ...]:
    facts = parameter.to_info_dict()
    return f"`{_name(parameter)}`", _value(parameter, facts["type"]), _default(facts), facts.get("help") or ""


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return (parameter.name or "").upper()
    return ", ".join((*parameter.opts, *parameter.secondary_opts))


def _value(parameter: click.Parameter, kind: dict[str, Any]) -> str:
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return "flag"
    if "choices" in kind:
        value = ", ".join(f"`{choice}`" for choice in kind["choices"])
    elif "clamp" in kind:
        value = f"integer{_bounds(kind['min'], kind['max'])}"
    else:
        value = parameter.metavar or kind["name"]
    return f"{value}; may be repeated" if parameter.multiple else value


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least is not None else f", at most {most}" if most is not None else ""


def _default(facts: dict[str, Any]) -> str:
    if facts["required"]:
        return "**needed**"
    default = facts["default"]
    return "" if default is None or default == "" or facts.get("is_flag") else f"`{default}`"


def _paragraphs(text: str | None) -> list[str]:
    """Return the paragraphs of a help text; those that click is to leave as they are begin with a backspace."""
    parts = inspect.cleandoc(text or "").split("\n\n")
    return [part if part.startswith("\b") else " ".join(part.split()) for part in parts if part.strip()]


def _told(paragraph: str) -> str:
    """Return a paragraph as text, or, where its lines are to stay as they are, as commands under their title."""
    if not paragraph.startswith("\b"):
        return _filled(paragraph)
    _, title, *lines = paragraph.splitlines()
    return "\n".join((title, "", "```sh", *textwrap.dedent("\n".join(lines)).splitlines(), "```"))


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    click.echo(cli_markdown(), nl=False)
