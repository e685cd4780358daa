"""Commands on the policy: show, diff, apply.

What belongs here: their arguments. What does not: logic.
"""

import tomllib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import DAY, as_of_option, examples, opened, opened_registry

if TYPE_CHECKING:
    from forecast_assets.operations.policies import PolicyProposal
    from resources.ledger.log import Ledger


@click.group()
def policy() -> None:
    """Bounds of gates, what may be overridden, risk bands and calibration targets, as one versioned document."""


@policy.command(
    epilog=examples(
        "forecast-assets policy show",
        "forecast-assets policy show > policy.toml    # to be edited, and applied",
        "forecast-assets policy show --as-of 2025-07-01",
    )
)
@as_of_option
def show(as_of: int | datetime | None) -> None:
    """Print the policy that is in force, as TOML, with what each value means.

    What follows from a later day on is named at its top.
    """
    from forecast_assets.operations.policies import newest_policy, pending_policies, policy_in_force
    from forecast_assets.presentation.policies import policy_text

    ledger = opened_registry().ledger if as_of is None else opened(as_of, says=False).ledger
    if isinstance(as_of, int):
        as_of = datetime.fromisoformat(ledger.state().recorded_at)
    day = None if as_of is None else as_of.date()
    shown, pending = policy_in_force(ledger, day), pending_policies(ledger, day)
    click.echo(policy_text(shown, pending, based_on=newest_policy(ledger)))


class _Change(click.ParamType["tuple[str, Any]", Any]):
    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, separator, said = value.partition("=")
        try:
            # Without a separator nothing is said, which is no TOML.
            return key.strip(), tomllib.loads(f"value {separator} {said}")["value"]
        except tomllib.TOMLDecodeError:
            self.fail(
                f"`{value}` is no change; write it as gates.largest_bias=0.08 or "
                "'overrides.allowed=[\"bias_is_small\"]'.",
                param,
                ctx,
            )


def _proposed(function: Callable[..., None]) -> Callable[..., None]:
    """Add what says a proposal: a file, single values, the day."""
    for option in (
        click.option("--from", "effective_from", type=DAY,
                     help="First day (UTC) on which it is in force; default: today."),
        click.option("--set", "changes", type=_Change(), multiple=True, metavar="SECTION.KEY=VALUE",
                     help="A value that is to hold; may be given more than once, and after a file."),
        click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False)),
    ):  # fmt: skip
        function = option(function)
    return function


@policy.command(
    epilog=examples(
        "forecast-assets policy diff policy.toml",
        "forecast-assets policy diff --set gates.largest_bias=0.08 --set risk_bands.high=0.25",
        "forecast-assets policy diff policy.toml --from 2026-01-01",
    )
)
@_proposed
def diff(file: Path | None, changes: "tuple[tuple[str, Any], ...]", effective_from: date | None) -> None:
    """Show what a file of TOML, or single values, would change; nothing is recorded.

    What they do not name stays as it is.
    """
    from forecast_assets.presentation.policies import proposal_text

    proposal, _ = _proposal(opened_registry().ledger, file, changes, effective_from)
    click.echo(proposal_text(proposal))


@policy.command(
    epilog=examples(
        'forecast-assets policy apply policy.toml --by ana --reason "a bias of 8% costs too much"',
        "forecast-assets policy apply --set gates.largest_bias=0.08 --from 2026-01-01 --by ana "
        '--reason "a bias of 8% costs too much"',
        'forecast-assets policy apply --set \'overrides.allowed=["bias_is_small"]\' --by ana --reason "season\'s end"',
    )
)
@_proposed
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def apply(
    file: Path | None, changes: "tuple[tuple[str, Any], ...]", effective_from: date | None, by: str, reason: str
) -> None:
    """Record a policy in the ledger: gates, overrides and risk bands follow it from its first day on.

    What was published, judged or promoted before stays as it is, and names the policy of its time. What a file or a
    value does not name stays as it is in force on that day.
    """
    from forecast_assets.operations.policies import apply_policy, today
    from forecast_assets.presentation.policies import applied_text, proposal_text, unbased_text

    ledger = opened_registry().ledger
    proposal, is_based = _proposal(ledger, file, changes, effective_from)
    record = apply_policy(ledger, proposal, by=by, reason=reason)
    click.echo(f"{proposal_text(proposal)}\n\n{applied_text(record, today(ledger))}")
    if file is not None and not is_based:
        click.echo(unbased_text(file), err=True)


def _proposal(
    ledger: "Ledger", file: Path | None, changes: "tuple[tuple[str, Any], ...]", effective_from: date | None
) -> "tuple[PolicyProposal, bool]":
    """Return what is proposed, and whether a file says what it was edited from."""
    from forecast_assets.operations.policies import PolicyFile, propose_policy, read_policy_file

    if file is None and not changes:
        raise click.UsageError("Name a file of TOML, or values with --set.")
    said = PolicyFile({}) if file is None else read_policy_file(file)
    proposal = propose_policy(ledger, {**said.values, **dict(changes)}, effective_from, based_on=said.based_on)
    return proposal, said.based_on is not None


COMMANDS: Final = (policy,)
