"""The audit as a whole."""

from __future__ import annotations

import json

from edgewise.audit import registry
from edgewise.audit.registry import CHECKS, audit
from edgewise.audit.report import GROUPS, Audit, AuditInput, Finding
from edgewise.data.texts import explanation_split
from edgewise.evaluation.protocols import ELMREC_RELEASED, HONEST, LLM4REC_RELEASED, parts_under


def material(shop, protocol=HONEST) -> AuditInput:
    split = parts_under(protocol, shop.dataset)
    return AuditInput(split, protocol, explanation_split(split).train)


def verdicts(found: Audit) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in found.findings}


def test_names_are_unique_and_every_group_has_a_check():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert {check.group for check in CHECKS} == set(GROUPS)


def test_findings_bear_the_names_of_their_checks(shop):
    found = audit(material(shop))
    assert [(f.check, f.group) for f in found.findings] == [(c.name, c.group) for c in CHECKS]


def test_honest_has_no_leak(shop):
    found = audit(material(shop))
    assert not found.leaks
    assert found.headline().startswith("no leak in")
    assert "later-events" in found.headline()  # comes with leave-one-out, and is told


def test_the_released_protocol_names_each_leak(shop):
    found = audit(material(shop, ELMREC_RELEASED))
    told = {finding.check for finding in found.leaks}
    assert told == {
        "graph-edges",
        "text-pairs",
        "untrained-probe",
        "repeated-items",
        "padded-lists",
    }
    assert verdicts(found)["data-as-asked"] == "warning"  # the shop has no source numbers
    assert "graph-edges (test rows that are edges" in found.headline()


def test_a_graph_of_all_parts_is_a_whole_leak(shop):
    split = parts_under(LLM4REC_RELEASED, shop.dataset)
    found = audit(AuditInput(split, LLM4REC_RELEASED), fast=True)
    (edges,) = (finding for finding in found.findings if finding.check == "graph-edges")
    assert [each.value for each in edges.measurements] == [1, 1]


def test_fast_leaves_out_candidates_and_probe(shop):
    told = []
    found = audit(material(shop), fast=True, on_check=lambda *state: told.append(state))
    assert {finding.group for finding in found.findings} == set(GROUPS) - {"candidates", "probe"}
    assert found.conditions["checks"] == "fast"
    assert told[-1] == (len(told), len(found.findings)) == (len(told), len(told))


def test_json_keeps_everything(shop):
    found = audit(material(shop, ELMREC_RELEASED), fast=True, conditions={"data": "shop"})
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (values["kind"], values["verdict"], values["data"]) == (
        "edgewise audit",
        "leaks",
        "shop",
    )
    assert tuple(Finding.from_dict(each) for each in values["findings"]) == found.findings


BY_USER = {
    "graph-edges",
    "text-pairs",
    "item-numbers",
    "later-events",
    "tie-order",
    "repeated-rows",
}


def test_fast_checks_of_many_users_look_at_a_sample_and_say_so(shop, monkeypatch):
    monkeypatch.setattr(registry, "_FAST_USERS", 50)
    found = audit(material(shop, ELMREC_RELEASED), fast=True, seed=7)
    sample = f"50 of {shop.dataset.num_users} users, seed 7"
    assert {each.check for each in found.findings if each.sample == sample} == BY_USER
    assert {each.sample for each in found.findings} == {"", sample}
    assert {"graph-edges", "text-pairs"} <= {each.check for each in found.leaks}
    assert f"checks (of {sample}): graph-edges" in found.headline()
    assert Finding.from_dict(found.findings[0].to_dict()) == found.findings[0]
    assert audit(material(shop, ELMREC_RELEASED), fast=True, seed=7) == found
    assert audit(material(shop, ELMREC_RELEASED), fast=True, seed=8) != found


def test_what_touches_all_users_is_measured_whole_by_a_sample(shop, monkeypatch):
    monkeypatch.setattr(registry, "_FAST_USERS", 5)
    split = parts_under(LLM4REC_RELEASED, shop.dataset)
    found = audit(AuditInput(split, LLM4REC_RELEASED), fast=True, seed=1)
    (edges,) = (finding for finding in found.findings if finding.check == "graph-edges")
    assert [each.value for each in edges.measurements] == [1, 1]


def test_all_checks_look_at_all_users(shop, monkeypatch):
    monkeypatch.setattr(registry, "_FAST_USERS", 5)
    found = audit(material(shop))
    assert {finding.sample for finding in found.findings} == {""}
    assert "(of" not in found.headline()
