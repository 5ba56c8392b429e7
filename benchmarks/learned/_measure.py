"""What is measured of a trained network."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import xarray as xr

import diffphys as dp
from diffphys import learn

from ._studies import Study, split

OU = dp.OrnsteinUhlenbeck()


def measure(study: Study, folder: Any, clones: int, say: Callable[[str], None]) -> tuple[dict[str, Any], dict]:
    """Trains the network of a study and measures its regimes: numbers for a table, and data sets for figures."""
    data, trained = split(study)
    points, labels = data.points[trained], data.labels[trained]
    began = time.perf_counter()
    shape = data.shape if isinstance(study.network, learn.UNetConfig) else points.shape[1:]
    objective = None
    if study.levels is not None:
        gaussian = learn.GaussianPreconditioning.fit(points)
        objective = learn.DenoisingScoreMatching(study.levels, gaussian.relative_weight)
    model = learn.train(
        points, study.network, study.training, shape=shape, objective=objective, checkpoint=folder, resume=True
    )
    seconds = time.perf_counter() - began
    say(f"trained in {seconds:.0f} s, loss {float(model.history.loss[-100:].mean()):.4f} (linear: 1)")
    denoise, target = model.denoiser, dp.Empirical(points, labels)
    scale = float(denoise.preconditioning.scale)
    top = OU.time_of_variance(400 * scale)
    found: dict[str, Any] = {
        "title": study.title, "n": len(points), "d": points.shape[1], "training_seconds": seconds,
        "training_steps": study.training.steps, "loss": float(model.history.loss[-100:].mean()),
        "eigenvalue": scale, "spectral_time": 0.5 * np.log(scale),
    }  # fmt: skip
    kept: dict[str, xr.Dataset] = {}
    sampler = dp.Bridge(OU, denoise)
    if study.speciation:
        classify = learn.train_classifier(data.points, data.labels, shape=data.shape)
        say(f"classifier: {classify.accuracy:.4f} right")
        kept["speciation"] = dp.speciation(
            target, OU, study.speciation, key=jax.random.key(1), clones=clones, sampler=sampler, trunk_from=top,
            classify=classify, steps=48,
        )  # fmt: skip
        a = kept["speciation"].attrs
        found |= {"classifier_accuracy": classify.accuracy} | {
            name: value for name, value in a.items() if "crossing" in name or "threshold" in name or "floor" in name
        }
        say(f"t_S {a['spectral_time']:.4f}; crossing of the model {a['crossing_time_hard_clones']:.4f} "
            f"[{a['crossing_low_hard_clones']:.4f}, {a['crossing_high_hard_clones']:.4f}]; of the exact score "
            f"{a['crossing_time']:.4f}")  # fmt: skip
    if study.collapse:
        kept["collapse"] = dp.collapse(
            target, OU, study.collapse, key=jax.random.key(2), clones=clones, sampler=sampler, trunk_from=top, steps=48,
            trajectories=clones,
        )  # fmt: skip
        a = kept["collapse"].attrs
        found |= {name: value for name, value in a.items() if "phi_c" in name or "last_change" in name}
        times = kept["collapse"].collapse_time[:, 0]
        found |= {f"collapse_{name}": float(times.sel(criterion=name)) for name in times.criterion.values}
        found |= copies(denoise, points, data.points[~trained], top)
        say(f"phi_C = 1/2: model {a['phi_c_half_time_hard_clones']:.4f}, exact score "
            f"{found['collapse_phi_c_half']:.4f}; copies {found['copied_fraction']:.3f}")  # fmt: skip
    return found, kept


def copies(denoise: Any, training: np.ndarray, held_out: np.ndarray, top: float) -> dict[str, float]:
    """The share of generated images that are copies of training images."""
    sampler = dp.DPMSolverMultistep(OU, denoise)
    ts = dp.clocks.log_snr_grid(top, 0.01, 30)
    generated = dp.generate(sampler, ts, key=jax.random.key(3), number=512, dim=training.shape[1])
    found = dp.memorisation(generated, training, held_out=held_out)
    names = {"fraction": "copied_fraction", "fraction_stderr": "copied_fraction_stderr",
             "fraction_held_out": "copied_fraction_held_out", "nearer": "probability_nearer"}  # fmt: skip
    return {ours: float(found[theirs]) for theirs, ours in names.items()}
