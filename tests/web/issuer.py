"""An issuer of tokens on loopback, with keys of every kind and the ways to get tokens wrong."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwk, jwt
from joserfc.jwk import Key
from serving import reply, served

from tinytown.web.asgi import AsgiScope, Receive, Send
from tinytown.web.settings import AuthSettings

AUDIENCE = "tinytown-api"
KINDS: dict[str, tuple[str, str, str | int]] = {
    "rsa": ("RS256", "RSA", 2048),
    "ec": ("ES256", "EC", "P-256"),
    "ed": ("EdDSA", "OKP", "Ed25519"),
}


@dataclass
class Issuer:
    """Issues tokens. `calls` are the paths that were fetched; `broken` lets every fetch fail."""

    keys: dict[str, Key] = field(default_factory=dict)
    url: str = ""
    calls: list[str] = field(default_factory=list)
    broken: bool = False
    padding: int = 0

    def make_key(self, kid: str, kind: str) -> None:
        _, family, detail = KINDS[kind]
        self.keys[kid] = jwk.generate_key(family, detail, {"kid": kid})  # type: ignore[arg-type]

    def settings(self, **more: Any) -> AuthSettings:
        return AuthSettings(mode="oidc", issuer=self.url, audience=AUDIENCE, **more)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims, with some changed; None takes one away."""
        now = int(time.time())
        good = {
            "iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300,
            "scope": "openid town.read town.write",
        }  # fmt: skip
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, kid: str = "rsa", *, head: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token that is signed well."""
        algorithm = next(name for name, family, _ in KINDS.values() if family == self.keys[kid].key_type)
        header = {"alg": algorithm, "kid": kid, **(head or {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jwt.encode(header, self.claims(**changed), self.keys[kid], algorithms=[header["alg"]])

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        self.calls.append(scope["path"])
        if self.broken:
            await reply(send, b"down", 500)
        elif scope["path"] == "/.well-known/openid-configuration":
            await reply(send, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode())
        else:
            published = [key.as_dict(private=False) for key in self.keys.values()]
            noise = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, {"kty": "future", "kid": "odd"}, {"kty": "RSA"}
            await reply(send, json.dumps({"keys": [*noise, *published], "padding": "x" * self.padding}).encode())


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer with one key of each kind, called as the kind."""
    issuer = Issuer()
    for kind in KINDS:
        issuer.make_key(kind, kind)
    async with served(issuer) as server:
        issuer.url = f"http://127.0.0.1:{server.port}"
        yield issuer


def part(value: object) -> str:
    """One part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[str, str, str]:
    head, body, signature = token.split(".")
    return head, body, signature


def hmac_with_public_key(issuer: Issuer) -> str:
    """Signed with the public key as if it were a shared secret."""
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(issuer.claims())}"
    public = issuer.keys["rsa"].as_pem(private=False)  # type: ignore[attr-defined]
    return f"{signed}.{part(hmac.digest(public, signed.encode(), 'sha256'))}"


def foreign(issuer: Issuer) -> str:
    """Signed with another key of the same name."""
    key = jwk.generate_key("RSA", 2048, {"kid": "rsa"})
    return jwt.encode({"alg": "RS256", "kid": "rsa"}, issuer.claims(), key, algorithms=["RS256"])


def embedded(issuer: Issuer) -> str:
    """Signed with a key that the token brings along."""
    key = jwk.generate_key("RSA", 2048, {"kid": "mine"})
    head = {"alg": "RS256", "kid": "mine", "jwk": key.as_dict(private=False)}
    return jwt.encode(head, issuer.claims(), key, algorithms=["RS256"])


def spliced(issuer: Issuer) -> str:
    """The claims of one token under the signature of another."""
    head, _, signature = parts(issuer.token())
    return f"{head}.{part(issuer.claims(sub='root'))}.{signature}"


def unsigned(algorithm: str) -> Callable[[Issuer], str]:
    return lambda issuer: f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(issuer.claims())}."


def headed(**head: Any) -> Callable[[Issuer], str]:
    """A good body and signature under another head."""

    def make(issuer: Issuer) -> str:
        _, body, signature = parts(issuer.token())
        return f"{part({'alg': 'RS256', 'kid': 'rsa', **head})}.{body}.{signature}"

    return make


def claiming(**changed: Any) -> Callable[[Issuer], str]:
    """Signed well, with other claims."""
    return lambda issuer: issuer.token(**changed)


NOW = int(time.time())

BAD: dict[str, Callable[[Issuer], str]] = {
    "rubbish": lambda _: "rubbish",
    "two dots": lambda _: "..",
    "three parts of rubbish": lambda _: "a.b.c",
    "four parts": lambda issuer: issuer.token() + ".x",
    "five parts, as an encrypted one": lambda issuer: issuer.token() + ".x.y",
    "longer than 8 KiB": lambda issuer: issuer.token(padding="x" * 9000),
    "a head that is no object": lambda _: f"{part([])}.{part({})}.x",
    "a head that nests": lambda _: f"{part(b'[' * 4000)}.{part({})}.x",
    "a head without algorithm": lambda issuer: f"{part({'kid': 'rsa'})}.{'.'.join(parts(issuer.token())[1:])}",
    "algorithm none": unsigned("none"),
    "algorithm None": unsigned("None"),
    "algorithm NONE with a signature": headed(alg="NONE"),
    "algorithm nOnE": unsigned("nOnE"),
    "HS256 with the public key": hmac_with_public_key,
    "HS512": headed(alg="HS512"),
    "RS512": headed(alg="RS512"),
    "PS256": headed(alg="PS256"),
    "ES256 for an RSA key": headed(alg="ES256"),
    "EdDSA for an RSA key": headed(alg="EdDSA"),
    "RS256 for an EC key": headed(kid="ec"),
    "an algorithm that is a list": headed(alg=["RS256"]),
    "a kid that is a number": headed(kid=1),
    "a kid that is a path": headed(kid="../../../../dev/null"),
    "a kid that is SQL": headed(kid="x' UNION SELECT 'k"),
    "a kid of a shared secret": headed(kid="shared"),
    "no kid": headed(kid=None),
    "a critical extension": headed(crit=["exp"], exp=1),
    "an unencoded payload": headed(b64=False, crit=["b64"]),
    "a key that it brings along": embedded,
    "a key of the same name": foreign,
    "other claims under a good signature": spliced,
    "no signature": lambda issuer: ".".join([*parts(issuer.token())[:2], ""]),
    "a signature that is cut": lambda issuer: issuer.token()[:-4],
    "the signature of a tampered head": headed(typ="at+jwt"),
    "another issuer": claiming(iss="https://elsewhere.example"),
    "the issuer with a slash": lambda issuer: issuer.token(iss=issuer.url + "/"),
    "no issuer": claiming(iss=None),
    "an issuer that is a list": lambda issuer: issuer.token(iss=[issuer.url]),
    "another audience": claiming(aud="another-api"),
    "an audience that only begins so": claiming(aud=AUDIENCE + "-2"),
    "no audience": claiming(aud=None),
    "an empty audience": claiming(aud=[]),
    "expired": claiming(exp=NOW - 3600),
    "no expiry": claiming(exp=None),
    "an expiry that is a text": claiming(exp="2999-01-01"),
    "an expiry that is true": claiming(exp=True),
    "not yet valid": claiming(nbf=NOW + 3600),
    "issued tomorrow": claiming(iat=NOW + 86_400),
    "no subject": claiming(sub=None),
    "a subject that is a number": claiming(sub=7),
}
