from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.data import splits
from credit_default.core.data.sample import bundled_clients

ids_of_clients = st.lists(st.text(max_size=12), unique=True)


def bundled_ids():
    return bundled_clients()["client_id"].to_pylist()


@given(ids=ids_of_clients, others=ids_of_clients, order=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_adding_rows_moves_no_client_to_another_part(ids, others, order):
    before = dict(zip(ids, splits.part_of(ids), strict=True))
    together = list({*ids, *others})
    order.shuffle(together)

    after = dict(zip(together, splits.part_of(together), strict=True))

    assert {client: after[client] for client in ids} == before


def test_parts_have_their_shares_of_the_bundled_clients():
    names, counts = np.unique(splits.part_of(bundled_ids()), return_counts=True)

    shares = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
    assert set(shares) == {"development", "calibration", "test"}
    for part, expected in (("development", 0.6), ("calibration", 0.2), ("test", 0.2)):
        assert abs(shares[part] - expected) < 0.01


def test_a_client_is_in_the_part_it_has_always_been_in():
    # Models point at data that was split like this; another split would put their training rows into their tests.
    ids = ["1", "2", "3", "4", "5", "6", "7", "8", "clients.csv:7", "é"]

    assert splits.part_of(ids).tolist() == [
        "development",
        "calibration",
        "development",
        "development",
        "test",
        "development",
        "development",
        "development",
        "development",
        "development",
    ]


def test_the_bundled_clients_are_dealt_into_equal_halves_whatever_their_order():
    ids = bundled_ids()
    shuffled = list(ids)
    np.random.default_rng(1).shuffle(shuffled)

    development = {client for client, chosen in zip(ids, splits.deal(ids), strict=True) if chosen}
    again = {client for client, chosen in zip(shuffled, splits.deal(shuffled), strict=True) if chosen}

    assert len(development) == 15_000
    assert development == again


def test_the_deal_says_nothing_about_the_part():
    ids = bundled_ids()

    share = np.mean(splits.part_of(ids)[splits.deal(ids)] == "development")

    assert abs(share - 0.6) < 0.02
