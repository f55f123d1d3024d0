"""Monte Carlo similarities against the form that is written out."""

from __future__ import annotations

import torch
from torch.nn import functional

from tal_engine.lab.nn import sampled
from tal_engine.lab.nn.sampled import sampled_cosine


def written_out(mean, deviation, text, noise):
    z = mean + noise * deviation
    return (z @ text.T / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)).mean(0)


def inputs(rows, dtype, width=16, samples=4):
    torch.manual_seed(0)
    mean, deviation = (torch.randn(*rows, width, dtype=dtype) for _ in range(2))
    text = functional.normalize(torch.randn(5, width, dtype=dtype), dim=-1)
    return *(x.requires_grad_() for x in (mean, deviation, text)), torch.randn(samples, *rows, width, dtype=dtype)


def test_equals_the_form_written_out_with_its_gradients(monkeypatch):
    """More rows than are worked on at once, in double precision to the last digits, in single up to rounding."""
    monkeypatch.setattr(sampled, "_ROWS", 64)
    for dtype, tolerance in ((torch.double, 1e-12), (torch.float, 2e-5)):
        *learned, noise = inputs((3, 50), dtype)
        found, wanted = sampled_cosine(*learned, noise), written_out(*learned, noise)
        slope = torch.randn_like(wanted)
        gradients = (torch.autograd.grad(x, learned, slope) for x in (found, wanted))
        for a, b in zip((found, *next(gradients)), (wanted, *next(gradients)), strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_the_differences():
    *learned, noise = inputs((2, 3), torch.double, width=5, samples=3)
    assert torch.autograd.gradcheck(lambda *x: sampled_cosine(*x, noise), learned)


def test_a_sample_without_length_has_no_slope():
    mean = torch.zeros(1, 4, requires_grad=True)
    out = sampled_cosine(mean, torch.zeros(1, 4), torch.eye(4), torch.zeros(2, 1, 4))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(mean.grad).all()


def test_half_precision_is_computed_in_single():
    *learned, noise = inputs((2, 8), torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        out = sampled_cosine(*learned, noise)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert learned[0].grad.dtype == torch.bfloat16
