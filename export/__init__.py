"""From checkpoints to plans: freeze, convert to ONNX, compare, bundle. Installed as tal_engine.export."""
