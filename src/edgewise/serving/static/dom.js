// Elements from values: texts become text nodes, never markup.

/** An element: h("li.card", {id: "x", onclick: f}, "text", child); null and false are left out. */
export function h(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined
    && child !== false));
  return element;
}

/** Empty an element and fill it anew. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null
    && child !== undefined && child !== false));
  return element;
}

/** Tell screen readers what changed. */
export function announce(text) {
  const place = document.getElementById("announce");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${
  count === 1 ? "" : "s"}`;
export const percent = (share) => `${Math.round(Math.abs(share) * 100)} %`;

/** Runs the newest call only; older ones, still under way, resolve to undefined. */
export function newest(work) {
  let turn = 0;
  return async (...given) => {
    const mine = ++turn;
    const isOld = () => mine !== turn;
    try {
      const found = await work(...given);
      return isOld() ? undefined : found;
    } catch (error) {
      if (!isOld()) throw error;
      return undefined;
    }
  };
}

/** A notice in place of a list: what went wrong, and what to do. */
export function notice(text, ...actions) {
  return h("div.notice", {}, h("p", {}, text), actions.length ? h("p.actions", {}, actions) : null);
}

export function failed(error, again) {
  return h("div.notice.bad", { role: "alert" }, h("p", {}, error.message),
    h("p.actions", {}, h("button", { type: "button", onclick: again }, "Try again")));
}

/** Grey places that are as large as what will come. */
export const waiting = (count, kind = "card") => Array.from({ length: count },
  () => h(`li.waiting.${kind}`, { "aria-hidden": "true" }));

let fields = 0;

/**
 * A search field with suggestions below it (the combobox of the ARIA practices).
 * search(text) promises values; show(value) makes what an option holds; pick(value) is told.
 */
export function combobox({ label, hint, search, show, pick, name, empty = "Nothing found." }) {
  const id = `field-${++fields}`;
  const list = h("ul.options", { id: `${id}-list`, role: "listbox", "aria-label": label,
    hidden: true });
  const input = h("input", { id, type: "search", role: "combobox", name, placeholder: hint,
    autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": list.id });
  let values = [], active = -1, timer = 0;
  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (value) => { close(); input.value = ""; pick(value); };
  const mark = (place) => {
    active = values.length ? (place + values.length) % values.length : -1;
    [...list.children].forEach((option, row) => {
      option.setAttribute("aria-selected", String(row === active));
      if (row === active) option.scrollIntoView({ block: "nearest" });
    });
    if (active >= 0) input.setAttribute("aria-activedescendant", `${id}-${active}`);
  };
  const look = newest(search);
  const suggest = async () => {
    let found;
    try {
      found = await look(input.value.trim());
    } catch (error) {
      found = [];
      fill(list, h("li.faint", { role: "option", "aria-disabled": "true" }, error.message));
      values = [];
    }
    if (found === undefined || document.activeElement !== input) return;
    if (found.length || !list.querySelector("[aria-disabled]")) {
      values = found;
      fill(list, found.length
        ? found.map((value, row) => h("li", { id: `${id}-${row}`, role: "option",
          "aria-selected": "false",
          onpointerdown: (event) => { event.preventDefault(); choose(value); } }, show(value)))
        : h("li.faint", { role: "option", "aria-disabled": "true" }, empty));
    }
    active = -1;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(suggest, 120); };
  input.addEventListener("input", later);
  input.addEventListener("click", later);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { if (!list.hidden) event.preventDefault(); close(); }
    if (event.key === "ArrowDown" && list.hidden) suggest();
    else if (event.key === "ArrowDown") mark(active + 1);
    else if (event.key === "ArrowUp") mark(active < 0 ? -1 : active - 1);
    else if (event.key === "Enter" && values.length && !list.hidden) choose(values[Math.max(active, 0)]);
    else return;
    event.preventDefault();
  });
  return h("div.field.combobox", {}, h("label", { for: id }, label), input, list);
}

/** A labelled choice; options are [value, words] pairs. */
export function select(label, options, chosen, onchange) {
  const id = `field-${++fields}`;
  return h("div.field", {}, h("label", { for: id }, label),
    h("select", { id, onchange: (event) => onchange(event.target.value) },
      options.map(([value, words]) => h("option", { value, selected: value === chosen }, words))));
}
