"""VLPO's Eq. 5 with predicted classes against Eq. 5 with the labels of the test videos.

Eq. 5 reads a video's labels, and the paper's exact match of classes is above 99 % in the rows that have DSP and in no
other (methods.md 6.2). This measures how much of a figure would come from labels. What has read them says so.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tal_engine.errors import UsageError
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.lab.methods import load_method, vlpo
from tal_engine.lab.training import checkpoint
from tal_engine.lab.training.runs import videos_of
from tal_engine.lab.training.validation import AVERAGES, Found, Videos, activations, detections, evaluate
from tal_engine.vocabulary import Vocabulary


def oracle_gap(net: vlpo.VLPO, vocabulary: Vocabulary, data: Videos) -> dict[str, dict[str, Any]]:
    """mAP@0.1:0.7 and exact match, in percent, of "predicted" classes and of the "oracle", which uses test labels.

    Raises:
        UsageError: the videos are sampled; the comparison is for whole ones.
    """
    if data.sampling != "full":
        raise UsageError(f"test_sampling is {data.sampling!r}, must be 'full'")
    predicted = activations(load_method("vlpo"), net, net.config, data)
    known = vlpo.oracle(net, *_padded(net, vocabulary, data))
    cas, video = (known.activations[k].cpu().numpy() for k in ("cas", "video"))
    lengths = np.diff(predicted.offsets)
    told = predicted._replace(
        cas=np.concatenate([x[:n] for x, n in zip(cas, lengths, strict=True)]), video=np.asarray(video)
    )
    without = _figures(net, predicted, known.exact_match_predicted, vocabulary, data)
    return {
        "predicted": without,
        "oracle": {**_figures(net, told, known.exact_match, vocabulary, data), "note": known.note},
    }


def _padded(net: vlpo.VLPO, vocabulary: Vocabulary, data: Videos) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Streams [B, T, D], labels [B, C] and mask [B, T] of all videos, filled up to the longest one."""
    device = net.text.device
    lengths = torch.tensor([len(data.features[v.name]) for v in data.videos], device=device)
    streams = {}
    for s in vlpo.inference_streams(net.config):
        found = [torch.from_numpy(np.array(data.features[v.name].streams[s], np.float32)) for v in data.videos]
        streams[s] = torch.nn.utils.rnn.pad_sequence(found, batch_first=True).to(device)
    labels = torch.tensor([[float(n in v.labels) for n in vocabulary.names] for v in data.videos], device=device)
    mask = torch.arange(int(lengths.max()), device=device)[None] < lengths[:, None]
    return streams, labels, mask.float()


def _figures(net: vlpo.VLPO, found: Found, exact: float, vocabulary: Vocabulary, data: Videos) -> dict[str, float]:
    scored = evaluate(detections(found, load_method("vlpo"), net.config, vocabulary, data), data)
    by_tiou = dict(zip(scored.protocol.tious, scored.mean_ap, strict=True))
    average = float(np.mean([by_tiou[t] for t in AVERAGES["0.1:0.7"]]))
    return {"map_10_70": round(100 * average, 2), "exact_match": round(100 * exact, 2)}


def main() -> None:
    """Print the gap of each checkpoint, and all of it as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", required=True, type=Path)
    arguments = parser.parse_args()
    data, found = open_dataset(arguments.data), {}
    for folder in arguments.checkpoints:
        loaded = checkpoint.load(folder)
        net = loaded.network()
        if not isinstance(net, vlpo.VLPO):
            raise UsageError(f"{folder} is of {loaded.method.name}, must be of vlpo")
        videos = videos_of(loaded.method, loaded.config, loaded.train, data, "test")
        found[str(folder)] = gap = oracle_gap(net, loaded.vocabulary, videos)
        print(f"{folder}: predicted classes {gap['predicted']}; oracle, {vlpo.USES_TEST_LABELS}: {gap['oracle']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
