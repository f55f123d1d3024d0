"""What open_clip knows of a name: its configuration, its published pixels, and each tower built alone, without weights.

A tower alone takes half of the memory, and an image tower never asks a hub for the text model beside it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..._util.extras import need
from ...errors import UsageError

#: What follows a name: the weights whose pixels are meant, as open_clip calls them.
TAG = "@"
#: What of a published tag says how pixels are prepared; the size is the network's.
_PIXELS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True)
class OpenClipModel:
    """An architecture of open_clip, and the published weights that are meant, "" for any.

    Example:
        >>> find("ViT-H-14@dfn5b").pixels()["resize_mode"]
        'squash'
    """

    name: str
    tag: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """A copy of open_clip's configuration; nothing in it fetches weights."""
        config = copy.deepcopy(need("open_clip").get_model_config(self.name))
        config["vision_cfg"]["timm_model_pretrained"] = False
        config["text_cfg"]["hf_model_pretrained"] = False
        return dict(config)

    def pixels(self) -> dict[str, Any]:
        """Return mean, std, interpolation and resize mode of the tag; without one, those that all tags share.

        Raises:
            UsageError: no tag is given and the published weights of this name prepare pixels differently.
        """
        open_clip, default = need("open_clip"), need("open_clip.transform").PreprocessCfg()
        base = {k: getattr(default, k) for k in _PIXELS}
        tags = [self.tag] if self.tag else open_clip.list_pretrained_tags_by_model(self.name)
        found: dict[str, dict[str, Any]] = {}
        for tag in tags:
            published = open_clip.get_pretrained_cfg(self.name, tag)
            found[tag] = base | {k: published[k] for k in _PIXELS if published.get(k) is not None}
        kinds = list({repr(p): p for p in found.values()}.values()) or [base]
        if len(kinds) > 1:
            raise UsageError(
                f"the published weights of {self.name} prepare pixels differently; say which these are, such as "
                f"{self.name}{TAG}{tags[0]}: {', '.join(tags)}"
            )
        return kinds[0]

    def image_tower(self, quick_gelu: bool = False) -> nn.Module:
        """Build the image tower; its `image_size` is an int or (height, width)."""
        config = self.config
        build = need("open_clip.model")._build_vision_tower
        tower: nn.Module = build(
            config["embed_dim"], config["vision_cfg"], quick_gelu or config.get("quick_gelu", False)
        )
        return tower

    def text_tower(self, quick_gelu: bool = False) -> nn.Module:
        """Build the text tower.

        Raises:
            UsageError: it is a model of a hub.
        """
        config = self.config
        hub = config["text_cfg"].get("hf_model_name")
        if hub:
            raise UsageError(
                f"the texts of {self.name} are read by the hub's {hub}, which is not supported: images only"
            )
        build = need("open_clip.model")._build_text_tower
        tower: nn.Module = build(config["embed_dim"], config["text_cfg"], quick_gelu or config.get("quick_gelu", False))
        return tower

    @property
    def hub_tokenizer(self) -> str:
        """The hub's name of its tokenizer; "" where open_clip brings it."""
        return str(self.config["text_cfg"].get("hf_tokenizer_name") or "")


def find(name: str) -> OpenClipModel:
    """Find a model by its name, in OpenAI's spelling or open_clip's, perhaps with @TAG.

    Raises:
        UsageError: unknown name or tag; the message lists what is like it.
    """
    open_clip = need("open_clip")
    wanted, _, tag = name.replace("/", "-").partition(TAG)
    models = open_clip.list_models()
    if wanted not in models:
        close = [m for m in models if m.lower().startswith(wanted.lower()[:4])]
        raise UsageError(f"unknown CLIP architecture {wanted!r}; like it: {', '.join(close[:12]) or 'none'}")
    tags = open_clip.list_pretrained_tags_by_model(wanted)
    if tag and tag not in tags:
        raise UsageError(f"unknown weights {tag!r} of {wanted}; published are: {', '.join(tags) or 'none'}")
    return OpenClipModel(wanted, tag)
