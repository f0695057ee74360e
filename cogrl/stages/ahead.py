"""One step off: the rollouts of the next batch of clips are drawn while this one trains."""

from collections.abc import Sequence

from cogrl.rollout.controller import Controller
from cogrl.rollout.engine import BackgroundEngine, Engine, Pending
from cogrl.types import Clip, Rollouts


class RolloutsAhead:
    """The rollouts that are being drawn for the batch that follows.

    They are no part of a checkpoint: a run that goes on from one draws them when they are due, by the weights of then.
    """

    def __init__(self) -> None:
        self.pending: Pending | None = None
        self.ids: list[str] = []

    def put(self, clips: Sequence[Clip], pending: Pending) -> None:
        """What has begun to be drawn for these clips."""
        self.pending, self.ids = pending, [clip.example.id for clip in clips]

    def take(self, clips: Sequence[Clip]) -> Rollouts | None:
        """The rollouts of these clips, waited for; None where none of them, or of others, were begun."""
        pending, self.pending = self.pending, None
        if pending is None:
            return None
        if self.ids != [clip.example.id for clip in clips]:
            pending.cancel()
            return None
        return pending.result()

    def drop(self) -> None:
        """Nothing that is being drawn is wanted any more."""
        if self.pending is not None:
            self.pending.cancel()
        self.pending = None


def refuse_in_step(engine: Engine, repeats: dict[str, bool], controllers: Sequence[Controller]) -> None:
    """ValueError for what needs the engine while it draws ahead: by name in `repeats`, and an engine that can't.

    Also for controllers: what they know is of one call of the engine, and the stage asks for their figures of a rollout
    when the next one is being drawn.
    """
    if not isinstance(engine, BackgroundEngine):
        raise ValueError(
            f"one_step_off draws rollouts while the policy trains, and {type(engine).__name__} draws them from the "
            "policy itself; set model.engine to cogrl.rollout.vllm.VLLMEngine (docs/vllm.md), or leave one_step_off out"
        )
    if controllers:
        names = ", ".join(type(each).__name__ for each in controllers)
        raise ValueError(
            f"one_step_off and controllers ({names}): they would be at work on the next batch while they are asked "
            "about this one; leave one of the two out"
        )
    found = [name for name, is_set in repeats.items() if is_set]
    if found:
        raise ValueError(
            f"one_step_off and {' and '.join(found)}: these ask the engine again once completions are scored, when it "
            "draws the next batch already; leave one of the two out"
        )
