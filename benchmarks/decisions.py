"""Worlds in which a comparison is easily wrong, and the plain rule beside ours: docs/how-to/validation.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import optimize, stats

from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.validation.policy import SlicePolicy, ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome

ALPHA, AREA = 0.05, 0.85


def answers(rng, rows, drop):
    """Accuracy .85; the champion alone is right on 6 % + drop / 2, the challenger alone on 6 % - drop / 2."""
    labels = rng.integers(0, 2, rows).astype(float)
    u = rng.random(rows)
    both_wrong = u >= 0.91
    mine = both_wrong | (u < 0.06 + np.asarray(drop) / 2)
    theirs = both_wrong | ((u >= 0.06 + np.asarray(drop) / 2) & (u < 0.12))
    return labels, np.where(mine, 1 - labels, labels), np.where(theirs, 1 - labels, labels)


def areas(rng, rows, drop, share=0.2):
    """Binormal scores, correlation .9; area .85, the challenger's less by ``drop``; one positive in five."""
    labels = (rng.permutation(rows) < share * rows).astype(float)
    shared, own = rng.normal(size=rows), rng.normal(size=rows)
    theirs = shared + labels * np.sqrt(2) * stats.norm.ppf(AREA)
    mine = 0.9 * shared + np.sqrt(0.19) * own + labels * np.sqrt(2) * stats.norm.ppf(AREA - np.asarray(drop))
    return labels, stats.norm.cdf(mine), stats.norm.cdf(theirs)


def errors(rng, rows, drop):
    """Absolute errors exponential with mean .3, the challenger's larger by ``drop``, two thirds shared."""
    labels, shared = rng.normal(0, 3, rows), rng.exponential(0.2, rows)
    mine = shared + rng.exponential(0.1 + np.asarray(drop), rows)
    return labels, labels + mine, labels + shared + rng.exponential(0.1, rows)


ODDS = (-2.0, 0.0)


def losses(rng, rows, drop):
    """Log odds of -2 or 0; the champion is off by .5 either way, the challenger by what loses ``drop``."""
    odds = rng.choice(ODDS, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    sizes = {one: off_by(one) for one in np.unique(drop)}
    off = np.vectorize(sizes.__getitem__)(np.broadcast_to(drop, rows))
    mine, theirs = odds + off * rng.choice((-1, 1), rows), odds + 0.5 * rng.choice((-1, 1), rows)
    return labels, 1 / (1 + np.exp(-mine)), 1 / (1 + np.exp(-theirs))


@cache
def off_by(drop):
    """Return the error of the log odds whose mean loss is ``drop`` above that of .5."""

    def loss(off):
        said = np.add.outer(np.array(ODDS), np.array([-off, off]))
        true = 1 / (1 + np.exp(-np.array(ODDS)))[:, None]
        return float((np.log1p(np.exp(said)) - true * said).mean())

    return optimize.brentq(lambda off: loss(off) - loss(0.5) - drop, 0, 5)


def squares(rng, rows, drop):
    """Errors normal, correlation .8; root mean square 1, the challenger's larger by ``drop``."""
    labels, shared, own = rng.normal(0, 3, rows), rng.normal(size=rows), rng.normal(size=rows)
    return labels, labels + (1 + np.asarray(drop)) * (0.8 * shared + 0.6 * own), labels + shared


WORLDS = {"accuracy": answers, "roc_auc": areas, "log_loss": losses, "rmse": squares}


def compared(labels, mine, theirs, **more):
    baseline = np.broadcast_to(labels.mean() if theirs.ndim == 1 else 1 / theirs.shape[1], theirs.shape)
    return Sample(labels, {CHALLENGER: mine, CHAMPION: theirs, BASELINE: baseline.astype(float)}, **more)


def failing_positives(positives):
    """Area .9; nearly the champion's scores, but 2.2 % of the positives come last: an area less by .02."""

    def draw(rng):
        labels = np.r_[np.ones(positives), np.zeros(5 * positives)]
        theirs = rng.normal(size=len(labels)) + labels * np.sqrt(2) * stats.norm.ppf(0.9)
        mine = theirs + 1e-3 * rng.normal(size=len(labels))
        mine[(labels > 0) & (rng.random(len(labels)) < 0.02 / 0.9)] = -9
        return compared(labels, mine, theirs)

    return draw


def overconfident(rows, said=1e-4):
    """Nearly the champion's probabilities, but of some rows 1 in 10,000 for what happens: .02 lost."""

    def draw(rng):
        true = rng.choice((0.1, 0.4, 0.6, 0.9), rows)
        labels = (rng.random(rows) < true).astype(float)
        mine = np.clip(true + 1e-3 * rng.normal(size=rows), 0.01, 0.99)
        usual = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9) + 0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / 2
        bad = rng.random(rows) < 0.02 / (-np.log(said) - usual)
        return compared(labels, np.where(bad, np.where(labels > 0, said, 1 - said), mine), true)

    return draw


def huge_errors(rows, *, loss):
    """Three errors in 1,000 of either model are 100; the rest around 1, the challenger's more by ``loss``."""

    def draw(rng):
        labels = rng.normal(0, 200, rows)
        sizes = [1 + 0.3 * rng.random(rows) + 100 * (rng.random(rows) < 0.003) for _ in range(2)]
        return compared(labels, labels + sizes[0] + loss, labels + sizes[1])

    return draw


def rare_class(rare, rows=600):
    """Three classes, one of ``rare`` rows; recall .8, of the challenger's rare one .5: a mean less by .1."""

    def draw(rng):
        labels = np.r_[np.full(rare, 2), np.arange(rows - rare) % 2]

        def scored(recall):
            called = np.where(rng.random(rows) < recall[labels], labels, (labels + 1) % 2)
            return 0.05 + 0.85 * np.eye(3)[called]

        mine, theirs = scored(np.array([0.8, 0.8, 0.5])), scored(np.array([0.8, 0.8, 0.8]))
        return compared(labels.astype(float), mine, theirs)

    return draw


def called(count, precision, other=None):
    """``count`` of 600 rows are called, by each model others; the share of them that is right."""

    def draw(rng):
        labels = (rng.random(600) < 0.5).astype(float)
        mine, theirs = np.full(600, 0.2), np.full(600, 0.2)
        for place, (scores, right) in enumerate(((mine, precision), (theirs, other or precision))):
            chosen = slice(place * count, (place + 1) * count)
            labels[chosen] = rng.random(count) < right
            scores[chosen] = 0.8
        return compared(labels, mine, theirs)

    return draw


def found_positives(count, recall, other):
    """``count`` positives among 600 rows and 10 false alarms; the share of them that each model finds."""

    def draw(rng):
        labels = np.r_[np.ones(count), np.zeros(600 - count)]
        false = np.arange(600) >= 590
        mine, theirs = (
            np.where(((rng.random(600) < share) & (labels > 0)) | false, 0.8, 0.2)
            for share in (recall, other)
        )
        return compared(labels, mine, theirs)

    return draw


def days(count, each, effect=0.05, loss=0.05):
    """Errors of 1; the challenger's larger by ``loss`` and by what the day does, as much either way."""

    def draw(rng):
        day = np.repeat(np.arange(count), each)
        labels = rng.normal(0, 5, len(day))
        own = rng.normal(loss, effect, count)[day] + 0.2 * rng.normal(size=len(day))
        return compared(labels, labels + 1 + own, labels + 1, windows=np.array([f"d{one:02}" for one in day]))

    return draw


def undeclared(rows, times, *, told):
    """Every customer has like rows; no entity is declared, but the customer is a column or rows repeat."""

    def draw(rng):
        labels, mine, theirs = (np.repeat(one, times) for one in errors(rng, rows, 0.03))
        age = np.repeat(rng.normal(size=rows), times)
        more = {"ids": {"customer": np.repeat(np.arange(rows), times)}} if told == "customer" else {}
        return compared(labels, mine, theirs, **more, columns={"age": age} if told == "rows" else {})

    return draw


def dominant(rows=1200, share=0.3):
    """One customer owns three rows in ten, the others four each; all rows of one are alike."""

    def draw(rng):
        own = int(share * rows)
        who = np.r_[np.zeros(own, dtype=int), 1 + np.arange(rows - own) // 4]
        labels, mine, theirs = (one[who] for one in errors(rng, who.max() + 1, 0.03))
        return compared(labels, mine, theirs, entities=who)

    return draw


def small_segments(ruined, count=9, each=150):
    """Errors in 10 % of the rows; in some of the small segments the challenger's are 90 %."""

    def draw(rng):
        names = np.r_[np.repeat([f"s{one}" for one in range(count)], each), np.repeat("large", 12_000)]
        labels = rng.integers(0, 2, len(names)).astype(float)
        wrong = rng.random(len(names)) < 0.1
        worse = np.isin(names, [f"s{one}" for one in range(ruined)]) & (rng.random(len(names)) < 0.9)
        mine, theirs = np.where(wrong | worse, 1 - labels, labels), np.where(wrong, 1 - labels, labels)
        return compared(labels, mine, theirs, segments={"market": names})

    return draw


def lacking_slices(rows=3000):
    """One error in 100 of the champion's is 50; the challenger loses what a slice may, on average."""

    def draw(rng):
        labels = rng.normal(0, 5, rows)
        usual = [np.abs(rng.laplace(size=rows)) for _ in range(2)]
        rare = 50 * (rng.random(rows) < 0.01)
        columns = {
            "carrier": rng.choice(["AA", "B6", "UA", "WN"], rows).astype(object),
            "origin": rng.choice(["EWR", "JFK", "LGA"], rows).astype(object),
            "hour": rng.integers(0, 8, rows).astype(float),
        }
        return compared(labels, labels + usual[0] + 0.6, labels + usual[1] + rare, columns=columns)

    return draw


def accepted(report):
    return report.verdict.outcome.is_accepted


def silent(report):
    """Accepted without a warning."""
    return report.verdict.outcome is Outcome.PASS


def clears(report):
    return all(
        one.outcome is Outcome.PASS for one in report.verdict.findings if one.check in ("floor", "ceiling")
    )


def not_worse(report):
    answers_kept = (ComparisonAnswer.BETTER, ComparisonAnswer.NOT_WORSE)
    return all(one.answer in answers_kept for one in report.comparisons if one.rival == CHAMPION)


def better(report):
    return any(
        one.answer is ComparisonAnswer.BETTER
        for one in report.comparisons
        if one.rival == CHAMPION and not one.segment
    )


def alarmed(report):
    return bool(report.weak_slices)


@dataclass(frozen=True)
class Cell:
    """One world, and the claim about it that is false, or of a good world true.

    :param bar: greatest rate; of a good world the least, where ``is_good``.
    :param repetitions: more where the rate is near the 5 % that are allowed.
    """

    name: str
    draw: object
    metric: str
    margin: float
    claim: object = not_worse
    settings: dict = field(default_factory=dict)
    bar: float = 0.07
    is_good: bool = False
    repetitions: int = 500

    def ours(self, sample, seed, resamples):
        settings = {"margin": {self.metric: self.margin}, "slices": None} | self.settings
        return self.claim(
            judge_candidate(sample, ValidationPolicy(resamples=resamples, seed=seed, **settings))
        )

    def plainly(self, sample, seed, resamples):
        """Percentile bounds of rows as they are; of slices, Student's t at 5 % over the number of them."""
        if self.claim is alarmed:
            return _plain_slices(sample, self.settings["slices"])
        floor = self.settings.get("floor", {}).get(self.metric)
        wanted, drawn = metric(self.metric), Resampling.of(len(sample.labels), resamples=resamples, seed=seed)
        mine, theirs = (
            drawn.draws(wanted, Scored.of(sample.labels, sample.scores[one]), 1)[0].draws
            for one in (CHALLENGER, CHAMPION)
        )
        values = mine if floor is not None else wanted.sign * (mine - theirs)
        bar = floor if floor is not None else 0.0 if self.claim is better else -self.margin
        return bool(np.nanquantile(values, ALPHA) >= bar)


def _plain_slices(sample, policy):
    gain = np.abs(sample.scores[CHAMPION] - sample.labels) - np.abs(sample.scores[CHALLENGER] - sample.labels)
    parts = [
        gain[values == one]
        for values in sample.columns.values()
        for one in np.unique(values.astype(str).astype(values.dtype))
    ]
    p_values = [stats.ttest_1samp(one, -policy.allowed, alternative="less").pvalue for one in parts]
    return min(p_values) <= ALPHA / len(p_values)


def good(name, rows, margin):
    """Equal models at the rows that the document states."""
    return Cell(
        f"equal, {name} {margin:g}, {rows:,} rows",
        lambda rng: compared(*WORLDS[name](rng, rows, 0.0)),
        name,
        margin,
        bar=0.75,
        is_good=True,
    )


_PRECISION = {"claim": clears, "settings": {"floor": {"precision": 0.9}}}
CELLS = [
    *(
        Cell(f"area, 2.2 % of {n} positives fail", failing_positives(n), "roc_auc", 0.02, repetitions=1500)
        for n in (20, 50, 100, 200, 400)
    ),
    *(
        Cell(f"log loss, rare p = 1e-4, {n:,} rows", overconfident(n), "log_loss", 0.02)
        for n in (300, 500, 1000, 2000)
    ),
    Cell("huge errors, equal: 'better'", huge_errors(300, loss=0.0), "mae", 0.05, claim=better),
    Cell("huge errors, worse by the margin", huge_errors(300, loss=0.05), "mae", 0.05),
    *(
        Cell(
            f"balanced accuracy, class of {n} rows", rare_class(n), "balanced_accuracy", 0.1, repetitions=1500
        )
        for n in (4, 5, 30, 100)
    ),
    *(Cell(f"macro-F1, class of {n} rows", rare_class(n), "f1_macro", 0.05) for n in (5, 30)),
    *(
        Cell(f"precision, floor .9, {n} called", called(n, 0.9), "precision", 0.5, **_PRECISION)
        for n in (10, 25, 60)
    ),
    *(
        Cell(f"precision, margin .1, {n} called", called(n, 0.8, 0.9), "precision", 0.1, repetitions=1500)
        for n in (15, 40, 150)
    ),
    *(
        Cell(
            f"recall, margin .1, {n} positives", found_positives(n, 0.8, 0.9), "recall", 0.1, repetitions=1500
        )
        for n in (10, 40, 150)
    ),
    Cell("30 days, effects as large as the margin", days(30, 50), "mae", 0.05, repetitions=1500),
    Cell("3 windows, effects as large as it", days(3, 500), "mae", 0.05, claim=accepted, repetitions=1500),
    Cell("customers of 4 rows, not declared", undeclared(300, 4, told="customer"), "mae", 0.03, claim=silent),
    Cell("rows repeated 4 times", undeclared(300, 4, told="rows"), "mae", 0.03, claim=silent),
    Cell("one customer owns 30 % of the rows", dominant(), "mae", 0.03, claim=silent),
    Cell("9 ruined segments of 150 rows", small_segments(9), "accuracy", 0.2, claim=accepted),
    Cell("1 ruined segment of 150 rows", small_segments(1), "accuracy", 0.2, claim=silent),
    Cell(
        "slices, 1 % huge errors",
        lacking_slices(),
        "mae",
        5.0,
        claim=alarmed,
        settings={"slices": SlicePolicy(max_drop=0.1)},
    ),
]
GOOD = [
    good("accuracy", 2200, 0.02),
    good("roc_auc", 1100, 0.02),
    good("log_loss", 2000, 0.02),
    good("rmse", 1500, 0.05),
    Cell("equal, small segments", small_segments(0), "accuracy", 0.2, claim=accepted, bar=0.75, is_good=True),
    Cell("equal, 30 quiet days", days(30, 50, effect=0.0, loss=0.0), "mae", 0.015, bar=0.75, is_good=True),
]


def rates(cell, repetitions, *, resamples=300, seed=1, plain=True):
    """Return the share of repetitions in which our rule, and the plain one, make the claim."""
    rng, ours, plainly = np.random.default_rng(seed), 0, 0
    for _ in range(repetitions):
        sample, own = cell.draw(rng), int(rng.integers(1 << 31))
        ours += cell.ours(sample, own, resamples)
        plainly += plain and cell.plainly(sample, own, resamples)
    return ours / repetitions, plainly / repetitions
