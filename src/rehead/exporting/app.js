// The page: photos from files, clipboard and camera to the worker, and its answers onto the screen.
import { drawBars, drawMap, percent, set, signed, upper } from "../pages/answer.js";
import { takeFiles } from "../pages/files.js";
import { LiveCamera } from "../pages/live.js";

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
  camera.close();
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

const wordsOfCamera = { start: "Use the camera", stop: "Stop the camera", number: (n) => `Camera ${n}` };
const camera = new LiveCamera(wordsOfCamera, () => (photo += 1));

async function startCamera(device) {
  const mine = (photo += 1);
  say("");
  try {
    if (!(await camera.open(device))) return;
  } catch (error) {
    say(`The camera cannot be used (${error.name === "NotAllowedError" ? "it was not allowed" : error.message})`);
    return;
  }
  at("name").textContent = "camera";
  while (mine === photo) {
    try {
      const frame = await camera.frame();
      const found = await ask({ photo: frame }, [frame]);
      if (mine === photo) show(found, "camera");
    } catch (error) {
      if (mine === photo) say(error.message);
      break;
    }
    await new Promise((next) => setTimeout(next, 50));
  }
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
  const surest = percent(found.probabilities[found.best]);
  at("reason").setAttribute("aria-live", source === "camera" ? "off" : "polite"); // its numbers never rest
  set("answer", found.label);
  set("reason", found.reason ? `${upper(found.reason)}. The nearest class is ${nearest}, ${surest}.` : upper(found.note));
  at("answer").dataset.probability = found.probabilities[found.best];
  at("answer").dataset.outlierScore = found.outlierScore;
  at("answer").dataset.reason = found.reason;
  const { photo: reading, network } = found.milliseconds;
  at("time").textContent = `${Math.round(reading + network)} ms, ${Math.round(network)} of them for the network`;
  draw();
}

function draw() {
  const explained = Boolean(shown.maps && at("explain").checked);
  drawBars(at("bars"), at("bar"), about.labels.map((label, n) => [label, shown.probabilities[n]]), {
    most: MOST, shown: explained ? about.labels[mapped()] : null, maps: shown.maps ? about.labels : [],
  });
  at("frame").classList.toggle("explained", explained);
  at("explaining").hidden = !shown.maps;
  at("scale").hidden = !explained;
  if (explained) explain();
}

function mapped() {
  return chosen === null ? shown.best : chosen;
}

// The class activation map over the photo; all classes on one scale, as `rehead explain` has them
function explain() {
  const { values, height, width } = shown.maps;
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const size = height * width;
  const own = values.subarray(mapped() * size, (mapped() + 1) * size);
  drawMap(at("map"), { values: own, height, width }, { low, high, colours: about.colours, box: shown.box });
  at("of").textContent = about.labels[mapped()];
  at("low").textContent = signed(low);
  at("high").textContent = signed(high);
}

// What the visitor does

at("file").addEventListener("change", () => {
  first(at("file").files);
  at("file").value = "";
});
at("camera").addEventListener("click", () => (camera.on ? camera.close() : startCamera()));
at("cameras").addEventListener("change", () => startCamera(at("cameras").value));
at("explain").addEventListener("change", draw);
at("bars").addEventListener("click", (event) => {
  const bar = event.target.closest("button");
  if (bar === null) return;
  const label = about.labels.indexOf(bar.dataset.class);
  const again = at("explain").checked && mapped() === label;
  chosen = label;
  at("explain").checked = !again;
  draw();
});
takeFiles(first);

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
      at("camera").hidden = !LiveCamera.available;
      if (about.golden.length) ask({ golden: true }).then(tested, (error) => say(error.message));
    },
    (error) => say(`The model cannot be loaded: ${error.message}`),
  );
}
