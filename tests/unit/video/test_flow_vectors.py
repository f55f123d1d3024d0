"""Flow from motion vectors: known motion, the slow twin, what repeats, and files and sources that have none."""

from __future__ import annotations

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from tal_engine import TALEngine
from tal_engine.errors import FlowError
from tal_engine.features import contract_of
from tal_engine.options import SnippetOptions
from tal_engine.plan.archive import with_members
from tal_engine.video import cut, open_video
from tal_engine.video.flow import with_flow
from tal_engine.video.flow_rules import flow_rules
from tal_engine.video.flow_vectors import CELL, with_vectors
from tests.makers import tiny_plan
from tests.reference import vectors as slow

HEIGHT, WIDTH = 96, 128
#: As many pixels as decoded: nothing is scaled, so cells can be compared.
PLAIN = SnippetOptions(fps=25.0, window=8, stride=8, resize=HEIGHT, crop=HEIGHT, flow="vectors")


def drifting(count, dx, dy, still=()):
    """Frames of a texture that moves by whole pixels a frame, except into frames `still`, which repeat."""
    noise = np.random.default_rng(3).uniform(0, 255, (HEIGHT + 200, WIDTH + 200)).astype(np.float32)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    step = 0
    for i in range(count):
        step += i > 0 and i not in still
        y, x = 100 - dy * step, 100 - dx * step
        yield image[y : y + HEIGHT, x : x + WIDTH, None].repeat(3, -1)


def write(path, frames, codec="libx264", **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {"threads": "1", **options}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def flow_of(path, options=PLAIN, batch=2):
    with open_video(path) as video:
        parts = list(with_vectors(cut(video, options, batch), options, video))
    return np.concatenate([p.flow for p in parts])


@pytest.fixture(scope="module", params=["no B pictures", "B pictures", "mpeg4"])
def clip(request, tmp_path_factory):
    """Thirty frames that move by 2 pixels to the right and 1 up, of a few codecs and kinds of pictures."""
    kinds = {
        "no B pictures": {"preset": "fast", "bf": "0", "refs": "1"},
        "B pictures": {"preset": "fast", "bf": "2", "refs": "1", "b-pyramid": "none", "b-adapt": "0"},
        "mpeg4": {"codec": "mpeg4", "b": "2000k"},
    }
    return write(tmp_path_factory.mktemp("v") / "clip.mp4", drifting(30, 2, -1), **kinds[request.param])


def test_known_motion(clip):
    """The texture moves as a whole; borders, where it enters, and the first picture are left out."""
    flow = flow_of(clip)
    inner = flow[:3, :-1, 24:-24, 24:-24].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), [2.0, -1.0], atol=0.26)
    assert (np.abs(inner - [2.0, -1.0]).max(1) < 0.6).mean() > 0.8


def test_the_slow_twin(clip):
    slots = 24
    wanted = slow.slot_flow(clip, slots, PLAIN.fps)
    flow = flow_of(clip)
    left = (WIDTH - HEIGHT) // 2
    for slot in range(slots - 1):
        if slot % PLAIN.window == PLAIN.window - 1:
            continue  # the last of a snippet repeats
        cells = cv2.resize(wanted[slot].astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        found = flow[slot // PLAIN.window, slot % PLAIN.window]
        np.testing.assert_allclose(found, cells[:, left : left + HEIGHT], atol=1e-4)


def test_a_size_that_is_no_multiple_of_cells(tmp_path):
    frames = (f[:90, :102] for f in drifting(12, 1, 0))
    path = tmp_path / "odd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 102, 90, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    assert -(-90 // CELL) * CELL != 90
    flow = flow_of(path, replace(PLAIN, resize=32, crop=32))
    assert flow.shape == (2, 8, 32, 32, 2)
    np.testing.assert_allclose(np.median(flow[0, 2, 8:-8, 8:-8, 0]), 32 / 90, atol=0.1)  # scaled as pictures are


def test_repeats_move_by_nothing_and_rates_add_up(tmp_path):
    path = write(tmp_path / "v.mp4", drifting(32, 2, 0), bf="0", refs="1")
    fast, slow_rate = flow_of(path, replace(PLAIN, fps=50.0)), flow_of(path, replace(PLAIN, fps=12.5))
    assert not fast[0, :-1:2].any()  # two slots show one picture
    np.testing.assert_allclose(np.median(slow_rate[0, 1, 24:-24, 24:-24, 0]), 4.0, atol=0.5)
    np.testing.assert_array_equal(fast[:, -1], fast[:, -2])
    assert flow_of(path, replace(PLAIN, flow_clip=0.5)).max() == 0.5


def test_batches_do_not_matter(clip):
    np.testing.assert_array_equal(flow_of(clip, batch=1), flow_of(clip, batch=3))
    dense = replace(PLAIN, stride=2)
    np.testing.assert_array_equal(flow_of(clip, dense)[4, :-1], flow_of(clip)[1, :-1])


def test_it_is_of_whole_pictures_whatever_the_options_say(clip):
    options = replace(PLAIN, resize=64, crop=48)
    np.testing.assert_array_equal(flow_of(clip, options), flow_of(clip, replace(options, flow_of="whole")))


@pytest.mark.parametrize("codec", ["mjpeg", "libx265", "libvpx-vp9"])
def test_codecs_that_export_none_are_named(codec, tmp_path):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write(tmp_path / "v.mkv", drifting(20, 2, 0), codec, **options)
    with pytest.raises(FlowError, match=r"v\.mkv: no motion vectors were exported .*take 'dis'"):
        flow_of(path)


def test_sources_without_a_codec_are_refused():
    frames = np.zeros((20, HEIGHT, WIDTH, 3), np.uint8)
    with open_video(frames, 25.0) as video, pytest.raises(FlowError, match="this source has none: take flow 'dis'"):
        with_vectors(cut(video, PLAIN), PLAIN, video)
    with pytest.raises(FlowError, match="frames of streams and arrays have no motion vectors"):
        with_flow([], PLAIN)


def test_pictures_that_are_turned_are_refused(clip, monkeypatch):
    with open_video(clip) as video:
        video.frames = (replace(f, stored=None) for f in video.frames)
        with pytest.raises(FlowError, match="turned, stretched or toned down"):
            list(with_vectors(cut(video, PLAIN), PLAIN, video))


def test_a_plan_says_so_in_its_contract(clip):
    plan = tiny_plan()
    snippet = replace(plan.manifest.snippet, flow="vectors")
    engine = TALEngine(with_members(plan.manifest.model_copy(update={"snippet": snippet}), plan.files), "cpu")
    assert engine.contract["snippet"]["flow"] == "vectors"
    assert len(engine.features(clip)) > 0
    assert flow_rules("vectors") == flow_rules("vectors", "9.9") == "vectors, rules 1"
    assert contract_of(snippet, [], flow=flow_rules("vectors"))["flow"] == "vectors, rules 1"
