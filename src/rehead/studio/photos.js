// Cards of the classes: photos, selecting and moving them by mouse and keyboard, names.

import { openCapture } from "./capture.js";
import { changed, hideProblem, post, say, trying } from "./server.js";
import { addFiles } from "./upload.js";
import { counted, word } from "./words.js";

export const DRAGGED = "application/x-rehead-photos";

const cards = document.getElementById("cards");
const bar = document.getElementById("selection");
const to = document.getElementById("to");
const selected = new Set();
let known = new Set();
let from = null; // where a range of selected photos begins

function thumbnail({ id, stamp }) {
  return `thumbnail?id=${encodeURIComponent(id)}&stamp=${stamp}`;
}

export function drawPhotos({ classes }) {
  known = new Set(classes.flatMap((one) => one.photos.map((photo) => photo.id)));
  for (const id of selected) if (!known.has(id)) selected.delete(id);
  const names = classes.map((one) => one.name);
  const old = new Map(Array.from(cards.children).map((card) => [card.dataset.class, card]));
  for (const [name, card] of old) if (!names.includes(name)) card.remove();
  classes.forEach((one, place) => {
    const card = old.get(one.name) || newCard(one.name);
    if (cards.children[place] !== card) cards.insertBefore(card, cards.children[place] || null);
    drawCard(card, one);
  });
  if (Array.from(to.options, (one) => one.value).join("\n") !== names.join("\n")) {
    const chosen = to.value;
    to.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(chosen)) to.value = chosen;
  }
  drawSelection();
}

function newCard(name) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const part = (query) => card.querySelector(query);
  card.dataset.class = name;
  card.setAttribute("aria-label", name);
  part("h3").textContent = name;
  part(".photos").setAttribute("aria-label", word("class.photos", { class: name }));
  const file = part(".file input");
  file.id = `files-${crypto.randomUUID()}`;
  part(".file label").htmlFor = file.id;
  file.setAttribute("aria-label", word("class.files.of", { class: name }));
  for (const [query, key] of [[".camera", "class.camera.of"], [".change", "class.rename.of"], [".remove", "class.remove.of"]]) {
    part(query).setAttribute("aria-label", word(key, { class: name }));
  }
  file.addEventListener("change", () => {
    addFiles(Array.from(file.files), name);
    file.value = "";
  });
  part(".camera").addEventListener("click", () => openCapture(name, part(".place")));
  part(".remove").addEventListener("click", () => trying(async () => {
    await post("remove-class", { name });
    say(word("class.removed", { class: name }));
    changed();
  }));
  takeName(card, name);
  takeKeys(part(".photos"));
  takePhotos(card, name);
  return card;
}

function takeName(card, name) {
  const form = card.querySelector(".rename");
  const input = form.querySelector("input");
  const show = (on) => {
    form.hidden = !on;
    card.querySelector("h3").hidden = card.querySelector(".count").hidden = card.querySelector(".actions").hidden = on;
    if (on) {
      input.value = name;
      input.select();
    }
  };
  input.setAttribute("aria-label", word("class.rename.to", { class: name }));
  card.querySelector(".change").addEventListener("click", () => { show(true); input.focus(); });
  const stop = () => { show(false); card.querySelector(".change").focus(); };
  form.querySelector(".cancel").addEventListener("click", stop);
  input.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trying(async () => {
      await post("rename", { name, to: input.value });
      hideProblem();
      show(false);
      changed();
    });
  });
}

function drawCard(card, { name, photos }) {
  card.querySelector(".count").textContent = counted("class.count", photos.length);
  card.querySelector(".empty").hidden = photos.length > 0;
  const list = card.querySelector(".photos");
  list.hidden = photos.length === 0;
  const old = new Map(Array.from(list.children).map((item) => [item.dataset.key, item]));
  const keys = photos.map((photo) => `${photo.id} ${photo.stamp}`);
  const wanted = new Set(keys);
  const focused = Array.from(list.children).indexOf(document.activeElement);
  for (const [key, item] of old) if (!wanted.has(key)) item.remove();
  photos.forEach((photo, place) => {
    const item = old.get(keys[place]) || newPhoto(photo, keys[place]);
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
  });
  if (!list.querySelector("[tabindex='0']") && list.firstElementChild) list.firstElementChild.tabIndex = 0;
  if (focused >= 0 && !list.contains(document.activeElement) && photos.length) {
    focusOn(list.children[Math.min(focused, photos.length - 1)]);
  }
}

function newPhoto(photo, key) {
  const item = document.createElement("li");
  const name = photo.id.slice(photo.id.indexOf("/") + 1);
  Object.assign(item.dataset, { id: photo.id, key });
  item.className = "photo";
  item.setAttribute("role", "option");
  item.setAttribute("aria-label", word(photo.burst ? "photo.burst" : "photo", { name }));
  item.setAttribute("aria-selected", String(selected.has(photo.id)));
  item.tabIndex = -1;
  item.title = name;
  item.draggable = true;
  item.append(picture(photo));
  return item;
}

export function picture(photo, alt = "") {
  const image = document.createElement("img");
  image.alt = alt;
  image.loading = "lazy";
  image.draggable = false;
  image.width = image.height = 96;
  image.addEventListener("error", () => {
    const text = document.createElement("span");
    text.className = "broken";
    text.textContent = word("photo.broken");
    image.replaceWith(text);
  });
  image.src = thumbnail(photo);
  return image;
}

// selecting

function drawSelection() {
  for (const item of cards.querySelectorAll(".photo")) {
    item.setAttribute("aria-selected", String(selected.has(item.dataset.id)));
  }
  bar.hidden = selected.size === 0;
  document.getElementById("selected").textContent = counted("selected", selected.size);
}

export function select(ids) {
  selected.clear();
  for (const id of ids) if (known.has(id)) selected.add(id);
  drawSelection();
  const first = cards.querySelector(".photo[aria-selected='true']");
  if (first) {
    focusOn(first);
    first.scrollIntoView({ block: "center" });
  }
}

function toggle(item, range) {
  const list = Array.from(item.parentElement.children);
  if (range && from && from.parentElement === item.parentElement) {
    const ends = [list.indexOf(from), list.indexOf(item)].sort((a, b) => a - b);
    for (const one of list.slice(ends[0], ends[1] + 1)) selected.add(one.dataset.id);
  } else {
    if (!selected.delete(item.dataset.id)) selected.add(item.dataset.id);
    from = item;
  }
  drawSelection();
}

function focusOn(item) {
  for (const other of item.parentElement.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  item.tabIndex = 0;
  item.focus();
}

function takeKeys(list) {
  list.addEventListener("click", (event) => {
    const item = event.target.closest(".photo");
    if (!item) return;
    focusOn(item);
    toggle(item, event.shiftKey);
  });
  list.addEventListener("keydown", (event) => {
    const item = event.target.closest(".photo");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = Array.from(list.children);
    const place = all.indexOf(item);
    const across = Math.max(1, all.filter((one) => one.offsetTop === all[0].offsetTop).length);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -place, End: all.length - 1 - place };
    if (event.key in steps) {
      const next = all[Math.min(Math.max(place + steps[event.key], 0), all.length - 1)];
      if (event.shiftKey) {
        if (!selected.has(item.dataset.id)) toggle(item, false);
        toggle(next, true);
      }
      focusOn(next);
    } else if (event.key === " " || event.key === "Enter") {
      toggle(item, event.shiftKey);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      removePhotos(selected.has(item.dataset.id) ? Array.from(selected) : [item.dataset.id]);
    } else if (event.key === "m" || event.key === "M") {
      if (!selected.has(item.dataset.id)) toggle(item, false);
      to.focus();
    } else if (event.key === "Escape") {
      selected.clear();
      drawSelection();
    } else {
      return;
    }
    event.preventDefault();
  });
}

bar.addEventListener("submit", (event) => {
  event.preventDefault();
  movePhotos(Array.from(selected), to.value);
});
document.getElementById("selected-remove").addEventListener("click", () => removePhotos(Array.from(selected)));
document.getElementById("selected-none").addEventListener("click", () => {
  selected.clear();
  drawSelection();
});

export function movePhotos(ids, label) {
  return trying(async () => {
    const { n } = await post("move", { ids, label });
    say(counted("moved", n, { class: label }));
    selected.clear();
    changed();
  });
}

export function removePhotos(ids) {
  return trying(async () => {
    const { n } = await post("remove", { ids });
    say(counted("removed", n));
    selected.clear();
    changed();
  });
}

// dragging

cards.addEventListener("dragstart", (event) => {
  const item = event.target.closest(".photo");
  if (!item) return;
  const ids = selected.has(item.dataset.id) ? Array.from(selected) : [item.dataset.id];
  event.dataTransfer.setData(DRAGGED, JSON.stringify(ids));
  event.dataTransfer.effectAllowed = "move";
});

function takePhotos(card, name) {
  card.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.some((type) => type === DRAGGED || type === "Files")) return;
    event.preventDefault();
    card.classList.add("target");
  });
  card.addEventListener("dragleave", (event) => {
    if (!card.contains(event.relatedTarget)) card.classList.remove("target");
  });
  card.addEventListener("drop", (event) => {
    card.classList.remove("target");
    const ids = event.dataTransfer.getData(DRAGGED);
    if (!ids) return; // files, which `takeDrops` takes
    event.preventDefault();
    movePhotos(JSON.parse(ids), name);
  });
}

// removed photos

export function drawRemoved({ removed }) {
  const place = document.getElementById("removed");
  place.hidden = removed.length === 0;
  place.querySelector("summary").textContent = `${word("removed")}: ${removed.length}`;
  const list = place.querySelector("ul");
  const keys = removed.map(({ id, stamp }) => `${id} ${stamp}`).join("\n");
  if (list.dataset.keys === keys) return;
  list.dataset.keys = keys;
  list.replaceChildren(...removed.map((photo) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "photo";
    button.title = button.ariaLabel = `${word("removed.restore")}: ${photo.id.slice(photo.id.indexOf("/") + 1)}`;
    button.append(picture(photo));
    button.addEventListener("click", () => restore([photo.id]));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  document.getElementById("restore-all").onclick = () => restore(removed.map((photo) => photo.id));
}

function restore(ids) {
  return trying(async () => {
    const { n } = await post("restore", { ids });
    say(counted("restored", n));
    changed();
  });
}
