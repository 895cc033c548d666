"""`cams-relay doctor`: finds problems of the configuration and the store, and says how to fix them."""

from __future__ import annotations

import sys

import click
import orjson

from app.cli.called_as import with_name
from app.cli.shared import say_data_folder, store_away, with_settings
from app.health.findings import Problem, problems, warnings
from app.settings.table import Settings
from app.settings.unknown import unknown_variables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@with_settings
def doctor(settings: Settings, as_json: bool) -> None:
    """Find problems. Prints each problem and warning with its fix.

    A problem (✗) means that something doesn't work now. The exit status is then 1. A warning (!) means that something
    may go wrong. If there are only warnings, the exit status is 0. The last line says how many there are. If
    RELAY_PUBLIC_URL is set, the command sends a request to it.
    """
    say_data_folder(settings)
    findings, facts = _findings(settings)
    found = list(dict.fromkeys(findings))
    if as_json:
        click.echo(
            orjson.dumps(
                {"problems": problems(found), "warnings": warnings(found), "facts": facts},
                option=orjson.OPT_INDENT_2,
            )
        )
    else:
        for one in problems(found):
            click.echo(f"{click.style('✗', fg='red')} {with_name(one)}")
        for one in warnings(found):
            click.echo(f"{click.style('!', fg='yellow')} {with_name(one)}")
        for one in facts:
            click.echo(f"  {one}")
        click.echo(_summary(len(problems(found)), len(warnings(found))))
    if problems(found):
        sys.exit(1)


def _summary(problem_count: int, warning_count: int) -> str:
    """Return the last line, with the numbers of problems and warnings."""
    warned = f"{warning_count} warning{'s' * (warning_count != 1)}"
    if problem_count:
        return f"{click.style('✗', fg='red')} {problem_count} problem{'s' * (problem_count != 1)}, {warned}"
    if warning_count:
        return f"{click.style('!', fg='yellow')} no problems found, but {warned}"
    return f"{click.style('✓', fg='green')} no problems found"


def _findings(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the problems and the warnings."""
    import redis

    from app.health import checks
    from app.health.backup_checks import backup_age
    from app.health.damage_checks import readable_warnings
    from app.health.data_folder_checks import data_folder_warnings
    from app.health.disk_checks import disk_findings
    from app.health.public_url import public_url_problems
    from app.health.spool_checks import spool_warnings
    from app.store import Store, StoreRefused, make_vault
    from app.store.server.embedded import EmptyFile, NotMade
    from app.store.spool.spool import Spool

    facts: list[str] = []
    found = [*unknown_variables(), *checks.settings_warnings(settings)]
    found += [*data_folder_warnings(settings.data_dir), *disk_findings(settings)]
    try:
        if settings.spool and (settings.data_dir / "spool").is_dir():
            found += spool_warnings(Spool(settings.data_dir / "spool", make_vault(settings)))
        kept = Store(settings)
        found += public_url_problems(settings, kept.vault)
        kept.connection.redis.ping()
        for (
            check
        ) in checks.DOCTOR_CHECKS:  # one by one, so that earlier findings are kept if the store goes away
            found += readable_warnings(check, kept)
        age = backup_age(kept)
        facts += [] if age is None else [f"{age}."]
    except StoreRefused as error:
        found.append(Problem(error))
    except (NotMade, EmptyFile) as error:
        found.append(Problem(error))
    except (redis.RedisError, OSError) as error:
        found.append(Problem(store_away(settings, error)))
    return found, facts
