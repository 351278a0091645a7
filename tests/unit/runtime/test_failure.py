"""What a denied call becomes in a rollout's tasks."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.backends.serving.denials import denials_may_pass
from airflow_mlops.core.errors import AccessDeniedError, LeaseLostError, ServiceUnavailableError
from airflow_mlops.runtime.failure import fail_fast, fail_fast_unless_denied


def test_denial_is_final_in_the_first_task_only():
    with pytest.raises(AirflowFailException, match="get leases"), fail_fast():
        raise AccessDeniedError("get leases")
    with pytest.raises(ServiceUnavailableError, match="get leases"), fail_fast_unless_denied():
        raise AccessDeniedError("get leases")


def test_other_permanent_errors_stay_final_and_denied_calls_are_repeated_in_the_block_alone():
    with fail_fast_unless_denied():
        assert denials_may_pass()
    with pytest.raises(AirflowFailException, match="lost"), fail_fast_unless_denied():
        raise LeaseLostError("lost")
    assert not denials_may_pass()
