"""Lists for known users, for somebody new, for given candidates; texts and what speaks for them."""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.seals import edit

from edgewise.data.dataset import histories_of
from edgewise.models.popularity import Popularity
from edgewise.models.registry import load_model
from edgewise.runs import open_run


@pytest.fixture(scope="module")
def opened(run):
    return open_run(run)


def test_a_table_of_titles(edgewise, run, opened):
    user = opened.dataset.users.ids[0]
    result = edgewise("recommend", run, "--users", user, "-k", 3)
    assert result.exit_code == 0, result.output
    best = opened.model.recommend(
        np.array([0]), 3, histories=histories_of(60, opened.dataset.interactions)
    )
    for item in best.item_index:
        assert opened.dataset.catalog.title[item] in result.output
    assert user in result.output


def test_users_may_follow_each_other_or_stand_in_a_file(edgewise, run, opened, tmp_path):
    first, second = opened.dataset.users.ids[:2]
    file = tmp_path / "users.txt"
    file.write_text(f"{first}\n\n{second}\n")
    asked = [
        ("--users", first, second),
        ("--users", first, "--users", second),
        ("--users-file", file),
    ]
    answers = [edgewise("recommend", run, *users, "--format", "json").output for users in asked]
    assert answers[0] == answers[1] == answers[2]
    lists = json.loads(answers[0])
    assert [row["user_id"] for row in lists] == [first, second]
    assert [item["rank"] for item in lists[0]["items"]] == list(range(1, 11))


def test_nothing_the_user_has_is_recommended(edgewise, run, opened, tmp_path):
    out = tmp_path / "lists.parquet"
    result = edgewise("recommend", run, "--all", "-k", 4, "--out", out)
    assert result.exit_code == 0, result.output
    frame = pl.read_parquet(out)
    assert frame.columns == ["user_id", "item_id", "score", "rank", "title"]
    assert len(frame) == 60 * 4 and frame["user_id"].n_unique() == 60
    rows = opened.dataset.interactions
    taken = set(zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True))
    users = opened.dataset.users.indices_of(frame["user_id"].to_list()).tolist()
    items = opened.dataset.items.indices_of(frame["item_id"].to_list()).tolist()
    assert not taken & set(zip(users, items, strict=True))


def test_formats_agree(edgewise, run, opened, tmp_path):
    user = opened.dataset.users.ids[5]
    asked = ("recommend", run, "--users", user, "-k", 4)
    table = list(csv.DictReader(StringIO(edgewise(*asked, "--format", "csv").output)))
    lists = json.loads(edgewise(*asked, "--format", "json").output)
    out = tmp_path / "lists.csv"
    assert edgewise(*asked, "--out", out).exit_code == 0
    assert [row["item_id"] for row in table] == [row["item_id"] for row in lists[0]["items"]]
    assert list(csv.DictReader(StringIO(out.read_text()))) == table


def test_lists_of_rounded_weights(edgewise, run, opened, tmp_path):
    user, scores = opened.dataset.users.ids[3], {}
    for weights in ("fp32", "int8"):
        result = edgewise(
            "recommend", run, "--users", user, "--weights", weights, "--format", "json"
        )
        assert result.exit_code == 0, result.output
        rows = json.loads(result.output)[0]["items"]
        scores[weights] = {row["item_id"]: row["score"] for row in rows}
    both = scores["fp32"].keys() & scores["int8"].keys()
    apart = [abs(scores["fp32"][item] - scores["int8"][item]) for item in both]
    assert len(both) >= 5 and 0 < max(apart) < 0.3


def test_a_batch_is_of_one_kind_of_weights(edgewise, run, tmp_path):
    asked = ("batch", run, "--out", tmp_path / "lists", "-k", 3)
    assert edgewise(*asked, "--weights", "int8").exit_code == 0
    manifest = json.loads((tmp_path / "lists" / "manifest.json").read_text())
    assert manifest["settings"]["weights"] == "int8"
    other = edgewise(*asked)
    assert other.exit_code == 2 and "settings.weights" in other.output
    assert edgewise(*asked, "--weights", "int8").exit_code == 0


def test_somebody_new(edgewise, run, opened):
    ids = opened.dataset.items.ids
    asked = ("recommend", run, "--history", f"{ids[7]}, {ids[3]}", "--format", "json")
    (answer,) = json.loads(edgewise(*asked).output)
    expected = opened.model.recommend_new([np.array([7, 3])], 10)
    assert [item["item_id"] for item in answer["items"]] == [ids[i] for i in expected.item_index]
    assert not {ids[7], ids[3]} & {item["item_id"] for item in answer["items"]}
    assert answer["user_id"] == "new user"


@pytest.mark.parametrize("kind", ["lines", "json", "csv", "json by user"])
def test_given_candidates_are_ranked(edgewise, run, opened, tmp_path, kind):
    items, user = list(opened.dataset.items.ids[10:16]), opened.dataset.users.ids[2]
    file = tmp_path / ("items.json" if "json" in kind else "items.csv")
    texts = {
        "lines": "\n".join(items),
        "json": json.dumps(items),
        "csv": "user_id,item_id\n" + "\n".join(f"{user},{item}" for item in items),
        "json by user": json.dumps({user: items}),
    }
    file.write_text(texts[kind])
    asked = ("recommend", run, "--users", user, "--task", "direct", "--candidates", file)
    (answer,) = json.loads(edgewise(*asked, "--format", "json").output)
    assert {item["item_id"] for item in answer["items"]} == set(items)
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_candidates_for_somebody_new(edgewise, run, opened, tmp_path):
    ids = opened.dataset.items.ids
    file = tmp_path / "items.txt"
    file.write_text("\n".join(ids[:5]))
    asked = ("recommend", run, "--history", ids[9], "--candidates", file, "-k", 2)
    (answer,) = json.loads(edgewise(*asked, "--format", "json").output)
    assert len(answer["items"]) == 2
    assert {item["item_id"] for item in answer["items"]} <= set(ids[:5])


def test_unknown_ids_are_refused_or_skipped(edgewise, run, opened):
    user = opened.dataset.users.ids[0]
    wrong = user + "x"
    result = edgewise("recommend", run, "--users", wrong, user)
    assert result.exit_code == 2
    assert f"unknown user id '{wrong}'" in result.output and user in result.output
    assert "--skip-unknown" in result.output
    skipped = edgewise(
        "recommend", run, "--users", wrong, user, "--skip-unknown", "--format", "csv"
    )
    assert skipped.exit_code == 0
    assert f"unknown user id '{wrong}'" in skipped.stderr and "warning" in skipped.stderr
    assert skipped.stdout.count(user) == 10
    item = opened.dataset.items.ids[0]
    result = edgewise("recommend", run, "--history", f"{item}x")
    assert result.exit_code == 2 and item in result.output
    nothing = edgewise("recommend", run, "--history", f"{item}x", "--skip-unknown")
    assert nothing.exit_code == 2 and "no known item" in nothing.output


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_recommending_by_an_untrained_task_is_refused(edgewise, fake_run, task):
    other = {"direct": "sequential", "sequential": "direct"}[task]
    about = fake_run / "model" / "model.json"
    edit(about, lambda values: values["settings"].update(tasks=[other]), seal=True)
    file = fake_run / "items.txt"
    file.write_text(open_run(fake_run).dataset.items.ids[0])
    given = ("--candidates", file) if task == "direct" else ()
    result = edgewise("recommend", fake_run, "--all", "--task", task, *given)
    assert result.exit_code == 2
    assert f"--task {task}: {fake_run} was not trained for it, only for {other}" in result.output
    if task == "sequential":
        unsaid = edgewise("recommend", fake_run, "--all")
        assert unsaid.exit_code == 2 and "which ranks given items: name" in unsaid.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say for whom"),
        (["--users", "u1", "--all"], "say for whom"),
        (["stray", "--all"], "unexpected 'stray'"),
        (["--all", "-k", "0"], "-k 0"),
        (["--all", "--format", "parquet"], "--out"),
        (["--all", "--format", "jsn"], "Did you mean 'json'?"),
        (["--all", "--out", "lists.txt"], "--format"),
        (["--all", "--out", "lists.parquet", "--format", "csv"], "do not agree"),
        (["--users", "u1", "--history", "i1"], "got --users and --history"),
        (["--similar-to", "i1", "--all"], "got --all and --similar-to"),
        (["--similar-to", "i1", "--include-seen"], "--include-seen says nothing of similar items"),
        (["--all", "--candidates", "none.txt"], "none.txt: no such file, and no item id"),
        (["--all", "--task", "direct"], "--candidates"),
        (["--all", "--task", "sequental"], "Did you mean 'sequential'?"),
        (["--users-file", "none.txt"], "none.txt: no such file"),
    ],
)
def test_impossible_wishes(edgewise, run, arguments, message):
    result = edgewise("recommend", run, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and message in result.output


# Which items may be listed; the method is of no matter.


@pytest.fixture
def ask(edgewise, popular_run):
    """The lists of ``recommend`` as JSON, and what it warned of."""

    def asked(*arguments: object) -> tuple[list[dict], str]:
        result = edgewise("recommend", popular_run, *arguments, "--format", "json")
        assert result.exit_code == 0, result.output
        lists = json.loads(result.stdout, parse_constant=pytest.fail)
        return [
            {**row, "ids": [i["item_id"] for i in row["items"]]} for row in lists
        ], result.stderr

    return asked


def test_items_are_filtered_by_attributes(ask, opened):
    catalog, user = opened.dataset.catalog, opened.dataset.users.ids[0]
    brand = dict(zip(opened.dataset.items.ids, catalog.brand, strict=True))
    two = sorted(set(catalog.brand))[:2]
    asked = [word for name in two for word in ("--filter", f"brand={name}")]
    ((found,), told) = ask("--users", user, "-k", 96, *asked)
    assert {brand[item] for item in found["ids"]} == set(two)
    assert "--filter shortened them, too" in told
    others = [item for item, name in brand.items() if name not in two]
    own = [item for item, name in brand.items() if name in two]
    ((ranked,), _) = ask(
        *("--users", user, "--candidates", ",".join([*own[:2], *others[:2]]), *asked)
    )
    assert sorted(ranked["ids"]) == sorted(own[:2])
    ((alike,), _) = ask("--similar-to", own[0], "--filter", f"brand={two[0]}")
    assert {brand[item] for item in alike["ids"]} <= {two[0]}


def test_items_are_excluded_and_allowed(ask, opened, tmp_path):
    user = opened.dataset.users.ids[0]
    ((plain,), told) = ask("--users", user, "-k", 4)
    first, second, third, fourth = plain["ids"]
    assert not told and (plain["task"], plain["score_unit"]) == ("sequential", "count of rows")
    file = tmp_path / "sold-out.csv"
    file.write_text(f"item_id,left\n{second},0\n")
    ((rest,), _) = ask("--users", user, "-k", 2, "--exclude", first, "--exclude", file)
    assert rest["ids"] == [third, fourth]
    ((some,), told) = ask("--users", user, "-k", 4, "--allow", f"{fourth},{second}")
    assert some["ids"] == [second, fourth]
    assert f"lists shorter than 4: {user} (2)" in told and "--allow" in told
    ((one,), _) = ask(
        *("--users", user, "--candidates", f"{first},{third}", "--exclude", first, "-k", 1)
    )
    assert one["ids"] == [third] and one["task"] == "direct"


def test_seen_items_are_included_where_asked(ask, opened):
    known = histories_of(60, opened.dataset.interactions)[0]
    seen = {opened.dataset.items.ids[item] for item in known}
    user = opened.dataset.users.ids[0]
    ((without,), told) = ask("--users", user, "-k", 96)
    assert not seen & set(without["ids"]) and len(without["ids"]) == 96 - len(seen)
    assert f"{user} ({96 - len(seen)})" in told and "--include-seen" in told
    ((whole,), told) = ask("--users", user, "-k", 10**30, "--include-seen")
    assert len(whole["ids"]) == 96 and seen <= set(whole["ids"])
    assert told == f"warning: -k {10**30}: the catalogue has 96 items; lists hold at most 96\n"


def test_a_user_who_has_everything_gets_an_empty_list_that_says_so(
    ask, edgewise, opened, popular_run
):
    known = histories_of(60, opened.dataset.interactions)[0]
    has = ",".join(opened.dataset.items.ids[item] for item in known)
    user = opened.dataset.users.ids[0]
    asked = ("--users", user, "--allow", has)
    ((nothing,), told) = ask(*asked)
    assert nothing["items"] == [] and f"{user} (0)" in told
    assert f"{user}: no items" in edgewise("recommend", popular_run, *asked).stdout


def test_users_with_commas_and_other_spellings(ask, opened, tmp_path):
    first, second = opened.dataset.users.ids[:2]
    file = tmp_path / "users.csv"
    file.write_text(f'"user_id","n"\n"{first}",1\n"{second}",2\n')
    for users in (("--users", f"{first},{second}"), ("--users-file", file)):
        lists, told = ask(*users, "-k", 1)
        assert [row["user_id"] for row in lists] == [first, second] and not told


@pytest.mark.parametrize("option", ["--users-file", "--candidates"])
def test_empty_files_are_named(edgewise, popular_run, tmp_path, option):
    file = tmp_path / "empty.txt"
    file.write_text("\n")
    whom = () if option == "--users-file" else ("--all",)
    result = edgewise("recommend", popular_run, option, file, *whom)
    assert result.exit_code == 2 and f"{file}: no " in result.output and "ids" in result.output


def test_unknown_ids_tell_what_to_do(edgewise, popular_run, shop):
    result = edgewise("recommend", popular_run, "--users", "999")
    assert result.exit_code == 2
    told = ("--users: unknown user id '999'", "Some that it has:", "--history ITEM,ITEM")
    for part in (*told, f"'edgewise data users {shop}'"):
        assert part in result.output
    result = edgewise("recommend", popular_run, "--all", "--exclude", "999")
    assert result.exit_code == 2 and f"edgewise data items {shop} --search" in result.output
    result = edgewise("explain", popular_run, "--user", "999", "--item", "i1")
    assert result.exit_code == 2 and "data users" in result.output
    assert "--history" not in result.output and "--skip-unknown" not in result.output


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_similar_items(edgewise, popular_run, opened, form):
    item = opened.dataset.items.ids[opened.split.train.item_index[0]]
    result = edgewise("recommend", popular_run, "--similar-to", item, "-k", 3, "--format", form)
    assert result.exit_code == 0, result.output
    model = Popularity().fit(opened.split)
    frame = model.similar_items([item], 3).to_frame()
    if form == "csv":
        assert result.stdout == frame.write_csv()
    elif form == "json":
        (row,) = json.loads(result.stdout)
        assert (row["similar_to"], row["score_unit"]) == (item, "cosine of train co-occurrence")
        assert [i["item_id"] for i in row["items"]] == frame["item_id"].to_list()
    else:
        assert "score (cosine of train co-occurrence)" in result.stdout


def test_the_table_says_which_task_answers_and_what_scores_are(edgewise, run, opened, tmp_path):
    user, items = opened.dataset.users.ids[0], opened.dataset.items.ids[:3]
    sequential = edgewise("recommend", run, "--users", user, "-k", 2).stdout
    assert sequential.startswith("task sequential: ranks the whole catalogue (96 items), without")
    assert "--candidates" in sequential and "score (log-probability)" in sequential
    direct = edgewise("recommend", run, "--users", user, "--candidates", ",".join(items)).stdout
    assert direct.startswith("task direct: ranks the given candidates")


def test_scores_do_not_depend_on_the_order_of_candidates(edgewise, run, opened, tmp_path):
    user, items = opened.dataset.users.ids[0], opened.dataset.items.ids[20:32]
    answers = []
    for number, given in enumerate((items, items[::-1], (*items[5:], *items[:6]))):
        file = tmp_path / f"{number}.txt"
        file.write_text("\n".join(given))
        asked = ("--users", user, "--candidates", file, "-k", 12, "--format", "json")
        answers.append(edgewise("recommend", run, *asked).stdout)
    assert answers[0] == answers[1] == answers[2]
    assert len(json.loads(answers[0])[0]["items"]) == 12


def test_a_failed_command_leaves_no_file(edgewise, run, opened, tmp_path):
    out = tmp_path / "lists.csv"
    edgewise("recommend", run, "--users", "nobody", "--out", out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["elmrec", "graph-gpt"])
def test_the_folder_of_a_model_is_complete(request, tmp_path, method):
    folder = request.getfixturevalue({"elmrec": "run", "graph-gpt": "gpt_run"}[method])
    folder = folder if method == "elmrec" else folder[0]
    moved = Path(shutil.copytree(folder / "model", tmp_path / "moved"))
    for file in moved.rglob("*"):
        assert file.is_dir() or str(folder.parent).encode() not in file.read_bytes(), file
    model, opened = load_model(moved), open_run(folder)
    user, item = opened.dataset.users.ids[3], opened.dataset.items.ids[5]
    frame = model.recommend([user], k=4).to_frame()
    assert frame.equals(opened.model.recommend([user], k=4).to_frame())
    assert frame["user_id"].to_list() == [user] * 4 and all(frame["title"])
    assert model.recommend_new([[item]], k=2).to_frame()["user_id"].to_list() == ["new user"] * 2
    assert model.explain([(user, item)]) == opened.model.explain([(user, item)])


# Explanations: a text, and the items of the history that speak.


@pytest.fixture(scope="module")
def pair(run) -> tuple[str, str]:
    opened = open_run(run)
    row = opened.split.test.take([0])
    return (
        opened.dataset.users.ids[row.user_index[0]],
        opened.dataset.items.ids[row.item_index[0]],
    )


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory) -> Path:
    """A copy of the run: what its explanations are worth is kept in its folder."""
    return Path(shutil.copytree(run, tmp_path_factory.mktemp("explained") / "run"))


def test_the_text_and_the_shares(edgewise, explained, pair):
    user, item = pair
    result = edgewise("explain", explained, "--user", user, "--item", item, "--format", "json")
    found = json.loads(result.stdout)
    opened = open_run(explained)
    users, items = opened.dataset.users, opened.dataset.items
    assert found["text"] == opened.model.explain([(users.index_of(user), items.index_of(item))])[0]
    assert found["text"]
    shares = [row["share"] for row in found["items"]]
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
    train = opened.split.train
    mine = set(train.item_index[train.user_index == users.index_of(user)].tolist())
    assert {items.index_of(row["item_id"]) for row in found["items"]} <= mine


def test_the_table_names_titles(edgewise, explained, pair):
    result = edgewise("explain", explained, "--user", pair[0], "--item", pair[1])
    assert result.exit_code == 0
    assert "%" in result.output and "what speaks for it" in result.output


def test_texts_of_two_epochs_are_warned_of_and_the_graph_answers(edgewise, explained, pair):
    result = edgewise("explain", explained, "--user", pair[0], "--item", pair[1])
    assert "warning: these explanations come no closer" in result.stderr
    assert ": bought by " in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[1].startswith("(the run writes: ")


def test_a_run_that_does_not_explain_has_the_graphs_reason(edgewise, popular_run, pair):
    result = edgewise("explain", popular_run, "--user", pair[0], "--item", pair[1])
    assert result.exit_code == 0, result.output
    assert ": bought by " in result.output and "was not trained to explain" in result.output


def test_why_tells_the_parts_of_a_score(edgewise, gpt_run, pair):
    asked = ("explain", gpt_run[0], "--user", pair[0], "--item", pair[1], "--why")
    found = json.loads(edgewise(*asked, "--format", "json").stdout)
    assert (found["user_id"], found["item_id"]) == pair
    assert found["note"].startswith(f"{pair[0]} has it: this is its score before, after ")
    names = [part["name"] for part in found["parts"]]
    assert {"language model", "transitions", "popularity"} <= set(names)
    assert sum(abs(part["share"]) for part in found["parts"]) == pytest.approx(1)
    named = [item["title"] for part in found["parts"] for item in part["items"]]
    table = edgewise(*asked)
    assert table.exit_code == 0, table.output
    assert (
        f"what makes up its score for {pair[0]}" in table.stdout and found["note"] in table.stdout
    )
    assert found["title"] in table.stdout and any(title in table.stdout for title in named)


def test_lists_have_a_reason_for_each_item(edgewise, gpt_run, pair, tmp_path):
    asked = ("recommend", gpt_run[0], "--users", pair[0], "-k", 3, "--why")
    (row,) = json.loads(edgewise(*asked, "--format", "json").stdout)
    reasons = [item["why"] for item in row["items"]]
    assert len(reasons) == 3 and all(" % " in reason for reason in reasons)
    alone = edgewise("explain", gpt_run[0], "--user", pair[0], "--item",
                     row["items"][0]["item_id"], "--why").stdout  # fmt: skip
    assert reasons[0] in alone, "the same reason as of the item alone"
    assert "why" in edgewise(*asked).stdout
    refused = edgewise("recommend", gpt_run[0], "--similar-to", pair[1], "--why")
    assert refused.exit_code == 2 and "--why tells of users of the data set" in refused.output


def test_why_of_a_run_without_priors_says_so(edgewise, popular_run, pair):
    result = edgewise("explain", popular_run, "--user", pair[0], "--item", pair[1], "--why")
    assert result.exit_code == 0 and ": bought by " in result.stdout
    said = "this run of Popularity mixes no item priors: its scores have no parts to tell"
    assert f"warning: {said}; the graph's reason follows" in result.stderr
    listed = edgewise("recommend", popular_run, "--users", pair[0], "--why", "--format", "json")
    assert f"warning: --why: {said}" in listed.stderr
    assert "why" not in json.loads(listed.stdout)[0]["items"][0]


def test_unknown_ids_name_the_nearest(edgewise, run, pair):
    user, item = pair
    wrong_user = edgewise("explain", run, "--user", user + "x", "--item", item)
    wrong_item = edgewise("explain", run, "--user", user, "--item", item + "x")
    assert (wrong_user.exit_code, wrong_item.exit_code) == (2, 2)
    assert f"Close ids: {user}" in wrong_user.output
    assert item in wrong_item.output.partition("Close ids: ")[2]
