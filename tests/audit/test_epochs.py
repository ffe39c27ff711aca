"""What a run's log proves about the choice of the epoch."""

from __future__ import annotations

from dataclasses import replace

from edgewise.audit.training_log import TrainingLog, epoch_choice, pairs_digest


def nothing(rows):
    return rows.take([])


def test_a_split_without_test_rows_is_proof(shop):
    log = TrainingLog.of(replace(shop, test=nothing(shop.test)), {"": 3})
    finding = epoch_choice(log, shop, fitted=True)
    assert finding.verdict == "ok"
    assert [figure.value for figure in finding.figures] == [0, 300, 3]


def test_test_rows_that_were_handed_over_are_found(shop):
    finding = epoch_choice(TrainingLog.of(shop, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "test rows are among them" in finding.meaning


def test_test_rows_in_the_place_of_validation_rows_are_found(shop):
    swapped = replace(shop, valid=shop.test, test=nothing(shop.test))
    finding = epoch_choice(TrainingLog.of(swapped, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "valid rows are not the split's" in finding.meaning


def test_other_edges_than_those_audited_are_found(shop):
    leaking = replace(shop, edges=shop.dataset.interactions, test=nothing(shop.test))
    finding = epoch_choice(TrainingLog.of(leaking, {"": 3}), shop, fitted=True)
    assert finding.verdict == "leak" and "edges rows are not the split's" in finding.meaning


def test_an_epoch_chosen_on_the_test_is_found(shop):
    log = TrainingLog.of(replace(shop, test=nothing(shop.test)), {"first": 3, "last": 0})
    assert log.chosen_on == {"first": "valid", "last": "nothing"}
    finding = epoch_choice(replace(log, chosen_on={"first": "test"}), shop, fitted=True)
    assert finding.verdict == "leak" and "chosen on test" in finding.meaning


def test_without_a_run_or_a_log(shop):
    assert epoch_choice(None, shop, fitted=False).verdict == "not applicable"
    assert epoch_choice(None, shop, fitted=True).verdict == "warning"


def test_the_digest_knows_users_items_and_order(shop):
    rows = shop.test
    digests = {
        pairs_digest(rows),
        pairs_digest(replace(rows, user_index=rows.item_index, item_index=rows.user_index)),
        pairs_digest(rows.take([1, 0])),
        pairs_digest(rows.take([0, 1])),
    }
    assert len(digests) == 4
    assert pairs_digest(rows) == pairs_digest(replace(rows, rating=None))
