"""Names of everything the store keeps in Redis: keys below `<prefix>:v1:` and the names of connections.

| Key | Type | Holds |
|---|---|---|
| `meta` | hash | format, epoch, session, fence, holder, since; first, next, swept: numbers of the history |
| `tokens` | hash | the last 64 commit tokens, in slots that are written in turn |
| `items` | hash | uid -> JSON text of the queue's items |
| `order` | sorted set | uid -> rank, an integer |
| `running` | string | record of the item in hand |
| `fields` | hash | name -> JSON text of small values, read with every load |
| `blob:<name>` | string | one large value, read on its own |
| `history` | stream | entry of number n has the id `<n+1>-0` and fields: u uid, t time of the end, x JSON text |
| `history-uids` | hash | uid -> number of its history entry |
| `audit` | stream | entries of the audit log with one field, t: JSON text |
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

FORMAT = 1
"""Version of the layout above; a store with a higher one is refused."""

TOKEN_SLOTS = 64

BLOB_MARK = "blob:"
"""Values whose name begins so (lists of plans, for example) have a key of their own and are not part of a load."""

_HOLDER_MARK = "qs-manager"
_CLIENT_MARK = "qs-client"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names below one prefix, and the names of the connections that work on it."""

    prefix: str

    def _key(self, name: str) -> str:
        return f"{self.prefix}:v1:{name}"

    @property
    def meta(self) -> str:
        return self._key("meta")

    @property
    def tokens(self) -> str:
        return self._key("tokens")

    @property
    def items(self) -> str:
        return self._key("items")

    @property
    def order(self) -> str:
        return self._key("order")

    @property
    def running(self) -> str:
        return self._key("running")

    @property
    def fields(self) -> str:
        return self._key("fields")

    @property
    def history(self) -> str:
        return self._key("history")

    @property
    def history_uids(self) -> str:
        return self._key("history-uids")

    @property
    def audit(self) -> str:
        return self._key("audit")

    def blob(self, name: str) -> str:
        """Key of a value whose name begins with `BLOB_MARK`."""
        return self._key(name)

    @property
    def commit_keys(self) -> tuple[str, ...]:
        """All keys a commit may touch but the blobs, in the order in which the script expects them."""
        return (
            self.meta,
            self.tokens,
            self.items,
            self.order,
            self.running,
            self.fields,
            self.history,
            self.history_uids,
            self.audit,
        )

    def holder_connection(self, holder: str) -> str:
        """Name of the connection of a manager that holds the data; names of connections cannot have spaces."""
        return f"{self._holder_connections}{quote(holder, safe='@')}"

    def client_connection(self, holder: str) -> str:
        """Name of a connection that does not hold the data."""
        return f"{_CLIENT_MARK}:{quote(self.prefix, safe='')}:{quote(holder, safe='@')}"

    @property
    def _holder_connections(self) -> str:
        return f"{_HOLDER_MARK}:{quote(self.prefix, safe='')}:"

    def holder_in(self, connection_name: str) -> str | None:
        """The `<pid>@<host>` in the name of a connection that holds the data of this prefix."""
        if not connection_name.startswith(self._holder_connections):
            return None
        return connection_name[len(self._holder_connections) :]


def names_a_holder(connection_name: str) -> bool:
    """Whether a connection belongs to a manager that holds data, whatever their prefix."""
    return connection_name.startswith(f"{_HOLDER_MARK}:")
