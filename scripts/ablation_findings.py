"""What scripts/ablation.py concludes: a claim's verdict against the noise of the seeds, a table's
finding, and the page that puts the findings of all tables together."""

import bisect
import collections
import json
import math

import numpy as np
from ablation_measures import COLUMNS

from tinyalbert.files.writing import replacing

VERDICTS = ("not reproduced", "undecided", "not measured", "reproduced")  # as they are told

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
    verdict = "undecided"
    if effect > noise:
        verdict = "reproduced"
    elif effect < -noise:
        verdict = "not reproduced"
    return verdict, effect, noise


def finding(table, results):
    """The one sentence: reproduced, not reproduced, or undecided, and why."""
    all_tested = [(claim, *verdict_of(claim, results)) for claim in table.claims]
    verdict = min((each[1] for each in all_tested), key=VERDICTS.index)
    reasons = []
    for claim, one, effect, noise in all_tested:
        alone = len(all_tested) == 1
        parts = [] if alone and one == verdict else [one]
        if one != "not measured":
            parts.append(f"{effect:+.3g} in {COLUMNS[claim.metric][0]}")
            parts.append(f"noise {noise:.2g}" if noise < math.inf else "one seed tells no noise")
        reasons.append(f"{claim.says} ({', '.join(parts)})" if parts else claim.says)
    told = "undecided within the noise of the seeds" if verdict == "undecided" else verdict
    sentence = f"{told.capitalize()}: {'; '.join(reasons)}."
    return f"{sentence} {table.remark(means(results))}" if table.remark else sentence


def means(results):
    """{variant: {metric: mean over the seeds}}."""
    return {
        name: {metric: float(np.mean([run[metric] for run in runs])) for metric in runs[0]}
        for name, runs in results.items()
    }


# --- all tables -----------------------------------------------------------------------------------


def note_down(folder, source, sentence, runs):
    """Keep the finding of the table in `folder`, and make the page of all findings anew.

    sentence: begins with the verdict.  runs: what they were, in some words.
    """
    found = {"source": source, "finding": sentence, "runs": runs}
    with replacing(folder / "finding.json") as file:
        file.write((json.dumps(found, indent=2) + "\n").encode())
    page = folder.parent / "findings.md"
    with replacing(page) as file:
        file.write(all_findings(folder.parent).encode())
    return page


def all_findings(output):
    """The page: a line for each table in the folder, what did not reproduce first."""
    lines = []
    for path in output.glob("*/finding.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        told, _, reasons = found["finding"].partition(": ")
        verdict = next(each for each in VERDICTS if told.lower().startswith(each))
        name = path.parent.name
        about = f"[{name}]({name}/{name}.md): {found['source']}"
        line = f"| {about} | {verdict} | {reasons} | {found['runs']} |"
        lines.append((VERDICTS.index(verdict), name, line))
    counts = collections.Counter(VERDICTS[number] for number, *_ in lines)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return "\n".join(
        [
            "# What the tables say",
            "",
            f"**Of {len(lines)} table{'s' if len(lines) > 1 else ''}: {told}.** What did not "
            "reproduce is told first. A table is as good as the weakest of its claims. An effect "
            "above 0 is what was claimed; undecided is what is smaller than the noise, half the "
            "95 % confidence interval over the seeds.",
            "",
            "| table | verdict | claims: effect, noise | runs |",
            "|---|---|---|---|",
            *(line for *_, line in sorted(lines)),
            "",
        ]
    )
