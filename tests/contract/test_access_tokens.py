"""Access tokens: S4 to S20 and S44 of the reliability plan at token level, on both databases."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
import sys
import time
import zlib
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, delete, select, update

from finetune30 import database
from finetune30.access import Pair, Role, Tokens, User, Users, tables
from finetune30.errors import TokenRefused
from tests.contract.conftest import SECRET

PASSWORD = "correct horse battery"


@pytest.fixture
def ana(users: Users) -> User:
    return users.add("ana", Role.USER, PASSWORD)


@pytest.fixture
def pair(tokens: Tokens, ana: User) -> Pair:
    return tokens.issue(ana)


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(TokenRefused) as error:
        tokens.read(token)
    assert len(token) < 20 or token not in repr(error.value.to_dict())
    return error.value.message


def claims_of(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(pair.token, options={"verify_signature": False})
    return found


def raw(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, payload: object, secret: bytes = SECRET, digest: str = "sha256") -> str:
    """Any header and payload under a right signature."""
    texts = (
        part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
        for part in (header, payload)
    )
    signing = ".".join(map(raw, texts))
    return f"{signing}.{raw(hmac.digest(secret, signing.encode(), digest))}"


HEADER = {"alg": "HS256", "typ": "at+jwt"}


def changed(pair: Pair, **claims: object) -> str:
    """The token with other claims, signed as ours are; None takes one away."""
    merged = claims_of(pair) | claims
    return signed(HEADER, {name: value for name, value in merged.items() if value is not None})


def test_a_token_says_who_its_holder_is_now(tokens: Tokens, pair: Pair, ana: User) -> None:
    assert tokens.read(pair.token) == pair.user == ana
    assert tokens.read(changed(pair)) == ana  # what ``changed`` signs is accepted but for the change
    assert pair.token not in repr(pair)
    assert pair.refresh_token not in repr(pair)


def test_s04_other_texts_are_refused(tokens: Tokens, pair: Pair) -> None:
    header, payload, signature = pair.token.split(".")
    for token in (
        *("", ".", "..", "...", "a", header, f"{header}.{payload}", f"{pair.token}.{signature}", pair.token + "="),
        *(pair.token + "\n", " " + pair.token, pair.token.replace(".", "·"), "é" + pair.token, pair.token + "\ud800"),
        *(f"{header}.{payload}.", f".{payload}.{signature}", f"{header}..{signature}", f"!{pair.token}"),
        *(signed(b"no json", claims_of(pair)), signed([], claims_of(pair)), signed(7, claims_of(pair))),
        *(signed(HEADER, payload) for payload in (b"no json", b"", b"\xff", [], [claims_of(pair)], 7, "x", None)),
        signed(HEADER, b"[" * 2000),
        signed(HEADER, b'{"exp":' + b"1" * 2900 + b"}"),
    ):
        refused(tokens, token)


def test_s04_none_of_5000_mutations_is_accepted(tokens: Tokens, pair: Pair) -> None:
    draw = random.Random(4)
    for _ in range(5000):
        token = pair.token
        for _ in range(draw.randint(1, 3)):
            place, letter = draw.randrange(len(token)), draw.choice("abcXYZ019-_.=+/% \n\0é")
            token = draw.choice((token[:place] + letter, token[:place])) + token[place + draw.randint(0, 1) :]
        if token != pair.token:
            refused(tokens, token)


def test_s05_alg_none_is_refused(tokens: Tokens, pair: Pair) -> None:
    for alg in ("none", "None", "nOnE", "", None, ["HS256"], "hs256", "HS256 "):
        whole = signed({"alg": alg, "typ": "at+jwt"}, claims_of(pair))
        refused(tokens, whole)
        refused(tokens, whole.rpartition(".")[0] + ".")
        refused(tokens, whole.rpartition(".")[0])


def test_s06_other_algorithms_are_refused_even_with_our_secret(tokens: Tokens, pair: Pair) -> None:
    for alg, digest in (("HS384", "sha384"), ("HS512", "sha512"), ("RS256", "sha256"), ("ES256", "sha256")):
        refused(tokens, signed({"alg": alg, "typ": "at+jwt"}, claims_of(pair), digest=digest))
        refused(tokens, signed(HEADER, claims_of(pair), digest=digest if digest != "sha256" else "sha1"))


def test_s07_well_known_secrets_sign_nothing(tokens: Tokens, pair: Pair) -> None:
    published = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
    for secret in ("", "secret", "changeme", "your-256-bit-secret", published, SECRET.decode()[:-1], SECRET.hex()):
        refused(tokens, signed(HEADER, claims_of(pair), secret.encode()))


def test_s08_every_flipped_bit_is_found(tokens: Tokens, pair: Pair) -> None:
    header, payload, signature = pair.token.split(".")
    data = base64.urlsafe_b64decode(signature + "=")
    for bit in range(256):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(tokens, f"{header}.{payload}.{raw(bytes(flipped))}")
    # All bits of the text, too, and in its last letter those that base64 does not use.
    for letter in string.ascii_letters + string.digits + "-_":
        assert letter == pair.token[-1] or refused(tokens, pair.token[:-1] + letter)
    for place in range(len(pair.token)):
        for bit in range(7):
            letter = chr(ord(pair.token[place]) ^ 1 << bit)
            refused(tokens, pair.token[:place] + letter + pair.token[place + 1 :])


def test_s09_expiry_is_exact_and_a_number(tokens: Tokens, pair: Pair, engine: Engine, ana: User) -> None:
    claims, at = claims_of(pair), int(time.time())
    assert (claims["exp"] - claims["iat"], pair.expires_in) == (1800, 1800)
    assert claims_of(Tokens(engine, SECRET, expire_minutes=5).issue(ana))["exp"] - at in (300, 301)

    assert "expired" in refused(tokens, changed(pair, exp=at - 20))
    assert tokens.read(changed(pair, exp=at - 5))  # clocks differ a little
    for exp in (None, str(at + 100), float(at + 100), True, [], {}, 1e999, -1, 0):
        refused(tokens, changed(pair, exp=exp))
    refused(tokens, signed(HEADER, claims | {"exp": None}))


def test_s10_tokens_of_the_future_are_refused(tokens: Tokens, pair: Pair) -> None:
    at = int(time.time())
    for claim in ("iat", "nbf"):
        refused(tokens, changed(pair, **{claim: at + 20}))
        assert tokens.read(changed(pair, **{claim: at + 5}))
        assert tokens.read(changed(pair, **{claim: at - 20}))
    for iat in (None, "now", True, 1.5):
        refused(tokens, changed(pair, iat=iat))


def test_s11_other_issuers_and_audiences_are_refused(tokens: Tokens, pair: Pair) -> None:
    audience = claims_of(pair)["aud"]
    for wrong in (None, "", "other", [], ["other"], 7, {}):
        refused(tokens, changed(pair, iss=wrong))
        refused(tokens, changed(pair, aud=wrong))
    refused(tokens, changed(pair, aud=[audience, "other"]))


def test_s12_a_token_is_good_for_one_thing_alone(tokens: Tokens, pair: Pair, engine: Engine, ana: User) -> None:
    serving = Tokens(engine, SECRET, audience="finetune30-serving")

    refused(tokens, pair.refresh_token)
    refused(tokens, serving.issue(ana).token)
    refused(serving, pair.token)
    for typ in ("JWT", "rt+jwt", "AT+JWT", None, ""):
        refused(tokens, signed({"alg": "HS256", "typ": typ}, claims_of(pair)))
    refused(tokens, signed({"alg": "HS256"}, claims_of(pair)))
    with pytest.raises(TokenRefused):
        tokens.refresh(pair.token)


def test_s13_s14_headers_of_others_are_never_followed(tokens: Tokens, pair: Pair) -> None:
    touched: list[str] = []
    watching = True
    events = ("open", "socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen")

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in events:
            touched.append(f"{event} {arguments[:1]}")

    headers: list[dict[str, object]] = [
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"jwk": {"kty": "oct", "k": raw(SECRET)}},
        {"kid": "http://127.0.0.1:1/key"},
        {"kid": "../../dev/null"},
        {"kid": "1' OR '1'='1"},
        {"crit": ["x"]},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
    ]
    sys.addaudithook(watch)
    try:
        with pytest.raises(TokenRefused):
            tokens.read("")
        for header in headers:
            with pytest.raises(TokenRefused):
                tokens.read(signed(HEADER | header, claims_of(pair)))
    finally:
        watching = False
    assert touched == []


def test_s15_encrypted_and_compressed_tokens_are_refused(tokens: Tokens, pair: Pair) -> None:
    bomb = zlib.compress(b" " * 1_000_000)
    refused(tokens, ".".join([raw(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), "", raw(b"iv"), raw(bomb), raw(b"t")]))
    refused(tokens, signed(HEADER | {"zip": "DEF"}, bomb))


def test_s16_endless_tokens_are_refused_unread(tokens: Tokens, pair: Pair) -> None:
    refused(tokens, changed(pair, more="x" * 4096))
    assert tokens.read(changed(pair, more="x" * 1000))
    refused(tokens, "a" * 10_000_000)


def test_s17_deleted_and_disabled_users_are_refused(
    tokens: Tokens, pair: Pair, ana: User, users: Users, engine: Engine
) -> None:
    users.disable(ana.id)
    refused(tokens, pair.token)

    users.enable(ana.id)
    again = tokens.issue(users.get(ana.id))
    assert tokens.read(again.token).id == ana.id
    for disabled in (True, False):  # even by hand, past all that ends sessions
        with database.write(engine) as connection:
            connection.execute(update(tables.users).values(disabled=disabled))
        assert disabled is False or refused(tokens, again.token)
    assert tokens.read(again.token).id == ana.id
    with database.write(engine) as connection:
        connection.execute(delete(tables.users))
    refused(tokens, again.token)


def test_s18_the_role_is_what_the_database_says(tokens: Tokens, pair: Pair) -> None:
    assert "role" not in claims_of(pair)
    assert tokens.read(changed(pair, role="admin")).role is Role.USER


def test_s19_logout_ends_this_session_alone(tokens: Tokens, pair: Pair, ana: User) -> None:
    other = tokens.issue(ana)

    assert tokens.logout(pair.token) == ana

    refused(tokens, pair.token)
    with pytest.raises(TokenRefused):
        tokens.refresh(pair.refresh_token)
    assert tokens.read(other.token) == ana


def test_s20_subjects_are_ids_of_users_and_of_their_own_sessions(tokens: Tokens, pair: Pair, users: Users) -> None:
    ben = users.add("ben", Role.ADMIN, PASSWORD)
    unknown = "u_0000000000000000"
    for sub in (None, "", "ana", unknown, 7, 7.5, True, [], ["x"], {}, "x" * 10_000, "\0", "\ud800", ben.id):
        refused(tokens, changed(pair, sub=sub))
    for sid in (None, "", 7, [], "s_" + "0" * 32, "\0", claims_of(tokens.issue(ben))["sid"]):
        refused(tokens, changed(pair, sid=sid))
    for version in (None, 1, -1, "0", 0.0, False, 2**70, []):
        refused(tokens, changed(pair, ver=version))
    for jti in (None, 7, []):
        refused(tokens, changed(pair, jti=jti))


def test_s44_logout_is_the_same_again_and_with_an_expired_token(tokens: Tokens, pair: Pair, ana: User) -> None:
    expired = changed(pair, exp=int(time.time()) - 5000)
    refused(tokens, expired)

    assert [tokens.logout(expired) for _ in range(2)] == [ana, ana]

    refused(tokens, pair.token)
    for other in ("", pair.refresh_token, signed(HEADER, claims_of(pair), b"x" * 32)):
        with pytest.raises(TokenRefused):
            tokens.logout(other)


def test_a_secret_that_is_too_short_signs_nothing(engine: Engine, ana: User) -> None:
    with pytest.raises(jwt.InvalidKeyError):
        Tokens(engine, b"short")


def test_nothing_a_token_holds_is_kept_in_the_database(engine: Engine, pair: Pair) -> None:
    with database.read(engine) as connection:
        kept = "".join(str(connection.execute(select(table)).all()) for table in database.metadata.sorted_tables)
    for secret in (pair.token, pair.refresh_token, PASSWORD, SECRET.decode()):
        assert secret not in kept
    assert hashlib.sha256(pair.refresh_token.encode()).hexdigest() in kept
