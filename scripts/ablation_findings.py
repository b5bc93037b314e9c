"""What scripts/ablation.py concludes: a claim's verdict against the noise of the seeds."""

import bisect
import math

import numpy as np
from ablation_measures import COLUMNS

# The 97.5 % quantile of Student's t, {degrees of freedom: value}: NIST/SEMATECH e-Handbook of
# Statistical Methods, 1.3.6.7.2.
QUANTILES = dict(
    enumerate(
        (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
        + (2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)
        + (2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
        start=1,
    )
) | {40: 2.021, 60: 2.000, 100: 1.984}


def student(freedom):
    """The half width of a 95 % interval in standard errors, at so many degrees of freedom.

    Between two lines of the table, that of the fewer.
    """
    lines = list(QUANTILES)
    return QUANTILES[lines[bisect.bisect(lines, freedom) - 1]]


def verdict_of(claim, results):
    """(verdict, effect, noise) of a claim; effect and noise are nan if it was not measured.

    results: {variant: [metrics of each seed]}.  noise: the half width of the effect's 95 %
    confidence interval, from the variance within the variants that the claim is about, pooled, with
    (seeds - 1) degrees of freedom from each.  So a claim of which nothing is true is told as
    reproduced, or as not reproduced, one time in twenty.
    """
    values = {name: [one.get(claim.metric) for one in results[name]] for name in claim.contrast}
    if any(value is None for each in values.values() for value in each):
        return "not measured", math.nan, math.nan
    seeds = len(next(iter(values.values())))
    effect = float(sum(weight * np.mean(values[name]) for name, weight in claim.contrast.items()))
    if seeds < 2:
        return "undecided", effect, math.inf
    variance = np.mean([np.var(each, ddof=1) for each in values.values()])
    weights = np.array(list(claim.contrast.values()))
    error = math.sqrt(variance * (weights**2).sum() / seeds)
    noise = float(student((seeds - 1) * len(values)) * error)
    if effect > noise:
        return "reproduced", effect, noise
    return "not reproduced" if effect < -noise else "undecided", effect, noise


def finding(table, results):
    """The one sentence: reproduced, not reproduced, or undecided, and why."""
    all_tested = [(claim, *verdict_of(claim, results)) for claim in table.claims]
    order = ("not reproduced", "undecided", "not measured", "reproduced")
    verdict = min((each[1] for each in all_tested), key=order.index)
    reasons = []
    for claim, one, effect, noise in all_tested:
        alone = len(all_tested) == 1
        parts = [] if alone and one == verdict else [one]
        if one != "not measured":
            parts.append(f"{effect:+.3g} in {COLUMNS[claim.metric][0]}")
            parts.append(f"noise {noise:.2g}" if noise < math.inf else "one seed tells no noise")
        reasons.append(f"{claim.says} ({', '.join(parts)})" if parts else claim.says)
    told = "undecided within the noise of the seeds" if verdict == "undecided" else verdict
    return f"{told.capitalize()}: {'; '.join(reasons)}."
