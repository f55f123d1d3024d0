"""ActionFormer one moment and one number at a time, by the public names of its weights; float64.

Facts are those of the paper (Zhang, Wu and Li, ECCV 2022) and of happyharrycn/actionformer_release.
"""

from __future__ import annotations

import math

import numpy as np


def norm(x, weight, bias):
    """Layer norm over the channels of x [T, D]; weights are [1, D, 1]."""
    mean = x.mean(1, keepdims=True)
    deviation = np.sqrt(((x - mean) ** 2).mean(1, keepdims=True) + 1e-5)
    return (x - mean) / deviation * weight[0, :, 0] + bias[0, :, 0]


def convolve(x, weight, bias=None, stride=1):
    """A convolution over three (or one) snippets of x [T, D], zeros beyond the ends; depthwise if weights are."""
    outputs, inputs, size = weight.shape
    half = size // 2
    padded = np.concatenate([np.zeros((half, x.shape[1])), x, np.zeros((half, x.shape[1]))])
    out = np.zeros((-(-len(x) // stride), outputs))
    for i in range(len(out)):
        for k in range(size):
            row = padded[i * stride + k]
            out[i] += row * weight[:, 0, k] if inputs == 1 < outputs else weight[:, :, k] @ row
    return out if bias is None else out + bias


def attend(query, key, value, mask, heads, window):
    """Each snippet to the real ones at most window // 2 away; [T, D]."""
    out, width = np.zeros_like(query), query.shape[1] // heads
    for i in range(len(query)):
        near = [j for j in range(len(key)) if abs(i - j) <= window // 2 and mask[j]]
        for h in range(heads) if near and mask[i] else ():
            part = slice(h * width, (h + 1) * width)
            scores = np.array([query[i, part] @ key[j, part] / math.sqrt(width) for j in near])
            weights = np.exp(scores - scores.max())
            for j, w in zip(near, weights / weights.sum(), strict=True):
                out[i, part] += w * value[j, part]
    return out


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def block(state, name, x, mask, stride, heads, window):
    """One transformer block; (x, mask) at its resolution."""

    def get(key):
        return state.get(f"{name}.{key}")

    normed = norm(x, get("ln1.weight"), get("ln1.bias"))
    after = mask[::stride]
    parts = {}
    for part in ("query", "key", "value"):
        y = convolve(normed, get(f"attn.{part}_conv.conv.weight"), stride=stride) * after[:, None]
        y = norm(y, get(f"attn.{part}_norm.weight"), get(f"attn.{part}_norm.bias"))
        parts[part] = convolve(y, get(f"attn.{part}.weight"), get(f"attn.{part}.bias"))
    out = attend(parts["query"], parts["key"], parts["value"], after, heads, window)
    out = convolve(out, get("attn.proj.weight"), get("attn.proj.bias")) * after[:, None]
    if stride > 1:
        x = np.stack([x[max(stride * i - 1, 0) : stride * i + 2].max(0) for i in range(len(after))])
    x = x * after[:, None] + get("drop_path_attn.scale")[0, :, 0] * out
    hidden = gelu(convolve(norm(x, get("ln2.weight"), get("ln2.bias")), get("mlp.0.weight"), get("mlp.0.bias")))
    out = convolve(hidden, get("mlp.3.weight"), get("mlp.3.bias")) * after[:, None]
    return x + get("drop_path_mlp.scale")[0, :, 0] * out, after


def head(state, name, last, x, mask):
    i = 0
    while f"{name}.head.{i}.conv.weight" in state:
        x = convolve(x, state[f"{name}.head.{i}.conv.weight"]) * mask[:, None]
        x = np.maximum(norm(x, state[f"{name}.norm.{i}.weight"], state[f"{name}.norm.{i}.bias"]), 0)
        i += 1
    return convolve(x, state[f"{name}.{last}.conv.weight"], state[f"{name}.{last}.conv.bias"]) * mask[:, None]


def network(state, x, *, levels, heads, window, padded):
    """Of features [T, D] padded to a length: [(logits [T_l, C], distances [T_l, 2], mask [T_l])] by level."""
    mask = np.arange(padded) < len(x)
    x = np.concatenate([x, np.zeros((padded - len(x), x.shape[1]))])
    i = 0
    while f"backbone.embd.{i}.conv.weight" in state:
        x = convolve(x, state[f"backbone.embd.{i}.conv.weight"]) * mask[:, None]
        x = np.maximum(norm(x, state[f"backbone.embd_norm.{i}.weight"], state[f"backbone.embd_norm.{i}.bias"]), 0)
        i += 1
    i = 0
    while f"backbone.stem.{i}.ln1.weight" in state:
        x, mask = block(state, f"backbone.stem.{i}", x, mask, 1, heads, window)
        i += 1
    out = []
    for level in range(levels):
        if level:
            x, mask = block(state, f"backbone.branch.{level - 1}", x, mask, 2, heads, window)
        normed = norm(x, state[f"neck.fpn_norms.{level}.weight"], state[f"neck.fpn_norms.{level}.bias"])
        logits = head(state, "cls_head", "cls_head", normed, mask)
        borders = head(state, "reg_head", "offset_head", normed, mask)
        out.append((logits, np.maximum(borders * state[f"reg_head.scale.{level}.scale"], 0), mask))
    return out


def assign(segments, classes, at, stride, low, high, radius):
    """Class labels and distances of one moment; see `targets.assigned`."""
    fit = []
    for start, end, label in segments:
        left, right = at - start, end - at
        first, last = start, end
        if radius:
            middle = (start + end) / 2
            first, last = max(start, middle - radius * stride), min(end, middle + radius * stride)
        if first < at < last and low <= max(left, right) <= high:
            fit.append((end - start, left / stride, right / stride, int(label)))
    labels = np.zeros(classes)
    if not fit:
        return labels, (0.0, 0.0)
    shortest = min(f[0] for f in fit)
    for length, *_, label in fit:
        if length <= shortest + 1e-3:
            labels[label] = 1
    return labels, next(f[1:3] for f in fit if f[0] == shortest)


def focal(logit, label, alpha, gamma):
    """Of one number, with a label of 0 or 1."""
    p = 1 / (1 + math.exp(-logit))
    return -alpha * (1 - p) ** gamma * math.log(p) if label else -(1 - alpha) * p**gamma * math.log(1 - p)


def distance_iou(found, wanted):
    """Of two segments around 0, given by their distances back and on."""
    (a, b), (c, d) = (-found[0], found[1]), (-wanted[0], wanted[1])
    common, hull = max(0.0, min(b, d) - max(a, c)), max(b, d) - min(a, c)
    union = (b - a) + (d - c) - common
    loss = 1 - (common / union if union else 0.0)
    return loss + (((a + b) - (c + d)) / 2 / hull) ** 2 if hull else loss


def decode(score, distance, strides, min_score, top_k, min_length, step, width, start=0.0):
    """[(start, end, score, label)] in seconds, unsorted; score [P, C] by level, each of which has whole rows."""
    unit, first, out = len(score) // sum(strides[-1] // s for s in strides), 0, []
    for stride in strides:
        rows, level = unit * (strides[-1] // stride), []
        for i in range(rows):
            for c in range(score.shape[1]):
                if score[first + i, c] > min_score:
                    left, right = (float(d) for d in distance[first + i])
                    level.append((float(score[first + i, c]), (i - left) * stride, (i + right) * stride, c))
        level.sort(key=lambda x: -x[0])
        for s, a, b, c in level[: top_k or None]:
            if b - a > min_length:
                out.append((max(start + a * step + width / 2, start), start + b * step + width / 2, s, c))
        first += rows
    return out
