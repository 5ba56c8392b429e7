"""What each variable and coordinate of a result is, in words that a reader of the file finds beside it."""

import xarray as xr

_NAMES = {
    "phi": "class agreement, E sum_k P(k|x)^2",
    "phi_theory": "class agreement of two Gaussian classes, in theory",
    "phi_true": "posterior of the class that a sample came from, E P(k_J|x)",
    "phi_level": "class agreement of the nodes of each level of the hierarchy",
    "phi_permuted": "class agreement of permuted labels",
    "phi_left_out": "posterior of the class of a datum, this datum left out",
    "overlap": "(phi - sum w^2) / (1 - sum w^2)",
    "overlap_left_out": "sum of squared class posteriors, the datum left out",
    "class_information": "I(C; X_t) / H(C)",
    "separation": "half the distance of the class means in units of the noise and of the classes",
    "label_weight": "share of each class among the ends",
    "phi_c": "datum agreement, E sum_mu w_mu^2",
    "copied": "share of ends that are copies, three times nearer to one datum than to any other",
    "excess_entropy": "excess entropy over alpha, E H(w) / log n",
    "own_weight": "posterior weight of the datum that a sample came from",
    "log_ratio": "E[L], L = log(Z_rest / Z_own)",
    "psi_theory": "E log Z_rest / d in the random-energy model",
    "lambda_c": "condensation point lambda_c of the random-energy model",
    "collapse_time": "collapse time by criterion, pooled and for each class",
    "variance_collapse": "noise variance of the collapse of n data, theory",
    "variance_low": "noise variance half a width below the collapse",
    "variance_high": "noise variance half a width above the collapse",
    "time_collapse": "Ornstein-Uhlenbeck time of the collapse of n data, theory",
    "effective_dimension": "directions that the noise leaves visible at the collapse, d_eff",
    "variance_measured": "noise variance where E[L] = 0, measured on a subset",
    "variance_label": "noise variance where the labels of a subset are decided",
    "verdict_speciation": "1 where labels are decided by speciation, 0 where not",
    "variance_collapse_of_dim": "noise variance of the collapse of n data in dimension dim, theory",
    "variance_few_data": "its limit for log n far below dim",
    "variance_many_data": "its limit for log n far above dim",
    "time_measured": "time where E[L] = 0, measured on a subset",
    "time_label": "time where the labels of a subset are decided",
    "n": "number of data",
    "log_n": "log of the number of data",
    "n_measured": "number of data of a measured subset",
    "dim": "dimension d of a law of the same shape",
    "log_snr": "log of signal over noise variance, -log v",
    "ddpm_index": "index of the linear DDPM schedule of 1000 steps, from 0",
    "vp_linear": "u of the continuous linear variance-preserving schedule",
    "flow_matching": "u of the straight path (1 - u) a + u noise",
    "information": "information of the noisy data by I-MMSE, in nats",
    "information_linear": "that of the linear denoiser, in closed form",
    "mse": "mean square error of the denoiser",
    "integrand": "information a unit of log v",
    "generalisation_gap": "integrand of new points less that of points trained on",
    "generalisation_gap_integral": "information by new points less that by points trained on",
    "variance": "noise variance v of the channel",
    "node_time": "time of the process at this noise",
    "kept": "probability of ending in the class that was told above t",
    "crossing_time": "where the agreement passes its threshold",
    "crossing": "the crossing",
    "guidance": "weight of the guidance above t",
    "quality": "quality of the samples, less is better",
    "curvature": "second derivative in t of the smoothed quality",
    "bifurcation_time": "where the quality bends most",
    "start_divergence": "relative entropy of the noised data with respect to the start",
    "generated_kullback_leibler": "relative entropy of what is generated with respect to the target",
    "generated_wasserstein": "squared Wasserstein distance of what is generated from the target",
    "evaluations": "calls of the denoiser for a sample",
    "start": "law of the start: the Gaussian of the data, or the prior",
    "sampler": "how samples move",
    "steps": "steps from the start to the end",
    "measure": "name of the quality",
    "label_weight_true": "weight of each class in the target",
    "deficit": "total variation of the generated weights from the true ones",
    "label": "number of the class",
    "criterion": "what a collapse time is named by",
    "group": "all data, or those of one class",
    "quantile": "quantile over data points",
}
# What an ending adds to the words of the name without it. The first that fits is taken.
_ENDINGS = {
    "_stderr_data": "standard error over data sets of: {}",
    "_stderr": "standard error of: {}",
    "_bias": "change from the halved grid of: {}",
    "_excess": "excess over the posterior of the points that the clones left of: {}",
    "_class": "{}, by class",
    "_clones": "{}, by clones",
    "_sampler": "{}, by a sampler that is not the time reversal",
    "_hard": "{}, of hard labels",
    "_training": "{}, of points trained on",
    "_low": "lower end of the 95 % interval of: {}",
    "_high": "upper end of the 95 % interval of: {}",
}


def long_name(name: str) -> str | None:
    """The words for a name, or for the name without its endings; None for one that is not known."""
    if name in _NAMES:
        return _NAMES[name]
    for ending, words in _ENDINGS.items():
        if name.endswith(ending):
            base = long_name(name.removesuffix(ending))
            return None if base is None else words.format(base)
    return None


def with_long_names(ds: xr.Dataset) -> xr.Dataset:
    """The result with a `long_name` at every variable that has none and whose name is known."""
    for name, variable in ds.variables.items():
        words = long_name(str(name))
        if words is not None:
            variable.attrs.setdefault("long_name", words)
    return ds
