// Which view is shown: the address after # says it, so that it can be kept and sent.

import * as compare from "./compare.js";
import { announce, failed, fill, h, newest } from "./dom.js";
import * as map from "./map.js";
import * as operations from "./operations.js";
import { chosen, parametersOf, personOf } from "./person.js";
import * as recommend from "./recommend.js";
import * as service from "./service.js";
import * as similar from "./similar.js";

const VIEWS = { recommend, compare, similar, map, operations };
const TITLES = { recommend: "Recommend", compare: "Compare", similar: "Similar items",
  map: "Map", operations: "Operations" };
const main = document.getElementById("main");
let leave = () => {}, first = true, shop = null, kept = -1;
const controls = () => [...main.querySelectorAll(".bar input, .bar button")];

const addressOf = (view, parameters) => {
  const told = new URLSearchParams(parameters).toString();
  return `#/${view}${told ? `?${told}` : ""}`;
};

function place() {
  const [view, told = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: VIEWS[view] ? view : "recommend", parameters: new URLSearchParams(told) };
}

/** Show a view by its name and parameters. */
function open(view, parameters = {}) {
  const address = addressOf(view, parameters);
  if (address === location.hash) display();
  else location.hash = address;
}

async function refresh() {
  shop = await service.shop();
  fill(document.getElementById("facts"), h("strong", {}, shop.name),
    ` ${shop.users.toLocaleString("en")} users, ${shop.items.toLocaleString("en")} items, `
    + `answered by ${shop.active}`);
}

const display = newest(async () => {
  leave();
  leave = () => {};
  const { view, parameters } = place();
  let person = personOf(parameters);
  for (const link of document.querySelectorAll("nav[aria-label=Views] a")) {
    const name = link.hash.replace(/^#\/?/, "").split("?")[0];
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (name !== "operations" && name !== "similar") link.href = addressOf(name, parametersOf(person));
  }
  document.title = `${TITLES[view]} · edgewise`;
  main.setAttribute("aria-busy", "true");
  const root = h(`div.view.${view}`);
  fill(main, root);
  const go = async (next, silent = false) => {
    const used = controls().indexOf(document.activeElement);
    person = await chosen(next);
    const address = addressOf(view, parametersOf(person));
    if (silent) history.replaceState(null, "", address);
    else if (address === location.hash) display();
    else { kept = used; location.hash = address; }
  };
  try {
    if (!shop) await refresh();
    const left = await VIEWS[view].show(root, { person, parameters, shop, go, open, refresh });
    if (place().view === view && root.isConnected) leave = left || leave;
    else left?.();
  } catch (error) {
    fill(root, h("h1", { tabindex: "-1" }, TITLES[view]), failed(error, display));
  }
  main.removeAttribute("aria-busy");
  if (!first) {
    // Whoever chose a person goes on in the same field; a new view begins at its heading.
    const now = document.activeElement;
    const target = controls()[kept] ?? root.querySelector("h1");
    if (now === document.body || now?.closest("nav")) target?.focus({ preventScroll: kept >= 0 });
    if (kept < 0) announce(document.title);
  }
  first = false;
  kept = -1;
});

addEventListener("hashchange", display);
display();
