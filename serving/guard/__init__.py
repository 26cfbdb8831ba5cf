"""What may be painted: `from serving.guard import Guard`; and the consultant's queue, `serving.guard.approvals`."""

from serving.guard.guard import Decision, Guard

__all__ = ["Decision", "Guard"]
