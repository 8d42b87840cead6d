// Answers of every kind, in words.

import { percent, upper } from "./answer.js";
import { counted, word } from "./words.js";

// What is said of an answer of any kind, {label, known, reason, exact}, and drawn over the photo, {points, boxes}.
// `reasons` are the beginnings of the server's reasons that the page has plainer words for, by key
export function read(found, reasons) {
  if (found.choice.kind === "people") return readPeople(found.faces);
  if (found.points || found.faces) return readPoints(found.faces || [found], found.error);
  const known = !found.reason;
  const label = known ? found.label : word("answer.unknown");
  const nearest = word("answer.nearest", { label: found.nearest, percent: percent(found.probability) });
  if (known) return { label, known, reason: upper(found.note || ""), exact: "" };
  return { label, known, reason: `${plain(found.reason, reasons)}. ${nearest}`, exact: upper(found.reason) };
}

function readPoints(faces, error) {
  const points = faces.flatMap((one) => one.points.map(({ x, y }) => [x, y]));
  const boxes = faces.filter((one) => one.face).map((one) => ({ box: one.face, name: "", known: !one.reason }));
  const reason = faces.map((one) => one.reason).find(Boolean) || error || "";
  const label = points.length ? counted("points", points.length) : word("points.none");
  const doubt = points.length && reason ? `${word("points.unsure")}. ` : "";
  return { label, known: !reason, reason: doubt + (reason && upper(reason)), exact: "", points, boxes };
}

function readPeople(faces) {
  const boxes = inOrder(faces).map((one) => ({ box: one.face.box, name: one.name, known: !one.reason }));
  const names = boxes.map((one) => one.name).join(", ");
  return { label: names || word("faces.none"), known: boxes.some((one) => one.known), reason: "", exact: "", boxes };
}

function inOrder(faces) {
  return [...faces].sort((a, b) => a.face.box[0] - b.face.box[0]);
}

// The reason in plain words, where it is one that the page knows
function plain(reason, reasons) {
  const key = Object.keys(reasons).find((one) => reason.startsWith(reasons[one]));
  return key ? word(`reason.${key}`) : upper(reason);
}

// Each face as an item of a list
export function facesIn(faces) {
  return inOrder(faces).map(({ name, nearest, probability, reason }) => {
    const [item, bold] = ["li", "b"].map((tag) => document.createElement(tag));
    bold.textContent = name;
    const sure = !reason && probability !== null ? word("faces.named", { percent: percent(probability) }) : "";
    const near = reason && nearest && nearest !== name ? word("faces.nearest", { name: nearest }) : "";
    item.append(bold, [reason && `${upper(reason)}.`, near, sure].filter(Boolean).join(" "));
    return item;
  });
}
