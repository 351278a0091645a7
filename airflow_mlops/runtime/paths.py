"""Documents and tags in an evidence run: one name each for the task that writes and those that read."""

from __future__ import annotations

# tags
NOMINATED = "mlops.nominated"
VERSION, STAGE = "mlops.version", "mlops.stage"
ROLLOUT = "rollout"

# data
PROFILE_PATH = "profile.json"
WINDOW_PATH = "window.json"
SCHEMA_DIFF_PATH = "schema_diff.json"
RETRAIN_DECISION_PATH = "retrain_decision.json"

# training
CANDIDATE_PATH = "candidate.json"
RECIPE_PATH = "training_recipe.json"
SCORE_PROFILE_PATH = "score_profile.json"
REPLAY_PATH = "replay_report.json"

# validation and release
VALIDATION_PATH = "validation_report.json"
EXTRACTION_PATH = "extraction_report.json"
READINESS_PATH = "readiness_report.json"
CARD_PATH = "model_card.json"
CARD_TEXT_PATH = "model_card.md"
CARD_PAGE_PATH = "model_card.html"
APPROVAL_PATH = "approval.json"
UPDATE_PATH = "update_report.json"
UPDATE_PAGE_PATH = "update_report.html"

# rollout
ROLLOUT_START_PATH = "rollout.json"
PROMOTION_PATH = "promotion.json"
ROLLBACK_PATH = "rollback.json"
RESTORATION_PATH = "restored.json"
ROLLOUT_REPORT_PATH = "rollout_report.json"
ROLLOUT_PAGE_PATH = "rollout_report.html"

# monitoring
SERVING_PROFILE_PATH = "serving_profile.json"
PERFORMANCE_PATH = "performance_report.json"


def report_path(gate: str) -> str:
    """Return the path of a gate's report: ``schema``, ``skew``, ``drift`` and the like."""
    return f"{gate}_report.json"


def page_path(gate: str) -> str:
    """Return the path of a gate's report as a page."""
    return f"{gate}_report.html"


def state_path(percent: int, *, answered: bool = False) -> str:
    """Return the path of the state at the end of a rollout's step.

    :param answered: the state after a person's answer; the one before it is kept, too.
    """
    return f"canary/{percent}pct{'_answered' if answered else ''}.json"


def notice_path(attempt: int, event: str) -> str:
    """Return the path of the record of who received a notice.

    :param attempt: 0, and one more each time tasks of the DAG run are cleared.
    """
    return f"notices/{attempt}_{event}.json"
