"""A SAML provider: signed responses to the requests with which a server sends browsers away."""

from __future__ import annotations

import base64
import secrets
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from onelogin.saml2.utils import OneLogin_Saml2_Utils

_RESPONSE = """\
<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"
  ID="{response}" Version="2.0" IssueInstant="{now}" Destination="{destination}" InResponseTo="{request}">
<saml:Issuer>{issuer}</saml:Issuer>
<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>
{assertion}
</samlp:Response>"""
_ASSERTION = """\
<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{identifier}" Version="2.0" IssueInstant="{now}">
<saml:Issuer>{issuer}</saml:Issuer>
<saml:Subject><saml:NameID>{name}</saml:NameID>
<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
<saml:SubjectConfirmationData NotOnOrAfter="{end}" Recipient="{destination}" InResponseTo="{request}"/>
</saml:SubjectConfirmation></saml:Subject>
<saml:Conditions NotBefore="{begin}" NotOnOrAfter="{end}">
<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}" SessionIndex="1"><saml:AuthnContext>
<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>
</saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement><saml:Attribute Name="uid"><saml:AttributeValue>{user}</saml:AttributeValue></saml:Attribute>
</saml:AttributeStatement>
</saml:Assertion>"""


class SamlProvider:
    """Everybody who comes is logged in as `user`."""

    issuer = "https://login.example.org/saml"
    audience = "https://queue.example.org/saml"
    destination = "https://queue.example.org/api/auth/provider/toy/code"

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.user = "bob"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "login.example.org")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def settings(self) -> dict[str, Any]:
        """As a server is told about this provider."""
        binding = "urn:oasis:names:tc:SAML:2.0:bindings:"
        return {
            "sp": {
                "entityId": self.audience,
                "assertionConsumerService": {"url": self.destination, "binding": f"{binding}HTTP-POST"},
            },
            "idp": {
                "entityId": self.issuer,
                "singleSignOnService": {"url": f"{self.issuer}/login", "binding": f"{binding}HTTP-Redirect"},
                "x509cert": self.certificate,
            },
        }

    def answer(self, address: str, *, signed: bool = True, minutes: int = 5, **changed: str) -> dict[str, str]:
        """The form that the browser brings back from the address to which it was sent."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        request = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15))
        now = datetime.now(UTC)
        values = {
            "identifier": f"_{secrets.token_hex(16)}",
            "response": f"_{secrets.token_hex(16)}",
            "request": request.get("ID"),
            "now": _text(now),
            "begin": _text(now - timedelta(minutes=10)),
            "end": _text(now + timedelta(minutes=minutes)),
            "issuer": self.issuer,
            "audience": self.audience,
            "destination": self.destination,
            "name": "a name",
            "user": self.user,
            **changed,
        }
        assertion = _ASSERTION.format(**values)
        if signed:
            key = self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            assertion = OneLogin_Saml2_Utils.add_sign(assertion, key.decode(), self.certificate).decode()
        response = _RESPONSE.format(**values, assertion=assertion)
        return {"SAMLResponse": base64.b64encode(response.encode()).decode(), "RelayState": query["RelayState"]}


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
