// Who is asked about: a person of the shop, or a history put together here.

import { combobox, fill, h, plural } from "./dom.js";
import * as service from "./service.js";

let current = null;

/** Of an address's parameters; whoever was asked about last where they name nobody. */
export function personOf(parameters) {
  if (parameters.has("user")) current = { user: parameters.get("user") };
  else if (parameters.has("items")) {
    const ids = (name) => parameters.getAll(name).filter(Boolean);
    current = { history: ids("items"), denied: ids("not") };
  }
  return current;
}

/** Somebody to begin with. */
export async function somebody() {
  current ??= { user: (await service.anybody()).user_id };
  return current;
}

export function parametersOf(person) {
  const found = new URLSearchParams();
  if (person?.user !== undefined) found.set("user", person.user);
  for (const id of person?.history || []) found.append("items", id);
  for (const id of person?.denied || []) found.append("not", id);
  if (person && person.user === undefined && !person.history.length) found.set("items", "");
  return found;
}

export const nameOf = (person) => person.user !== undefined ? `User ${person.user}`
  : "A history of your own";

export const withItem = (person, id) => ({ ...person,
  history: [...person.history.filter((other) => other !== id), id] });

/** Fields to choose somebody by; go(person) is told. */
export function personBar(person, go) {
  const own = person?.history !== undefined;
  const users = combobox({
    label: "Search a user", hint: "Part of an id", name: "user",
    search: service.users, pick: (user) => go({ user: user.user_id }),
    show: (user) => [h("span", {}, user.user_id), h("span.faint", {}, plural(user.items, "item"))],
    empty: "No user's id holds this.",
  });
  const items = combobox({
    label: "Add an item to the history", hint: "Words of a title, or ids pasted", name: "item",
    search: service.findItems, empty: "No title holds these words.",
    pick: (item) => go(withItem(person, item.item_id)),
    show: (item) => [h("span", {}, item.title || item.item_id),
      h("span.faint", {}, item.brand || item.categories.at(-1) || "")],
  });
  items.querySelector("input").addEventListener("paste", (event) => {
    const ids = event.clipboardData.getData("text").split(/[\s,;]+/).filter(Boolean);
    if (ids.length < 2) return;
    event.preventDefault();
    pasted(ids, person, go, bar);
  });
  const bar = h("form.bar", { onsubmit: (event) => event.preventDefault() },
    h("div.choice", { role: "group", "aria-label": "Who is asked about" },
      h("button", { type: "button", "aria-pressed": String(!own),
        onclick: () => own && go(null) }, "A user"),
      h("button", { type: "button", "aria-pressed": String(own),
        onclick: () => own || go({ history: [], denied: [] }) }, "A history")),
    own ? items : users,
    own
      ? h("button", { type: "button", onclick: () => go({ history: [], denied: [] }),
        disabled: !person.history.length }, "Clear")
      : h("button", { type: "button", onclick: () => go(null) }, "A random user"),
    h("p.faint.message", { role: "status" }));
  return bar;
}

async function pasted(ids, person, go, bar) {
  const message = bar.querySelector(".message");
  try {
    await service.known(ids);
  } catch (error) {
    fill(message, error.message);
    return;
  }
  const strange = ids.filter((id) => !service.isKnown(id));
  if (strange.length === ids.length) {
    fill(message, `None of the ${ids.length} pasted words is an item's id.`);
    return;
  }
  go(ids.filter((id) => service.isKnown(id)).reduce(withItem, person));
}

/** Go to a person; null is a random user. */
export async function chosen(person) {
  current = person ?? { user: (await service.anybody()).user_id };
  return current;
}
