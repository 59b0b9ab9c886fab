"""The confidence filter as a submission: a student learns from the pairs that its supervisor is sure of."""

import numpy as np


def mitigate(pairs, weak, features):
    confidence = np.maximum(weak, 1 - weak)
    keep = confidence > 0.75
    if not keep.any():  # a supervisor that is sure of nothing: the surer half
        keep = confidence >= np.median(confidence)
    return weak, keep
