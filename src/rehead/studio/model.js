// Training, what came of it, the model on the camera, and what it becomes elsewhere.

import { Camera } from "./camera.js";
import { closeCapture, noCamera } from "./capture.js";
import { Problem, ask, changed, hideProblem, post, say, showProblem, trying } from "./server.js";
import { counted, word } from "./words.js";

const PAUSE = 120; // ms between two answers at least, so that a person can read them
const MOST = 6; // classes shown

const part = (id) => document.getElementById(id);
const video = part("try-video");
const still = part("try-photo");
let camera = null;
let runs = [];
let running = false;
let last = ""; // the run that was trained last

export function drawModel(state) {
  drawTraining(state);
  runs = state.runs;
  const select = part("run");
  const names = runs.map((run) => run.name);
  if (Array.from(select.options, (one) => one.value).join("\n") !== names.join("\n")) {
    const chosen = select.value;
    const fresh = names.includes(last) && last !== select.dataset.last;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.value = !fresh && names.includes(chosen) ? chosen : names[0];
    select.dataset.last = last;
  }
  part("which").hidden = runs.length < 2;
  part("model").hidden = runs.length === 0;
  if (!runs.length) stopTrying();
  drawRun();
}

function drawTraining({ training, needs, hints, runs: known }) {
  running = training.state === "running";
  const pressed = [part("train"), part("cancel")].find((one) => one === document.activeElement);
  if (running) last = training.name;
  const listed = (one) => one.classes.map((name) => `“${name}”`).join(", ");
  const sentences = (all) => all.map((one) => {
    const single = one.key === "hint.few" && one.classes.length === 1 ? `${one.key}.one` : one.key;
    return word(single, { classes: listed(one) });
  }).join(" ");
  part("needs").textContent = running ? "" : sentences(needs);
  part("hints").textContent = running ? "" : sentences(hints);
  part("train").disabled = running || needs.length > 0;
  part("train").hidden = running;
  part("train").textContent = word(known.length ? "train.again" : "train");
  part("cancel").hidden = part("progress").hidden = !running;
  if (pressed && pressed.hidden) part(running ? "cancel" : "train").focus(); // the keyboard stays where it was
  part("step").textContent = running ? stepText(training) : "";
  const bar = part("progress");
  if (running && training.total && !training.ended.includes("features")) {
    bar.max = training.total;
    bar.value = training.done;
  } else {
    bar.removeAttribute("value");
  }
  const outcome = ["cancelled", "interrupted", "failed"].includes(training.state)
    ? word(`train.${training.state}`, { why: training.error }) : "";
  if (part("outcome").textContent !== outcome) part("outcome").textContent = outcome;
}

function stepText({ ended, done, total }) {
  const step = ended.length ? ended[ended.length - 1] : "start";
  if (total && !ended.includes("features")) return word("train.step.photos", { done, total });
  return step === "report" ? "" : word(`train.step.${step}`);
}

function drawRun() {
  const run = runs.find((one) => one.name === part("run").value);
  if (!run) return;
  const sentence = run.sentence || word("model.untested");
  if (part("sentence").textContent !== sentence) part("sentence").textContent = sentence;
  const warnings = part("warnings");
  warnings.hidden = run.warnings.length === 0;
  warnings.querySelector("summary").textContent = counted("model.warnings", run.warnings.length);
  warnings.querySelector("ul").replaceChildren(...run.warnings.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  part("report").parentElement.hidden = !run.report;
  part("report").href = `runs/${encodeURIComponent(run.name)}/report.html`;
}

part("run").addEventListener("change", drawRun);
part("train").addEventListener("click", () => trying(async () => {
  closeCapture();
  stopTrying();
  last = (await post("train")).name;
  changed();
}));
part("cancel").addEventListener("click", () => trying(async () => {
  await whileDisabled(part("cancel"), () => post("cancel"));
  changed();
}));

// A button that is disabled loses the focus, which comes back afterwards
async function whileDisabled(button, action) {
  const focused = document.activeElement === button;
  button.disabled = true;
  try {
    await action();
  } finally {
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
  }
}

// trying

part("try").addEventListener("click", () => (camera ? stopTrying() : trying(tryCamera)));
part("try-file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) trying(() => tryPhoto(file));
});

async function tryCamera() {
  if (!Camera.available) throw new Problem(word("camera.unavailable"));
  closeCapture();
  clear();
  const mine = camera = new Camera(video, () => {
    showProblem(new Problem(word("camera.gone")));
    stopTrying();
  });
  part("try").textContent = word("try.stop");
  try {
    await mine.start();
  } catch (error) {
    stopTrying();
    throw noCamera(error);
  }
  video.classList.toggle("mirrored", mine.mirrored);
  video.hidden = false;
  part("trial").hidden = false;
  try {
    while (camera === mine && mine.on) {
      const pause = new Promise((resolve) => { setTimeout(resolve, PAUSE); });
      const answer = await answerFor(await mine.jpeg({ most: 640 }));
      if (camera === mine) drawAnswer(answer);
      await pause;
    }
  } catch (error) {
    stopTrying();
    throw error;
  }
}

async function tryPhoto(file) {
  stopTrying();
  clear();
  const answer = await answerFor(file, file.name);
  hideProblem();
  still.src = URL.createObjectURL(file);
  still.onload = still.onerror = ({ type }) => {
    URL.revokeObjectURL(still.src);
    still.hidden = type === "error";
    part("try-unseen").hidden = !still.hidden;
  };
  still.hidden = false;
  part("trial").hidden = false;
  drawAnswer(answer);
}

function clear() {
  part("trial").hidden = video.hidden = still.hidden = part("try-unseen").hidden = true;
  for (const id of ["answer", "reason"]) part(id).textContent = "";
  part("bars").replaceChildren();
}

export function stopTrying() {
  if (!camera) return;
  camera.stop();
  camera = null;
  clear();
  part("try").textContent = word("try.camera");
}

async function answerFor(photo, name = "") {
  const run = encodeURIComponent(part("run").value);
  const response = await ask(`runs/${run}/answer?${new URLSearchParams({ photo: name })}`, { method: "POST", body: photo });
  return response.json();
}

function drawAnswer(answer) {
  const label = answer.reason ? word("try.unknown") : answer.label;
  if (part("answer").textContent !== label) part("answer").textContent = label;
  part("answer").classList.toggle("warn", Boolean(answer.reason));
  part("reason").textContent = answer.reason || answer.note;
  const order = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, MOST);
  part("bars").replaceChildren(...order.map(([name, p]) => {
    const item = document.createElement("li");
    const [text, value, track, fill] = ["span", "span", "span", "span"].map((kind) => document.createElement(kind));
    text.textContent = name;
    value.textContent = `${(100 * p).toFixed(1)} %`;
    track.className = "track";
    fill.className = "fill";
    fill.style.width = `${100 * p}%`;
    track.append(fill);
    item.append(text, value, track);
    return item;
  }));
}

// exports

for (const button of document.querySelectorAll("[data-form]")) {
  button.addEventListener("click", () => trying(() => whileDisabled(button, async () => {
    say(word("export.making", { name: button.textContent }));
    const run = encodeURIComponent(part("run").value);
    const response = await ask(`runs/${run}/export/${button.dataset.form}`);
    const name = decodeURIComponent(response.headers.get("content-disposition").split("''")[1]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(word("export.made", { name }));
  })));
}
