/** The album: what was painted in this browser, in its IndexedDB and nowhere else. */

import { ask, button, byId, download, image, languageOf, make } from "./show.js";
import { t } from "./words.js";

/** @typedef {import("./api.js").Picture & {id?: number, prompt: string, guidance?: number | null, at: number}} Kept */

const STORE = "pictures";
/** @type {Promise<IDBDatabase> | undefined} */
let opened;

function database() {
  opened ??= new Promise((done, failed) => {
    const request = indexedDB.open("danqing", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  return opened;
}

async function inStore(mode, work) {
  const transaction = (await database()).transaction(STORE, mode);
  const request = work(transaction.objectStore(STORE));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(request.result);
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });
}

const changed = () => document.dispatchEvent(new Event("album"));

/** Keeps a picture; false where this browser does not let us. */
export async function keep(/** @type {Kept} */ record) {
  try {
    record.id = await inStore("readwrite", (store) => store.add(record));
  } catch {
    return false;
  }
  changed();
  return true;
}

/** Newest first. @returns {Promise<Kept[]>} */
export const all = async () => (await inStore("readonly", (store) => store.getAll()).catch(() => [])).reverse();

/** The view. bring, edit: what to do with a picture that is chosen. */
export function album(bring, edit) {
  const [place, nothing, whole] = ["pictures", "nothing", "delete-all"].map(byId);
  const status = document.querySelector("#album .status");

  async function remove(record) {
    await inStore("readwrite", (store) => (record ? store.delete(record.id) : store.clear()));
    changed();
    status.textContent = t("removed");
    byId("album-title").focus({ preventScroll: true }); // the button that was pressed is gone
  }

  function card(record) {
    const title = t("bringBack", { prompt: record.prompt });
    const choice = { type: "button", className: "thumb", onclick: () => bring(record) };
    const picture = make("button", choice, image(record.blob, title));
    const actions = make("p", { className: "actions" }, download(record), button("editThis", () => edit(record)),
      button("remove", () => remove(record)));
    return make("li", {}, picture,
      make("p", { className: "inscription", lang: languageOf(record.prompt), textContent: record.prompt }),
      make("p", { className: "hint whole" }, make("span", { textContent: `${t("seed")} ${record.seed}` }), " ",
        make("span", { textContent: record.model })), actions);
  }

  async function draw() {
    const records = await all();
    place.replaceChildren(...records.map(card));
    nothing.hidden = records.length > 0;
    whole.hidden = !records.length;
  }

  whole.addEventListener("click", async () => (await ask("sure")) && remove());
  for (const event of ["album", "spoken"]) document.addEventListener(event, draw);
}
