"""What the operator of the machine does straight on the database, told to the audit log with it.

Neighbours: ``users`` and ``models`` change things through here, ``access`` keeps the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from finetune30.cli.user import local_user

if TYPE_CHECKING:
    from finetune30.access import Access

T = TypeVar("T")


def audited(
    access: Access, action: str, change: Callable[[], T], told: Callable[[T], tuple[str, Mapping[str, Any]]]
) -> T:
    """Do it and tell the audit log, both or neither.

    Args:
        told: The target of what was done, and its details.
    """
    from finetune30 import database
    from finetune30.access import Outcome

    audit = access.audit  # a missing key is told before anything is done
    with database.write(access.engine) as connection:
        done = change()
        target, detail = told(done)
        audit.record(
            connection,
            actor_id=None,
            actor_name=local_user(),
            role="operator",
            action=action,
            target=target,
            outcome=Outcome.OK,
            address="local",
            request_id="",
            detail=dict(detail),
        )
    return done
