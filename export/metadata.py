"""What a bare ``.onnx`` says of itself: name, method, precision and class names, in the model's metadata.

Nobody has to carry the manifest along; ONNX Runtime gives them as ``session.get_modelmeta().custom_metadata_map``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._util.extras import need


def labelled(content: bytes, *, name: str, method: str, precision: str, vocabulary: Sequence[str]) -> bytes:
    """Add the description to the graph; values under the same keys are replaced.

    `names` is a JSON list: class names may hold commas. The ids of labels are positions in it.
    """
    onnx = need("onnx")
    model = onnx.load_from_string(content)
    kept = {p.key: p.value for p in model.metadata_props}
    own = {"plan": name, "method": method, "precision": precision, "task": "temporal-action-localization"}
    onnx.helper.set_model_props(model, {**kept, **own, "names": json.dumps(list(vocabulary), ensure_ascii=False)})
    return bytes(model.SerializeToString())
