// Items that are like another, to walk from one to the next.

import { small, tile } from "./cards.js";
import { combobox, failed, fill, h, newest, notice, waiting } from "./dom.js";
import * as service from "./service.js";

const LENGTH = 18;
const path = [];

export async function show(root, { parameters, go, open }) {
  const id = parameters.get("item") ?? path.at(-1) ?? null;
  const grid = h("ol.grid", { "aria-label": "Similar items" });
  const heading = h("h1", { tabindex: "-1" }, "Similar items");
  const about = h("div.subject");
  const unit = h("p.faint.from", {}, "\u00a0");
  const search = combobox({ label: "Search an item", hint: "Words of its title", name: "item",
    search: service.findItems, empty: "No title holds these words.",
    pick: (item) => open("similar", { item: item.item_id }),
    show: (item) => [h("span", {}, item.title || item.item_id),
      h("span.faint", {}, item.brand || item.categories.at(-1) || "")] });
  fill(root, h("div.masthead", {}, heading, h("form.bar", {
    onsubmit: (event) => event.preventDefault() }, search,
  h("button", { type: "button", onclick: random }, "A random item"))), about, unit, grid);

  async function random() {
    const [found] = await service.findItems("");
    if (found) open("similar", { item: found.item_id });
  }

  const ask = newest(async () => {
    const [, answer] = await Promise.all([service.known([id]), service.similar(id, LENGTH)]);
    await service.known(answer.items.map((row) => row.item_id));
    return answer;
  });

  async function load() {
    fill(grid, waiting(9, "little"));
    let answer;
    try {
      answer = await ask();
    } catch (error) {
      fill(about);
      fill(grid, h("li", {}, failed(error, load)));
      return;
    }
    if (!answer) return;
    if (path.at(-1) !== id) path.push(id);
    if (path.length > 8) path.shift();
    const subject = service.item(id);
    fill(about, h("div.card.subject-card", {}, tile(subject), h("div.words", {},
      h("p.title", {}, subject.title),
      h("p.faint", {}, [subject.brand, subject.categories.join(" › ")].filter(Boolean).join(" · "))),
    h("p.links", {}, h("a", { href: `#/map?item=${encodeURIComponent(id)}` }, "On the map"),
      h("a", { href: `#/recommend?items=${encodeURIComponent(id)}` },
        "Recommend to somebody who has it"))),
    path.length > 1 ? h("nav.trail", { "aria-label": "Items you came by" }, h("span.faint", {},
      "You came by "), path.slice(0, -1).reverse().slice(0, 4).map((each) => h("a.chip", {
      href: `#/similar?item=${encodeURIComponent(each)}` }, service.item(each).title))) : null);
    fill(unit, answer.items.length ? `Scores are a ${answer.unit}, by ${answer.model_version}.` : "");
    const best = Math.max(...answer.items.map((row) => row.score), 1e-9);
    fill(grid, answer.items.length ? answer.items.map((row) => {
      const found = service.item(row.item_id);
      return h("li.card.little", { "data-item": row.item_id }, tile(found), h("div.words", {},
        h("a.title", { href: `#/similar?item=${encodeURIComponent(row.item_id)}`,
          title: found.title }, found.title),
        h("p.faint", {}, small(found)),
        h("p.score", {}, h("span.meter", { "aria-hidden": "true" },
          h("span.part.p0", { "--share": Math.max(row.score, 0) / Math.max(best, 1e-9) })),
        h("span", {}, row.score.toFixed(2)))));
    }) : h("li", {}, notice("The model knows of no item that is like this one.")));
  }

  if (id) await load();
  else await random();
}
