/** The first view: words in, a picture that unfolds step by step. */

import { preview, styles } from "./api.js";
import { keep } from "./gallery.js";
import { busy, button, byId, download, image, languageOf, make, origin } from "./show.js";
import { language, t } from "./words.js";

const form = byId("order");
const { prompt, seed, guidance } = form.elements;
const [figure, paper, progress] = ["painted", "paper", "progress"].map(byId);
const status = figure.querySelector(".status");
const caption = figure.querySelector("figcaption");
/** @type {import("./gallery.js").Kept | null} */
let shown = null;
let editing = (record) => {};

/** edit: what "change it" does with a picture. */
export function setUp(edit) {
  editing = edit;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(form, status, paint);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  byId("another").addEventListener("click", () => (seed.value = chance()));
  guidance.addEventListener("input", guided);
  document.addEventListener("spoken", () => {
    guided();
    if (shown) describe(shown);
  });
  vocabulary();
}

const chance = () => String(crypto.getRandomValues(new Uint32Array(1))[0] >>> 1);

function guided() {
  const now = Number(guidance.value) ? guidance.value : t("guidanceOwn");
  byId("guidance-now").textContent = now;
  guidance.setAttribute("aria-valuetext", now);
}

async function paint(signal) {
  const order = { prompt: prompt.value, ...(seed.value && { seed: Number(seed.value) }),
    ...(Number(guidance.value) && { guidance: Number(guidance.value) }) };
  status.textContent = t("begun");
  caption.hidden = true;
  figure.classList.add("painting");
  if (matchMedia("(max-width: 60rem)").matches) figure.scrollIntoView();
  try {
    for await (const { step, steps, frame, picture } of preview(order, signal)) {
      if (frame) {
        Object.assign(progress, { hidden: false, max: steps, value: step });
        status.textContent = t("step", { step, steps });
        unfold(frame);
      } else {
        const record = { ...picture, prompt: order.prompt.trim(), guidance: order.guidance ?? null, at: Date.now() };
        const kept = await keep(record);
        show(record);
        status.textContent = t(kept ? "done" : "notKept");
      }
    }
  } catch (error) {
    paper.replaceChildren(shown ? image(shown.blob, shown.prompt) : empty());
    caption.hidden = !shown;
    throw error;
  } finally {
    progress.hidden = true;
    figure.classList.remove("painting");
  }
}

/** Lay a frame over the last one; it spreads like ink (style.css). What is covered is taken away. */
function unfold(blob, alt = "") {
  const frame = image(blob, alt, "frame");
  paper.append(frame);
  frame.addEventListener("animationend", () => {
    while (paper.firstChild !== frame && frame.isConnected) paper.firstChild.remove();
  });
}

const empty = () => make("img", { className: "empty", src: "/studio/mountains.svg", alt: "" });

function show(record) {
  shown = record;
  unfold(record.blob, record.prompt);
  describe(record);
}

function describe(record) {
  const inscription = caption.querySelector(".inscription");
  inscription.textContent = record.prompt;
  inscription.lang = languageOf(record.prompt);
  caption.querySelector(".actions").replaceChildren(download(record), button("editThis", () => editing(record)));
  origin(caption.querySelector(".origin"), record);
  caption.hidden = false;
}

/** Bring a picture of the album back, with its words and seed. */
export function bring(record) {
  prompt.value = record.prompt;
  seed.value = record.seed;
  guidance.value = record.guidance ?? 0;
  guided();
  status.textContent = "";
  show(record);
  press();
}

let press = () => {};

/** Chips that put a word of the painter's vocabulary into the prompt, or take it out. */
async function vocabulary() {
  const tables = await styles().catch(() => ({}));
  const [fieldset, groups, chips, name] = ["words", "groups", "chips", "words-now"].map(byId);
  let group = Object.keys(tables)[0];
  if (!group) return;
  const words = () => prompt.value.split(/[,，、;；。\n]/).map((word) => word.trim()).filter(Boolean);
  const means = (term) => (word) => [term.en, term.zh].includes(word.toLowerCase());

  press = () => {
    for (const chip of chips.children) chip.ariaPressed = String(words().some(means(chip.term)));
  };
  const toggle = (term) => {
    const others = words().filter((word) => !means(term)(word));
    if (others.length === words().length) others.push(term[language()]);
    prompt.value = others.join(/\p{Script=Han}/u.test(others.join("")) ? "，" : ", ");
    press();
  };
  const choose = () => {
    name.textContent = t(group);
    chips.replaceChildren(...tables[group].map((term) =>
      make("button", { type: "button", textContent: term[language()], onclick: () => toggle(term), term })));
    press();
  };
  const draw = () => {
    groups.replaceChildren(...Object.keys(tables).map((key) => {
      const radio = make("input", { type: "radio", name: "group", value: key, checked: key === group });
      radio.addEventListener("change", () => choose((group = key)));
      return make("label", {}, radio, make("span", { textContent: t(key) }));
    }));
    choose();
  };
  prompt.addEventListener("input", press);
  document.addEventListener("spoken", draw);
  draw();
  fieldset.hidden = false;
}
