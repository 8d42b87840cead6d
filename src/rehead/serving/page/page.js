// The page of a service: photos from files, clipboard and camera to the server, and its answers onto the screen.

import { drawBars, drawMap, set, signed } from "./answer.js";
import { whyNot } from "./camera.js";
import { takeFiles } from "./files.js";
import { LiveCamera } from "./live.js";
import { drawMarks } from "./marks.js";
import { facesIn, read } from "./reading.js";
import { request } from "./requests.js";
import { counted, word } from "./words.js";
import { setUpWrong } from "./wrong.js";

const at = (id) => document.getElementById(id);
const about = JSON.parse(at("about").textContent);
const MOST = 5; // classes that are listed
const FRAME = 1280; // pixels of the longer side of what the camera sends, at most
const PAUSE = 50; // ms between an answer and the next frame, so that the page stays quick
const SLOW = 500; // ms after which it is said that the answer is not there yet
const AGAIN = 2; // seconds after which the camera's frames are tried again, where the server did not say

// What can be asked: each model, and the people of a gallery

const PEOPLE = { name: "", kind: "people", labels: [], path: "identify" };
let choices = [];

function chosen() {
  return choices[at("model").selectedIndex] || choices[0];
}

function path(choice) {
  if (choice.path) return choice.path;
  const query = new URLSearchParams({ model: choice.name });
  if (choice.kind === "keypoints" && choice.faces) return `keypoints?${query}&detect=true`;
  return `predict?${query}${choice.kind === "classifier" ? "&maps=true" : ""}`;
}

async function start() {
  try {
    await askForModels();
  } catch (error) {
    return failed(error);
  }
  at("file").disabled = at("camera").disabled = false;
  at("camera").hidden = !LiveCamera.available;
  at("token").hidden = true;
  const kept = shown !== null && document.body.dataset.source === "photo"; // while the token was asked for
  document.body.dataset.state = kept ? "answered" : "ready";
}

async function askForModels() {
  const models = await request("models");
  const { name } = chosen() || {};
  choices = [...models, ...(about.gallery ? [PEOPLE] : [])];
  at("model").replaceChildren(...choices.map(({ name, kind }) => new Option(kind === "people" ? word("model.people") : name)));
  at("model").selectedIndex = Math.max(0, choices.findIndex((one) => one.name === name));
  at("several").hidden = choices.length < 2;
  describe();
}

function describe() {
  const { name, kind, labels, accuracy, backbone, version } = chosen();
  const kept = about.collects && kind === "classifier" ? word("lede.kept") : word("lede.not-kept");
  at("lede").textContent = `${told(chosen())} ${accuracy || ""} ${kept}`.replace(/ +/g, " ");
  const classes = kind !== "people" && kind !== "keypoints";
  at("classes").textContent = classes ? word("about.classes") : "";
  if (classes) {
    labels.forEach((label, n) => at("classes").append(n ? ", " : " ", Object.assign(document.createElement("bdi"), { textContent: label })));
  }
  const network = backbone ? word("about.backbone", { backbone }) : "";
  at("served").textContent = name ? `${word("about.model", { name, version })} ${network}` : "";
}

function told({ kind, labels, points }) {
  if (kind === "people") return word("lede.people");
  if (kind === "keypoints") return counted("lede.points", points);
  return counted("lede.classes", labels.length);
}

// One request at a time: a new one ends the one before

let running = { end: () => {}, done: Promise.resolve() };

async function ask(blob, choice) {
  const before = running;
  const ending = new AbortController();
  let finished;
  running = { end: () => ending.abort(), done: new Promise((resolve) => (finished = resolve)) };
  try {
    before.end();
    await before.done;
    const began = performance.now();
    const said = await request(path(choice), { method: "POST", body: blob, signal: ending.signal });
    if (said.version !== choice.version) { // another file took the model's place
      await askForModels();
      choice = choices.find((one) => one.name === choice.name) || choice;
    }
    const [found] = said.answers;
    if (found.error && !found.faces) throw Error(found.error);
    return { ...found, choice, blob, milliseconds: performance.now() - began };
  } finally {
    finished();
  }
}

function failed(error) {
  if (error.status === 401) return askForToken();
  say(error.status === 0 ? word("server.gone") : error.message);
}

// Photos

let photo = 0; // the last one that was asked about; earlier answers come too late

async function look(blob, name) {
  if (blob.size > about.mostBytes) {
    say(word("photo.large", { name, limit: Math.round(about.mostBytes / 1e6) }));
    return;
  }
  camera.close();
  const mine = (photo += 1);
  document.body.dataset.state = "busy";
  forget();
  const slow = setTimeout(() => set("busy", word("busy")), SLOW);
  at("name").textContent = name;
  showPhoto(blob);
  try {
    const found = await ask(blob, chosen());
    if (mine === photo) show(found, "photo");
  } catch (error) {
    if (mine !== photo) return;
    document.body.dataset.state = "ready";
    if (error.status === undefined) say(word("photo.failed", { name, why: error.message }));
    else failed(error);
  } finally {
    clearTimeout(slow);
    if (mine === photo) set("busy", "");
  }
}

function showPhoto(blob) {
  URL.revokeObjectURL(at("shown").src);
  document.body.dataset.seen = "true";
  at("unseen").hidden = true;
  at("marks").replaceChildren();
  at("frame").classList.remove("explained");
  at("shown").src = URL.createObjectURL(blob);
}

function take(files) {
  if (!files.length || at("file").disabled) return;
  say("");
  look(files[0], files[0].name || word("photo.pasted"));
  if (files.length > 1 && !at("problem").textContent) say(word("photo.one", { n: files.length }));
}

// Camera

const wordsOfCamera = { start: word("camera.start"), stop: word("camera.stop"), number: (n) => word("camera.number", { n }) };
const camera = new LiveCamera(wordsOfCamera, (gone) => {
  photo += 1;
  set("busy", "");
  running.end();
  if (gone) say(word("camera.gone"));
});

async function startCamera(device) {
  const mine = (photo += 1);
  say("");
  try {
    if (!(await camera.open(device))) return;
  } catch (error) {
    say(word("camera.failed", { why: whyNot(error) ? word(`camera.${whyNot(error)}`) : error.message }));
    return;
  }
  forget();
  document.body.dataset.seen = "true";
  at("unseen").hidden = true;
  at("name").textContent = "";
  while (mine === photo) await pause(await lookThrough(mine));
}

// Asks about what the camera sees now; returns the milliseconds to wait before the next time
async function lookThrough(mine) {
  if (document.hidden) return 10 * PAUSE;
  try {
    const found = await ask(await camera.jpeg({ most: FRAME }), chosen());
    if (mine === photo) {
      show(found, "camera");
      say("");
    }
    return PAUSE;
  } catch (error) {
    if (mine !== photo) return PAUSE;
    if (error.status === 401) camera.close();
    if (error.status !== 503 && error.status !== 429) failed(error);
    return 1000 * (error.wait || AGAIN);
  }
}

function pause(milliseconds) {
  return new Promise((next) => setTimeout(next, milliseconds));
}

// Answers

let shown = null;

function say(text) {
  if (at("problem").textContent === text) return;
  at("problem").textContent = text;
  if (text) at("problem").scrollIntoView({ block: "nearest" }); // on a telephone, the form is far below it
}

function forget() {
  shown = null;
  forgetWrong();
}

function show(found, source) {
  shown = found;
  const live = source === "camera" ? "off" : "polite"; // its numbers never rest
  for (const id of ["answer", "reason"]) at(id).setAttribute("aria-live", live);
  const reading = read(found, about.reasons);
  Object.assign(document.body.dataset, { state: "answered", source, known: String(reading.known) });
  set("answer", reading.label);
  set("reason", reading.reason);
  set("exact", reading.exact);
  at("answer").dataset.probability = found.probability ?? "";
  at("answer").dataset.reason = found.reason ?? "";
  at("time").textContent = word("answer.time", { ms: Math.round(found.milliseconds) });
  if (at("wrong")) at("wrong").hidden = found.choice.kind !== "classifier";
  draw();
  const faces = found.choice.kind === "people" ? facesIn(found.faces) : [];
  at("people").hidden = !faces.length;
  at("faces").replaceChildren(...faces);
  drawOver(reading, source);
}

function draw() {
  const { probabilities, map, nearest } = shown;
  const explained = Boolean(map && at("explain").checked);
  at("chances").hidden = !probabilities;
  drawBars(at("bars"), at("bar"), Object.entries(probabilities || {}), {
    most: MOST, shown: explained ? nearest : null, maps: map ? [nearest] : [],
  });
  at("frame").classList.toggle("explained", explained);
  at("explaining").hidden = !map;
  at("scale").hidden = !explained;
  if (explained) explain(map, nearest);
}

// The class activation map over the part of the photo that the network gets
function explain(map, label) {
  const values = map.flat();
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const box = cropBox(shown.choice.crop);
  drawMap(at("map"), { values, height: map.length, width: map[0].length }, { low, high, colours: about.colours, box });
  at("of").textContent = word("answer.scale", { label });
  at("low").textContent = signed(low);
  at("high").textContent = signed(high);
}

function cropBox(fraction) {
  const [width, height] = size();
  if (!fraction || !width || !height) return [0, 0, 1, 1];
  const side = fraction * Math.min(width, height);
  const [left, top] = [(1 - side / width) / 2, (1 - side / height) / 2];
  return [left, top, 1 - left, 1 - top];
}

// Of what is shown, in pixels
function size() {
  const video = at("video");
  return camera.on ? [video.videoWidth, video.videoHeight] : [at("shown").naturalWidth, at("shown").naturalHeight];
}

async function drawOver(reading, source) {
  const mine = shown;
  if (source === "photo") await at("shown").decode().catch(() => {});
  const [width, height] = size();
  if (mine !== shown || !width || !height) return;
  const sent = source === "camera" ? Math.min(1, FRAME / Math.max(width, height)) : 1; // its frames are made smaller
  drawMarks(at("marks"), [width * sent, height * sent], reading, camera.mirrored);
  if (source === "photo") draw();
}

// The token, once: the server answers with a cookie that scripts cannot read

function askForToken() {
  const again = !at("token").hidden;
  document.body.dataset.state = "token";
  at("token").hidden = false;
  say(again ? word("token.wrong") : "");
  at("token-text").focus();
}

at("token").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await request(`models?${new URLSearchParams({ token: at("token-text").value.trim() })}`);
  } catch (error) {
    return failed(error);
  }
  at("token-text").value = "";
  say("");
  start();
});

// "This was wrong": a frame of the camera stays as it was answered

const forgetWrong = setUpWrong(() => {
  if (shown === null) return null;
  const found = shown;
  if (camera.on) {
    camera.close();
    showPhoto(found.blob);
    show(found, "photo");
  }
  return { blob: found.blob, model: found.choice.name, labels: found.choice.labels, label: found.label };
}, say, failed);

// What the visitor does

at("file").addEventListener("change", () => {
  take(Array.from(at("file").files));
  at("file").value = "";
});
at("camera").addEventListener("click", () => (camera.on ? camera.close() : startCamera()));
at("cameras").addEventListener("change", () => startCamera(at("cameras").value));
at("model").addEventListener("change", () => {
  describe();
  if (shown !== null && !camera.on) look(shown.blob, at("name").textContent);
});
at("explain").addEventListener("change", draw);
at("bars").addEventListener("click", (event) => {
  if (event.target.closest("button:enabled") === null) return;
  at("explain").checked = !at("explain").checked;
  draw();
});
at("shown").addEventListener("error", () => {
  document.body.dataset.seen = "false";
  at("unseen").hidden = false;
});
takeFiles(take);
start();
