"""Every key of the configuration has a test that shows what it does: the table, and that it holds.

A test is named by its function where it stands in this folder, and as `path::function` (from `tests/`) where
it stands elsewhere.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from mcpweft_schemas.config.shape import keys

TESTS = Path(__file__).parents[1]
HEALTH = "workers/test_health.py::"
LIMITS = "workers/test_limits.py::"
LAUNCHER = "coordinator/test_launcher.py::"
RULES = "rules/test_effect.py::"

EFFECTS: dict[str, str] = {
    "namespace": "test_two_namespaces_never_meet",
    "include": "test_a_worker_runs_a_server_of_an_included_file",
    "rules_match": RULES + "test_the_rules_that_match_are_the_first_or_all_as_it_is_said",
    "rules": RULES + "test_a_clients_own_rules_hold_until_the_fleet_sets_some",
    "redis.url": "test_a_client_calls_on_the_store_that_the_file_names",
    "redis.eviction": "test_a_store_that_may_evict_is_refused_unless_accepted",
    "redis.durability": "test_a_store_that_promises_less_than_is_asked_for_is_refused",
    "queue.bound": "test_a_pool_refuses_at_its_bound",
    "queue.max_bytes": "test_a_pool_refuses_at_its_bytes",
    "queue.low_at": "test_each_class_is_refused_from_its_own_level_on",
    "queue.normal_at": "test_each_class_is_refused_from_its_own_level_on",
    "queue.high_at": "test_each_class_is_refused_from_its_own_level_on",
    "queue.result_ttl": "test_the_outcome_of_a_submit_is_kept_for_its_time",
    "queue.idempotency_ttl": "test_an_idempotency_key_stands_for_its_time",
    "queue.dead_ttl": "test_a_dead_letter_is_kept_for_its_time",
    "queue.retry_ratio": "test_each_request_that_ended_earns_that_part_of_a_retry",
    "queue.retry_floor": "test_so_many_retries_are_earned_a_second",
    "queue.retry_burst": "test_so_many_retries_are_saved_up",
    "call.timeout": "test_a_call_has_its_total_time",
    "call.submit_timeout": "test_a_submitted_request_has_its_total_time",
    "call.attempt_timeout": "test_an_attempt_ends_after_its_time",
    "call.max_attempts": "test_a_call_has_its_attempts",
    "call.backoff": "test_the_first_wait_between_attempts_is_as_long_as_the_backoff",
    "call.backoff_max": "test_later_waits_grow_no_longer_than_the_longest_backoff",
    "call.outstanding": "test_a_client_has_no_more_requests_open_than_it_may",
    "worker.heartbeat": "test_a_worker_beats_as_often_as_it_is_told",
    "worker.dead_after": "test_a_leader_takes_back_the_work_of_the_silent_after_that_time",
    "worker.grace": "test_a_stopped_worker_waits_for_its_calls_as_long_as_its_grace",
    "worker.hung_after": "test_a_hung_server_is_restarted_after_its_silence",
    "worker.max_result": "test_an_outcome_over_the_limit_is_refused_and_one_below_is_not",
    "worker.inline_result": "test_an_outcome_over_the_inline_limit_is_laid_beside_the_reply",
    "worker.host": "test_a_worker_answers_on_its_host_and_port",
    "worker.port": "test_a_worker_answers_on_its_host_and_port",
    "breaker.failure_threshold": "test_so_many_failures_in_a_row_open_it",
    "breaker.kind": "test_the_window_is_one_of_time_or_of_outcomes",
    "breaker.window": "test_a_window_of_time_forgets_what_is_older",
    "breaker.count": "test_a_window_of_outcomes_forgets_what_is_older",
    "breaker.min_calls": "test_no_rate_opens_it_before_there_are_so_many_calls",
    "breaker.failure_rate": "test_that_part_of_failures_opens_it",
    "breaker.slow_call": "test_calls_that_take_longer_are_slow",
    "breaker.slow_rate": "test_that_part_of_slow_calls_opens_it",
    "breaker.failures": "test_what_counts_as_a_failure_is_told",
    "breaker.recovery": "test_it_stays_open_for_its_time",
    "breaker.probes": "test_so_many_probes_go_and_must_succeed",
    "breaker.check_every": HEALTH + "test_a_beat_tells_the_health_and_the_times_of_pings_and_calls_apart",
    "breaker.unhealthy_after": HEALTH
    + "test_an_idle_server_that_answers_no_check_is_unhealthy_and_connected_anew",
    "coordinator.lease": "test_a_leader_leads_for_its_lease_and_renews_it_in_time",
    "coordinator.sweep": "test_a_leader_looks_as_often_as_it_is_told",
    "coordinator.control_url": "test_scheduled_duties_run_on_the_control_store",
    "coordinator.host": "test_a_coordinator_answers_on_its_host_and_port",
    "coordinator.port": "test_a_coordinator_answers_on_its_host_and_port",
    "coordinator.spare": "coordinator/test_spare.py::test_a_launcher_keeps_one_only_where_it_is_told",
    "events.keep": "test_about_so_many_events_stay",
    "strategy.name": "test_every_pool_is_divided_by_the_strategy_that_is_named",
    "strategy.pools": "test_a_pool_may_have_a_strategy_of_its_own",
    "strategy.shadow": "test_a_strategy_in_the_shadow_is_heard_of_in_every_pool_or_in_one",
    "strategy.shadows": "test_a_strategy_in_the_shadow_is_heard_of_in_every_pool_or_in_one",
    "rag.fallback": "test_the_server_that_is_named_answers_where_the_fabric_cannot",
    "rag.fallback_after": "test_the_fallback_is_asked_after_that_time",
    "rag.cache": "test_answers_are_kept_for_that_time_and_no_more_of_them",
    "rag.cache_entries": "test_answers_are_kept_for_that_time_and_no_more_of_them",
    "rag.tools": "test_the_tool_that_is_named_searches",
    "scaling.up_at": "test_a_server_gets_more_workers_above_that_part_of_its_slots",
    "scaling.down_at": "test_a_server_gets_fewer_workers_below_that_part_of_its_slots",
    "scaling.cooldown": "test_a_step_down_waits_for_the_cooldown",
    "scaling.target_wait": "test_what_waits_longer_than_that_asks_for_workers",
    "servers.<name>.command": "test_its_command_is_run",
    "servers.<name>.args": "test_its_command_gets_its_arguments",
    "servers.<name>.env": "test_it_gets_its_variables_and_no_others",
    "servers.<name>.cwd": "test_it_starts_in_its_directory",
    "servers.<name>.url": "test_its_url_is_called",
    "servers.<name>.headers": "test_its_headers_go_with_each_request",
    "servers.<name>.app": "test_its_app_is_run_in_the_worker",
    "servers.<name>.transport": "test_its_transport_says_how_it_is_spoken_to",
    "servers.<name>.capabilities": "test_it_serves_its_capabilities",
    "servers.<name>.tags": RULES + "test_tags_are_carried_by_whoever_serves_it",
    "servers.<name>.concurrency": "test_it_runs_so_many_calls_at_once",
    "servers.<name>.workers": LAUNCHER
    + "test_the_wanted_number_of_workers_runs_and_serves_and_the_table_says_so",
    "servers.<name>.min": "test_a_server_has_so_many_workers_at_least_and_none_where_it_may_sleep",
    "servers.<name>.max": "test_a_server_has_so_many_workers_at_most",
    "servers.<name>.start": LAUNCHER + "test_a_lazy_server_starts_on_the_first_request",
    "servers.<name>.idle_stop": LAUNCHER
    + "test_idle_workers_are_stopped_and_come_back_with_the_next_request",
    "servers.<name>.state": LAUNCHER
    + "test_an_exclusive_server_runs_under_one_of_two_launchers_and_moves_when_that_one_ends",
    "servers.<name>.mode": "test_its_mode_says_how_it_is_greeted",
    "servers.<name>.idempotent": "test_its_tools_may_run_twice_where_it_is_said",
    "servers.<name>.trust_annotations": "test_its_own_word_counts_where_it_is_trusted",
    "servers.<name>.attempt_timeout": "test_an_attempt_on_it_has_its_time",
    "servers.<name>.tool_timeouts": "test_an_attempt_of_a_tool_has_its_time",
    "servers.<name>.rate": f"{LIMITS}test_no_more_calls_start_in_the_whole_fleet_than_the_rate_allows",
    "servers.<name>.max_in_flight": (
        f"{LIMITS}test_no_more_calls_run_at_a_time_in_the_whole_fleet_than_the_server_takes"
    ),
    "servers.<name>.tool_rates": f"{LIMITS}test_a_tool_has_a_rate_of_its_own",
    "servers.<name>.tool_max_in_flight": f"{LIMITS}test_a_tool_at_its_limit_lets_the_others_flow",
    "servers.<name>.hung_after": "workers/test_worker_breaker.py::"
    "test_hung_after_restarts_a_hung_server_sooner",
    "servers.<name>.disabled": "test_a_disabled_one_is_left_out",
}
"""Key → the test that shows its effect on what runs."""


@cache
def functions_of(file: Path) -> frozenset[str]:
    """The test functions that a file has."""
    tree = ast.parse(file.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")
    )


def test_every_key_is_in_the_table_and_nothing_else() -> None:
    assert set(EFFECTS) == {".".join(path) for path in keys()}


@pytest.mark.parametrize("key", EFFECTS)
def test_the_test_of_each_key_is_there(key: str) -> None:
    path, _, name = EFFECTS[key].rpartition("::")
    files = [TESTS / path] if path else sorted(Path(__file__).parent.glob("test_*.py"))
    assert [file.name for file in files if name in functions_of(file)], EFFECTS[key]
