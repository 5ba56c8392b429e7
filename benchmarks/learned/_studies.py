"""The studies: which images, which network, which times."""

import dataclasses
from typing import Any

import numpy as np

import diffphys as dp
from diffphys import learn

Times = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Study:
    """A network trained on images, and what is measured of it.

    Args:
        title: what it is, in words.
        data: arguments of `load`.
        network: its size on an accelerator.
        training: its training there.
        speciation: times of clones that are read by class; none for no such clones.
        collapse: times of clones that are read by datum.
        held_out: images of each class that are not trained on.
        levels: the noise it is trained at; by default all levels alike.
    """

    title: str
    data: dict[str, Any]
    network: learn.UNetConfig | learn.MLPConfig
    training: learn.TrainingConfig
    speciation: Times = ()
    collapse: Times = ()
    held_out: int = 0
    levels: learn.AbstractLevels | None = None


_WIDE = learn.UNetConfig(64, (1, 2, 2), blocks=2, attention=(8,), compute="bfloat16")
_PAIR = {"source": "mnist", "classes": [1, 8], "pad": 32}

STUDIES = {
    "mnist-1-8": Study(
        "MNIST, 1 and 8, 5000 of each, 32 x 32, in [0, 1]: Figure 4 of the paper",
        _PAIR | {"per_class": 5000},
        _WIDE,
        learn.TrainingConfig(steps=3000, batch=512, learning_rate=1e-3, ema=0.999, save_every=1000),
        speciation=(0.5, 0.65, 0.75, 0.85, 0.95, 1.05, 1.15, 1.3, 1.5, 1.8),
    ),
    "mnist-200": Study(
        "MNIST, 1 and 8, 100 of each, 32 x 32, in [0, 1]: a small set, as in Figure 5",
        _PAIR | {"per_class": 600},
        _WIDE,
        learn.TrainingConfig(steps=8000, batch=200, learning_rate=1e-3, ema=0.999, save_every=1000),
        collapse=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2),
        held_out=500,
        # Around the collapse, sigma = 1.2 at t = 0.45: there it is learned late, and the rest is easy.
        levels=learn.LogNormalLevels(0.2, 0.9),
    ),
    "cars-horses": Study(
        "CIFAR-10, automobile and horse, 3000 of each, colours, in [0, 1]",
        {"source": "cifar10", "classes": ["automobile", "horse"], "per_class": 3000},
        _WIDE,
        learn.TrainingConfig(steps=3000, batch=512, learning_rate=1e-3, ema=0.999, save_every=1000),
        speciation=(0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0),
    ),
}


def small(study: Study, steps: int) -> Study:
    """The study for a CPU, or to see that it works: a small network, few steps.

    Few images are learned by heart by a network of vectors, which is far cheaper than one of images.
    """
    size = learn.MLPConfig(512, 4) if study.held_out else learn.UNetConfig(32, (1, 2), patch=2)
    plan = {"steps": steps, "batch": min(128, study.training.batch), "save_every": max(1, steps // 4)}
    training = dataclasses.replace(study.training, learning_rate=2e-3, **plan)
    return dataclasses.replace(study, network=size, training=training)


def split(study: Study) -> tuple[dp.LabelledData, np.ndarray]:
    """The images of a study, and which of them are trained on."""
    data = dp.load(**study.data)
    trained = np.ones(len(data.labels), bool)
    for k in range(len(data.classes)):
        rows = np.flatnonzero(data.labels == k)
        trained[rows[len(rows) - study.held_out :]] = study.held_out == 0
    return data, trained
