"""The moves against an oracle: any order of them, any of them twice, workers that die and come back."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import altered
import realredis
from playing import machine_on, play_games

EXAMPLES = settings(
    max_examples=60,
    stateful_step_count=50,
    derandomize=True,  # the same examples in each run: a failure here is a failure there
    database=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=True,
)


@pytest.mark.timeout(300)
def test_any_order_of_moves_that_hypothesis_finds_does_what_the_oracle_says(
    store_url: str, namespace: str
) -> None:
    with altered.in_force(altered.TEST_CLOCK):
        run_state_machine_as_test(machine_on(store_url, namespace), settings=EXAMPLES)


@realredis.every_store
@pytest.mark.timeout(300)
def test_any_order_of_moves_that_dice_give_does_what_the_oracle_says(store_url: str, namespace: str) -> None:
    with altered.in_force(altered.TEST_CLOCK):
        play_games(store_url, namespace, seeds=range(60), turns=80)
