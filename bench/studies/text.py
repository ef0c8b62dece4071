"""A run as a text of tables and of what follows from them; no number in it is typed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import numpy as np

from . import theorem as lemmas
from .checks import failures
from .digits import EPSILON, OUT, Diagnosis
from .families import FAMILIES, Effort
from .gradients import MEASURES
from .rates import NEVER
from .rays import LAST, Rate, Ray
from .results import DATA, DIGITS, PLANES, versions, wrong
from .theorem import Theorem

ENTROPY, INFORMATION = MEASURES[2:]
LEMMAS = dict(zip(MEASURES, (5, 7, 8, 9), strict=True))
SHOWN = ("familiarity", "norm", "confidence")  # of the scores, where seeds are compared


def as_text(theorems: list[Theorem], diagnoses: list[Diagnosis], effort: Effort) -> str:
    """The first seed in full, and what the others say."""
    first = theorems[0]
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    parts = [
        "# Measures of uncertainty far from the data",
        f"Written by `python -m bench.studies`, with its numbers in `{DATA}`.",
        *_of_lemmas(first),
        *_of_limits(first),
        *_of_statements(first),
        *_of_digits(diagnoses[0]),
        "## Other seeds",
        _of_seeds(theorems, diagnoses),
        _paragraph(_lower_in(diagnoses)),
        _paragraph(f"Made with {made}; {effort.n_members} members, {effort.steps} steps of training."),
    ]
    return "\n\n".join(parts) + "\n"


def _table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    titles = list(header)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _paragraph(text: str) -> str:
    return _filled(text, "", "")


def _points(*texts: str) -> str:
    return "\n".join(_filled(text, "- ", "  ") for text in texts)


def _filled(text: str, first: str, others: str) -> str:
    whole = " ".join(text.split())
    return textwrap.fill(
        whole, 118, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _inside(theorem: Theorem, family: str) -> list[Ray]:
    return [ray for ray in theorem.rays[family] if ray.inside]


def _everywhere(theorem: Theorem) -> list[Ray]:
    return [ray for family in FAMILIES for ray in _inside(theorem, family.name)]


def _of_lemmas(theorem: Theorem) -> list[str]:
    families, rates, largest = [], [], []
    for family in FAMILIES:
        rays, inside = theorem.rays[family.name], _inside(theorem, family.name)
        agree = sum(ray.prediction.agree for ray in inside)
        slowest = min((ray.prediction.slowest.min() for ray in inside), default=np.nan)
        members = len(rays[0].prediction.leading)
        columns = f"{len(inside)} of {len(rays)}", agree, f"{slowest:.3g}", f"{max(ray.start for ray in rays):.0f}"
        families.append((family.name, members, family.why, *columns))
        log_norm = max((ray.measures[ENTROPY].log_norm for ray in inside), default=np.nan)
        largest.append(f"{log_norm:,.0f} ({family.name})")
    of_members = {
        "2, derivatives of the softmax": lambda ray: ray.softmax_derivative,
        "4, class probabilities": lambda ray: ray.probability,
        "6, their mean": lambda ray: ray.mean,
    }
    for label, column in of_members.items():
        found = ([rate for ray in _inside(theorem, f.name) for rate in column(ray)] for f in FAMILIES)
        rates.append((label, *map(_off, found)))
    for measure in MEASURES:
        found = ([ray.measures[measure] for ray in _inside(theorem, f.name)] for f in FAMILIES)
        rates.append((f"{LEMMAS[measure]}, {measure}", *(f"{_off(rates)}{_powers(rates)}" for rates in found)))
    titles = ("family", "members", "why each is monotone", "rays inside", "in agreement", "smallest gap", "last kink")
    return [
        "## The lemmas",
        f"![Planes of predictive entropy, and rays]({PLANES})",
        _paragraph("""
            One coordinate of a point is multiplied by alpha = 1 to 1e6 and the other stays (Ulmer and Cina 2021, Lemmas
            2 to 9). A member is a ReLU network of fixed weights: beyond the last kink of a ray (at the largest alpha
            given) its logits are affine, and if the steepest is alone it meets the monotonicity assumption there.
            `families.py` says so of all five families before the run, which looks at every member and ray. Members
            agree on a ray if they end in the same class.
        """),
        _table(titles, families),
        _paragraph(f"""
            Gradients with respect to the input fall as alpha^power exp(-rate alpha). The rate is predicted from nothing
            but the slopes of the logits beyond the last kink, and measured on log-norms between alpha = 1e5 and 1e6.
            Largest relative difference over all rays (aim: {lemmas.RATE_WITHIN:g}); in brackets the powers of alpha,
            measured within {lemmas.POWER_WITHIN:g}:
        """),
        _table(("Lemma", *(family.name for family in FAMILIES)), rates),
        _paragraph(f"""
            The logarithm of the largest gradient of the predictive entropy at alpha = 1e6 is {", ".join(largest)}.
            Plain float64 reads 0 for all rays from alpha = {lemmas.underflow(theorem.rays):,.0f} on, and would have
            agreed with any rate.
        """),
    ]


def _off(rates: list[Rate]) -> str:
    if rates and all(rate.rate == NEVER for rate in rates):
        return "0 throughout"
    return f"{lemmas.worst([rate.off for rate in rates]):.1e}"


def _powers(rates: list[Rate]) -> str:
    found = sorted({rate.power for rate in rates if rate.rate != NEVER})
    return f" ({', '.join(map(str, found))})" if found else ""


def _of_limits(theorem: Theorem) -> list[str]:
    rows = []
    for family in FAMILIES:
        for ray in _inside(theorem, family.name):
            if not ray.prediction.agree:
                shares = ", ".join(f"{share:g}" for share in ray.prediction.shares)
                values = (f"{ray.values[name][LAST]:.4f} ({ray.prediction.limits[name]:.4f})" for name in MEASURES)
                rows.append((family.name, f"{ray.point}, {ray.coordinate}", shares, *values))
    everywhere = _everywhere(theorem)
    agree = [ray for ray in everywhere if ray.prediction.agree]
    off = lemmas.worst(
        [abs(ray.values[name][LAST] - ray.prediction.limits[name]) for ray in agree for name in MEASURES]
    )
    parts = [
        "## The limits",
        _paragraph(f"""
            On {len(agree)} of {len(everywhere)} rays all members agree. There fastcal's maximum probability at alpha =
            1e6 is 1, and variance, entropy and mutual information are 0, within {off:.1e}: the certainty of Theorem 1.
            On the others each member is certain of a class of its own. Every gradient vanishes as the lemmas say, and
            what stays is the disagreement (in brackets what the shares of the members make of it):
        """),
        _table(("family", "point, coordinate", "shares of members by class", *MEASURES), rows),
    ]
    two = theorem.camps
    if two is not None:
        apart, together = (ray.values for ray in (two.ray_apart, two.ray_together))
        log_norm = two.ray_apart.measures[ENTROPY].log_norm
        parts.append(
            _paragraph(f"""
                Two members of the {two.family} alone (numbers {two.apart[0]} and {two.apart[1]}, from point
                {two.ray_apart.point} along coordinate {two.ray_apart.coordinate}) end in different classes: at alpha =
                1e6 their entropy is {apart[ENTROPY][LAST]:.12f} and their mutual information
                {apart[INFORMATION][LAST]:.12f}; log 2 is {np.log(2):.12f}. The logarithm of the norm of the entropy's
                gradient is {log_norm:,.0f} there. Numbers {two.together[0]} and {two.together[1]} end in the same
                class: entropy {abs(together[ENTROPY][LAST]):g}, mutual information
            {abs(together[INFORMATION][LAST]):g}. """)
        )
    return parts


def _of_statements(theorem: Theorem) -> list[str]:
    follows = 100 * lemmas.mean([ray.logit_follows for ray in _everywhere(theorem)])
    stays = next(check.value for check in theorem.checks["parallel logits"] if check.holds is None)
    checked = [check for found in theorem.checks.values() for check in found if check.holds is not None]
    failing = failures(checked)
    outside = sum(bool(ray.outside) for rays in theorem.rays.values() for ray in rays)
    return [
        "## What holds of the statements as they are written",
        _points(
            f"""
            Lemmas 4 to 9, gradients that vanish: {len(failing)} of the {len(checked)} numbers checked fail. The decay
            is exponential. A mean over members falls at the slowest member's rate; where members agree the variance
            falls at twice that, entropy has a factor alpha, and mutual information has none, because far out the
            slowest member is all of the mean's tail.
            """,
            """
            Theorem 1 calls this perfect certainty. A gradient of 0 says that a measure is constant, and not which
            constant it is. Members that are without error one monotone p agree, since far out one class only can rise;
            members that are each monotone, which is all that the lemmas ask for, need not. Where they do not, the
            certainty is wrong and the lemmas still hold.
            """,
            f"""
            Lemma 4 needs the gap of the two leading logits to grow, and strict monotonicity alone does not make it:
            with logits (2 x + y, 2 x - y, x + y / 10) all class probabilities are strictly monotonic for x >= 0 and
            1 <= y <= 2, and at (1e6, 1.5) the gradient of the first has length {stays:.4f}. The run finds this network
            outside. Of the trained rays {outside} are outside.
            """,
            f"""
            Lemma 1 does not hold as it stands: what is added to all logits changes them and no probability.
            {follows:.0f} % of the members' logits beyond the last kink move as their probabilities do. The other lemmas
            need differences of logits only.
            """,
            """
            Lemma 3 holds in absolute values: for two classes the derivative of the softmax is -p_c p_c', whose inverse
            tends to minus infinity.
            """,
            """
            Rates are those of the members drawn. With more members the slowest is no faster, and of an integral over a
            continuous posterior no gap is the smallest.
            """,
        ),
    ]


def _of_digits(diagnosis: Diagnosis) -> list[str]:
    parts = [
        "## Digits and photographs",
        f"![Histograms of digits and photographs]({DIGITS})",
        _paragraph(f"""
            A small convolutional network that has {100 * diagnosis.accuracy:.1f} % of scikit-learn's held-out digits
            right is shown patches of the two photographs that come with scikit-learn (after Pearce, Brintrup and Zhu
            2021): turned into bitmaps and counted as the digits were, and by their grey. Every score is higher where a
            row seems more in-distribution; the confidence is -U_max. Intervals are at 95 %.
        """),
    ]
    titles = ("score", "AUROC", "AUPR in", "AUPR out", "FPR at 95 % TPR", "detection error", "median in", "median out")
    for name in OUT:
        found = diagnosis.figures[name]
        rows = [
            (
                score,
                f"{row['auroc']:.3f} ({row['auroc_interval'][0]:.3f} to {row['auroc_interval'][1]:.3f})",
                *(f"{row[key]:.3f}" for key in ("aupr_in", "aupr_out", "fpr95", "detection_error")),
                *(f"{row[key]:.4g}" for key in ("median_in", "median_out")),
            )
            for score, row in found["detection"].items()
        ]
        parts += [
            f"{name[0].upper()}{name[1:]}, {found['n_out']} against {found['n_in']} digits:",
            _table(titles, rows),
            _points(*_seen_in(found)),
        ]
    return parts


def _seen_in(found: dict[str, dict[str, float]]) -> list[str]:
    """What the paper says, beside the numbers."""
    valid, saturation, rank = (found[key] for key in ("valid_ood_share", "saturation", "mental_model_correlation"))
    verdicts = []
    for score in ("familiarity", "norm"):
        low, high = found["detection"][score]["auroc_interval"]
        verdict = "lower, as the paper has it" if low > 0.5 else "higher, not as in the paper"
        verdict = "not found to differ" if low <= 0.5 <= high else verdict
        verdicts.append(f"{score} is {verdict}")
    blame = "less" if found["extrapolated"] < found["overlapping"] else "no less"
    return [
        f"Among the patches {' and '.join(verdicts)}.",
        f"""
        {100 * valid["U_max"]:.1f} % of them are in the valid OOD region by U_max, {100 * valid["entropy"]:.1f} % by
        entropy (less certain than {100 * (1 - EPSILON):g} % of the digits). {100 * found["extrapolated"]:.1f} % are
        extrapolated (more certain than as many) and {100 * found["overlapping"]:.1f} % overlap with the digits:
        extrapolation is {blame} to blame than overlap.
        """,
        f"""
        {100 * saturation["in"]:.1f} % of the digits and {100 * saturation["out"]:.1f} % of the patches are saturated:
        their confidence is within 1e-3 of 1.
        """,
        f"""
        The mental model's confidence and the network's have Spearman's correlation {rank["in"]:.2f} among the digits
        and {rank["out"]:.2f} among the patches.
        """,
    ]


def _lower_in(diagnoses: list[Diagnosis]) -> str:
    parts = []
    for name in OUT:
        counts = []
        for score in SHOWN:
            ends = [diagnosis.figures[name]["detection"][score]["auroc_interval"] for diagnosis in diagnoses]
            lower, higher = sum(low > 0.5 for low, _ in ends), sum(high < 0.5 for _, high in ends)
            counts.append(f"{score} lower in {lower} and higher in {higher}")
        parts.append(f"of the {name}, {', '.join(counts)}")
    return f"Beyond the intervals, of {len(diagnoses)} seeds: {'; '.join(parts)}."


def _of_seeds(theorems: list[Theorem], diagnoses: list[Diagnosis]) -> str:
    rows = []
    for theorem, diagnosis in zip(theorems, diagnoses, strict=True):
        inside = _everywhere(theorem)
        n_rays = sum(map(len, theorem.rays.values()))
        off = lemmas.worst([rate.off for ray in inside for rate in ray.measures.values()])
        agree = sum(ray.prediction.agree for ray in inside)
        aurocs = (f"{diagnosis.figures[name]['detection'][score]['auroc']:.3f}" for name in OUT for score in SHOWN)
        columns = len(wrong(theorem)), f"{len(inside)} of {n_rays}", agree, f"{off:.1e}"
        rows.append((theorem.seed, *columns, f"{100 * diagnosis.accuracy:.1f} %", *aurocs))
    scores = (f"{score}, {name.split()[-1]}" for name in OUT for score in SHOWN)
    titles = ("seed", "failures", "rays inside", "in agreement", "rates off by", "digits right")
    return _table((*titles, *(f"AUROC {score}" for score in scores)), rows)
