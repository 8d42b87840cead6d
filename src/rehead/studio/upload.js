// Files and folders that are chosen, dropped or pasted, sent one by one.

import { DRAGGED } from "./photos.js";
import { Problem, ask, changed, post, say, showProblem, trying } from "./server.js";
import { counted, word } from "./words.js";

const AT_ONCE = 3; // uploads, so that the disk has always something to do
const CLUTTER = /(^|\/)(\.[^/]*|thumbs\.db|desktop\.ini)$/i;

// Files into a class
export function addFiles(files, label) {
  return addAll(files.map((file) => ({ file, label })));
}

// Files of folders, [{file, path}], each into the class that its folder says
export function addFolders(found) {
  return trying(async () => {
    const wanted = found.filter(({ path }) => !CLUTTER.test(path));
    if (!wanted.length) throw new Problem(word("added.none"));
    const { classes } = await post("sort", { paths: wanted.map(({ path }) => path) });
    if (classes.includes("")) throw new Problem(word("added.where"));
    await addAll(wanted.map(({ file }, n) => ({ file, label: classes[n] })));
  });
}

async function addAll(jobs) {
  const batch = crypto.randomUUID();
  const waiting = jobs.slice();
  const count = { added: 0, twice: 0 };
  const refused = [];
  async function work() {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      say(word("adding", { done: jobs.length - waiting.length, total: jobs.length }));
      const asked = new URLSearchParams({ label: job.label, name: job.file.name, batch });
      try {
        const response = await ask(`api/photos?${asked}`, { method: "POST", body: job.file });
        count[(await response.json()).added ? "added" : "twice"] += 1;
      } catch (error) {
        refused.push(error);
        if (!(error instanceof Problem)) break;
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  changed();
  const parts = [counted("added", count.added)];
  if (count.twice) parts.push(counted("added.twice", count.twice));
  say(`${parts.join(", ")}.`);
  if (refused.length) {
    showProblem(new Problem(counted("added.not", refused.length, { why: refused[0].message })));
  }
}

// What is dropped anywhere on the page
export function takeDrops() {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer.types.includes("Files")) document.body.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("over");
    if (event.dataTransfer.types.includes(DRAGGED)) return;
    event.preventDefault();
    const card = event.target.closest && event.target.closest(".card");
    // entries must be taken before the event ends
    const entries = Array.from(event.dataTransfer.items).map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const plain = Array.from(event.dataTransfer.files);
    trying(async () => {
      const found = entries.length
        ? (await Promise.all(entries.map(walk))).flat()
        : plain.map((file) => ({ file, path: file.name }));
      if (card) {
        await addFiles(found.filter(({ path }) => !CLUTTER.test(path)).map(({ file }) => file), card.dataset.class);
      } else {
        await addFolders(found);
      }
    });
  });
  document.addEventListener("paste", (event) => {
    const files = Array.from(event.clipboardData.files);
    const card = document.activeElement.closest(".card");
    if (!files.length) return;
    if (card) addFiles(files, card.dataset.class);
    else showProblem(new Problem(word("added.where")));
  });
  const folder = document.getElementById("folder");
  folder.addEventListener("change", () => {
    addFolders(Array.from(folder.files).map((file) => ({ file, path: file.webkitRelativePath })));
    folder.value = "";
  });
}

// All files of an entry, at any depth
async function walk(entry) {
  const path = entry.fullPath.slice(1);
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => { entry.file(resolve, reject); }), path }];
  const reader = entry.createReader();
  const inside = [];
  for (;;) { // a part at a time
    const part = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!part.length) break;
    inside.push(...part);
  }
  const found = [];
  for (const one of inside) found.push(...await walk(one));
  return found;
}
