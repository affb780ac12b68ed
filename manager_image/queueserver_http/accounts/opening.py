"""Opening the accounts of a server with providers."""

from __future__ import annotations

import logging

from queueserver_http import loggers
from queueserver_http.access.policies import AccessPolicy
from queueserver_http.accounts.accounts import Accounts
from queueserver_http.accounts.records import Records
from queueserver_http.accounts.threads import RecordsInThreads
from queueserver_http.accounts.tokens import Tokens
from queueserver_http.configuration.settings import Configuration
from queueserver_http.configuration.sources import ConfigurationError
from queueserver_http.database.engine import DatabaseError, make_engine

_log = logging.getLogger(loggers.ACCOUNTS)


async def open_accounts(configuration: Configuration, policy: AccessPolicy) -> Accounts:
    """Accounts with their database, in the running loop; raises `ConfigurationError`.

    The database is up to date, or will be when there is one: a PostgreSQL that is away is waited for.
    """
    settings, database = configuration.authentication, configuration.database
    if not settings.secret_keys:
        _log.warning(
            "authentication/secret_keys are not set: they were made at random, so sessions end with this server."
        )
    try:
        tokens = Tokens(settings.secret_keys, settings.access_token_max_age, settings.refresh_token_max_age)
        engine = make_engine(database.uri, pool_size=database.pool_size, pre_ping=database.pool_pre_ping)
        records = RecordsInThreads(Records(engine), database.pool_size)
        await records.open()
    except (DatabaseError, ValueError) as error:
        raise ConfigurationError(f"{error}.".replace("..", ".")) from None
    return Accounts(records, policy, tokens, session_age=settings.session_max_age)
