/** Small pieces that several views show: elements, refusals, a picture's origin, questions. */

import { inspect, Refusal } from "./api.js";
import { language, t } from "./words.js";

export const byId = (id) => /** @type {any} */ (document.getElementById(id));

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** An <img> of a blob, whose memory is given back once it is read. */
export function image(/** @type {Blob} */ blob, alt = "", className = "") {
  const src = URL.createObjectURL(blob);
  const free = () => URL.revokeObjectURL(src);
  return make("img", { src, alt, className, onload: free, onerror: free });
}

export const button = (key, onclick) => text("button", t(key), "plain", { type: "button", onclick });

const text = (tag, textContent, className = "", more = {}) => make(tag, { textContent, className, ...more });

/** Save the very bytes that came from the server. */
export const download = (record) => button("download", () => {
  const href = URL.createObjectURL(record.blob);
  make("a", { href, download: `danqing-${record.seed}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
});

export const languageOf = (text) => (/\p{Script=Han}/u.test(text) ? "zh-Hans" : "en");

const AGAIN = ["busy", "not_ready", "too_slow", "unreachable"];
/** The refusals in sight, to be said anew in another language. */
const refusals = new Map();
document.addEventListener("spoken", () => refusals.forEach((problem, form) => explain(form, problem)));

/** Say in `form` why there is no picture, and mark the field that is meant. */
function refuse(form, error) {
  if (!(error instanceof Refusal)) throw error;
  const { code, field = "" } = error.problem;
  refusals.set(form, error.problem);
  const notice = explain(form, error.problem);
  const meant = code === "bad_input" && form.elements.namedItem(field);
  if (meant instanceof HTMLElement) {
    meant.setAttribute("aria-invalid", "true");
    meant.setAttribute("aria-describedby", `${form.id}-reason`);
    meant.focus({ preventScroll: true });
  }
  notice.scrollIntoView({ block: "nearest" });
}

function explain(form, { code, field, reason_zh, approval, message, request_id }) {
  const notice = form.querySelector(".notice");
  const zh = language() === "zh";
  const ours = (code === "bad_input" && t(`say_${field}`)) || t(`say_${code}`) || t("say_other");
  const said = code === "no_key" ? "" : sentence(message); // that one speaks to programmers
  const reason = zh ? reason_zh || ours : said || ours;
  notice.replaceChildren(
    text("h2", t(code) || t("other")),
    text("p", reason, "", { id: `${form.id}-reason` }),
    ...(approval ? [text("p", t("say_needs_approval", { approval }))] : []),
    ...(zh && said && !reason_zh ? [text("p", said, "original", { lang: "en" })] : []),
    ...(AGAIN.includes(code) ? [button("again", () => form.requestSubmit())] : []),
    ...(request_id ? [text("p", `${t("reference")} ${request_id.slice(0, 8)}`, "reference")] : []),
  );
  notice.setAttribute("role", "alert");
  notice.hidden = false;
  return notice;
}

function forgive(form) {
  refusals.delete(form);
  form.querySelector(".notice").hidden = true;
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

const sentence = (line) => line && line[0].toUpperCase() + line.slice(1) + (/[.!?。]$/.test(line) ? "" : ".");

/** Run `work(signal)` for a form: one at a time, with a button that puts the brush down. */
export async function busy(form, status, work) {
  const aborted = new AbortController();
  const [go, cancel] = form.querySelectorAll(".go button");
  if (go.ariaDisabled === "true") return;
  forgive(form);
  go.ariaDisabled = "true"; // not `disabled`: the keyboard's focus would fall off it
  cancel.hidden = false;
  cancel.onclick = () => aborted.abort();
  try {
    await work(aborted.signal);
  } catch (error) {
    status.textContent = error.name === "AbortError" ? t("cancelled") : "";
    if (error.name !== "AbortError") refuse(form, error);
  } finally {
    if (document.activeElement === cancel) go.focus();
    go.ariaDisabled = "false";
    cancel.hidden = true;
  }
}

/** What is known of a picture's origin: ours at once, the file's own account when `details` is opened. */
export function origin(/** @type {HTMLDetailsElement} */ details, record) {
  const rows = [[t("model"), record.model], [t("seed"), record.seed]];
  if (record.guidance) rows.push([t("hasGuidance"), record.guidance]);
  if (record.note) rows.push([t("note"), record.note]);
  const told = make("div");
  details.lastElementChild.replaceChildren(list(rows), works(record.nearest ?? []), told);
  details.ontoggle = async () => {
    if (!details.open || told.textContent) return;
    told.textContent = t("looking");
    const report = await inspect(record.blob);
    told.replaceChildren(...(report ? [text("h2", t("inFile")), value(report)] : []));
  };
  if (details.open) details.ontoggle();
}

function works(/** @type {import("./api.js").Work[]} */ nearest) {
  if (!nearest.length) return "";
  const items = nearest.map((work) => {
    const title = work.title || work.id || "";
    const safe = /^https?:/.test(work.source_url ?? "");
    const name = safe ? text("a", title, "", { href: work.source_url, rel: "noreferrer", target: "_blank" }) : title;
    const share = work.similarity === undefined ? "" : t("similarity", { share: Math.round(100 * work.similarity) });
    return make("li", {}, name, text("small", [share, work.licence].filter(Boolean).join(" · ")));
  });
  const told = [text("h2", t("nearest")), text("p", t("nearestNote"), "hint"), make("ol", {}, ...items)];
  return make("section", { className: "nearest" }, ...told);
}

function list(rows) {
  return make("dl", {}, ...rows.flatMap(([name, content]) => [text("dt", name), make("dd", {}, content)]));
}

/** Any JSON, readably. */
function value(json) {
  if (Array.isArray(json)) return make("ul", {}, ...json.map((item) => make("li", {}, value(item))));
  if (json && typeof json === "object") {
    return list(Object.entries(json).map(([name, item]) => [name.replaceAll("_", " "), value(item)]));
  }
  return typeof json === "boolean" ? t(json ? "yes" : "no") : String(json ?? "–");
}

/** Open the dialog `id`; its field's text, or the button's value. "" is a no. */
export function ask(id) {
  const dialog = byId(id);
  const field = dialog.querySelector("input");
  if (field) field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue && field ? field.value.trim() : dialog.returnValue);
  });
}
