"""What a browser could be made to do: S101 to S105 of the security checklist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.api.service import Person, Service, refused, serving

PAGE = "https://page.example.org"


def preflight(service: Service, origin: str, path: str = "/train") -> object:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return service.client.options(path, headers=asked)


@pytest.mark.parametrize(
    "origin", ["https://evil.tld", "null", "https://page.example.org.evil.tld", "http://localhost"]
)
def test_s101_an_origin_that_is_not_listed_is_400(service: Service, origin: str) -> None:
    answer = preflight(service, origin)

    refused(answer, 400, "origin_not_allowed")  # type: ignore[arg-type]
    assert "access-control-allow-origin" not in answer.headers  # type: ignore[attr-defined]


def test_s101_a_listed_origin_is_let_in_and_no_other(tmp_path: Path) -> None:
    with serving(tmp_path, {"CORS_ORIGINS": PAGE}) as service:
        for evil in ("https://evil.tld", "null", "https://good.page.example.org", f"{PAGE}.evil.tld"):
            answer = preflight(service, evil)
            assert answer.status_code == 400  # type: ignore[attr-defined]
            assert "access-control-allow-origin" not in answer.headers  # type: ignore[attr-defined]
        good = preflight(service, PAGE)
        plain = service.client.get("/health", headers={"Origin": PAGE})
        other = service.client.get("/health", headers={"Origin": "https://evil.tld"})

    assert good.status_code == 200  # type: ignore[attr-defined]
    assert good.headers["access-control-allow-origin"] == PAGE  # type: ignore[attr-defined]
    assert "access-control-allow-credentials" not in good.headers  # type: ignore[attr-defined]
    assert plain.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-origin" not in other.headers


def test_s101_a_page_that_is_listed_can_read_why_it_was_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {"CORS_ORIGINS": PAGE, "READS_PER_MINUTE": 1}) as service:
        large = service.client.post("/login", content=b" " * 2_000_000, headers={"Origin": PAGE})
        often = [service.client.get("/me", headers={"Origin": PAGE}) for _ in range(20)][-1]
        other = service.client.get("/me", headers={"Origin": "https://evil.tld"})

    assert (large.status_code, often.status_code, other.status_code) == (413, 429, 429)
    for answer in (large, often):
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in other.headers


def test_s101_every_method_of_a_route_may_be_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, {"CORS_ORIGINS": PAGE}) as service:
        paths = service.client.get("/openapi.json").json()["paths"]
        methods = {method.upper() for ways in paths.values() for method in ways}
        allowed = preflight(service, PAGE).headers["access-control-allow-methods"]  # type: ignore[attr-defined]

    assert methods <= set(allowed.split(", "))


@pytest.mark.parametrize(
    "host",
    [
        "evil.tld",
        "evil.tld:8000",
        "127.0.0.1.evil.tld",
        "localhost.evil.tld",
        "2130706433",
        "0.0.0.0",  # noqa: S104 - refused
        "[::ffff:7f00:1]",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/login", "/audit/logs"])
def test_s102_another_host_is_400(service: Service, host: str, path: str) -> None:
    refused(service.client.get(path, headers={"Host": host}), 400, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:8000"])
def test_s102_its_own_names_are_taken(service: Service, host: str) -> None:
    assert service.client.get("/health", headers={"Host": host}).status_code == 200


def test_s102_two_hosts_or_none_are_400(service: Service) -> None:
    for hosts in ("", "Host: localhost\r\nHost: localhost\r\n"):
        answer = service.raw(f"GET /health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400")


def test_s103_a_form_of_another_site_changes_nothing(service: Service, ana: Person) -> None:
    told = {"Origin": "https://evil.tld", "Content-Type": "text/plain"}

    refused(service.client.post("/train", content=b"{}", headers=told), 401)
    refused(service.client.post("/train", content=b"{}", headers=told | ana.bearer), 415)


def test_s104_headers_of_every_answer(service: Service, ana: Person) -> None:
    answers = [
        ana.get("/me"),
        ana.get("/nowhere"),
        ana.get("/audit/logs"),
        service.client.post("/login", json={"username": "x", "password": "y"}),
        service.client.get("/health"),
        service.client.get("/health", headers={"Host": "evil.tld"}),
        service.client.post("/login", content=b" " * 2_000_000),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers


def test_s104_the_documentation_is_for_development(service: Service, tmp_path: Path) -> None:
    production = {
        "ENVIRONMENT": "production",
        "JWT_SECRET": "fZ0qT9b3xKw7LmR2vYc8NsE5uHd1Ga4j",
        "AUDIT_KEY": "Jx4Wn8Qe2Zr6Vt0Bk3Mp7Lc1Ys5Hd9Fg",
    }
    with serving(tmp_path, production) as closed:
        for path in ("/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect"):
            refused(closed.client.get(path), 404)
        assert "max-age" in closed.client.get("/health").headers["strict-transport-security"]

    page = service.client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:  # all from here, and nothing within the page
        assert path.startswith("/docs/")
        assert len(service.client.get(path).raise_for_status().content) > 100
    assert "<script>" not in page.text
    policy = page.headers["content-security-policy"]
    assert "http" not in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in service.client.get("/docs").headers["content-security-policy"]
    assert service.client.get("/openapi.json").json()["info"]["title"] == "finetune30"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "![x](http://evil/p.png)", "[a](javascript:alert(1))"])
def test_s105_markup_in_a_name_is_refused_or_comes_back_as_json(ana: Person, name: str) -> None:
    answer = ana.post("/train", {"experiment_name": name})

    assert answer.headers["content-type"] in ("application/json", "application/problem+json")
    assert answer.status_code == 422
