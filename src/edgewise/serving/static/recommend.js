// The list of a person beside what they have, with feedback that changes the next list.

import { changes, fillMoving, giveReasons, historyCard, linkSpeakers, listCard } from "./cards.js";
import { announce, failed, fill, h, newest, notice, plural, select, waiting } from "./dom.js";
import { nameOf, personBar, somebody, withItem } from "./person.js";
import * as service from "./service.js";

const FIRST = 12, MOST = 60;
const SOURCES = { cache: "a stored list", model: "the model", fallback: "popular items, as the model was late" };
const DEEDS = [["like", "Like", "You liked"], ["purchase", "Bought", "You bought"],
  ["dismiss", "Dismiss", "You dismissed"]];

export async function show(root, { person, shop, go }) {
  person ??= await somebody();
  const has = h("ul.cards.having"), list = h("ol.cards.listing", { "aria-label": "Recommended" });
  const hasCount = h("span.faint"), from = h("p.faint.from", {}, "\u00a0");
  const changed = h("div.changed", { hidden: true });
  const more = h("button", { type: "button", hidden: true }, "Show more");
  const chosen = { brands: "", categories: "" };
  let shown = [], k = FIRST, answer = null;
  fill(has, waiting(5, "little"));
  fill(list, waiting(8));

  const choices = (name, label, all) => shop[name].length > 1 && select(label,
    [["", all], ...shop[name].map(({ value, count }) => [value, `${value} (${count})`])], "",
    (value) => { chosen[name] = value; forget(); load(); });
  fill(root,
    h("div.masthead", {}, h("h1", { tabindex: "-1" }, nameOf(person)), personBar(person, go)),
    h("div.beside", {},
      h("section", { "aria-labelledby": "has" },
        h("h2", { id: "has" }, person.user !== undefined ? "What they have " : "The history ",
          hasCount), has),
      h("section", { "aria-labelledby": "gets" },
        h("div.heading", {}, h("h2", { id: "gets" }, "Recommended next"), from),
        h("div.filters", {}, choices("categories", "Category", "All categories"),
          choices("brands", "Brand", "All brands")),
        changed, list, h("p.actions", {}, more))));
  linkSpeakers(list, has);
  more.addEventListener("click", () => { k = Math.min(k + FIRST, MOST); load(); });

  const forget = () => { shown = []; changed.hidden = true; };
  const filters = () => {
    const found = {};
    if (chosen.brands) found.brand = [chosen.brands];
    if (chosen.categories) found.categories = [chosen.categories];
    return Object.keys(found).length ? found : undefined;
  };
  const ask = newest(() => Promise.all([
    service.recommend(person, { k, filters: filters(), scenario: "page" }),
    person.user !== undefined ? service.history(person.user)
      : service.known(person.history).then(() => person.history.map(service.item)),
  ]));

  const askReasons = newest(service.reasonsFor);
  const opened = () => new Set([...list.querySelectorAll("details[open]")].map((each) =>
    each.closest(".card").dataset.item));

  /** Reasons take the model longer than lists: they come into the cards when they are known. */
  async function loadReasons(unfolded) {
    const ids = answer.items.map((row) => row.item_id);
    const found = ids.length ? await askReasons(person, ids).catch(() => ({})) : undefined;
    if (!found) return;
    for (const card of list.querySelectorAll(".card")) {
      giveReasons(card, found[card.dataset.item] ?? [], unfolded.has(card.dataset.item));
    }
  }

  async function load(told = "") {
    list.setAttribute("aria-busy", "true");
    let found;
    try {
      found = await ask();
    } catch (error) {
      fill(list, h("li", {}, failed(error, () => load(told))));
      list.removeAttribute("aria-busy");
      if (!answer) fill(has);
      return;
    }
    if (!found || !root.contains(list)) return;
    list.removeAttribute("aria-busy");
    const unfolded = opened();
    answer = found[0];
    showHistory(found[1]);
    showList(told);
    loadReasons(unfolded);
  }

  function showHistory(owned) {
    fill(hasCount, String(owned.length));
    const remove = (id) => person.history && h("button.quiet", { type: "button",
      "aria-label": `Take out ${service.item(id).title}`,
      onclick: () => go({ ...person, history: person.history.filter((other) => other !== id) }) },
    "×");
    if (!owned.length) {
      fill(has, h("li", {}, notice(person.user !== undefined ? "Nothing yet."
        : "Empty so far: search items above, or paste ids. Until then, popular items are listed.")));
      return;
    }
    fillMoving(has, [...owned].reverse().map((each) => historyCard(each.item_id,
      remove(each.item_id))));
  }

  function showList(told) {
    const ids = answer.items.map((row) => row.item_id);
    const known = shown.length ? changes(shown, ids.slice(0, Math.max(shown.length, FIRST)))
      : changes(ids, ids);
    const version = answer.model_version;
    fill(from, answer.cold_user ? "Popular items, as nothing is known of them" :
      `From ${SOURCES[answer.source]} · ${version}`);
    if (!ids.length) {
      fill(list, h("li", {}, notice("No item is left to list: choose fewer filters.")));
    } else {
      fillMoving(list, answer.items.map((row) => listCard({ ...row, reasons: null }, {
        marks: told ? known.marks.get(row.item_id) : {}, actions: buttons(row) })));
    }
    more.hidden = ids.length < k || k >= MOST;
    if (told) tell(told, known);
    else announce(`${plural(ids.length, "item")} recommended to ${nameOf(person)}.`);
    shown = ids;
  }

  function tell(told, known) {
    const numbers = [[known.gone.length, "gone"], [known.fresh, "new"], [known.moved, "moved"]]
      .filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ");
    const titles = known.gone.slice(0, 3).map((id) => service.item(id).title);
    changed.hidden = false;
    fill(changed, h("p", {}, h("strong", {}, told), ` The list: ${numbers || "unchanged"}.`),
      known.gone.length ? h("p.faint", {}, "Gone: ", titles.join("; "),
        known.gone.length > 3 ? `; ${known.gone.length - 3} more` : "") : null);
    announce(`${told} The list: ${numbers || "unchanged"}.`);
  }

  function buttons(row) {
    const { title } = service.item(row.item_id);
    return DEEDS.map(([kind, word, done]) => h(`button.deed.${kind}`, { type: "button",
      "aria-label": `${word}: ${title}`, onclick: (event) => act(event, row, kind, done) }, word));
  }

  async function act(event, row, kind, done) {
    const pressed = event.currentTarget, place = row.rank - 1;
    const card = pressed.closest(".card");
    for (const button of card.querySelectorAll(".deed")) button.disabled = true;
    const told = `${done} ${service.item(row.item_id).title}.`;
    try {
      if (person.user !== undefined) {
        await service.send(person.user, row.item_id, kind, answer.recommendation_id);
      } else if (kind === "dismiss") {
        person = { ...person, denied: [...person.denied || [], row.item_id] };
        go(person, true);
      } else {
        person = withItem(person, row.item_id);
        go(person, true);
      }
    } catch (error) {
      for (const button of card.querySelectorAll(".deed")) button.disabled = false;
      changed.hidden = false;
      fill(changed, h("p", { role: "alert" }, error.message));
      return;
    }
    await load(told);
    // The card went with its button: the keyboard goes on where it was.
    list.children[Math.min(place, list.children.length - 1)]
      ?.querySelector(`.deed.${kind}`)?.focus({ preventScroll: true });
  }

  await load();
  return () => {};
}

