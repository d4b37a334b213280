"""The JWT of an access token: written, and read without believing anything in it before its signature.

PyJWT checks signature, claims, and that the text is the one way to write its bytes; beside that the header must be
exactly ours (no ``alg``, ``kid``, ``jku``, ``crit`` or ``zip`` of anybody else's is ever looked at), and every claim
must have its type. No SQL here. Neighbours: ``tokens`` looks up what the claims name.
Source: RFC 8725, sections 3.1, 3.5 and 3.8 to 3.12.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from finetune30.access.record import USER_ID, User
from finetune30.errors import TokenRefused

ISSUER = "finetune30"
LEEWAY_S = 10
_LONGEST = 4096
_ALGORITHM = "HS256"
_HEADER = {"typ": "at+jwt"}
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
_SESSION = re.compile(r"s_[0-9a-f]{32}")
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti", "sid", "ver"]


@dataclass(frozen=True)
class Claims:
    """What an access token says, its signature and times checked."""

    user_id: str
    session: str
    version: int


class Jwts:
    """Access tokens of one audience, each living ``life_s`` seconds."""

    def __init__(self, secret: bytes, life_s: int, audience: str) -> None:
        self.life_s = life_s
        self._secret = secret
        self._audience = audience
        import jwt  # brings all of cryptography along: not before somebody needs it

        self._expired = jwt.ExpiredSignatureError
        # What is wrong with a token, in PyJWT's words or in those of the parsers below it.
        self._faults = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True, "strict_aud": True, "require": _REQUIRED})
        self._begins = self._signed({}).split(".")[0] + "."

    def write(self, user: User, session: str) -> str:
        """An access token for this user's session."""
        at = int(time.time())
        whose = {"sub": user.id, "sid": session, "ver": user.token_version, "jti": secrets.token_hex(16)}
        return self._signed({"iss": ISSUER, "aud": self._audience, "iat": at, "exp": at + self.life_s, **whose})

    def read(self, token: str, *, expired: bool = False) -> Claims:
        """What a token says that we signed.

        Args:
            expired: Take one whose time is over, too.
        Raises: TokenRefused.
        """
        if len(token) > _LONGEST or not token.startswith(self._begins) or not _SHAPE.fullmatch(token):
            raise _not_ours()
        try:
            claims = self._jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"verify_exp": not expired},
            )
        except self._expired as cause:
            raise TokenRefused("the access token has expired", hint="refresh it, or log in again") from cause
        except self._faults as cause:
            raise _not_ours() from cause
        if not _are_typed(claims):
            raise _not_ours()
        return Claims(user_id=claims["sub"], session=claims["sid"], version=claims["ver"])

    def _signed(self, claims: dict[str, Any]) -> str:
        return self._jwt.encode(claims, self._secret, _ALGORITHM, headers=_HEADER)


def _not_ours() -> TokenRefused:
    return TokenRefused("the access token is not valid", hint="log in again")


def _are_typed(claims: dict[str, Any]) -> bool:
    whole = all(type(claims[name]) is int for name in ("exp", "iat", "ver"))
    return whole and bool(USER_ID.fullmatch(claims["sub"])) and bool(_SESSION.fullmatch(str(claims["sid"])))
