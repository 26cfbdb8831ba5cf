/** The second view: a picture, what to change in it, and before and after side by side. */

import { change } from "./api.js";
import { all, keep } from "./gallery.js";
import { Mask } from "./mask.js";
import { busy, button, byId, download, image, make } from "./show.js";
import { t } from "./words.js";

const [form, stage] = ["change", "stage"].map(byId);
const status = stage.querySelector(".status");
const [before, after, canvas, compare, cut, choices, upload] =
  ["before", "after", "mask", "compare", "cut", "choices", "upload"].map(byId);
const paper = after.parentElement;
const number = (id) => Number(byId(id).value);
const mask = new Mask(canvas, () => number("brush") / 100, () => {
  status.textContent = mask.marks.length ? t("marked", { count: mask.marks.length }) : "";
});
/** What is being changed. @type {Blob | null} */
let picture = null;
/** What it became. @type {import("./gallery.js").Kept | null} */
let made = null;

const mode = () => form.elements.mode.value;
const marking = () => ["replace", "restore"].includes(mode());

export function setUp() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(form, status, repaint);
  });
  for (const radio of form.elements.mode) radio.addEventListener("change", arrange);
  upload.addEventListener("change", () => upload.files[0] && open(upload.files[0]));
  byId("undo").addEventListener("click", () => mask.undo());
  byId("clear").addEventListener("click", () => mask.reset());
  byId("add-box").addEventListener("click", () => mask.box(...["x0", "y0", "x1", "y1"].map((id) => number(id) / 100)));
  const strong = () => (byId("strength-now").textContent = `${number("strength")} %`);
  byId("strength").addEventListener("input", strong);
  strong();
  cut.addEventListener("input", () => paper.style.setProperty("--cut", `${cut.value}%`));
  paper.addEventListener("pointermove", (event) => {
    if (!event.buttons || compare.hidden) return;
    const { left, width } = paper.getBoundingClientRect();
    cut.value = (100 * (event.clientX - left)) / width;
    cut.dispatchEvent(new Event("input"));
  });
  for (const event of ["album", "spoken"]) document.addEventListener(event, draw);
}

/** Show what belongs to the chosen way of changing. */
function arrange() {
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(mode());
  if (made) return;
  canvas.hidden = !picture || !marking();
  compare.hidden = true;
  paper.classList.remove("comparing");
}

async function draw() {
  const records = await all();
  choices.replaceChildren(...records.map(({ blob, prompt }) =>
    make("button", { type: "button", onclick: () => open(blob), title: prompt }, image(blob, prompt))));
  if (!records.length) choices.append(make("p", { className: "hint", textContent: t("emptyAlbum") }));
  if (made) results();
  arrange();
}

/** Take a picture to be changed. Only PNGs go to the server as they are: the browser turns others upright first. */
export async function open(/** @type {Blob} */ blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    status.textContent = t("cannotOpen");
    return;
  }
  const { width, height } = bitmap;
  picture = blob.type === "image/png" ? blob : await drawn(width, height, (to) => to.drawImage(bitmap, 0, 0));
  made = null;
  stage.querySelector(".empty").hidden = true;
  lay(before, picture, t("beforeAlt"));
  after.hidden = true;
  mask.reset(width, height);
  arrange();
  status.textContent = t("chosen", bitmap);
}

function drawn(width, height, work) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  work(canvas.getContext("2d"));
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function lay(element, blob, alt) {
  const { src, onload } = image(blob, alt);
  Object.assign(element, { src, alt, onload, hidden: false });
}

async function repaint(signal) {
  if (!picture) {
    status.textContent = t("choose");
    upload.focus();
    return;
  }
  const [old, how, side, prompt] = [picture, mode(), form.elements.extend.value, form.elements.prompt.value.trim()];
  const where = { extend: { extend: side }, manner: { strength: number("strength") / 100 } }[how];
  const fields = { picture: old, prompt, seed: form.elements.seed.value, ...(where ?? { mask: await mask.blob() }) };
  status.textContent = t("changing");
  stage.classList.add("painting");
  try {
    const found = await change(how === "restore" ? "/restore" : "/edit", fields, signal);
    const record = { ...found, prompt: prompt || t("restore"), at: Date.now() };
    const kept = await keep(record);
    lay(before, how === "extend" ? await beside(old, found.blob, side) : old, t("beforeAlt"));
    lay(after, found.blob, t("afterAlt", record));
    picture = old;
    made = record;
    results();
    status.textContent = t(kept ? "changed" : "notKept");
  } finally {
    stage.classList.remove("painting");
  }
}

/** The old picture where it lies in the new, longer one. */
async function beside(/** @type {Blob} */ shorter, /** @type {Blob} */ longer, side) {
  const [old, { width, height }] = await Promise.all([shorter, longer].map((blob) => createImageBitmap(blob)));
  const x = side === "left" ? width - old.width : 0;
  const y = side === "up" ? height - old.height : 0;
  return drawn(width, height, (to) => to.drawImage(old, x, y));
}

function results() {
  canvas.hidden = true;
  compare.hidden = false;
  paper.classList.add("comparing");
  cut.dispatchEvent(new Event("input"));
  compare.querySelector(".actions").replaceChildren(
    download(made),
    button("goOn", () => open(made.blob)),
    button("back", () => {
      made = null;
      after.hidden = true;
      lay(before, picture, t("beforeAlt"));
      arrange();
    }),
  );
}
