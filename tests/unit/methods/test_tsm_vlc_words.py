"""Word vectors of TSM and VLC: files, words that are not in them, mistakes that are named."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from tal_engine.errors import UsageError
from tal_engine.lab.methods.tsm_vlc.words import hashed_vector
from tal_engine.vocabulary import Vocabulary
from tests.learning import NAMES, a_batch, small_config
from tests.tsm import TSM, tiny, tiny_net

WORDS = ["a", "video", "of", "the", "and", "run", "jump", "sit", "down"]


def glove(path, words=WORDS, width=5, seed=0):
    values = np.random.default_rng(seed).normal(size=(len(words), width)).round(4)
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in zip(words, values, strict=True)))
    return values


def test_glove_file(tmp_path):
    path = tmp_path / "glove.txt"
    values = glove(path, ["other", *WORDS, "run"])
    net = TSM.build(tiny(words=str(path), word_dim=0), NAMES)
    assert net.config.word_dim == 5
    for w in WORDS:
        np.testing.assert_allclose(net.words.vectors[net.words.ids[w]], values[1 + WORDS.index(w)], rtol=1e-6)


def test_word2vec_header_and_keys_of_several_words(tmp_path):
    path = tmp_path / "w2v.txt"
    values = glove(path)
    path.write_text(f"{len(WORDS)} 5\nrun at once 1 2 3 4 5\n" + path.read_text())
    net = TSM.build(tiny(words=str(path), word_dim=0), NAMES)
    np.testing.assert_allclose(net.words.vectors[net.words.ids["run"]], values[WORDS.index("run")], rtol=1e-6)


def test_npz_file(tmp_path):
    path, values = tmp_path / "v.npz", np.random.default_rng(0).normal(size=(len(WORDS), 6))
    np.savez(path, words=np.array(WORDS), vectors=values)
    net = TSM.build(tiny(words=str(path), word_dim=0), NAMES)
    np.testing.assert_allclose(net.words.vectors[net.words.ids["sit"]], values[WORDS.index("sit")], rtol=1e-6)


def test_unknown_words(tmp_path, caplog):
    path = tmp_path / "glove.txt"
    glove(path, WORDS[:-3])
    with pytest.raises(UsageError, match=r"no vector for 'down', 'jump', 'sit'; .*unknown='hash'"):
        TSM.build(tiny(words=str(path), word_dim=0), NAMES)
    with caplog.at_level(logging.WARNING, "tal_engine"):
        net = TSM.build(tiny(words=str(path), word_dim=0, unknown="hash"), NAMES)
    assert "no vector for down, jump, sit: filled with hashed ones" in caplog.text
    assert net.words.vectors[net.words.ids["jump"]].abs().sum() > 0
    spoken = {"jump": "run", "sit down": "run the video"}
    TSM.build(tiny(words=str(path), word_dim=0, spoken=spoken), NAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no values in its first line"),
        ("run\n", "no values in its first line"),
        ("run one two\n", "not a file of word vectors"),
        ("a 1 2 3\nrun 1 2\n", "line 2: 'run' has 2 values, must have 3"),
        ("a 1 2 3\nrun 1 x 2\n", "line 2: the vector of 'run' is not numbers"),
        ("a 1 2 3\nrun 1 nan 2\n", "line 2: the vector of 'run' is not finite"),
        (b"a 1 2 3\n\xff\xfe 1 2 3\n", "not a"),
    ],
)
def test_malformed_text_files(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=message):
        TSM.build(tiny(words=str(path), word_dim=0), NAMES)


def test_malformed_npz_files(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(UsageError, match=r"not an archive \(\.npz\) with arrays 'words'|array '(words|vectors)'"):
        tiny(words=str(path), word_dim=0)
    np.savez(path, words=np.array(["a"]))
    with pytest.raises(UsageError, match=r"not an archive \(\.npz\) with arrays 'words'|array '(words|vectors)'"):
        tiny(words=str(path), word_dim=0)
    np.savez(path, words=np.array(["a", "b"]), vectors=np.zeros((3, 4)))
    with pytest.raises(UsageError, match="must have texts 'words'"):
        tiny(words=str(path), word_dim=0)
    np.savez(path, words=np.array(["a"], object), vectors=np.zeros((1, 4)))
    with pytest.raises(UsageError, match=r"not an archive \(\.npz\) with arrays 'words'|array '(words|vectors)'"):
        tiny(words=str(path), word_dim=0)


def test_missing_file_and_other_width(tmp_path):
    with pytest.raises(UsageError, match="no such file of word vectors"):
        tiny(words=str(tmp_path / "none.txt"), word_dim=0)
    glove(tmp_path / "glove.txt")
    with pytest.raises(UsageError, match="width 5, word_dim is 7"):
        TSM.build(tiny(words=str(tmp_path / "glove.txt"), word_dim=7), NAMES)


def test_loading_needs_no_file(tmp_path):
    """Shapes follow from config and vocabulary, vectors come with the weights."""
    path = tmp_path / "glove.txt"
    glove(path)
    config = tiny(words=str(path), word_dim=0)
    net = TSM.build(config, NAMES)
    path.unlink()
    again = TSM.build(config, NAMES)
    for use in (TSM.freeze, lambda n: n.loss(a_batch(TSM), 0)):
        with pytest.raises(UsageError, match="no such file of word vectors"):
            use(again)
    again.load_state_dict(net.state_dict())
    streams = a_batch(TSM).streams
    assert torch.equal(TSM.freeze(net)(**streams)["cas"], TSM.freeze(again)(**streams)["cas"])
    again.loss(a_batch(TSM), 0)


def test_hashed_words_say_what_they_are(caplog):
    net = tiny_net().train()
    assert TSM.Config().words == "hashed"
    assert TSM.Config().word_width == 300
    with caplog.at_level(logging.WARNING, "tal_engine"):
        net.loss(a_batch(TSM), 0)
        net.loss(a_batch(TSM), 1)
    assert [r.message for r in caplog.records if "hashed character n-grams" in r.message] == [caplog.messages[0]]


def test_hashed_words_are_deterministic_and_know_spelling():
    def near(a, b):
        x, y = hashed_vector(a, 300), hashed_vector(b, 300)
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    assert np.array_equal(hashed_vector("jump", 300), hashed_vector("jump", 300))
    assert near("jumping", "jump") > 0.2 > abs(near("jumping", "golf"))
    assert np.sqrt(np.mean(hashed_vector("jump", 300) ** 2)) == pytest.approx(0.4, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "pvlr"}, "base is 'pvlr', must be one of"),
        ({"consistency": "cosine"}, "consistency is 'cosine'"),
        ({"consistency": "shared", "base": "hamnet"}, "'shared' needs the attention of base 'co2'"),
        ({"sentence": "a video"}, r"must contain \[CLS\] once"),
        ({"prompts": 0}, "prompts is 0"),
        ({"width": 30, "vlc_heads": 4}, "width is 30"),
        ({"mlp_ratio": 0}, "mlp_ratio is 0, must be at least 1"),
        ({"feedforward": 0}, "feedforward is 0, must be at least 1"),
        ({"text_width": -8}, "text_width is -8, must be 0 or more"),
        ({"word_dim": -1}, "word_dim is -1, must be 0 or more"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(UsageError, match=message):
        TSM.Config(**changes)


def test_other_mistakes_are_named():
    with pytest.raises(UsageError, match="base_options of co2: unexpected keyword argument 'magic'"):
        TSM.build(small_config(TSM, base_options={"magic": 1}), NAMES)
    with pytest.raises(UsageError, match="heads is 3, must divide"):
        TSM.build(tiny(heads=3, text_width=8), NAMES)
    TSM.build(small_config(TSM, spoken={"!": "exclaim"}), Vocabulary(["!", "jump", "throw"]))
    for spoken, name, said in (({}, "!", "!"), ({"run": ""}, "run", ""), ({"run": "&"}, "run", "&")):
        with pytest.raises(UsageError, match=f"class name '{name}' has no words as it is said, '{said}'; .*spoken="):
            TSM.build(tiny(spoken=spoken), Vocabulary([name, "jump"]))
    with pytest.raises(TypeError, match="cannot freeze a Linear"):
        TSM.freeze(torch.nn.Linear(1, 1))
