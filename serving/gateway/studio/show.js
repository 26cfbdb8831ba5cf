/** Small pieces that several views show: elements, refusals, a picture's origin, questions. */

import { inspect, Refusal } from "./api.js";
import { language, t } from "./words.js";

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

export const button = (key, onclick, className = "plain") => make("button", { type: "button", textContent: t(key), onclick, className });

/** Save the very bytes that came from the server. */
export const download = (record) => button("download", () => {
  const href = URL.createObjectURL(record.blob);
  make("a", { href, download: `danqing-${record.seed}.png` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
});

export const languageOf = (text) => (/\p{Script=Han}/u.test(text) ? "zh-Hans" : "en");

const AGAIN = ["busy", "not_ready", "too_slow", "unreachable"];

/** Say in `form` why there is no picture, in the page's language, and mark the field that is meant. */
export function refuse(form, error, again) {
  if (!(error instanceof Refusal)) throw error;
  const { code, field = "", reason_zh, approval, message, request_id } = error.problem;
  const notice = form.querySelector(".notice");
  const zh = language() === "zh";
  const ours = (code === "bad_input" && t(`say_${field}`)) || t(`say_${code}`) || t("say_other");
  const said = code === "no_key" ? "" : sentence(message); // that one speaks to programmers
  const reason = zh ? reason_zh || ours : said || ours;
  notice.replaceChildren(
    make("h2", { textContent: t(code) || t("other") }),
    make("p", { id: `${form.id}-reason`, textContent: reason }),
    ...(approval ? [make("p", { className: "approval", textContent: t("say_needs_approval", { approval }) })] : []),
    ...(zh && said && !reason_zh ? [make("p", { lang: "en", className: "original", textContent: said })] : []),
    ...(AGAIN.includes(code) ? [button("again", again)] : []),
    ...(request_id ? [make("p", { className: "reference", textContent: `${t("reference")} ${request_id.slice(0, 8)}` })] : []),
  );
  notice.setAttribute("role", "alert");
  notice.hidden = false;
  const meant = code === "bad_input" && form.elements.namedItem(field);
  if (meant instanceof HTMLElement) {
    meant.setAttribute("aria-invalid", "true");
    meant.setAttribute("aria-describedby", `${form.id}-reason`);
    meant.focus({ preventScroll: true });
  }
  notice.scrollIntoView({ block: "nearest" });
}

export function forgive(form) {
  form.querySelector(".notice").hidden = true;
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?。]$/.test(text) ? "" : ".");

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
    if (error.name !== "AbortError") refuse(form, error, () => form.requestSubmit());
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
    told.replaceChildren(...(report ? [make("h3", { textContent: t("inFile") }), value(report)] : []));
  };
  if (details.open) details.ontoggle();
}

function works(/** @type {import("./api.js").Work[]} */ nearest) {
  if (!nearest.length) return "";
  const items = nearest.map((work) => {
    const title = work.title || work.id || "";
    const safe = /^https?:/.test(work.source_url ?? "");
    const name = safe ? make("a", { href: work.source_url, rel: "noreferrer", target: "_blank", textContent: title }) : title;
    const share = work.similarity === undefined ? [] : [t("similarity", { share: Math.round(100 * work.similarity) })];
    return make("li", {}, name, make("small", { textContent: [...share, work.licence].filter(Boolean).join(" · ") }));
  });
  return make("section", { className: "nearest" }, make("h3", { textContent: t("nearest") }),
    make("p", { className: "hint", textContent: t("nearestNote") }), make("ol", {}, ...items));
}

const list = (rows) => make("dl", {}, ...rows.flatMap(([name, content]) => [make("dt", { textContent: name }), make("dd", {}, content)]));

/** Any JSON, readably. */
function value(json) {
  if (Array.isArray(json)) return make("ul", {}, ...json.map((item) => make("li", {}, value(item))));
  if (json && typeof json === "object") return list(Object.entries(json).map(([name, item]) => [name.replaceAll("_", " "), value(item)]));
  return typeof json === "boolean" ? t(json ? "yes" : "no") : String(json ?? "–");
}

/** Open the dialog `id`; its field's text, or the button's value. "" is a no. */
export function ask(id) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById(id));
  const field = dialog.querySelector("input");
  if (field) field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue && field ? field.value.trim() : dialog.returnValue);
  });
}
