"""Names of open_clip: towers built alone, pixels of published tags, tokenizers from folders, texts of every kind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tal_engine.errors import CheckpointError, ExportError, UsageError
from tal_engine.export.encoder_graphs import encoder_graph, weights_hash
from tal_engine.export.text_tower import tower_graph
from tal_engine.lab.nn.clip import ClipText, load_clip_text
from tal_engine.lab.nn.clip_image import ClipImage, load_clip_image
from tal_engine.lab.nn.encoders import NATIVE, open_parts, parse
from tal_engine.lab.nn.open_clip_models import find
from tal_engine.lab.nn.tokens import ClipTokenizer, FolderTokenizer, tokenizer_of
from tal_engine.texts.tokenizer import TokenizerJson, rows_of

open_clip = pytest.importorskip("open_clip")
Image = pytest.importorskip("PIL.Image")

VIT = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
#: Kinds of text towers, as the published configurations have them.
TEXTS = {
    "Kind-CLIP": TEXT,
    "Kind-MobileCLIP": TEXT | {"no_causal_mask": True},
    "Kind-SigLIP": TEXT | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "vocab_size": 100},
    "Kind-NoProjection": TEXT | {"no_causal_mask": True, "pool_type": "last", "proj_type": "none", "width": 16},
    "Kind-CoCa": TEXT | {"embed_cls": True, "output_tokens": True},
}
#: The part of a CoCa that writes captions, which no tower needs.
CAPTIONS = {"context_length": 12, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1}


@pytest.fixture(scope="module", autouse=True)
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for name, text in TEXTS.items():
        config = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": text, "custom_text": name != "Kind-CLIP"}
        if "CoCa" in name:
            config["vision_cfg"] = VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
            config["multimodal_cfg"] = CAPTIONS
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def model(name):
    torch.manual_seed(0)
    found = open_clip.create_model(name, load_weights=False).eval()
    with torch.no_grad():
        for p in found.parameters():
            p.add_(torch.randn(p.shape) * 0.05)
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_kind_of_text_tower_is_open_clips(name, tmp_path):
    """From a file, with texts of several lengths: the numbers of encode_text."""
    whole = model(name)
    torch.save(whole.state_dict(), tmp_path / "w.pt")
    tower = load_clip_text(name, tmp_path / "w.pt")
    texts = ["a person", "someone opens a door", "x"]
    rows = torch.from_numpy(rows_of(tower.tokenizer, texts, tower.context))
    if TEXTS[name]["vocab_size"] == 100:
        rows = torch.where(rows < 49000, rows % 90, rows - 49406 + 97)
    start, stop, pad = (int(rows[0, 0]), int(rows[0, 3]), 0)
    end = (rows == stop).int().argmax(1)
    with torch.no_grad():
        wanted = whole.encode_text(rows, normalize=False)
        found = tower.encode(tower.embed_tokens(rows), end)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        if TEXTS[name]["vocab_size"] > 100:
            assert (start, stop, pad) == tower.special
            torch.testing.assert_close(tower(texts), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Kind-SigLIP", "Kind-CoCa"])
def test_text_towers_become_graphs(name):
    tower = ClipText(model(name), Low() if name == "Kind-SigLIP" else None)
    _, parity = tower_graph(tower)
    assert parity["tensor"] < 1e-5


class Low:
    """A tokenizer of few numbers, whose end is its padding, as SigLIP's is."""

    special = (None, 1, 1)

    def encode(self, text):
        return [3 + ord(c) % 60 for c in text]

    def stored(self):
        return b"{}", "none"


@pytest.mark.parametrize("name", ["Kind-CLIP", "Kind-MobileCLIP", "Kind-CoCa"])
def test_image_towers_are_built_alone(name, tmp_path):
    whole = model(name)
    torch.save(whole.state_dict(), tmp_path / "w.pt")
    tower = load_clip_image(name, tmp_path / "w.pt")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(tower.embed(x), whole.encode_image(x, normalize=False))
    assert tower.dim == 16
    assert weights_hash(tower) == weights_hash(ClipImage(whole))


@pytest.mark.parametrize("name", ["MobileCLIP2-S0", "PE-Core-T-16-384"])
def test_todays_small_towers_export(name):
    """What ended in an AttributeError: towers of timm, with pixels of their own."""
    import encoder_names

    net = ClipImage(encoder_names.stirred(find(name).image_tower()), find(name).pixels())
    record, _ = encoder_graph(net, name, "clip", NATIVE, net.describe(16))  # its gate: other sizes, other batches
    assert record.dim == 512
    assert "bilinear, antialiased" in record.preprocess["size"]
    assert encoder_names.pixels_differ(name, net) < 0.01


def test_pixels_of_every_published_tag():
    """What is recorded is what open_clip's own transform is made of."""
    checked = 0
    for name in (n for n in open_clip.list_models() if not n.startswith(("Kind-", "Small-"))):
        kinds = set()
        for tag in open_clip.list_pretrained_tags_by_model(name):
            wanted = open_clip.get_pretrained_cfg(name, tag)
            found = find(f"{name}@{tag}").pixels()
            for field in ("mean", "std", "interpolation", "resize_mode"):
                assert found[field] == wanted[field], (name, tag, field)
            kinds.add(repr(found))
            checked += 1
        if len(kinds) > 1:
            with pytest.raises(UsageError, match=f"the published weights of {name} prepare pixels differently; say"):
                find(name).pixels()
        else:
            assert find(name).pixels()["mean"]
    assert checked > 100


@pytest.mark.parametrize(("mode", "method"), [("squash", "bilinear"), ("shortest", "bilinear"), ("squash", "bicubic")])
def test_pixels_are_open_clips(mode, method):
    settings = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": method, "resize_mode": mode}
    tower = torch.nn.Identity()
    tower.image_size = (64, 64)
    prepare = ClipImage(tower, settings).prepare
    transform = open_clip.image_transform((64, 64), is_train=False, **settings)
    for seed, size in enumerate(((90, 140), (50, 81))):
        picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        gap = (prepare(torch.from_numpy(picture)[None])[0] - transform(Image.fromarray(picture))).abs() * 127.5
        assert float(gap.max()) < 1.001  # a level, where Pillow's fixed point rounds to the other side
        assert float((gap > 0.01).float().mean()) < 0.01


def test_names_and_tags_that_are_unknown():
    with pytest.raises(UsageError, match=r"unknown weights 'x' of ViT-L-14; published are: openai, "):
        find("ViT-L-14@x")
    assert find("ViT-L/14").name == "ViT-L-14"
    with pytest.raises(UsageError, match="texts of roberta-ViT-B-32 are read by the hub's roberta-base"):
        find("roberta-ViT-B-32").text_tower()


def test_a_tower_that_no_file_holds_is_refused_before_the_work():
    with torch.device("meta"):
        net = torch.nn.Linear(40_000, 20_000)
    net.reads = "frames"
    with pytest.raises(ExportError, match=r"its weights take 3\.2 GB; an ONNX file holds 2\.1 GB"):
        encoder_graph(net, "big", "clip", NATIVE)


# -- tokenizers ----------------------------------------------------------------------------------


def test_a_tokenizer_of_a_hub_is_asked_for_before_anything_is_loaded(tmp_path):
    name = "ViT-B-32-SigLIP2-256"
    with pytest.raises(UsageError, match=r"by timm/ViT-B-32-SigLIP2-256 of a hub, and nothing is downloaded: give"):
        load_clip_text(name, tmp_path / "absent.pt")
    with pytest.raises(UsageError, match="ViT-B-32 brings its own tokenizer, none is needed"):
        tokenizer_of(find("ViT-B-32"), tmp_path)
    with pytest.raises(CheckpointError, match=r"not a tokenizer's folder, with tokenizer\.json"):
        open_parts(parse(f"clip:{name}"), {"clip": tmp_path / "absent.pt", "tokenizer": tmp_path}, NATIVE)


@pytest.fixture
def folder(tmp_path):
    """A small tokenizer in the layout of a hub's: words, an end token, no start, as SigLIP's has."""
    t = pytest.importorskip("tokenizers")
    words = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", "a", "push", "up", "pushup", "person"])}
    made = t.Tokenizer(t.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = t.pre_tokenizers.Whitespace()
    made.post_processor = t.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.enable_truncation(2)
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "</s>"}}))
    return tmp_path


def test_a_tokenizers_folder(folder):
    found = FolderTokenizer(folder, "canonicalize")
    assert found.special == (None, 1, 1)
    assert found.encode("A  Person: push-up!") == [3, 7, 6]
    assert rows_of(found, ["a person push up"], 4).tolist() == [[3, 7, 4, 1]]
    assert FolderTokenizer(folder, strip_end=True).special == (None, 0, 1)
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="pad_token"):
        FolderTokenizer(folder)


def test_clips_tokens_are_the_same_at_run_time():
    pytest.importorskip("tokenizers")
    own = ClipTokenizer()
    content, clean = own.stored()
    stored = TokenizerJson(content, own.special, clean)
    for text in (
        "a person doing push-ups",
        "Someone's 3 cats & dogs!!",
        "  Straße, naïve café  ",
        "日本語 text",
        "it'll",
    ):
        assert stored.encode(text) == own.encode(text)
    with pytest.raises(ValueError, match=r"not a tokenizer\.json"):
        TokenizerJson(b"{}", own.special)


def test_an_unknown_end_is_refused(folder):
    t = pytest.importorskip("tokenizers")
    made = t.Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.post_processor = t.processors.TemplateProcessing(single="$A", special_tokens=[])
    made.save(str(folder / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="adds 0 tokens before a text and 0 behind it"):
        FolderTokenizer(folder)
