"""`python -P -m queueserver_operator`: run the operator; its options are environment variables, see `configuration`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from queueserver_operator.configuration import Configuration, ConfigurationError
from queueserver_operator.logs import log_json
from queueserver_operator.service import run

logger = logging.getLogger(__name__)


def main() -> int:
    """Exit status 0: ended by a signal; 2: a variable makes no sense; 1: anything else, the log says what."""
    try:
        configuration = Configuration.from_environment(os.environ)
    except ConfigurationError as error:
        print(f"queueserver-operator: {error}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    log_json(configuration.log_level)
    try:
        asyncio.run(run(configuration))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 0
    except Exception as error:  # nothing is lost by a new start, and the log says why
        for reason in reasons(error):
            logger.error("the operator ends: %s: %s", type(reason).__name__, reason, exc_info=reason)
        return 1
    return 0


def reasons(error: BaseException) -> list[BaseException]:
    """The single errors in a group of groups of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in reasons(part)]
    return [error]


if __name__ == "__main__":
    sys.exit(main())
