"""Access: who somebody is, what they may do, and the record of what they did.

``users`` keeps names and hashed ``passwords``, ``tokens`` the sessions (``jwts`` is their signed half), ``keys`` what
programs predict with, ``audit`` the chained log, ``secret`` what both are signed with, ``opening`` all of it as the
settings say. Nobody here knows HTTP or what an experiment is.
"""

from finetune30.access.audit import Audit
from finetune30.access.keys import Key, Keys
from finetune30.access.opening import Access, open_access
from finetune30.access.record import AuditRow, Outcome, Pair, Role, User, Verdict
from finetune30.access.tokens import Tokens
from finetune30.access.users import Users

__all__ = [
    "Access",
    "Audit",
    "AuditRow",
    "Key",
    "Keys",
    "Outcome",
    "Pair",
    "Role",
    "Tokens",
    "User",
    "Users",
    "Verdict",
    "open_access",
]
