"""Each case: an input that once got a wrong answer, its right answer, and the tests that hold it."""

from __future__ import annotations

from typing import NamedTuple

PROFILING, SKEW = "tests/unit/backends/profiling/files", "tests/unit/core/data/skew"
SERVING, ROLLOUT = "tests/unit/backends/serving", "tests/unit/core/rollout"
API_SERVER = f"{SERVING}/kubernetes/test_api_server.py"


class Case(NamedTuple):
    """One case.

    :param answer: what is right.
    :param tests: files with functions, as pytest names them.
    """

    name: str
    answer: str
    tests: tuple[str, ...]


DATA = (
    Case(
        "rows in time order",
        "the drift is the same in any order",
        (f"{PROFILING}/test_order.py::test_distance_is_that_of_all_rows_whatever_their_order",),
    ),
    Case(
        "calibration beside a rising id",
        "the id is named and blinds no other column",
        (f"{SKEW}/test_exchangeable.py::test_counter_is_named_and_blinds_no_other_column",),
    ),
    Case(
        "two samples of a long tail",
        "no drift",
        (
            f"{SKEW}/test_tails.py::test_two_random_samples_of_a_long_tail_are_flagged_at_most_alpha_of_the_time",
        ),
    ),
    Case(
        "blank text in a csv",
        "missing, as pandas reads it",
        (f"{PROFILING}/test_csv_dialect.py::test_blank_text_is_missing_as_pandas_reads_it",),
    ),
    Case(
        "schema of many partitions",
        "each of them passes",
        (
            "tests/unit/cli/test_cli_infer.py::test_schema_of_many_partitions_holds_for_each_and_for_all_together",
        ),
    ),
    Case(
        "Delta table that was overwritten",
        "the rows of its newest version",
        (f"{PROFILING}/test_lake_tables.py::test_rows_are_those_of_the_newest_version",),
    ),
    Case(
        "folders of which some look like numbers",
        "text in every window, with leading zeros",
        (f"{PROFILING}/test_folders.py::test_type_is_the_same_in_every_window_and_keeps_leading_zeros",),
    ),
    Case(
        "whole doubles for integers, doubles for decimals",
        "warn, in check and in skew",
        (
            "tests/unit/core/data/profile/test_families.py::test_pair_of_types_has_one_word_in_schema_and_skew",
        ),
    ),
    Case(
        "empty month among others",
        "named, a warning, the others are read",
        (f"{PROFILING}/test_empty.py::test_window_with_an_empty_partition_is_no_pass",),
    ),
    Case(
        "numbers with marks between thousands",
        "read where stated, else told",
        (f"{PROFILING}/test_csv_numbers.py::test_column_that_may_be_numbers_is_told",),
    ),
    Case(
        "column in the names of folders",
        "it exists and is judged",
        (f"{PROFILING}/test_folders.py::test_rule_on_a_column_of_folders_is_judged",),
    ),
    Case(
        "quoted line breaks in a large csv",
        "read at any size",
        (f"{PROFILING}/test_csv_dialect.py::test_quoted_line_breaks_are_read_at_any_size",),
    ),
    Case(
        "share outside a set",
        "of the values that are there",
        (
            "tests/unit/core/data/expectations/test_evaluate.py"
            "::test_share_outside_a_set_is_of_the_values_that_are_there",
        ),
    ),
    Case(
        "key that counts up",
        "a later window passes",
        (
            "tests/unit/cli/test_cli_infer.py"
            "::test_schema_of_one_window_passes_a_later_one_of_a_key_that_counts_up",
        ),
    ),
    Case(
        "one year, two years",
        "comparable room",
        ("tests/unit/cli/test_cli_infer.py::test_one_year_and_two_years_have_the_same_room",),
    ),
    Case(
        "new values of a column of few",
        "only new ones are named",
        (f"{SKEW}/test_tails.py::test_new_values_that_are_named_are_new",),
    ),
    Case(
        "half floats, all null",
        "cannot be measured",
        (
            "tests/unit/backends/rules/test_storage_types.py::test_half_floats_that_are_all_null_cannot_be_measured",
        ),
    ),
    Case(
        "type list that is null",
        "any type is allowed",
        (
            "tests/unit/backends/rules/test_storage_types.py::test_type_list_may_be_null_and_then_allows_any_type",
        ),
    ),
)
MODELS = (
    Case(
        "history longer than the dataset",
        "all of it",
        ("tests/unit/core/data/test_partitions.py::test_history_longer_than_the_dataset_is_all_of_it",),
    ),
    Case(
        "one null key",
        "no row is held back that the champion was trained on",
        (
            "tests/unit/backends/training/test_rows.py"
            "::test_one_null_key_holds_back_no_row_that_a_champion_was_trained_on",
        ),
    ),
    Case(
        "binary champion of other classes",
        "inconclusive, named",
        (
            "tests/unit/backends/validation/test_bad_input.py::test_what_is_wrong_with_a_model_or_the_labels_is_the_verdicts_first_reason",
        ),
    ),
    Case(
        "request without an id",
        "left out and told, the others are judged",
        (
            "tests/unit/operators/monitoring/test_monitoring.py"
            "::test_request_without_id_is_left_out_and_told_and_the_others_are_judged",
        ),
    ),
    Case(
        "feature named like a column of the log",
        "profiled and judged",
        (
            "tests/unit/operators/monitoring/test_monitoring.py"
            "::test_feature_may_have_the_name_of_a_column_of_the_log",
        ),
    ),
    Case(
        "any form of a request",
        "every answered row is logged",
        (f"{SERVING}/local/test_logged_rows.py::test_every_form_of_a_request_gives_its_rows",),
    ),
    Case(
        "deleted experiment",
        "named with the way to restore it",
        (
            "tests/unit/backends/test_mlflow_server.py"
            "::test_deleted_experiment_is_named_with_the_way_to_restore_it",
        ),
    ),
    Case(
        "model deleted and made again",
        "the old one does not serve as the new one",
        (
            "tests/unit/operators/rollout/test_recreated_model.py"
            "::test_forced_rollback_does_not_say_done_while_the_old_model_serves",
        ),
    ),
    Case(
        "parameters corrected",
        "a later try may change them",
        ("tests/unit/operators/training/test_training.py::test_parameters_may_be_corrected_by_a_later_try",),
    ),
    Case(
        "login in front of MLflow",
        "used for /health, too; a wrong one is named",
        (
            "tests/unit/backends/test_mlflow_server.py::test_health_is_asked_with_the_credentials",
            "tests/unit/backends/test_mlflow_server.py::test_wrong_login_is_named",
        ),
    ),
    Case(
        "boolean with nulls, decimals",
        "booleans and numbers",
        ("tests/unit/backends/training/test_rows.py::test_feature_is_numbers_or_text_by_its_arrow_type",),
    ),
    Case(
        "canary that answers 400",
        "never passes",
        (f"{ROLLOUT}/test_machine.py::test_canary_that_refuses_everything_shows_nothing_and_never_passes",),
    ),
    Case(
        "class only among held-back rows",
        "named",
        (
            "tests/unit/backends/validation/test_labels.py"
            "::test_class_of_held_back_rows_that_the_model_does_not_know_is_named",
        ),
    ),
    Case(
        "promotion cut off, model made again",
        "no untested version becomes champion",
        (
            "tests/unit/backends/registry/test_recreated_model.py"
            "::test_promotion_that_was_cut_off_does_not_make_another_model_champion",
        ),
    ),
    Case(
        "a thousand versions",
        "searches go on to the last page",
        ("tests/contracts/test_registry.py::test_searches_go_on_to_the_last_page",),
    ),
    Case(
        "a YAML key twice, another encoding",
        "named with its line",
        (
            "tests/unit/core/test_text_input.py::test_mistake_in_yaml_is_named_with_its_line",
            "tests/unit/core/test_text_input.py::test_other_encoding_is_named_with_its_line",
        ),
    ),
    Case(
        "window written again since training",
        "named by its digest",
        (
            "tests/unit/operators/validation/test_validation.py"
            "::test_window_written_again_since_training_is_named_by_its_digest",
        ),
    ),
    Case(
        "every value replaced",
        "skew, however many values there are",
        (f"{SKEW}/test_tails.py::test_all_values_replaced_is_skew_however_many_there_are",),
    ),
)
ROLLOUTS = (
    Case(
        "first version on Knative",
        "rolled back by deleting it",
        (f"{API_SERVER}::test_first_version_of_a_knative_service_is_rolled_back_by_deleting_it",),
    ),
    Case(
        "reaper's clock ahead",
        "the rollout may still roll back",
        (f"{API_SERVER}::test_reaper_ahead_of_everybody_leaves_the_rollout_its_rollback",),
    ),
    Case(
        "passing 401 or 403",
        "missing data until the lease ends",
        (
            f"{API_SERVER}::test_denial_in_a_look_is_a_missing_reading",
            f"{API_SERVER}::test_denial_until_the_lease_has_ended_rolls_back",
        ),
    ),
    Case(
        "storm of 429",
        "six calls",
        (f"{API_SERVER}::test_one_read_at_429_is_six_calls_in_production_wiring",),
    ),
    Case(
        "full disk",
        "the canary goes to 0 %, the next endpoint is looked at",
        (
            f"{SERVING}/local/test_leases.py::test_canary_loses_its_requests_also_when_nothing_can_be_written",
            f"{SERVING}/local/test_leases.py"
            "::test_full_disk_of_one_endpoint_does_not_keep_the_reaper_from_the_next",
        ),
    ),
)
AUTHORS = (
    Case(
        "quiet partition with approval",
        "a success, later tasks skipped",
        (
            "tests/dags/test_quiet_partition.py::test_quiet_partition_is_a_success_whose_later_tasks_are_skipped",
        ),
    ),
    Case(
        "challenger compared with nobody",
        "refused once there is a champion",
        (
            "tests/unit/operators/rollout/test_clearance.py::test_validated_at_a_cold_start_while_another_version_becomes_champion",
        ),
    ),
    Case(
        "partition announced twice",
        "announced once",
        (
            "tests/unit/operators/data/test_new_partition.py"
            "::test_partition_is_announced_once_though_its_profile_does_not_exist_yet",
        ),
    ),
)
CASES = {"data": DATA, "models": MODELS, "rollouts": ROLLOUTS, "authors": AUTHORS}
