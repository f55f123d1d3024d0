"""Features once, segments as often as you like: python examples/features_only.py my.mp4 my.npz [my.plan].

Features say what made them; an engine whose plan wants others refuses them.
"""

import sys

from tal_engine import TALEngine, TALError, load_features, save_features


def main(video, file, plan=None):
    with TALEngine.load(plan) as engine:
        save_features(file, engine.features(video))  # the slow part: decoding, flow, encoders
        features = load_features(file)
        print({name: array.shape for name, array in features.streams.items()}, features.timeline)
        all_of_them = engine.localize(file, min_score=-1e9)
        best = engine.localize(file, top_k=1)
    print(len(all_of_them), "segments, the best:", *best)
    return all_of_them, best


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
