"""SpecAugment of the warm-ups: where a stretch of frames may begin does not hang on how clips are padded."""

import torch

from cogrl.stages.perceive import blank


def hit(mels, **settings):
    """The share of the clips of which some frame was blanked as a whole."""
    found = blank(mels, 32, **settings)
    return (found != mels).all(1).any(1).float().mean().item()


def test_a_stretch_that_begins_behind_the_clip_blanks_no_frame():
    mels = torch.randn(4000, 8, 100)
    everywhere, mostly_behind = hit(mels), hit(mels, places=400)
    assert everywhere > 0.9  # all but those of length 0, which are 1 in 33
    assert 0.2 < mostly_behind < 0.28


def test_a_window_is_masked_as_the_same_clip_at_its_own_length():
    own = torch.randn(1, 8, 100).expand(64, -1, -1)
    padded = torch.nn.functional.pad(own, (0, 300))
    torch.manual_seed(3)
    short = blank(own, 32, places=400) != own
    torch.manual_seed(3)
    whole = blank(padded, 32, places=400)[:, :, :100] != own
    assert torch.equal(short.all(1), whole.all(1))


def test_without_a_width_nothing_is_drawn_and_nothing_changes():
    mels, state = torch.randn(2, 8, 10), torch.get_rng_state()
    assert blank(mels, 0) is mels and torch.equal(torch.get_rng_state(), state)
