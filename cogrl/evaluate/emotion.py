"""Does the answer follow the voice? Greedy answers on a manifest, graded by the training rewards, with controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cogrl.audio import to_samples
from cogrl.models.audio_lm import AudioLM
from cogrl.prompts import perceived_emotion
from cogrl.rewards.composite import Reward
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import ROUTES, Clip, Emotion, Route

Hearing = Callable[[Clip, int], np.ndarray | str]
"""What the model hears in place of a clip, given the clip and the sampling rate in Hz."""


def voice(clip: Clip, sampling_rate: int) -> np.ndarray:
    """The clip itself."""
    return clip.waveform


def transcript(clip: Clip, sampling_rate: int) -> str:
    """Text-only control: the words in the prompt, no audio. Same words for all emotions, so chance by construction."""
    return clip.example.text


def silence(clip: Clip, sampling_rate: int) -> np.ndarray:
    """Silence control: two seconds of zeros for every clip, so that not even the duration tells."""
    return np.zeros(to_samples(2.0, sampling_rate), dtype=np.float32)


@dataclass(frozen=True)
class Answers:
    """Greedy completions of `n` clips on one route, and their grades."""

    route: Route
    texts: Sequence[str]
    tokens: Sequence[int]
    perceived: Sequence[Emotion | None]
    reward: np.ndarray
    terms: dict[str, np.ndarray]


def answer(
    policy: AudioLM,
    clips: Sequence[Clip],
    route: Route,
    reward: Reward,
    hearing: Hearing = voice,
    max_new_tokens: int = 128,
    batch_size: int = 84,
) -> Answers:
    """One greedy completion a clip. Clips that sound the same to the model (a control) are answered once.

    `perceived` is the label of the Perception step (None when absent or malformed: counted as wrong).
    """
    heard = [hearing(clip, policy.sampling_rate) for clip in clips]
    keys = [h if isinstance(h, str) else h.tobytes() for h in heard]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    unique = sorted(first.values())
    sampling, engine = Sampling(max_new_tokens=max_new_tokens, greedy=True), HFEngine()
    texts: dict[int, tuple[str, int]] = {}
    for start in range(0, len(unique), batch_size):
        rows = unique[start : start + batch_size]
        rollouts = engine.sample(
            policy, [clips[i] for i in rows], [route] * len(rows), sampling, heard=[heard[i] for i in rows]
        )
        lengths = rollouts.completions.mask.sum(1).tolist()
        texts |= {i: (t, n) for i, t, n in zip(rows, rollouts.texts, lengths, strict=True)}
    rows = [texts[first[key]] for key in keys]
    completions = [text for text, _ in rows]
    scores = reward.score(completions, [route] * len(clips), [clip.example for clip in clips])
    return Answers(
        route,
        completions,
        [n for _, n in rows],
        [perceived_emotion(text) for text in completions],
        scores.total.double().numpy(),
        {name: value.double().numpy() for name, value in scores.terms.items()},
    )


@dataclass(frozen=True)
class Evaluation:
    """One policy on one manifest: both routes on the voice, route A on each control."""

    name: str
    clips: Sequence[Clip]
    routes: dict[Route, Answers]
    controls: dict[str, Answers]

    @property
    def cells(self) -> list[str]:
        """(speaker, sentence) of each clip: the unit the bootstrap resamples, since its clips are not independent."""
        return [f"{clip.example.speaker}/{clip.example.text_group}" for clip in self.clips]

    def correct(self, answers: Answers) -> np.ndarray:
        """1.0 where the perceived emotion is the label."""
        pairs = zip(answers.perceived, self.clips, strict=True)
        return np.array([float(perceived == clip.example.emotion) for perceived, clip in pairs])


def evaluate_policy(
    name: str, policy: AudioLM, clips: Sequence[Clip], reward: Reward, max_new_tokens: int = 128
) -> Evaluation:
    """Answer every clip on both routes, and route A under the text-only and the silence control."""
    policy.eval()
    routes = {r: answer(policy, clips, r, reward, max_new_tokens=max_new_tokens) for r in ROUTES}
    controls = {
        control.__name__: answer(policy, clips, "A", reward, control, max_new_tokens)
        for control in (transcript, silence)
    }
    return Evaluation(name, clips, routes, controls)
