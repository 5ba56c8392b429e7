"""Spins by enumeration: what a target of spins must agree with, in NumPy."""

import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp


class Posterior(NamedTuple):
    """What is known of the clean spins, given a noisy observation."""

    log_evidence: float
    mean: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray


def all_states(dim):
    return np.array(list(itertools.product([1.0, -1.0], repeat=dim)))


def curie_weiss_log_probs(states, beta, field):
    dim, total = states.shape[1], states.sum(1)
    pairs = np.einsum("si,sj->s", states, states) - dim
    logs = beta / (2 * dim) * pairs + field / dim * total
    return logs - logsumexp(logs)


def posterior(states, log_probs, y, variance):
    """Of points of any kind, with their log-probabilities."""
    logs = log_probs - np.sum((y - states) ** 2, 1) / (2 * variance)
    weights = np.exp(logs - logsumexp(logs))
    mean = weights @ states
    centred = states - mean
    norm = 0.5 * len(y) * np.log(2 * np.pi * variance)
    return Posterior(logsumexp(logs) - norm, mean, (weights[:, None] * centred).T @ centred, weights)
