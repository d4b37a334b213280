"""What schemathesis is told beside OpenAPI: whose token it has, and which refusals no JSON schema can say.

Read by its process (``SCHEMATHESIS_HOOKS``); ``contract`` starts it. No check is switched off: a failure is passed over
only where ``EXPLAINED`` names kind, code and words of the refusal, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from typing import Any

import schemathesis

from finetune30.access import Access, Role
from finetune30.database import open_engine
from finetune30.settings import get_settings
from tests.api.contract_table import EXPLAINED, NAME

ROLE = os.environ["CONTRACT_ROLE"]


class Tokens:
    """A token that is good: minted on the database, again whenever a request has ended the session."""

    def __init__(self) -> None:
        settings = get_settings()
        self._access = Access(settings, open_engine(settings.resolved_database_url))
        self.current: str | None = None

    def mint(self) -> str:
        """A new session; the account is mended if a request disabled it or changed its role."""
        users = self._access.users
        user = users.get(NAME)
        if user.disabled:
            user = users.enable(user.id)
        if str(user.role) != ROLE:
            user = users.set_role(user.id, Role(ROLE))
        return self._access.tokens.issue(user).token

    def get(self) -> str:
        """The one in use."""
        self.current = self.current or self.mint()
        return self.current


if ROLE != "anonymous":
    _tokens = Tokens()

    @schemathesis.auth(refresh_interval=None)
    class Bearer:
        """The header of somebody who is logged in."""

        def get(self, case: Any, context: Any) -> str:
            """A token; for a log-out one of its own, so that the others go on."""
            return _tokens.mint() if context.operation.label == "POST /logout" else _tokens.get()

        def set(self, case: Any, data: str, context: Any) -> None:
            """Into the header."""
            case.headers["Authorization"] = f"Bearer {data}"

    @schemathesis.hook
    def after_call(context: Any, case: Any, response: Any) -> None:
        """A session that was ended by what was asked is begun anew."""
        sent = response.request.headers.get("Authorization", "")
        if response.status_code == 401 and sent == f"Bearer {_tokens.current}":
            _tokens.current = None


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A key that is valid is new: the same key with another body is another promise (G9), tested elsewhere."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if (
        isinstance(key, str)
        and re.fullmatch(r"[\x20-\x7e]{1,200}", key)
        and case.meta
        and case.meta.generation.mode.is_positive
    ):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep every failure but explained refusals of what was valid to OpenAPI."""
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code not in (413, 422):
        return True
    problem = json.loads(response.content)
    said = [fault["detail"] for fault in problem.get("errors") or ()] or [problem["detail"]]
    left = [
        words
        for words in said
        if not any(one.code == problem["code"] and re.search(one.words, words) for one in EXPLAINED)
    ]
    if left:
        print(f"UNEXPLAINED {case.operation.label}: {problem['code']}: {left}", file=sys.stderr)
    return bool(left)
