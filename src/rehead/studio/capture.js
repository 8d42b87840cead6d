// The camera of a class: photos for as long as a button is held.

import { Camera, whyNot } from "./camera.js";
import { Problem, ask, changed, showProblem, trying } from "./server.js";
import { counted, word } from "./words.js";

const PAUSE = 200; // ms between two photos
const BACKLOG = 8; // photos that may wait to be written

let panel;
let camera;
let label = "";
let holding = false;
let writing = 0;
let held = 0; // when the last hold ended

export function startCapture() {
  panel = document.getElementById("capture").content.firstElementChild.cloneNode(true);
  camera = new Camera(panel.querySelector("video"), () => {
    holding = false;
    showProblem(new Problem(word("camera.gone")));
    closeCapture();
  });
  panel.querySelector(".close").addEventListener("click", closeCapture);
  panel.querySelector("select").addEventListener("change", (event) => trying(() => start(event.target.value)));
  takeHold(panel.querySelector(".hold"));
}

export async function openCapture(name, place) {
  closeCapture();
  label = name;
  panel.querySelector("video").setAttribute("aria-label", word("camera.for", { class: name }));
  panel.querySelector(".taken").textContent = "";
  place.append(panel);
  await trying(() => start());
  if (panel.isConnected && camera.on) panel.querySelector(".hold").focus();
}

export function closeCapture() {
  holding = false;
  if (camera) camera.stop();
  if (!panel || !panel.isConnected) return;
  const back = panel.contains(document.activeElement) && panel.closest(".card").querySelector(".camera");
  panel.remove();
  if (back) back.focus();
}

async function start(device = "") {
  if (!Camera.available) {
    closeCapture();
    throw new Problem(word("camera.unavailable"));
  }
  const hold = panel.querySelector(".hold");
  hold.disabled = true;
  try {
    if (!(await camera.start(device))) return;
    panel.querySelector("video").classList.toggle("mirrored", camera.mirrored);
    const select = panel.querySelector("select");
    select.parentElement.hidden = !(await camera.list(select, (n) => word("camera.number", { n })));
    hold.disabled = false;
  } catch (error) {
    closeCapture();
    throw noCamera(error);
  }
}

// Why a camera could not be started, as an error with a text for people
export function noCamera(error) {
  const key = whyNot(error);
  return new Problem(word("camera.failed", { why: key ? word(`camera.${key}`) : error.message || error.name }));
}

function takeHold(button) {
  const begin = () => { if (!holding && !button.disabled) hold(button); };
  const end = () => {
    if (holding) held = performance.now();
    holding = false;
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    begin();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(name, end);
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) begin();
  });
  button.addEventListener("keyup", end);
  button.addEventListener("click", () => { // of a screen reader or a switch, which cannot hold: one photo
    if (holding || performance.now() - held < 500) return;
    begin();
    end();
  });
}

async function hold(button) {
  holding = true;
  button.classList.add("held");
  const stamp = new Date().toISOString().replace(/\D/g, "");
  const all = [];
  let written = 0;
  let number = 0;
  let next = performance.now();
  const taken = panel.querySelector(".taken");
  do {
    if (writing < BACKLOG) {
      number += 1;
      const photo = await camera.jpeg().catch(() => null);
      if (!photo) break;
      writing += 1;
      all.push(send(photo, stamp, number).then(() => {
        written += 1;
        taken.textContent = counted("hold.now", written);
      }, (error) => {
        holding = false;
        showProblem(error);
      }).finally(() => { writing -= 1; }));
    }
    next = Math.max(next + PAUSE, performance.now());
    await new Promise((resolve) => { setTimeout(resolve, next - performance.now()); });
  } while (holding && camera.on);
  button.classList.remove("held");
  await Promise.all(all);
  changed();
}

function send(photo, burst, number) {
  return ask(`api/photos?${new URLSearchParams({ label, burst, number })}`, { method: "POST", body: photo });
}
