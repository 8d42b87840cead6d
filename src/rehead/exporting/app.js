// The page: photos from files, clipboard and camera to the worker, and its answers onto the screen.
"use strict";

const at = (id) => document.getElementById(id);
const about = JSON.parse(at("about").textContent);
const MOST = 5; // classes that are listed

// The worker

let worker;
let asked = 0;
const waiting = new Map();

function ask(message, transfer = []) {
  const id = (asked += 1);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, ...message }, transfer);
  });
}

async function start() {
  const [runtime, wasm, graph, code] = await Promise.all(
    ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "model.onnx", "worker.js"].map(load),
  );
  // from a blob, so that the page's content security policy holds for it too
  worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  worker.onmessage = ({ data: { id, found, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(found);
    else reject(Error(error));
  };
  worker.onerror = (event) => say(event.message || "the page's worker does not start");
  // modules of blobs are refused to a page that is opened as a file, those of data are not
  const letters = Array.from(new Uint8Array(runtime), (byte) => String.fromCharCode(byte)).join("");
  const module = `data:text/javascript;base64,${btoa(letters)}`;
  await ask({ start: { runtime: module, wasm, graph: new Uint8Array(graph), about } }, [wasm, graph]);
}

// A file of the page: beside it, or in it, packed
async function load(name) {
  const block = at(`file:${name}`);
  if (block === null) {
    const answer = await fetch(`${name}?${about.version}`);
    if (!answer.ok) throw Error(`${name} cannot be loaded (${answer.status})`);
    return answer.arrayBuffer();
  }
  const text = atob(block.textContent);
  block.remove();
  const packed = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// Photos

let photo = 0; // the last one that was asked about; earlier answers come too late

async function look(file) {
  stopCamera();
  const mine = (photo += 1);
  say("");
  document.body.dataset.state = "busy";
  at("name").textContent = file.name || "the photo from the clipboard";
  URL.revokeObjectURL(at("shown").src);
  at("shown").src = URL.createObjectURL(file);
  try {
    const found = await ask({ photo: file });
    if (mine === photo) show(found, "photo");
  } catch (error) {
    if (mine === photo) {
      document.body.dataset.state = "ready";
      say(`${file.name || "The photo"}: ${error.message}`);
    }
  }
}

function first(files) {
  if (files && files.length && document.body.dataset.state !== "loading") look(files[0]);
}

// Camera

let stream = null;

async function startCamera(device) {
  stopCamera();
  const mine = (photo += 1);
  say("");
  try {
    const wish = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
    const opened = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
    if (mine !== photo) {
      opened.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = opened;
  } catch (error) {
    say(`The camera cannot be used (${error.name === "NotAllowedError" ? "it was not allowed" : error.message})`);
    return;
  }
  const video = at("video");
  video.srcObject = stream;
  await video.play();
  const settings = stream.getVideoTracks()[0].getSettings();
  at("frame").classList.toggle("mirrored", settings.facingMode !== "environment");
  await listCameras(settings.deviceId);
  at("camera").textContent = "Stop the camera";
  at("name").textContent = "camera";
  while (mine === photo) {
    try {
      const frame = await createImageBitmap(video);
      const found = await ask({ photo: frame }, [frame]);
      if (mine === photo) show(found, "camera");
    } catch (error) {
      if (mine === photo) say(error.message);
      break;
    }
    await new Promise((next) => setTimeout(next, 50));
  }
}

async function listCameras(used) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter((device) => device.kind === "videoinput");
  at("cameras").replaceChildren(
    ...cameras.map((device, n) => new Option(device.label || `Camera ${n + 1}`, device.deviceId)),
  );
  at("cameras").value = used;
  at("which").hidden = cameras.length < 2;
}

function stopCamera() {
  if (stream === null) return;
  photo += 1;
  stream.getTracks().forEach((track) => track.stop());
  stream = null;
  at("video").srcObject = null;
  at("frame").classList.remove("mirrored");
  at("camera").textContent = "Use the camera";
  at("which").hidden = true;
  document.body.dataset.source = "";
  document.body.dataset.state = "ready";
}

// Answers

let shown = null;
let chosen = null; // the class whose map is shown, where one was chosen

function say(text) {
  at("problem").textContent = text;
}

function show(found, source) {
  if (source !== "camera" || document.body.dataset.source !== "camera") chosen = null;
  shown = found;
  document.body.dataset.state = "answered";
  document.body.dataset.source = source;
  document.body.dataset.known = String(!found.reason);
  const nearest = about.labels[found.best];
  const surest = `${(100 * found.probabilities[found.best]).toFixed(1)} %`;
  at("reason").setAttribute("aria-live", source === "camera" ? "off" : "polite"); // its numbers never rest
  set("answer", found.label);
  set("reason", found.reason ? `${upper(found.reason)}. The nearest class is ${nearest}, ${surest}.` : upper(found.note));
  at("answer").dataset.probability = found.probabilities[found.best];
  at("answer").dataset.outlierScore = found.outlierScore;
  at("answer").dataset.reason = found.reason;
  const { photo: reading, network } = found.milliseconds;
  at("time").textContent = `${Math.round(reading + network)} ms, ${Math.round(network)} of them for the network`;
  drawBars();
  drawMap();
}

// Only where it changes, so that a screen reader says it once
function set(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function upper(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

function drawBars() {
  const order = shown.probabilities.map((p, n) => [p, n]).sort((a, b) => b[0] - a[0]).slice(0, MOST);
  while (at("bars").children.length < order.length) at("bars").append(at("bar").content.cloneNode(true));
  order.forEach(([p, n], row) => {
    const bar = at("bars").children[row].firstElementChild;
    bar.dataset.class = n;
    bar.dataset.probability = p;
    bar.querySelector(".label").textContent = about.labels[n];
    bar.querySelector(".value").textContent = `${(100 * p).toFixed(1)} %`;
    bar.querySelector(".fill").style.width = `${100 * p}%`;
    bar.setAttribute("aria-pressed", String(at("explain").checked && n === mapped()));
    bar.disabled = !shown.maps;
  });
}

function mapped() {
  return chosen === null ? shown.best : chosen;
}

// The class activation map over the photo; all classes on one scale, as `rehead explain` has them
function drawMap() {
  const wanted = Boolean(shown && shown.maps && at("explain").checked);
  at("frame").classList.toggle("explained", wanted);
  at("explaining").hidden = !(shown && shown.maps);
  at("scale").hidden = !wanted;
  if (!wanted) return;
  const { values, height, width } = shown.maps;
  const canvas = at("map");
  const [left, top, right, bottom] = shown.box;
  Object.assign(canvas, { width, height });
  Object.assign(canvas.style, {
    left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
  });
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const picture = new ImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    const value = values[mapped() * width * height + n];
    picture.data.set([...colour((value - low) / (high - low || 1)), 255], 4 * n);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  at("of").textContent = about.labels[mapped()];
  at("low").textContent = low.toFixed(1).replace("-", "\u2212");
  at("high").textContent = high.toFixed(1).replace("-", "\u2212");
}

const COLOURS = about.colours.map((hex) => [0, 2, 4].map((n) => parseInt(hex.slice(n, n + 2), 16)));

function colour(fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[below].map((c, n) => Math.round(c + (COLOURS[below + 1][n] - c) * (place - below)));
}

// What the visitor does

at("file").addEventListener("change", () => {
  first(at("file").files);
  at("file").value = "";
});
at("camera").addEventListener("click", () => (stream === null ? startCamera() : stopCamera()));
at("cameras").addEventListener("change", () => startCamera(at("cameras").value));
at("explain").addEventListener("change", () => {
  drawMap();
  drawBars();
});
at("bars").addEventListener("click", (event) => {
  const bar = event.target.closest("button");
  if (bar === null) return;
  const again = at("explain").checked && mapped() === Number(bar.dataset.class);
  chosen = Number(bar.dataset.class);
  at("explain").checked = !again;
  drawMap();
  drawBars();
});
document.addEventListener("paste", (event) => first(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  first(event.dataTransfer.files);
});

// What the file's golden pictures got here
function tested({ same, pictures, others, apart }) {
  document.body.dataset.tested = same ? "same" : "other";
  at("tested").textContent = same
    ? `Self-test: the ${pictures} golden pictures of the model file get the file's answers here.`
    : `Self-test: ${others} of ${pictures} golden pictures get another answer than in the model file.`;
  if (!same) say(`This browser does not give the model's answers: probabilities are up to ${apart.toFixed(3)} apart.`);
}

if (location.protocol === "file:" && at("file:model.onnx") === null) {
  say("Opened as a file, this page may not load its parts. Serve its folder, for instance with: python -m http.server");
} else {
  start().then(
    () => {
      document.body.dataset.state = "ready";
      document.body.dataset.loaded = String(Math.round(performance.now()));
      for (const id of ["file", "camera"]) at(id).disabled = false;
      at("camera").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
      if (about.golden.length) ask({ golden: true }).then(tested, (error) => say(error.message));
    },
    (error) => say(`The model cannot be loaded: ${error.message}`),
  );
}
