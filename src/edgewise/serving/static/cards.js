// Items as cards, why they are listed, and what changed between two lists.

import { h, percent } from "./dom.js";
import { item } from "./service.js";

/** A quiet coloured tile in place of a photo: the hue tells the category, the letters the title. */
export function tile(found) {
  const words = found.title.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => word[0].toUpperCase()).join("");
  return h("span.tile", { "--hue": hueOf(found), "aria-hidden": "true" }, letters);
}

/** Of the category below the shop's root, so that a shelf has one colour. */
export function hueOf(found) {
  const shelf = found.categories[1] || found.categories[0] || found.brand || "";
  let code = 7;
  for (const letter of shelf) code = (code * 31 + letter.codePointAt(0)) % 3600;
  return (code * 137.5) % 360;
}

export const small = (found) => [found.brand, found.categories.at(-1)].filter(Boolean).join(" · ");

/** An item of a history. */
export function historyCard(id, extra = null) {
  const found = item(id);
  return h("li.card.little", { "data-item": id }, tile(found),
    h("div.words", {}, h("a.title", { href: `#/similar?item=${encodeURIComponent(id)}`,
      title: found.title }, found.title),
    h("p.faint", {}, small(found))), extra);
}

/**
 * An item of a list.
 * marks: {moved, fresh}; actions: elements below; also: a few words beside the title.
 */
export function listCard(row, { marks = {}, actions = [], also = null } = {}) {
  const found = item(row.item_id);
  return h("li.card", { "data-item": row.item_id, "data-speaking": speaking(row.reasons ?? []) },
    h("span.rank", {}, h("span.hidden", {}, "Rank "), String(row.rank)), tile(found),
    h("div.words", {},
      h("h3", {}, h("a.title", { href: `#/similar?item=${encodeURIComponent(row.item_id)}`,
        title: found.title }, found.title), mark(marks)),
      h("p.faint", {}, small(found), also)),
    row.reasons ? why(row.reasons) : h("p.why.coming", { "aria-hidden": "true" }),
    actions.length ? h("div.actions", {}, actions) : null);
}

const speaking = (reasons) => JSON.stringify([...new Set(reasons.flatMap((each) => each.items))]);

/** Put the reasons that came later into a card. */
export function giveReasons(card, reasons, open) {
  const told = why(reasons);
  if (open) told.setAttribute("open", "");
  card.dataset.speaking = speaking(reasons);
  card.querySelector(".coming")?.replaceWith(told);
}

function mark({ moved = 0, fresh = false }) {
  if (fresh) return h("span.mark.fresh", {}, "new");
  if (!moved) return null;
  const words = moved > 0 ? `up ${moved}` : `down ${-moved}`;
  return h(`span.mark.${moved > 0 ? "up" : "down"}`, {},
    h("span", { "aria-hidden": "true" }, `${moved > 0 ? "▲" : "▼"} ${Math.abs(moved)}`),
    h("span.hidden", {}, words));
}

/** Parts of scores in a shop's words, in the order of their colours. */
const PARTS = new Map([["language model", "Language model"], ["transitions", "Taken afterwards"],
  ["markov", "Taken right after"], ["spectral", "Shared taste"], ["texts", "Similar titles"],
  ["topics", "Similar subjects"], ["popularity", "Popular"], ["trend", "Popular lately"],
  ["graph", "Taken together"]]);
const colourOf = (name) => {
  if (!PARTS.has(name)) PARTS.set(name, name);
  return [...PARTS.keys()].indexOf(name) % 8;
};

/** The shares of a score as one bar, the strongest in words, and all of them on demand. */
function why(reasons) {
  if (!reasons.length) return h("p.why.reason", {}, "The model tells no reasons.");
  const shown = reasons.filter((reason) => Math.abs(reason.share) >= 0.005);
  // What names items of the history tells a reader more than a stronger part without any.
  const telling = shown.find((reason) => reason.items.length && reason.share >= 0.1);
  const sentence = (telling ?? shown[0] ?? reasons[0]).text;
  if (shown.length < 2) return h("p.why.reason", {}, sentence);
  return h("details.why", {},
    h("summary", {},
      h("span.mix", { "aria-hidden": "true" }, shown.map((reason) => h(
        `span.part.p${colourOf(reason.name)}${reason.share < 0 ? ".against" : ""}`,
        { "--share": Math.abs(reason.share) }))),
      h("span.reason", {}, sentence)),
    h("ul.parts", {}, shown.map(part)));
}

function part(reason) {
  const words = PARTS.get(reason.name) ?? reason.name;
  const against = reason.share < 0;
  const known = words.toLowerCase() === reason.name;  // its name says nothing new
  return h("li", {},
    h("span.name", {}, words, known && !against ? null : h("span.faint", {},
      known ? null : reason.name, known || !against ? null : ", ",
      against ? h("span.bad", {}, "speaks against") : null)),
    h("span.meter", { "aria-hidden": "true" }, h(
      `span.part.p${colourOf(reason.name)}${reason.share < 0 ? ".against" : ""}`,
      { "--share": Math.abs(reason.share) })),
    h("span.share", {}, percent(reason.share)),
    h("span.text", {}, reason.text));
}

/** Which items are new, gone or moved between two lists of ids (best first). */
export function changes(before, after) {
  const was = new Map(before.map((id, place) => [id, place]));
  const is = new Set(after);
  const marks = new Map();
  after.forEach((id, place) => {
    if (!was.has(id)) marks.set(id, { fresh: true });
    else if (was.get(id) !== place) marks.set(id, { moved: was.get(id) - place });
  });
  const all = [...marks.values()];
  return { marks, gone: before.filter((id) => !is.has(id)),
    fresh: all.filter((each) => each.fresh).length, moved: all.filter((each) => each.moved).length };
}

/** Fill a list of cards, and let those that stay glide to their new places. */
export function fillMoving(list, cards) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const before = new Map([...list.children].map((card) =>
    [card.dataset.item, card.getBoundingClientRect().top]));
  list.replaceChildren(...cards);
  for (const card of cards) {
    const top = before.get(card.dataset.item);
    const now = card.getBoundingClientRect().top;
    if (still || !before.size || top === now) continue;
    card.animate(top === undefined ? [{ opacity: 0 }, { opacity: 1 }]
      : [{ transform: `translateY(${top - now}px)` }, { transform: "none" }],
    { duration: 260, easing: "ease-out" });
  }
}

/** Let the items of a history stand out that speak for the card under the pointer or the focus. */
export function linkSpeakers(listing, history) {
  const light = (event) => {
    const ids = new Set(JSON.parse(event.target.closest?.(".card")?.dataset.speaking ?? "[]"));
    for (const each of history.querySelectorAll("[data-item]")) {
      each.classList.toggle("speaks", ids.has(each.dataset.item));
    }
  };
  for (const kind of ["pointerover", "pointerleave", "focusin", "focusout"]) {
    listing.addEventListener(kind, kind === "pointerleave" || kind === "focusout"
      ? () => light({ target: listing }) : light);
  }
}
