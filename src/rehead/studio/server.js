// What the page asks of its server, and what it says when that fails.

import { word } from "./words.js";

const box = document.getElementById("problem-box");
const said = document.getElementById("said");
let hiding = 0;

// An error with a text for people
export class Problem extends Error {}

export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Problem(word("server.gone"));
  }
  if (response.ok) return response;
  if (response.status === 401) throw new Problem(word("refused.token"));
  const found = await response.json().catch(() => ({}));
  if (found.key) throw new Problem(word(found.key, found.values));
  throw new Problem(word("refused.other", { why: found.error || response.status }));
}

export async function post(what, body = {}) {
  const response = await ask(`api/${what}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return response.json();
}

// Runs what may fail, and shows why it did; undefined then
export async function trying(action) {
  try {
    return await action();
  } catch (error) {
    showProblem(error);
    return undefined;
  }
}

// Says that there is another state to look at
export function changed() {
  document.dispatchEvent(new Event("changed"));
}

export function showProblem(error) {
  if (!(error instanceof Problem)) console.error(error);
  box.querySelector("p").textContent =
    error instanceof Problem ? error.message : word("refused.unexpected", { why: error.message || error.name });
  box.hidden = false;
}

export function hideProblem() {
  box.hidden = true;
}

// Says something for some seconds
export function say(text) {
  said.textContent = text;
  said.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { said.hidden = true; }, 6000);
}

document.getElementById("problem-close").addEventListener("click", hideProblem);
