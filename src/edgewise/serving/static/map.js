// All items on a plane where similar ones lie close together, to wander through.

import { small, tile } from "./cards.js";
import { announce, combobox, failed, fill, h, notice, plural } from "./dom.js";
import { nameOf, personBar } from "./person.js";
import * as service from "./service.js";

const NEAR = 8, SIMILAR = 8, REACH = 14, FARTHEST = 40;
const WHOLE = { zoom: 0.94, x: 0.5, y: 0.49 };
let known = null;  // the map of one model version, kept between visits

async function points(version, root, isGone) {
  while (known?.version !== version) {
    const told = await service.itemMap();
    if (isGone()) return null;
    if (told.state === "ready") {
      known = { ...told, place: new Map(told.ids.map((id, row) => [id, row])) };
      break;
    }
    if (told.state === "failed") throw new Error(told.error);
    fill(root, h("h1", { tabindex: "-1" }, "Map"), notice("The map is being laid out, once for "
      + "each model. It takes seconds, or a minute for a large catalogue."));
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    if (isGone()) return null;
  }
  return known;
}

export async function show(root, { person, parameters, shop, go }) {
  const map = await points(shop.active, root, () => !root.isConnected);
  if (!map) return undefined;
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label":
    "Map of items. Arrow keys move it, plus and minus zoom, Enter chooses the item in the middle; "
    + "the nearest items are listed after the map." });
  const tip = h("div.tip", { hidden: true, "aria-hidden": "true" });
  const legend = h("div.legend", { role: "group", "aria-label": "Categories" });
  const near = h("ol.plain"), chosen = h("div.chosen", { "aria-live": "polite" });
  const whose = h("p.faint.whose", {}, "\u00a0");
  const view = { ...WHOLE };  // the point of the map in the middle of the canvas
  let size = { width: 0, height: 0 }, picked = null, alike = [], history = [], listed = [];
  let only = null, hovered = -1, frame = 0, timer = 0;

  const tools = [["+", "Zoom in", () => zoomBy(1.6)], ["−", "Zoom out", () => zoomBy(1 / 1.6)],
    ["⤢", "Show everything", () => { Object.assign(view, WHOLE); draw(); }]]
    .map(([sign, words, act]) => h("button", { type: "button", "aria-label": words, title: words,
      onclick: act }, sign));
  const search = combobox({ label: "Find an item on the map", hint: "Words of its title",
    name: "item", search: service.findItems, empty: "No title holds these words.",
    pick: (item) => pick(item.item_id, true),
    show: (item) => [h("span", {}, item.title || item.item_id),
      h("span.faint", {}, map.place.has(item.item_id) ? small(item) : "not on the map")] });
  fill(root, h("div.masthead", {}, h("h1", { tabindex: "-1" }, "Map"), personBar(person, go)),
    legend,
    h("div.atlas", {}, h("div.plane", {}, canvas, h("div.tools", {}, tools), tip),
      h("aside", { "aria-label": "Items of the map" },
        h("form", { onsubmit: (event) => event.preventDefault() }, search), chosen,
        h("h2", {}, "In the middle of the view"), near)),
    whose);

  fill(legend, map.groups.map((name, group) => h("button.chip.group", { type: "button",
    "aria-pressed": "false", "--dot": `var(--g${group})`, onclick: () => {
      only = only === group ? null : group;
      [...legend.children].forEach((each, row) => each.setAttribute("aria-pressed",
        String(row === only)));
      draw();
    } }, name)));

  const labels = namedPlaces(map);
  const close = `Items lie close together that are similar by ${map.unit}.`;
  const unit = () => Math.min(size.width, size.height) * view.zoom;
  const toScreen = (row) => [size.width / 2 + (map.x[row] - view.x) * unit(),
    size.height / 2 + (map.y[row] - view.y) * unit()];
  const at = (left, top) => [view.x + (left - size.width / 2) / unit(),
    view.y + (top - size.height / 2) / unit()];

  /** The rows nearest to a point of the map, nearest first. */
  function nearest(x, y, count, within = Infinity) {
    const found = [];
    for (let row = 0; row < map.ids.length; row += 1) {
      const distance = (map.x[row] - x) ** 2 + (map.y[row] - y) ** 2;
      if (distance > within) continue;
      if (found.length === count && distance >= found[count - 1][0]) continue;
      found.push([distance, row]);
      found.sort((one, other) => one[0] - other[0]);
      if (found.length > count) found.pop();
    }
    return found.map(([, row]) => row);
  }

  function zoomBy(factor, left = size.width / 2, top = size.height / 2) {
    const [x, y] = at(left, top);
    view.zoom = Math.min(Math.max(view.zoom * factor, 0.7), FARTHEST);
    const [nowX, nowY] = at(left, top);
    view.x = Math.min(Math.max(view.x + x - nowX, 0), 1);
    view.y = Math.min(Math.max(view.y + y - nowY, 0), 1);
    draw();
  }

  function moveBy(left, top) {
    view.x = Math.min(Math.max(view.x - left / unit(), 0), 1);
    view.y = Math.min(Math.max(view.y - top / unit(), 0), 1);
    draw();
  }

  function draw() {
    frame ||= requestAnimationFrame(() => { frame = 0; paint(); });
    clearTimeout(timer);
    timer = setTimeout(listNear, 150);
  }

  function paint() {
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(size.width * scale)) canvas.width = Math.round(size.width * scale);
    if (canvas.height !== Math.round(size.height * scale)) {
      canvas.height = Math.round(size.height * scale);
    }
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    const crowd = Math.min(1, Math.sqrt(600 / Math.max(map.ids.length, 1)));
    const radius = Math.min(6, (1.6 + 3 * crowd) * view.zoom ** 0.35);
    for (let group = 0; group < map.groups.length; group += 1) {
      pen.fillStyle = colour(`--g${group}`);
      pen.globalAlpha = only === null ? 0.75 : only === group ? 0.95 : 0.1;
      pen.beginPath();
      for (let row = 0; row < map.ids.length; row += 1) {
        if (map.group[row] !== group) continue;
        const [left, top] = toScreen(row);
        if (left < -9 || top < -9 || left > size.width + 9 || top > size.height + 9) continue;
        pen.moveTo(left + radius, top);
        pen.arc(left, top, radius, 0, 7);
      }
      pen.fill();
    }
    pen.globalAlpha = 1;
    const ink = colour("--ink"), accent = colour("--accent"), ground = colour("--ground");
    const rows = (ids) => ids.map((id) => map.place.get(id)).filter((row) => row !== undefined);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.font = "600 15px Charter, Georgia, serif";
    const written = [];
    for (const { name, x, y, group } of labels) {
      if (only !== null && only !== group) continue;
      const where = [size.width / 2 + (x - view.x) * unit(),
        Math.max(size.height / 2 + (y - view.y) * unit() - 14, 14)];
      const width = pen.measureText(name).width;
      if (written.some((each) => Math.abs(each[1] - where[1]) < 20
        && Math.abs(each[0] - where[0]) < (each[2] + width) / 2 + 8)) continue;
      written.push([...where, width]);
      pen.lineWidth = 4;
      pen.strokeStyle = colour("--sheet");
      pen.strokeText(name, ...where);
      pen.fillStyle = ink;
      pen.fillText(name, ...where);
    }
    if (picked !== null && map.place.has(picked)) {
      const [left, top] = toScreen(map.place.get(picked));
      pen.strokeStyle = accent;
      pen.lineWidth = 1.5;
      pen.globalAlpha = 0.6;
      pen.beginPath();
      for (const row of rows(alike)) { pen.moveTo(left, top); pen.lineTo(...toScreen(row)); }
      pen.stroke();
      pen.globalAlpha = 1;
      ring(pen, left, top, radius + 5, accent, 3);
      for (const row of rows(alike)) ring(pen, ...toScreen(row), radius + 2, accent, 2);
    }
    for (const row of rows(history)) ring(pen, ...toScreen(row), radius + 3, ink, 2.5);
    pen.font = "bold 11px system-ui, sans-serif";
    listed.forEach((id, place) => {
      const row = map.place.get(id);
      if (row === undefined) return;
      const [left, top] = toScreen(row);
      pen.fillStyle = accent;
      pen.beginPath();
      pen.arc(left, top, 9, 0, 7);
      pen.fill();
      pen.fillStyle = ground;
      pen.fillText(String(place + 1), left, top + 0.5);
    });
    if (hovered >= 0) ring(pen, ...toScreen(hovered), radius + 4, ink, 1.5);
  }

  function ring(pen, left, top, radius, colour, width) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(left, top, radius, 0, 7);
    pen.stroke();
  }

  const nameButton = (id, title) => h("li", {}, h("button.link", { type: "button",
    onclick: () => pick(id, true) }, title || id));

  function listNear() {
    const [x, y] = at(size.width / 2, size.height / 2);
    const had = near.contains(document.activeElement);
    if (had) return;  // whoever walks through the list keeps it until they leave
    fill(near, nearest(x, y, NEAR).map((row) => nameButton(map.ids[row], map.titles[row])));
  }

  async function pick(id, centre = false) {
    picked = id;
    alike = [];
    const row = map.place.get(id);
    if (row !== undefined && centre) {
      Object.assign(view, { x: map.x[row], y: map.y[row], zoom: Math.max(view.zoom, 3) });
    }
    draw();
    try {
      const [, answer] = await Promise.all([service.known([id]), service.similar(id, SIMILAR)]);
      if (picked !== id) return;
      alike = answer.items.map((each) => each.item_id);
      const found = service.item(id);
      const value = encodeURIComponent(id);
      history_(`#/map?item=${value}`);
      fill(chosen, h("div.card.little", { "data-item": id }, tile(found), h("div.words", {},
        h("p.title", {}, found.title), h("p.faint", {}, small(found)))),
      h("p.links", {}, h("a", { href: `#/similar?item=${value}` }, "Similar items"),
        h("a", { href: `#/recommend?items=${value}` }, "Recommend from it")),
      row === undefined ? h("p.faint", {}, "It is not on the map: the model knows of no item "
        + "that is like it.") : null,
      h("h2", {}, "Most like it"),
      h("ol.plain", {}, answer.items.map((each) => nameButton(each.item_id, each.title))));
      draw();
    } catch (error) {
      fill(chosen, failed(error, () => pick(id)));
    }
  }

  function history_(address) {
    const now = new URLSearchParams(location.hash.split("?")[1] ?? "");
    now.delete("item");
    const rest = now.toString();
    window.history.replaceState(null, "", rest ? `${address}&${rest}` : address);
  }

  async function showPerson() {
    if (!person) {
      fill(whose, close, " Choose a user to see what they have and what is recommended to them.");
      return;
    }
    try {
      const [answer, owned] = await Promise.all([service.recommend(person, { k: 10 }),
        person.user !== undefined ? service.history(person.user)
          : person.history.map(service.item)]);
      history = owned.map((each) => each.item_id);
      listed = answer.items.map((row) => row.item_id);
      const off = [...history, ...listed].filter((id) => !map.place.has(id)).length;
      fill(whose, h("span.key.ring", { "aria-hidden": "true" }), ` ${nameOf(person)} has `,
        plural(history.length, "item"), "; ", h("span.key.dot", { "aria-hidden": "true" }, "1"),
        ` ${plural(listed.length, "recommendation")}, by rank.`,
        off ? ` ${off} of them are not on the map.` : "", h("br"), close);
      draw();
    } catch (error) {
      fill(whose, error.message);
    }
  }

  // Pointers: one drags, two pinch, a short press chooses.
  const fingers = new Map();
  let pressed = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    pressed = fingers.size === 1 ? place(event) : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [left, top] = place(event);
    const before = fingers.get(event.pointerId);
    if (!before) { hover(left, top); return; }
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const far = Math.hypot(left - other[0], top - other[1]);
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
      if (was > 1) zoomBy(far / was, (left + other[0]) / 2, (top + other[1]) / 2);
    } else if (!pressed || Math.hypot(left - pressed[0], top - pressed[1]) > 5) {
      pressed = null;
      moveBy(left - before[0], top - before[1]);
    }
    fingers.set(event.pointerId, [left, top]);
  });
  const release = (event) => {
    if (event.type === "pointerup" && pressed) {
      const row = under(...place(event));
      if (row >= 0) pick(map.ids[row]);
    }
    pressed = null;
    fingers.delete(event.pointerId);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { hovered = -1; tip.hidden = true; draw(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), ...place(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step],
      ArrowDown: [0, -step] };
    if (moves[event.key]) moveBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.4);
    else if (event.key === "-") zoomBy(1 / 1.4);
    else if (event.key === "Enter") {
      const [row] = nearest(view.x, view.y, 1);
      if (row !== undefined) { pick(map.ids[row]); announce(map.titles[row]); }
    } else return;
    event.preventDefault();
  });

  const under = (left, top) => nearest(...at(left, top), 1, (REACH / unit()) ** 2)[0] ?? -1;

  function hover(left, top) {
    const row = under(left, top);
    if (row === hovered) return;
    hovered = row;
    tip.hidden = row < 0;
    if (row >= 0) {
      const [x, y] = toScreen(row);
      fill(tip, map.titles[row] || map.ids[row]);
      tip.classList.toggle("left", x > size.width / 2);
      tip.style.transform = `translate(${x}px, ${y}px)`;
    }
    draw();
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  const watch = new ResizeObserver(([entry]) => {
    size = { width: entry.contentRect.width, height: entry.contentRect.height };
    draw();
  });
  watch.observe(canvas);
  showPerson();
  if (parameters.has("item")) pick(parameters.get("item"), true);
  else fill(chosen, h("p.faint", {}, `${plural(map.ids.length, "item")} of ${
    shop.items.toLocaleString("en")}. Choose one to see what is like it.`));
  return () => { watch.disconnect(); dark.removeEventListener("change", draw); clearTimeout(timer); };
}

/** Where a category's name may stand: above its items, if they keep together. */
function namedPlaces(map) {
  const at = (values, share) => values.sort((one, other) => one - other)[
    Math.floor(values.length * share)];
  return map.groups.flatMap((name, group) => {
    const rows = [...map.ids.keys()].filter((row) => map.group[row] === group);
    if (!rows.length || name === "others") return [];
    const x = at(rows.map((row) => map.x[row]), 0.5), y = at(rows.map((row) => map.y[row]), 0.5);
    const near = [...map.ids.keys()].sort((one, other) => Math.hypot(map.x[one] - x, map.y[one] - y)
      - Math.hypot(map.x[other] - x, map.y[other] - y)).slice(0, 20);
    const own = near.filter((row) => map.group[row] === group).length;
    const top = at(rows.map((row) => map.y[row]), 0.04);
    return own >= 0.75 * near.length ? [{ name, x, y: top, group }] : [];
  });
}
