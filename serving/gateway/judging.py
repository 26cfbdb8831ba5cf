"""What the policy says of a prompt, and what becomes of it: painted, changed, shown to a consultant, refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import anyio.to_thread

from danqing.errors import ApprovalError
from danqing.lexicon import has_chinese
from serving.gateway import metrics
from serving.gateway.errors import Declined

if TYPE_CHECKING:
    from serving.guard import Guard
    from serving.guard.approvals import Approvals


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    prompt: str
    """What may be painted."""
    note: str = ""


class Judge:
    """guard: None lets everything through."""

    def __init__(self, guard: Guard | None, approvals: Approvals | None) -> None:
        self.guard, self.approvals = guard, approvals

    async def __call__(self, prompt: str) -> Allowed:
        """Raises Declined (403) on what is refused, or waits for a consultant."""
        if self.guard is None:
            return Allowed(prompt=prompt)
        with metrics.stage("judge"):
            decision = self.guard.judge(prompt)
        language: Literal["en", "zh"] = "zh" if has_chinese(prompt) else "en"
        if decision.action == "anchor":
            return Allowed(prompt=decision.prompt, note=decision.reason(language))
        if decision.action == "allow":
            return Allowed(prompt=decision.prompt)
        said = {"rule": decision.rule, "reason_zh": decision.reason_zh}
        if decision.action == "consult" and self.approvals is not None:
            if await anyio.to_thread.run_sync(self.approvals.approved, decision.prompt, decision.rule):
                return Allowed(prompt=decision.prompt)
            try:
                asked = await anyio.to_thread.run_sync(self.approvals.submit, decision.prompt, decision.rule, language)
            except ApprovalError as error:
                raise Declined(
                    503, "not_ready", f"{decision.reason_en} But nobody can be asked now: {error}"
                ) from error
            raise Declined(403, "needs_approval", decision.reason_en, approval=asked.id, **said)
        raise Declined(403, "refused", decision.reason_en, **said)
