// Questions to the service. Keys live in these two variables and nowhere else.

const keys = { read: "", admin: "" };
const items = new Map();

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(method, path, body, scope) {
  const headers = { accept: "application/json" };
  const key = keys[scope] || keys.read;
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, "The service does not answer. Is it still running?");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const words = told.error || (typeof told.detail === "string" ? told.detail : "");
  throw new Refused(answer.status, words || `The service answered ${answer.status} to ${path}.`);
}

let asking = null;

/** Ask for a key in the dialog; several questions that need one wait for the same answer. */
function askForKey(scope, why) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const field = document.getElementById("key-field");
    document.getElementById("key-why").textContent = why;
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" ? field.value.trim() : "";
      field.value = "";
      if (given) keys[scope] = given;
      asking = null;
      resolve(Boolean(given));
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

const WHY = {
  read: "This service answers only with a key that may read.",
  events: "What you do here is written to the shop's log, which wants a key that may write events.",
  admin: "Changing the active model wants a key of the shop's administration.",
};

async function asked(method, path, body, scope = "read", patience = 3) {
  try {
    return await ask(method, path, body, scope);
  } catch (error) {
    if (error.status === 503 && patience) {  // such as a worker that is loading a model
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      return asked(method, path, body, scope, patience - 1);
    }
    if (error.status !== 401 && error.status !== 403) throw error;
    if (!await askForKey(scope, WHY[scope])) throw error;
    return await ask(method, path, body, scope);
  }
}

const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, value]) => value !== undefined && value !== "")).toString();

/** Somebody as the service is asked about them. */
export const about = (person) => person.user !== undefined ? { user_id: person.user }
  : { history: person.history };

export const shop = () => asked("GET", "/page-data/shop");
export const users = async (text) =>
  (await asked("GET", `/page-data/users?${query({ q: text })}`)).users;
export const anybody = async () => (await asked("GET", "/page-data/users?any=true")).users[0];
export const operations = () => asked("GET", "/page-data/operations");
export const itemMap = () => asked("GET", "/page-data/map");
export const history = async (user) => keep(
  (await asked("GET", `/v1/users/${encodeURIComponent(user)}/history`)).items);
export const similar = (item, k) =>
  asked("GET", `/v1/items/${encodeURIComponent(item)}/similar?k=${k}`);
export const activate = (version) =>
  asked("POST", `/v1/models/${encodeURIComponent(version)}:activate`, undefined, "admin");

export const models = () => asked("GET", "/v1/models");

/** The list of the active model, as the shop's other pages would get it. */
export async function recommend(person, settings) {
  const body = { ...about(person), ...settings };
  if (person.denied?.length) body.deny = person.denied;
  for (let tries = 0; ; tries += 1) {
    const answer = await asked("POST", "/v1/recommend", body);
    // A list that came too late is stored all the same: a moment later it is there.
    if (answer.source !== "fallback" || tries === 3) return withItems(answer);
    await new Promise((resolve) => { setTimeout(resolve, 400); });
  }
}

/** Why items are listed, by id; the model may take longer for it than for the list. */
export const reasonsFor = async (person, items) =>
  (await asked("POST", "/page-data/reasons", { ...about(person), items })).reasons;

/** The list of any model. */
export const recommendBy = async (version, person, k) => withItems(
  await asked("POST", "/page-data/recommend", { ...about(person), model_version: version, k }));

async function withItems(answer) {
  await known([...answer.items.map((item) => item.item_id),
    ...answer.items.flatMap((item) => item.reasons.flatMap((reason) => reason.items))]);
  return answer;
}

export async function send(user, item, kind, recommendation) {
  const key = `page-${crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`}`;
  return asked("POST", "/v1/events", { events: [{ key, user_id: user, item_id: item, kind,
    recommendation_id: recommendation }] }, "events");
}

export const findItems = async (text) =>
  keep((await asked("GET", `/page-data/items?${query({ q: text })}`)).items);

function keep(found) {
  for (const item of found) items.set(item.item_id, item);
  return found;
}

/** Ask what is not known yet of some items. */
export async function known(ids) {
  const missing = [...new Set(ids)].filter((id) => !items.has(id));
  for (let start = 0; start < missing.length; start += 100) {
    const part = missing.slice(start, start + 100);
    const told = await asked("GET",
      `/page-data/items?${part.map((id) => `id=${encodeURIComponent(id)}`).join("&")}`);
    keep(told.items);
  }
}

/** What is known of an item; its id stands in for a missing title. */
export function item(id) {
  const found = items.get(id) || { item_id: id, title: "", brand: "", categories: [] };
  return { ...found, title: found.title || id };
}

export const isKnown = (id) => items.has(id);
