"""The frozen dataclasses that cross rooms: examples, clips, prompts, completions, rollouts, scores."""

from cogrl.types.clip_tensors import ClipTensors, clips_of_rows, join_clips, pick_clips
from cogrl.types.completions import Completions, Role, drawn_ids
from cogrl.types.inputs import (
    DIMENSIONS,
    EMOTIONS,
    INTENSITIES,
    REPLY_EMOTIONS,
    SENTIMENTS,
    Clip,
    ClipBatch,
    Conversation,
    Emotion,
    Event,
    Example,
    Intensity,
    ModelInput,
    Prompts,
    Sentiment,
    Span,
    SpokenReply,
    SpokenTurn,
    Turn,
    Waveform,
)
from cogrl.types.rollouts import Finish, Rollouts
from cogrl.types.scores import Scores
from cogrl.types.speech import Speech, UnitSpace

__all__ = [
    "DIMENSIONS",
    "EMOTIONS",
    "INTENSITIES",
    "REPLY_EMOTIONS",
    "SENTIMENTS",
    "Clip",
    "ClipBatch",
    "ClipTensors",
    "Completions",
    "Conversation",
    "Emotion",
    "Event",
    "Example",
    "Finish",
    "Intensity",
    "ModelInput",
    "Prompts",
    "Role",
    "Rollouts",
    "Scores",
    "Sentiment",
    "Span",
    "Speech",
    "SpokenReply",
    "SpokenTurn",
    "Turn",
    "UnitSpace",
    "Waveform",
    "clips_of_rows",
    "drawn_ids",
    "join_clips",
    "pick_clips",
]
