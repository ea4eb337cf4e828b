import json
import subprocess
import sys

import pytest

from credit_default.core.promotion.gates import AbsoluteThresholds, judge_absolute

GOOD = {
    "roc_auc": 0.78,
    "calibration_slope": 1.02,
    "mean_pd": 0.22,
    "bad_rate": 0.225,
    "brier": 0.137,
    "brier_of_base_rate": 0.174,
}
MONOTONE = {"violation_share": 0.0}


def test_a_model_that_meets_every_criterion_is_promoted():
    verdict = judge_absolute(GOOD, MONOTONE)
    assert verdict.decision == "promote"
    assert verdict.failed == ()
    assert len(verdict.criteria) == 5


@pytest.mark.parametrize(
    ("change", "criterion"),
    [
        ({"roc_auc": 0.69}, "roc_auc"),
        ({"calibration_slope": 0.6}, "calibration_slope"),
        ({"calibration_slope": 1.5}, "calibration_slope"),
        ({"mean_pd": 0.30}, "calibration_in_the_large"),
        ({"mean_pd": 0.15}, "calibration_in_the_large"),
        ({"brier": 0.18}, "brier_gain"),
    ],
)
def test_one_criterion_that_is_not_met_rejects_and_is_named(change, criterion):
    verdict = judge_absolute(GOOD | change, MONOTONE)
    assert verdict.decision == "reject"
    assert [failed.name for failed in verdict.failed] == [criterion]


def test_a_model_that_rewards_getting_worse_is_rejected():
    verdict = judge_absolute(GOOD, {"violation_share": 0.001})
    assert [failed.name for failed in verdict.failed] == ["monotonicity_violations"]


def test_what_could_not_be_measured_is_not_good_enough():
    verdict = judge_absolute(dict.fromkeys(GOOD), {"violation_share": None})
    assert verdict.decision == "reject"
    assert len(verdict.failed) == 5


def test_thresholds_are_settings_and_a_verdict_is_plain_json():
    verdict = judge_absolute(GOOD, MONOTONE, AbsoluteThresholds(roc_auc=0.8))
    kept = json.loads(json.dumps(verdict.as_dict()))
    assert kept["decision"] == "reject"
    assert kept["criteria"][0]["threshold"] == ">= 0.8"
    assert kept["criteria"][0]["passed"] is False


def test_the_orchestrator_can_read_a_verdict_without_loading_numpy():
    code = "import credit_default.core.promotion.gates, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
