"""Which test shows which row of the security checklist: ``docs/security.md`` is made from this.

    python -m tests.api.matrix        writes the page anew

A test says its rows in its name (``test_s34_...``, ``test_s48_s49_...``). Neighbours: ``test_matrix`` checks the page.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
_ROW = re.compile(r"(?<=_)([sg])0*(\d+)(?=_)")
# Tests that ask for one of these run on SQLite and on PostgreSQL.
_BOTH = {"service", "ana", "bo", "admin", "owner", "values", "kind", "engine", "users", "tokens", "audit", "log"}
_BOTH |= {"pair", "site"}

ROWS = {
    1: "a request without a token",
    2: "other schemes than Bearer",
    3: "a header of no token, of three parts, two headers",
    4: "a token that is no JWT; 5,000 mutations of one",
    5: "alg none in any spelling",
    6: "other algorithms, signed with our secret",
    7: "well-known secrets",
    8: "each bit flipped",
    9: "expired, or without or with a strange exp",
    10: "issued or valid in the future",
    11: "another issuer or audience",
    12: "a token used for what it is not for",
    13: "jku, x5u, jwk, kid in the header",
    14: "crit and b64",
    15: "encrypted and compressed tokens",
    16: "tokens and headers without end",
    17: "a user who was deleted or disabled",
    18: "a role that only the token claims",
    19: "a token after logout or a new password",
    20: "a subject that is no user",
    21: "a token in the query, a cookie, a form",
    22: "a Host that is a path",
    23: "other spellings of a path; headers that rename it",
    24: "a target without a leading slash",
    25: "a user where only admins go",
    26: "another user's task, logs, artifacts",
    27: "changing what is another user's",
    28: "lists and figures over others' experiments",
    29: "ids that are unknown, malformed, endless",
    30: "fields a client may not set",
    31: "a wrong method",
    32: "every route without a token",
    33: "wrong password, unknown user, disabled user: told apart?",
    34: "guessing one user's password, in a row and in a burst",
    35: "one password for many users from one address or IPv6 network",
    36: "an address that is only said; the page's key",
    37: "long passwords, Unicode, too long ones",
    38: "a flood of logins",
    39: "names with control, invisible and look-alike characters",
    40: "a login that is no pair of texts",
    41: "a used refresh token",
    42: "twenty refreshes at once",
    43: "refresh tokens that are expired, unknown, cut",
    44: "logout twice, logout with an expired token",
    45: "a start in production with what is not safe",
    46: "a body of more than a MiB",
    47: "connections, heads, bodies and readers that hang",
    48: "forms of a million fields",
    49: "multipart of ten thousand parts",
    50: "malformed JSON, other types of content",
    51: "nesting and numbers without end",
    52: "NaN, Infinity, 1e999",
    53: "a key twice",
    54: "whole numbers that are none; null",
    55: "values out of range",
    56: "values that are absurd together",
    57: "unknown keys",
    58: "expressions as names of modules",
    59: "YAML's own ideas of numbers",
    60: "YAML bombs",
    61: "YAML that makes objects",
    62: "configurations too large or too deep",
    63: "names that are paths",
    64: "addresses of adapters that are paths",
    65: "paths of artifacts that lead elsewhere",
    66: "ten thousand ranges",
    67: "links in the way to data",
    68: "pipes and devices as data",
    69: "archives that write elsewhere",
    70: "bombs in archives",
    71: "CSV that no parser likes",
    72: "cells that are formulas",
    73: "JSONL that no parser likes",
    74: "Parquet that no parser likes",
    75: "data without a usable row",
    76: "addresses inside our network as data",
    77: "chains and globs as data",
    78: "pickles as data",
    79: "more uploads than a user may have",
    80: "SQL as an order",
    81: "SQL behind an order",
    82: "limits that are none",
    83: "places that are none",
    84: "times that do not exist",
    85: "searches for what means something to SQL",
    86: "parameters twice or unknown",
    87: "models with code of their own",
    88: "models on no list; revisions that are paths",
    89: "configurations of models that ask for code",
    90: "weights that are pickles",
    91: "checkpoints of others",
    92: "adapters that name other classes, bases, sizes",
    93: "damaged weights",
    94: "shards that lie elsewhere",
    95: "templates that run code",
    96: "classes beside a model",
    97: "requests to a model beyond its limits",
    98: "adapters that are unknown, another's, going",
    99: "more requests than a model can answer",
    100: "the model server without a token",
    101: "pages of other origins",
    102: "other hosts (DNS rebinding)",
    103: "JSON as text/plain from another page",
    104: "headers of answers; documentation in production",
    105: "markup in names",
    106: "two users in two pages",
    107: "the page's own limits",
    108: "line breaks and escapes in what is logged",
    109: "secrets anywhere",
    110: "a fault of ours",
    111: "changing the audit log",
    112: "a change that cannot be noted",
    113: "forged messages in the broker",
    114: "more requests than a minute allows",
    115: "what /health, /ready, /metrics tell",
}
# The same promise under its other number.
ALSO = {113: "g11"}
LATER = {
    56: "waits for the estimator of time and memory",
}


@cache
def rows_shown() -> dict[str, set[tuple[str, bool]]]:
    """For ``s34`` or ``g8`` the files with tests of it, and whether one there runs on both databases."""
    found: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                both = path.parent.name in ("api", "contract") and not _BOTH.isdisjoint(
                    argument.arg for argument in node.args.args
                )
                for letter, number in _ROW.findall(node.name):
                    found[f"{letter}{number}"].add((str(path.relative_to(ROOT)), both))
    return found


def lines() -> dict[int, str]:
    """The line of the page for each row."""
    tests, made = rows_shown(), {}
    for row, tried in ROWS.items():
        places = tests.get(f"s{row}", set()) | tests.get(ALSO.get(row, ""), set())
        files = sorted({file for file, _ in places})
        shown = ", ".join(f"`{file.removeprefix('tests/')}`" for file in files) or f"later: {LATER.get(row, '')}"
        both = "both" if any(both for _, both in places) else ""
        made[row] = f"| S{row} | {tried} | {shown} | {both} |"
    return made


def main() -> None:
    """Write the table anew, below what a person wrote."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition("| row |")
    assert mark
    table = "\n".join(["| row | what is tried | tests | databases |", "|---|---|---|---|", *lines().values()])
    PAGE.write_text(f"{head}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
