"""Population stability: PSI of the score and CSI of a feature, and how large either gets without any drift.

PSI = sum over bins of (q - r) ln(q / r), with r and q the shares of the development sample and of the current rows
(N. Siddiqi, Credit Risk Scorecards, Wiley 2006). CSI is the same sum for one characteristic. By convention a value
below 0.10 is stable, up to 0.25 worth watching, above it calls for action.

The convention knows no sample size. Without drift PSI is about (1/n + 1/N) times a chi-square with B - 1 degrees of
freedom (B. Yurdakul, Statistical Properties of Population Stability Index, Western Michigan University 2018), so 50
rows in ten bins give 0.18 on average and pass 0.25 every fifth time. `chi_square_limit` is that approximation. It is
off where it matters most: an empty bin adds ln(n) rather than a square, so at n = 50 the 99.9 % point of ten equal
bins is 0.82 and not 0.57, while many rare bins put it too high. `null_limit` therefore draws the limit from the bins'
own shares and uses the approximation only to see that drawing would make no difference.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from credit_default.core.statistics.bins import Counts, Floats

#: Siddiqi's two marks.
PSI_WATCH = 0.10
PSI_ALERT = 0.25

#: Pseudo-rows by which the current shares are pulled to the reference, so that an empty bin has a logarithm.
_PULL = 1.0
#: Pseudo-rows a bin of the reference gets for the same reason (Jeffreys).
_JEFFREYS = 0.5
_DRAWS = 20_000
#: The chi-square limit is too low by less than this factor: 2.8 was the worst seen in simulations from n = 5 and
#: N = 300 up.
_SAFETY = 3.5
#: Limits are drawn at sizes a tenth apart and shared between days of nearly the same size.
_STEP = 1.1


def population_stability_index(reference: npt.ArrayLike, current: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """PSI of counts over the same bins.

    Parameters
    ----------
    reference, current
        Rows in each bin, shape (..., bins); leading axes broadcast. ``current`` needs one row at least.

    Returns
    -------
    array of shape (...)
        Zero when the shares agree. Always finite: the reference gets half a row in every bin, and the current
        shares are those of ``current`` plus one row spread as the reference is. A sample without drift is so
        pulled to zero, where the usual constant in empty bins would push it away from it.
    """
    r = _shares(np.asarray(reference, dtype=np.float64))
    counts = np.asarray(current, dtype=np.float64)
    q = (counts + _PULL * r) / (counts.sum(axis=-1, keepdims=True) + _PULL)
    index: Floats = ((q - r) * np.log(q / r)).sum(axis=-1)
    return index


def chi_square_limit(reference: npt.ArrayLike, n: int, confidence: float) -> float:
    """Yurdakul's approximation of what PSI stays below without drift; see the module for where it fails.

    Bins that are empty in the reference do not count as bins.
    """
    counts = np.asarray(reference, dtype=np.float64)
    degrees = max(int(np.count_nonzero(counts)) - 1, 1)
    scale = 1 / n + 1 / max(counts.sum(), 1.0)
    # The quantile of chi-square, without the second that importing `scipy.stats` takes.
    return float(2 * gammaincinv(degrees / 2, confidence) * scale)


def null_limit(reference: npt.ArrayLike, n: int, *, confidence: float, at_least: float = 0.0) -> float:
    """Draw what PSI stays below, with a given confidence, when ``n`` rows come from the reference's population.

    Both samples are drawn (20,000 times, from a fixed seed), so that a small reference is allowed its own noise.

    Parameters
    ----------
    reference
        Rows of the reference in each bin, shape (bins,).
    n
        Current rows, 1 or more. The limit is that of a size up to a tenth smaller, which is a little higher.
    confidence
        Chance of staying below; up to about 0.9995 (ten of the 20,000 draws lie above).
    at_least
        A floor under the limit. Where the sample is far too large for the limit to reach it, nothing is drawn.
    """
    counts = np.asarray(reference, dtype=np.int64)
    if _SAFETY * chi_square_limit(counts, n, confidence) < at_least:
        return at_least
    return max(at_least, _drawn_limit(tuple(counts.tolist()), _rounded_down(n), confidence))


@lru_cache(maxsize=4096)
def _drawn_limit(reference: tuple[int, ...], n: int, confidence: float) -> float:
    generator = np.random.default_rng(20_090_618)
    shares = _shares(np.asarray(reference, dtype=np.float64))
    references: Counts = generator.multinomial(sum(reference), shares, size=_DRAWS)
    currents: Counts = generator.multinomial(n, shares, size=_DRAWS)
    return float(np.quantile(population_stability_index(references, currents), confidence))


def _shares(counts: Floats) -> Floats:
    filled = counts + _JEFFREYS
    shares: Floats = filled / filled.sum(axis=-1, keepdims=True)
    return shares


def _rounded_down(n: int) -> int:
    step = int(log(n) / log(_STEP) + 1e-9)
    return ceil(_STEP**step)
