/** Puts the studio together: views by the address's #, the language, the key. */

import { askForKeyBy } from "./api.js";
import * as edit from "./edit.js";
import { album } from "./gallery.js";
import * as paint from "./paint.js";
import { ask, byId } from "./show.js";
import { preferred, speak, t } from "./words.js";

const VIEWS = ["paint", "edit", "album"];

function go(view) {
  location.hash = view;
}

/** Show the view that the address names; `moved` puts the focus on its title. */
function view(moved) {
  const name = location.hash.slice(1) || VIEWS[0];
  if (!VIEWS.includes(name)) return; // a place inside a view: the skip link's
  for (const each of VIEWS) byId(each).hidden = each !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = byId(`${name}-title`);
  document.title = `${title.textContent} · 丹青 danqing`;
  if (moved) {
    scrollTo(0, 0);
    title.focus({ preventScroll: true });
  }
}

function change(record) {
  edit.open(record.blob);
  go("edit");
}

askForKeyBy((wrong) => {
  byId("key-why").textContent = t(wrong ? "keyWrong" : "keyWhy");
  return ask("key");
});
album((record) => {
  paint.bring(record);
  go("paint");
}, change);
edit.setUp();
document.addEventListener("spoken", () => view(false));
paint.setUp(change);
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    localStorage.setItem("danqing-language", button.dataset.language);
    speak(button.dataset.language);
  });
}
addEventListener("hashchange", () => view(true));
speak(preferred());
