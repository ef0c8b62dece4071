"""Somebody else's ways to the uncertainty of an ensemble: what everyone writes, and libraries of the field."""

from __future__ import annotations

import itertools


def torch_three_lines(members, from_logits):
    """Mean, entropy of the mean, mean of entropies, and the difference, as they are written: p log(p + epsilon)."""
    import torch

    given = torch.from_numpy(members)
    p = given.softmax(-1) if from_logits else given
    mean = p.mean(0)
    predictive = -(mean * torch.log(mean + 1e-12)).sum(-1)
    expected = -(p * torch.log(p + 1e-12)).sum(-1).mean(0)
    mutual = predictive - expected
    found = {"predictive_entropy": predictive, "expected_entropy": expected, "mutual_information": mutual}
    return {name: values.numpy() for name, values in found.items()}


def torch_entr(members, from_logits):
    """The same by torch.special.entr, which few write and which takes no epsilon."""
    import torch

    given = torch.from_numpy(members)
    p = given.softmax(-1) if from_logits else given
    predictive = torch.special.entr(p.mean(0)).sum(-1)
    expected = torch.special.entr(p).sum(-1).mean(0)
    mutual = predictive - expected
    found = {"predictive_entropy": predictive, "expected_entropy": expected, "mutual_information": mutual}
    return {name: values.numpy() for name, values in found.items()}


def torch_all_seven(members, from_logits):
    """The same and the other four."""
    import torch

    given = torch.from_numpy(members)
    p = given.softmax(-1) if from_logits else given
    mean = p.mean(0)
    top = mean.max(-1)
    predictive = torch.special.entr(mean).sum(-1)
    expected = torch.special.entr(p).sum(-1).mean(0)
    votes = torch.zeros_like(mean)
    votes.scatter_add_(1, p.argmax(-1).T, torch.ones(p.shape[1], p.shape[0], dtype=p.dtype))
    found = {
        "max_probability": top.values,
        "softmax_variance": p.var(0, correction=0).mean(-1),
        "predictive_entropy": predictive,
        "expected_entropy": expected,
        "mutual_information": predictive - expected,
        "variation_ratio": 1 - votes.max(-1).values / len(p),
    }
    return {name: values.numpy() for name, values in found.items()}


def scipy_three_lines(members, from_logits):
    """As torch's three lines."""
    from scipy.special import entr, softmax

    p = softmax(members, axis=-1) if from_logits else members
    predictive = entr(p.mean(axis=0)).sum(axis=-1)
    expected = entr(p).sum(axis=-1).mean(axis=0)
    mutual = predictive - expected
    return {"predictive_entropy": predictive, "expected_entropy": expected, "mutual_information": mutual}


def scipy_divergence(members, from_logits):
    """Squares of scipy's distances of Jensen and Shannon, over all pairs."""
    from scipy.spatial.distance import jensenshannon
    from scipy.special import softmax

    p = softmax(members, axis=-1) if from_logits else members
    pairs = list(itertools.combinations(range(len(p)), 2))
    return sum(jensenshannon(p[i], p[j], axis=1) ** 2 for i, j in pairs) / len(pairs)


def of_one_model(summary):
    """From a summary of softmax rows to what is high where a model is unsure."""

    def compute(y_true, logits, sample_weight):
        found = summary(y_true, logits, sample_weight)
        signs = {"max": "confidence", "energy": "logsumexp", "margin": "margin"}
        return {"entropy": found["entropy"], **{name: -found[what] for name, what in signs.items()}}

    return compute
