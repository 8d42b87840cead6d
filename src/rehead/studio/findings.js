// What the audit found, with what mends it.

import { movePhotos, picture, removePhotos, select } from "./photos.js";
import { changed, post, trying } from "./server.js";
import { counted, word } from "./words.js";

const MOST = 12; // shown at once
const PICTURES = 4; // of each

const list = document.getElementById("findings");

export function drawFindings({ findings, looking, looking_failed: failed, classes }) {
  const text = looking ? word("findings.looking")
    : failed ? word("findings.failed", { why: failed })
      : findings.length ? "" : word(classes.some((one) => one.photos.length) ? "findings.none" : "findings.wait");
  document.getElementById("looking").textContent = text;
  const photos = new Map(classes.flatMap((one) => one.photos.map((photo) => [photo.id, photo])));
  const names = classes.map((one) => one.name);
  const key = JSON.stringify([findings, names]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...findings.slice(0, MOST).map((one) => item(one, photos, names)));
  if (findings.length > MOST) {
    const more = document.createElement("li");
    more.textContent = word("findings.more", { n: findings.length - MOST });
    list.append(more);
  }
}

function item(finding, photos, names) {
  const place = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = word(`findings.${finding.kind}`);
  const detail = document.createElement("p");
  detail.textContent = word(`findings.${finding.kind}.what`, {
    why: finding.detail, class: finding.labels.join(", "), suggested: finding.suggested,
  });
  const pictures = document.createElement("div");
  pictures.className = "pictures";
  pictures.append(...finding.photos.slice(0, PICTURES).map((id) => picture(photos.get(id), id)));
  const row = document.createElement("div");
  row.className = "row";
  if (finding.suggested && names.includes(finding.suggested)) {
    row.append(button(word("findings.move", { class: finding.suggested }), () => movePhotos(finding.photos, finding.suggested)));
  }
  if (finding.remove.length) {
    const text = finding.kind === "copy" ? word("findings.copies") : counted("findings.remove", finding.remove.length);
    row.append(button(text, () => removePhotos(finding.remove)));
  }
  if (finding.photos.length) row.append(button(word("findings.select"), () => select(finding.photos)));
  const fine = button(word("findings.fine"), () => trying(async () => {
    await post("fine", { finding: finding.id });
    changed();
  }));
  fine.setAttribute("aria-label", word("findings.fine.of", { title: title.textContent }));
  row.append(fine);
  place.append(title, detail, pictures, row);
  return place;
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "button";
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}
