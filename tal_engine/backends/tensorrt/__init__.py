"""TensorRT: builds, caches and runs engines. Has not run on a card yet."""
