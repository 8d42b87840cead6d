// The page: asks for the state again and again, and hands it to its parts.

import { startCapture } from "./capture.js";
import { drawFindings } from "./findings.js";
import { drawModel } from "./model.js";
import { drawPhotos, drawRemoved } from "./photos.js";
import { Problem, ask, hideProblem, post, say, showProblem, trying } from "./server.js";
import { takeDrops } from "./upload.js";
import { counted, word } from "./words.js";

const PAUSE = 1000; // ms between looks, and while a training runs:
const TRAINING = 300;
const SHARE = 5; // and this many times as long as an answer takes, of a folder of many photos

const undo = document.getElementById("undo");
let state = null;
let waiting = 0;
let asking = null;
let lost = false;

// Looks at once; the parts send "changed" for it after each change
function refresh() {
  asking = (asking || Promise.resolve()).then(look);
  return asking;
}

async function look() {
  clearTimeout(waiting);
  const begun = performance.now();
  try {
    const response = await ask(`api/state?seen=${state ? state.version : ""}`);
    const found = await response.json();
    if (lost) hideProblem();
    lost = false;
    if (found.classes) {
      state = found;
      draw();
    }
  } catch (error) {
    if (!lost || !(error instanceof Problem)) showProblem(error);
    lost = true;
  }
  const pause = state && state.training.state === "running" ? TRAINING : PAUSE;
  waiting = setTimeout(refresh, Math.max(pause, SHARE * (performance.now() - begun)));
}

function draw() {
  const focused = document.activeElement;
  const region = focused.closest("section[aria-labelledby]") || document.querySelector(".classes");
  drawAll();
  // what had the focus may be gone: the keyboard goes on from the beginning of its part of the page
  const now = document.activeElement;
  if (focused !== document.body && (now === document.body || !now.checkVisibility())) {
    document.getElementById(region.getAttribute("aria-labelledby")).focus();
  }
}

function drawAll() {
  document.title = `${state.folder.name} · ${word("title")}`;
  document.getElementById("name").textContent = state.folder.name;
  document.getElementById("path").textContent = state.folder.path;
  document.getElementById("start").hidden = state.classes.length > 1;
  drawPhotos(state);
  drawRemoved(state);
  drawFindings(state);
  drawModel(state);
  undo.disabled = !state.undo || state.training.state === "running";
  undo.title = state.undo ? undoText(state.undo) : "";
  document.body.dataset.state = "ready";
}

function undoText({ kind, names, n }) {
  return counted(`undo.${kind}`, n, { class: names[0], to: names[1] });
}

undo.addEventListener("click", () => trying(async () => {
  const text = state.undo ? undoText(state.undo) : "";
  const { undone } = await post("undo");
  if (undone) say(`${word("undone")}. ${text}`);
  await refresh();
}));

document.getElementById("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = document.getElementById("new-name");
  trying(async () => {
    await post("make", { name: input.value });
    hideProblem();
    input.value = "";
    await refresh();
  });
});

document.addEventListener("changed", refresh);
startCapture();
takeDrops();
refresh();
