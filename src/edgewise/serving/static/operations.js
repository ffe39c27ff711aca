// What the service is doing, and which model it answers by.

import { announce, failed, fill, h, plural } from "./dom.js";
import * as service from "./service.js";

const EVERY = 2000, KEPT = 60;
const milliseconds = (seconds) => seconds === null || seconds === undefined ? "–"
  : seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${Math.round(seconds * 1000)} ms`;
const share = (part, whole) => whole ? `${Math.round(100 * part / whole)} %` : "–";

export async function show(root, { refresh }) {
  const tiles = h("dl.figures"), table = h("tbody"), models = h("ul.cards.models");
  const chart = h("canvas.spark", { role: "img", "aria-label": "Requests per second" });
  const message = h("div");
  const rates = [];
  let before = null, timer = 0, gone = false, told = "", turn = 0, known = [];
  fill(tiles, figures(null));
  fill(root, h("h1", { tabindex: "-1" }, "Operations"), message,
    tiles,
    h("section", { "aria-labelledby": "rate" }, h("h2", { id: "rate" }, "Requests per second"),
      chart),
    h("section", { "aria-labelledby": "models" }, h("h2", { id: "models" }, "Models"), models),
    h("section", { "aria-labelledby": "routes" }, h("h2", { id: "routes" }, "Latency"),
      h("div.scroll", { tabindex: "0", role: "region", "aria-labelledby": "routes" },
        h("table", {}, h("thead", {}, h("tr", {}, ["Route", "Source", "Requests", "Median", "95 %",
          "99 %"].map((name, place) => h("th", { scope: "col",
          class: place > 1 ? "number" : null }, name)))), table))));

  async function tick() {
    if (document.hidden) {  // nobody looks
      timer = setTimeout(tick, EVERY);
      return;
    }
    try {
      const now = await service.operations();
      if (turn % 5 === 0) known = (await service.models()).models;
      turn += 1;
      now.models = known;
      if (gone) return;
      fill(message);
      draw(now);
      before = now;
    } catch (error) {
      if (gone) return;
      fill(message, failed(error, tick));
      return;  // the button goes on
    }
    timer = setTimeout(tick, EVERY);
  }

  function draw(now) {
    const seconds = before ? now.seconds - before.seconds : 0;
    // Several workers count for themselves: another one may have answered the last time.
    if (seconds > 0) rates.push(Math.max(0, (now.requests - before.requests) / seconds));
    if (rates.length > KEPT) rates.shift();
    fill(tiles, figures(now));
    fill(table, now.routes.length ? now.routes.map((row) => h("tr", {},
      h("th", { scope: "row" }, row.route), h("td", {}, row.source || "–"),
      h("td.number", {}, row.count.toLocaleString("en")),
      [row.p50, row.p95, row.p99].map((value) => h("td.number", {}, milliseconds(value)))))
      : h("tr", {}, h("td", { colspan: 6 }, "No requests yet.")));
    const state = JSON.stringify(now.models);
    if (state !== told) {  // buttons keep the focus while nothing changes
      told = state;
      fill(models, now.models.map(model));
    }
    spark(chart, rates);
  }

  function figures(now) {
    const rate = rates.at(-1);
    return [
      ["Requests", now ? now.requests.toLocaleString("en") : "–",
        rate === undefined ? "counting" : `${rate.toFixed(1)} per second now`],
      ["Median latency", milliseconds(now?.latency.p50), `99 % within ${
        milliseconds(now?.latency.p99)}`],
      ["From the cache", now ? share(now.lists.cache, now.lists.all) : "–",
        now ? `${plural(now.lists.cache, "list")} of ${now.lists.all.toLocaleString("en")}` : "–"],
      ["Fallbacks", now ? now.lists.fallback.toLocaleString("en") : "–", "popular items instead"],
      ["Events", now ? now.events.toLocaleString("en") : "–", "written to the log"],
      ["Waiting", now ? now.queue.toLocaleString("en") : "–", now?.batch
        ? `${now.batch.toFixed(1)} asked at once` : "for the model"],
    ].map(([name, value, note]) => h("div", {}, h("dt", {}, name), h("dd", {}, value),
      h("dd.faint", {}, note)));
  }

  function model(each) {
    const active = each.state === "active";
    return h(`li.card.model${active ? ".active" : ""}`, {},
      h("div.words", {}, h("h3", {}, each.version, h(`span.mark.${each.state}`, {}, each.state)),
        h("p.faint", {}, `${each.method} on ${each.data}${each.trained_rows
          ? `, ${each.trained_rows.toLocaleString("en")} rows` : ""}`),
        each.error ? h("p.bad", {}, each.error) : null),
      active ? null : h("button", { type: "button", disabled: each.state === "loading",
        "aria-label": `Activate ${each.version}`, onclick: (event) => activate(event, each) },
      each.state === "loading" ? "Loading …" : "Activate"));
  }

  async function activate(event, each) {
    const button = event.currentTarget;
    fill(button, "Loading …");
    button.disabled = true;
    announce(`Loading ${each.version}.`);
    try {
      await service.activate(each.version);
      announce(`${each.version} answers now.`);
      await refresh();
      clearTimeout(timer);
      turn = 0;
      await tick();
      models.querySelector(".active")?.setAttribute("tabindex", "-1");
      models.querySelector(".active")?.focus();
    } catch (error) {
      fill(button, "Activate");
      button.disabled = false;
      fill(message, h("div.notice.bad", { role: "alert" }, h("p", {}, error.message)));
    }
  }

  await tick();
  return () => { gone = true; clearTimeout(timer); };
}

function spark(canvas, values) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const most = Math.max(1, ...values), step = width / (KEPT - 1);
  const at = (value, place) => [width - (values.length - 1 - place) * step,
    height - 4 - (height - 22) * value / most];
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = style.color;
  pen.fillText(values.length > 1 ? `up to ${most.toFixed(most < 10 ? 1 : 0)}`
    : "counting since now", 0, 11);
  if (values.length < 2) return;
  pen.beginPath();
  values.forEach((value, place) => pen.lineTo(...at(value, place)));
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(at(values[0], 0)[0], height);
  pen.globalAlpha = 0.12;
  pen.fillStyle = style.getPropertyValue("--accent");
  pen.fill();
  canvas.setAttribute("aria-label", `Requests per second, now ${values.at(-1).toFixed(1)}, up to ${
    most.toFixed(1)} in the last ${Math.round(values.length * EVERY / 1000)} seconds`);
}
