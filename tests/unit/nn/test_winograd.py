"""Convolutions by Winograd's products against plain ones."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tal_engine.lab.nn import winograd
from tal_engine.lab.nn.temporal import ConvBlock


@pytest.mark.parametrize("length", [1, 4, 11, 12])
def test_equals_a_convolution_with_its_gradients(length):
    torch.manual_seed(length)
    x, weight, bias = (
        torch.randn(*s, dtype=torch.double, requires_grad=True) for s in ((2, 3, length), (5, 3, 3), (5,))
    )
    wanted = functional.conv1d(x, weight, bias, padding=1)
    torch.testing.assert_close(winograd.winograd(x, weight, bias), wanted, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(winograd.winograd, (x, weight, bias))


def test_rounds_as_single_precision_does():
    """Errors of a sum of 1,536 products, relative to what is summed."""
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 512, 40), torch.randn(64, 512, 3) * (2 / 1536) ** 0.5, torch.zeros(64)
    wanted = functional.conv1d(x.double(), weight.double(), padding=1)
    error = (winograd.winograd(x, weight, bias) - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()
    assert error < 3e-6


def test_it_is_for_wide_layers_in_training_alone(monkeypatch):
    """What is exported, and what narrow layers compute, is the plain convolution."""
    called = []
    monkeypatch.setattr("tal_engine.lab.nn.temporal.winograd", lambda *a: called.append(a) or winograd.winograd(*a))
    wide, narrow, short = torch.randn(1, 256, 32), torch.randn(1, 255, 32), torch.randn(1, 256, 31)
    ConvBlock(256, 256, 3, 0.0).train()(wide)
    assert len(called) == 1
    ConvBlock(256, 256, 3, 0.0).eval()(wide)
    ConvBlock(256, 256, 1, 0.0).train()(wide)
    ConvBlock(255, 256, 3, 0.0).train()(narrow)
    ConvBlock(256, 256, 3, 0.0).train()(short)
    with torch.autocast("cpu", torch.bfloat16):
        ConvBlock(256, 256, 3, 0.0).train()(wide)
    assert len(called) == 1


def test_a_layer_without_an_input_gradient_learns_the_same():
    torch.manual_seed(0)
    block, x = ConvBlock(256, 256, 3, 0.0).train(), torch.randn(2, 256, 32)
    block(x).square().sum().backward()
    found = block.conv.weight.grad
    block.zero_grad()
    functional.leaky_relu(block.conv(x), 0.2).square().sum().backward()
    torch.testing.assert_close(found, block.conv.weight.grad, rtol=1e-4, atol=1e-2)
