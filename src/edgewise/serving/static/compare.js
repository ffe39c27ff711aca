// Two models side by side for the same person.

import { listCard } from "./cards.js";
import { announce, failed, fill, h, newest, notice, plural, select, waiting } from "./dom.js";
import { nameOf, personBar, somebody } from "./person.js";
import * as service from "./service.js";

const LENGTH = 10;
const chosen = { left: null, right: null };

export async function show(root, { person, shop, go }) {
  person ??= await somebody();
  const ready = (await service.models()).models.filter((model) => model.state !== "failed");
  const names = ready.map((model) => [model.version, `${model.version} (${model.method}${
    model.state === "active" ? ", active" : ""})`]);
  if (!ready.some((model) => model.version === chosen.left)) chosen.left = shop.active;
  if (!ready.some((model) => model.version === chosen.right)) {
    chosen.right = ready.find((model) => model.version !== chosen.left)?.version ?? chosen.left;
  }
  const verdict = h("p.verdict", {}, "\u00a0");
  const lists = ["left", "right"].map((side) => h("ol.cards.listing", {
    "aria-label": side === "left" ? "First model" : "Second model" }));
  for (const list of lists) fill(list, waiting(6));

  fill(root,
    h("div.masthead", {}, h("h1", { tabindex: "-1" }, nameOf(person)), personBar(person, go)),
    ready.length < 2 ? notice("There is only one model, so both sides are the same. Start the "
      + "service with several runs to compare them.") : null,
    verdict,
    h("div.beside.even", {}, lists.map((list, place) => h("section", {},
      h("h2.hidden", {}, place ? "Second model" : "First model"),
      select(place ? "Second model" : "First model", names, place ? chosen.right : chosen.left,
        (value) => { chosen[place ? "right" : "left"] = value; load(); }), list))));

  const ask = newest(() => Promise.all([chosen.left, chosen.right].map((version) =>
    service.recommendBy(version, person, LENGTH))));

  async function load() {
    let answers;
    try {
      answers = await ask();
    } catch (error) {
      fill(verdict, "\u00a0");
      fill(lists[0], h("li", {}, failed(error, load)));
      fill(lists[1]);
      return;
    }
    if (!answers) return;
    const places = answers.map((answer) => new Map(answer.items.map((row) =>
      [row.item_id, row.rank])));
    const common = [...places[0].keys()].filter((id) => places[1].has(id));
    const length = Math.max(places[0].size, places[1].size);
    const same = common.filter((id) => places[0].get(id) === places[1].get(id)).length;
    const told = `${common.length} of ${plural(length, "item")} in common, ${same} at the same rank.`;
    fill(verdict, h("span.meter.wide", { "aria-hidden": "true" },
      h("span.part.p0", { "--share": length ? common.length / length : 0 })), h("span", {}, told));
    announce(told);
    answers.forEach((answer, side) => fill(lists[side], answer.items.length
      ? answer.items.map((row) => card(row, places[1 - side].get(row.item_id)))
      : h("li", {}, notice("No items."))));
  }

  function card(row, other) {
    const made = listCard(row, { also: h(`span.other.${other ? "both" : "alone"}`, {},
      other ? `in both, rank ${other} there` : "only here") });
    if (other) made.classList.add("common");
    made.addEventListener("pointerenter", () => light(row.item_id));
    made.addEventListener("pointerleave", () => light(null));
    return made;
  }

  function light(id) {
    for (const each of root.querySelectorAll(".listing .card")) {
      each.classList.toggle("speaks", each.dataset.item === id);
    }
  }

  await load();
}
