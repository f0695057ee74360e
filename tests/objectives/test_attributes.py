"""The dimensional losses."""

import pytest
import torch

from cogrl.objectives.attributes import DIMENSION_LOSSES, ccc, mse


def draw(n=50, k=3, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ccc_is_lins_formula_dimension_by_dimension():
    predicted, target = draw(seed=1), draw(seed=2) + 0.3
    expected = 0.0
    for k in range(3):
        x, y = predicted[:, k].tolist(), target[:, k].tolist()
        mx, my = sum(x) / 50, sum(y) / 50
        cov = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / 50
        vx, vy = sum((a - mx) ** 2 for a in x) / 50, sum((b - my) ** 2 for b in y) / 50
        expected += (1 - 2 * cov / (vx + vy + (mx - my) ** 2)) / 3
    assert ccc(predicted, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", DIMENSION_LOSSES)
def test_a_perfect_prediction_costs_nothing_and_a_swapped_pair_of_dimensions_something(name):
    target = draw()
    assert DIMENSION_LOSSES[name](target, target).item() == pytest.approx(0, abs=1e-6)
    assert DIMENSION_LOSSES[name](target[:, [1, 0, 2]], target) > 0.1


def test_ccc_sees_scale_and_offset_that_correlation_does_not():
    target = draw()
    assert ccc(2 * target, target) > 0.1 and ccc(target + 1, target) > 0.1
    centred = target - target.mean(0)
    assert ccc(-centred, centred).item() == pytest.approx(2, rel=1e-6)


def test_a_constant_target_is_no_division_by_zero():
    predicted = draw().requires_grad_()
    loss = ccc(predicted, torch.zeros(50, 3, dtype=torch.float64))
    loss.backward()
    assert loss.item() == pytest.approx(1) and predicted.grad.isfinite().all()


def test_mse_is_the_mean_over_clips_and_dimensions():
    predicted, target = draw(seed=1), draw(seed=2)
    assert mse(predicted, target).item() == pytest.approx(((predicted - target) ** 2).sum().item() / 150)
