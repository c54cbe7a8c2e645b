"""`payoff approve RELEASE --as ROLE`: somebody who may signs that a release may run, and git has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.clock import now
from payoff.base.errors import Refused, UserError
from payoff.base.hashing import sha256
from payoff.flows.releasing import book as books
from payoff.project.releasing import commits
from payoff.records.answers.releasing import Approved
from payoff.records.release.release import APPROVAL, Approval
from payoff.release import chain
from payoff.release import envelope as envelopes

if TYPE_CHECKING:
    from payoff.records.answers.releasing import ApproveRequest


def approve(request: ApproveRequest) -> Approved:
    """Sign an approval and commit it. Refused when the key that signs is of nobody who may approve in that role."""
    book = books.opened(request.project)
    link = book.link(request.release)
    if request.deployment:
        book.deployment(request.deployment)
    may = book.policy.approvers.get(request.role)
    if may is None:
        raise UserError(
            f"there is no role {request.role!r} to approve in",
            code="PO-A105",
            expected=f"one of [approvers], as release {len(book.links)} signed them: {', '.join(book.policy.approvers) or 'none'}",
            remedy=f'--as one of them, or add {request.role} = ["name@example.org"] to [approvers] in payoff.toml and release again',
        )
    said = Approval(
        release=link.digest,
        number=link.release.number,
        project=link.release.project,
        role=request.role,
        deployment=request.deployment,
        # A clock that is behind the one that released must not make an approval older than what it approves.
        created=max(now(), link.release.created),
        says=request.says,
    )
    payload = envelopes.statement(link.release.name, link.release.image, APPROVAL, said)
    sealed = envelopes.seal(payload, book.signer.sign)
    by = envelopes.signers(sealed, book.policy.known, said.created, book.signer.principals) & frozenset(may)
    if not by:
        raise Refused(
            f"the key that signs is of nobody who may approve as {request.role}",
            code="PO-A106",
            expected=f"a key of one of {', '.join(may)}, as release {len(book.links)} signed who holds which",
            remedy="git config user.signingkey KEY, or let one of them approve",
        )
    after = book._replace(approvals=(*book.approvals, sealed))
    before = chain.approved(link, request.deployment, book.approvals, book.policy, book.signer.principals)
    already = by <= before.get(request.role, frozenset())
    if not already:
        where = f"-{request.deployment}" if request.deployment else ""
        name = f"{said.number:04}-{request.role}{where}-{sha256(payload)[7:15]}.json"
        commits.commit(
            book.root,
            {f"{books.APPROVALS}/{name}": books.encoded(sealed)},
            f"Approve release {said.number}{f' for {request.deployment}' if request.deployment else ''} as {request.role}",
            book.head,
        )
    wait = {
        name: missing
        for name in book.policy.deployments
        if request.deployment in {"", name} and (missing := after.missing(link, name))
    }
    return Approved(
        release=link.release,
        role=request.role,
        deployment=request.deployment,
        by=tuple(sorted(by)),
        missing=wait,
        already=already,
    )
