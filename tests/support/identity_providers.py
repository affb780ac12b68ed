"""Real servers that know users: slapd, an OpenID Connect provider."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from http_in_a_thread import serving
from kind.servers import SLAPD, find
from ports import free_ports
from server_process import end, wait_for_port

# LDAP ------------------------------------------------------------------------------------------------------------

_SLAPD_CONFIGURATION = """
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
pidfile {directory}/slapd.pid
database mdb
directory {directory}/data
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin_password
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""

_LDIF = """
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
userPassword: bob_password

dn: uid=eve,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: eve
cn: Eve
sn: Eve
userPassword: eve_password

dn: cn=beamline,dc=example,dc=org
objectClass: groupOfNames
cn: beamline
member: uid=bob,ou=people,dc=example,dc=org
"""


@contextmanager
def running_slapd(directory: Path) -> Iterator[int]:
    """An LDAP server with the users bob and eve; yields its port."""
    found = find(SLAPD)
    (directory / "data").mkdir()
    configuration = directory / "slapd.conf"
    configuration.write_text(
        _SLAPD_CONFIGURATION.format(directory=directory, root="" if found.root == Path("/") else found.root)
    )
    add = [str(found.program.with_name("slapadd")), "-f", str(configuration)]
    subprocess.run(add, input=_LDIF.encode(), check=True, capture_output=True, env=found.environment)
    [port] = free_ports(1)
    with (directory / "log").open("wb") as log:
        command = [str(found.program), "-f", str(configuration), "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=found.environment)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        end(process)


# OpenID Connect --------------------------------------------------------------------------------------------------


class OpenIdProvider:
    """The authorization code flow with PKCE over real HTTP. Everybody who comes is logged in with `claims`."""

    def __init__(self) -> None:
        self.client_id, self.client_secret = "queueserver", "the secret of the client"
        self.claims: dict[str, Any] = {"email": "bob"}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/authorize":
                    query = {name: values[0] for name, values in parse_qs(url.query).items()}
                    self.send_response(302)
                    self.send_header("Location", provider.authorize(query))
                    self.end_headers()
                    return
                self._answer(provider.discovery() if "well-known" in url.path else provider.keys())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                token = provider.exchange(form, self.headers.get("Authorization", ""))
                self._answer({"id_token": token, "token_type": "Bearer"} if token else {"error": "no"}, bool(token))

            def _answer(self, value: Any, good: bool = True) -> None:
                self.send_response(200 if good else 400)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(value).encode())

        self.url = ""
        self._running = ExitStack()
        self._serving = serving(Handler)

    def __enter__(self) -> OpenIdProvider:
        self.url = f"http://127.0.0.1:{self._running.enter_context(self._serving)}"
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()

    def arguments(self, redirect_uri: str) -> dict[str, str]:
        """Of the authenticator of a server that people come back to at `redirect_uri`."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "well_known_uri": f"{self.url}/.well-known/openid-configuration",
            "redirect_uri": redirect_uri,
        }

    def discovery(self) -> dict[str, str]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": "1", "use": "sig", "alg": "RS256"}]}

    def authorize(self, query: dict[str, str]) -> str:
        code = secrets.token_hex(16)
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str], authorization: str) -> str | None:
        query = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if query is None or authorization != f"Basic {basic}" or query["code_challenge"] != challenge.decode():
            return None
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 60, "nonce": query["nonce"]}
        return jwt.encode({**claims, **self.claims}, self.key, "RS256", headers={"kid": "1"})
