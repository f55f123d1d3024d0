"""Subtitles of finished videos and of streams, read back with a reader of its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_engine.errors import SinkError, UsageError
from tal_engine.outputs.writers.subtitles import Subtitles, text
from tal_engine.records import Info, Segment
from tal_engine.results import Localization
from tal_engine.vocabulary import Vocabulary
from tests.events import final, provisional

NAMES = ["run", "a --> b", "<i>sit</i> & stand", "two\n\nlines"]


def parse(document, kind):
    """(number, start ms, end ms, text) of each cue, by the formats' grammar."""
    if kind == "vtt":
        assert document.startswith("WEBVTT\n\n")
        document = document.removeprefix("WEBVTT\n\n")
    point = "," if kind == "srt" else r"\."
    time = rf"(\d{{2,}}):([0-5]\d):([0-5]\d){point}(\d{{3}})"
    cues = []
    for block in document.split("\n\n")[:-1]:
        number, times, *lines = block.split("\n")
        h, m, s, ms, h2, m2, s2, ms2 = map(int, re.fullmatch(rf"{time} --> {time}", times).groups())
        (line,) = lines
        assert "-->" not in line
        assert kind == "srt" or not set("<>") & set(line)
        cues.append((int(number), ((h * 60 + m) * 60 + s) * 1000 + ms, ((h2 * 60 + m2) * 60 + s2) * 1000 + ms2, line))
    return cues


def result_of(segments):
    return Localization(segments, Info("v.mp4", plan="ab" * 32), Vocabulary(NAMES))


@pytest.mark.parametrize("kind", ["srt", "vtt"])
@given(
    st.lists(
        st.builds(
            lambda start, length, label, score: Segment(start, start + length, label, score),
            st.floats(0, 4e5), st.floats(0, 4000), st.sampled_from(NAMES), st.floats(0, 1),
        ), max_size=8,
    )
)  # fmt: skip
def test_one_cue_a_segment_in_order_of_start(kind, segments):
    cues = parse(text(result_of(segments), kind), kind)
    wanted = sorted(segments, key=lambda s: (s.start, s.end, s.label))
    assert [c[0] for c in cues] == list(range(1, len(segments) + 1))
    for (_, start, end, line), s in zip(cues, wanted, strict=True):
        assert abs(start - s.start * 1000) <= 0.5 + 1e-6
        assert abs(end - s.end * 1000) <= 1.5 + 1e-6
        assert end > start
        assert line.endswith(f"({s.score:.2f})")


def test_files(tmp_path):
    result = result_of([Segment(3661.0015, 3662.5, "<i>sit</i> & stand", 0.5), Segment(1.0, 2.0, "run", 0.25)])
    result.to_srt(tmp_path / "r.srt")
    result.to_vtt(tmp_path / "r.vtt")
    assert (tmp_path / "r.srt").read_text() == (
        "1\n00:00:01,000 --> 00:00:02,000\nrun (0.25)\n\n"
        "2\n01:01:01,002 --> 01:01:02,500\n<i>sit</i> & stand (0.50)\n\n"
    )
    assert "&lt;i&gt;sit&lt;/i&gt; &amp; stand (0.50)" in (tmp_path / "r.vtt").read_text()


def test_unknown_kind(tmp_path):
    with pytest.raises(UsageError, match="'ass', must be one of srt, vtt"):
        Subtitles(tmp_path / "x", "ass")


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_a_stream_of_events_is_a_sound_file_at_every_moment(kind, tmp_path):
    path = tmp_path / f"live.{kind}"
    with Subtitles(path, kind) as sink:
        assert parse(path.read_text(), kind) == []
        for k in range(1, 6):
            sink.write(provisional(f"e{k}", k, None))
            sink.write(final(f"e{k}", k, k + 0.5, label=NAMES[k % 4]))
            assert [c[0] for c in parse(path.read_text(), kind)] == list(range(1, k + 1))


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_goes_on_after_a_crash(kind, tmp_path):
    path = tmp_path / f"live.{kind}"
    events = [final(f"e{k}", k, k + 0.5) for k in range(4)]
    with Subtitles(path, kind) as sink:
        for event in events:
            sink.write(event)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Subtitles(path, kind) as sink:
            for event in events:  # what a restored stream says again
                sink.write(event)
        assert path.read_bytes() == whole, cut


@pytest.mark.parametrize("kind", ["srt", "vtt"])
@pytest.mark.parametrize("found", [b"my notes\n\n", b"\x00\x01\n\n\x02", b"no end of line", b"1\nnot a time\nx\n\n"])
def test_another_file_is_left_alone(kind, found, tmp_path):
    path = tmp_path / "precious"
    path.write_bytes(found)
    with pytest.raises(SinkError, match="precious: holds something else"):
        Subtitles(path, kind)
    assert path.read_bytes() == found
