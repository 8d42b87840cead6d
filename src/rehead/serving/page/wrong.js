// "This was wrong": a photo and its right class to the server's folder.

import { request } from "./requests.js";
import { word } from "./words.js";

const at = (id) => document.getElementById(id);
const ANOTHER = "\u0000"; // no class may be called so

// `photo()` gives {blob, model, labels, label} of the answer that is shown, or null, and keeps it shown; `say` shows a
// problem, "" none, and `failed` is told why nothing was kept. Returns a function that takes away what is asked about an earlier photo.
export function setUpWrong(photo, say, failed) {
  if (at("wrong") === null) return () => {}; // nothing is kept
  let asked = null;

  function open() {
    asked = photo();
    if (asked === null) return;
    const labels = asked.labels.filter((label) => label !== asked.label);
    at("class").replaceChildren(...labels.map((label) => new Option(label, label)), new Option(word("wrong.another"), ANOTHER));
    at("class-name").value = "";
    toggle(true);
    named();
    at("class").focus();
  }

  function toggle(shown) {
    at("right").hidden = !shown;
    at("wrong").setAttribute("aria-expanded", String(shown));
    at("kept").textContent = "";
  }

  function close() {
    const inside = at("right").contains(document.activeElement);
    toggle(false);
    if (inside) at("wrong").focus();
  }

  function named() {
    const another = at("class").value === ANOTHER;
    at("other").hidden = !another;
    at("class-name").required = another;
  }

  at("wrong").addEventListener("click", () => (at("right").hidden ? open() : close()));
  at("cancel").addEventListener("click", close);
  at("class").addEventListener("change", named);
  at("right").addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  at("right").addEventListener("submit", async (event) => {
    event.preventDefault();
    const label = at("class").value === ANOTHER ? at("class-name").value : at("class").value;
    say("");
    try {
      const query = new URLSearchParams({ model: asked.model, class: label });
      const kept = await request(`collect?${query}`, { method: "POST", body: asked.blob });
      close();
      at("kept").textContent = word("wrong.kept", { class: kept.class });
    } catch (error) {
      failed(error);
    }
  });
  return () => toggle(false);
}
