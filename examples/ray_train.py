"""Train a head on several machines by Ray Train: the same processes as torchrun's, started by a cluster.

    pip install 'ray[train]'                                           # beside tal_engine[train]
    python examples/ray_train.py sim/data.yaml ckpt 2                  # data, checkpoint (on every node), processes

What it trains equals `torchrun --nproc-per-node 2 $(which tal) train co2 ...` with the same options.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def work(wanted: dict[str, str]) -> None:
    """Train in one of the processes; Ray Train has joined them, and `tal_engine` finds them joined."""
    from tal_engine.lab.data.dataset import open_dataset
    from tal_engine.lab.data.description import read_description
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training import recipe
    from tal_engine.lab.training.runs import train_head
    from tal_engine.lab.training.training_options import TrainOptions

    method, data = load_method("co2"), open_dataset(Path(wanted["data"]))
    settings = recipe.recipe(method, read_description(Path(wanted["data"])).recipe)
    config, _ = recipe.on_data(method, method.Config(**settings.config), data, None, set(settings.config))
    options = TrainOptions(**settings.train | {"steps": int(wanted["steps"])})
    train_head(method, config, options, data, Path(wanted["output"]))


def main(data: str, output: str, workers: str = "2", steps: str = "500") -> None:
    """Start the processes and wait for them."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") != ""
    wanted = {"data": str(Path(data).absolute()), "output": str(Path(output).absolute()), "steps": steps}
    scaling = ScalingConfig(num_workers=int(workers), use_gpu=gpus)
    TorchTrainer(work, train_loop_config=wanted, scaling_config=scaling, run_config=RunConfig(name="tal")).fit()


if __name__ == "__main__":
    main(*sys.argv[1:])
