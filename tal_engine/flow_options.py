"""Parameters of optical flow that OpenCV's implementation and torch's share; loads neither."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tvl1Parameters:
    """Parameters of TV-L1 under OpenCV's meaning; defaults: OpenCV's own, which the I3D protocol uses."""

    tau: float = 0.25
    #: lambda, the weight of the data term.
    attachment: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    #: A pair is done when its flow's mean squared change a pixel is below epsilon squared.
    epsilon: float = 0.01
    inner: int = 30
    outer: int = 10
    #: Side of the median filter before each round of inner iterations.
    median: int = 5


TVL1 = Tvl1Parameters()
