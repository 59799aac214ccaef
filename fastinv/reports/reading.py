"""What a table says, in plain words."""

from __future__ import annotations

from fastinv.reports.published import COUNTS, published
from fastinv.reports.results import ProblemResult, Row
from fastinv.reports.text import Glyphs


def reading(result: ProblemResult, signs: Glyphs) -> list[str]:
    """Sentences about the best trained model and the published figures; none before anything is scored."""
    scored = [
        row for row in result.rows if row.status == "ok" and "err_post" in row.scores and not row.baseline
    ]
    notes = [note for row in result.rows if (note := _chains(row))]
    if not scored or "err_post" not in result.floor.scores:
        return notes
    best = min(scored, key=lambda row: row.scores["err_post"].mean)
    ratio = best.scores["err_post"].mean / result.floor.scores["err_post"].mean
    close = [
        row.name
        for row in scored
        if row is not best and row.scores["err_post"].low <= best.scores["err_post"].high
    ]
    sentence = f"{best.name} comes closest to the true posterior, at {ratio:.2g}{signs.times} the floor"
    sentence += f"; within its interval: {', '.join(close)}." if close else "."
    return [sentence, *_against_paper(result, scored), *notes]


def _chains(row: Row) -> str | None:
    """How far to trust a row of Markov chains; None for other rows."""
    if row.worst_r_hat is None or row.least_ess is None:
        return None
    return (
        f"{row.name} (a baseline, not ranked): R-hat at most {row.worst_r_hat:.3f}, median "
        f"{row.scores['r_hat'].median:.3f}; effective sample size at least {row.least_ess:.0f}, median "
        f"{row.scores['ess'].median:.0f}."
    )


def _against_paper(result: ProblemResult, scored: list[Row]) -> list[str]:
    known = [(row, paper) for row in scored if (paper := published(result.problem, row.name).err_post)]
    if not known:
        return []
    worse = [row.name for row, paper in known if row.scores["err_post_4000"].mean > paper]
    counted = f" (counts there: {COUNTS})" if result.has_counts and result.counts != COUNTS else ""
    if len(known) == 1:
        how = "worse" if worse else "no worse"
        return [f"{known[0][0].name} scores {how} at 4000 samples than published{counted}."]
    total = f"{len(known)} models with a published Err_post{counted}"
    if not worse:
        return [f"Of {total}, none scores worse at 4000 samples than published."]
    verb = "scores" if len(worse) == 1 else "score"
    return [f"Of {total}, {len(worse)} {verb} worse at 4000 samples: {', '.join(worse)}."]
