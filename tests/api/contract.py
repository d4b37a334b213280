"""Schemathesis against the real service: all checks, all phases, as anybody, a user and an admin.

    python -m tests.api.contract --examples 200        the long form: each role on each database

Neighbours: ``contract_hooks`` has what OpenAPI cannot say; ``test_contract`` runs the short form.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from finetune30.access import Role
from tests.api.contract_table import NAME, PASSWORD, ROLES
from tests.api.service import Service, serving
from tests.servers import PostgresServer

HERE = Path(__file__).parent
PHASES = "examples,coverage,fuzzing,stateful"


def run(home: Path, role: str, examples: int, values: Mapping[str, object], seed: int = 1) -> tuple[int, str]:
    """Exit code and report of one run against a service of its own.

    Args:
        examples: Cases a fuzzed operation gets at most.
    """
    with serving(home, values) as service:
        # Another admin, so that the one who is used may be shut out and let in again.
        service.services.access.users.add("other", Role.ADMIN, PASSWORD)
        service.services.access.users.add(NAME, Role.ADMIN if role == "admin" else Role.USER, PASSWORD)
        done = subprocess.run(
            _words(service, examples, seed),
            env=_surroundings(service, role),
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        found = service.services.access.audit.verify()
    report = done.stdout + done.stderr
    if not found.ok:
        return 1, f"{report}\nthe audit log is not whole: {found.reason}"
    return done.returncode, report


def _words(service: Service, examples: int, seed: int) -> list[str]:
    options = {"--checks": "all", "--phases": PHASES, "--mode": "all", "-n": examples, "--seed": seed}
    options |= {"--generation-database": "none", "--generation-allow-x00": "true", "--request-timeout": 60}
    words = [word for name, value in options.items() for word in (name, str(value))]
    config = ["--config-file", str(HERE / "schemathesis.toml")]
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    return [*program, *config, "run", f"{service.url}/openapi.json", *words, "--continue-on-failure", "--no-color"]


def _surroundings(service: Service, role: str) -> dict[str, str]:
    settings = service.settings
    own = {
        "RESULTS_DIR": str(settings.results_dir),
        "DATABASE_URL": settings.database_url or "",
        "CONTRACT_ROLE": role,
        "SCHEMATHESIS_HOOKS": "tests.api.contract_hooks",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parents[1]), *sys.path])),
    }
    return {**os.environ, **own}


def short(report: str, longest: int = 400) -> str:
    """The failures of a report, each line cut: a body may be a megabyte."""
    _, _, failures = report.partition("FAILURES")
    lines = [line[:longest] for line in (failures or report).splitlines() if line.strip()]
    return "\n".join(lines[:200])


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", choices=ROLES, action="append")
    asked = parser.parse_args()
    server, worst = PostgresServer(), 0
    try:
        for role in asked.role or ROLES:
            for database in ("sqlite", "postgresql"):
                values = {"DATABASE_URL": server.database("contract")} if database == "postgresql" else {}
                with tempfile.TemporaryDirectory() as home:
                    code, report = run(Path(home), role, asked.examples, values, asked.seed)
                tail = report.strip().splitlines()[-1:] or [""]
                print(f"{role} on {database}: exit {code}  {tail[0]}", flush=True)
                if code:
                    print(short(report))
                worst = max(worst, code)
    finally:
        server.remove()
    return worst


if __name__ == "__main__":
    sys.exit(main())
