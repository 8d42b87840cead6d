// How an answer is said and drawn: words and numbers, a bar for each class, and the class activation map over the photo.

// The most probable classes of [class, probability] pairs as buttons in a list. `template` has one; `shown` is the
// class whose map is shown, or null; `maps` are the classes that have one.
export function drawBars(list, template, probabilities, { most, shown, maps }) {
  const order = Array.from(probabilities).sort((a, b) => b[1] - a[1]).slice(0, most);
  while (list.children.length > order.length) list.lastElementChild.remove();
  while (list.children.length < order.length) list.append(template.content.cloneNode(true));
  order.forEach(([label, p], row) => {
    const bar = list.children[row].firstElementChild;
    bar.dataset.class = label;
    bar.dataset.probability = p;
    bar.querySelector(".label").textContent = label;
    bar.querySelector(".value").textContent = percent(p);
    bar.querySelector(".fill").style.width = `${100 * p}%`;
    bar.setAttribute("aria-pressed", String(label === shown));
    bar.disabled = !maps.includes(label);
  });
}

export function percent(p) {
  return `${(100 * p).toFixed(1)} %`;
}

// Sentences begin so
export function upper(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

// The text of the element with an id, only where it changes, so that a screen reader says it once
export function set(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

export function signed(number) {
  const tenths = Math.round(10 * number) / 10 + 0; // -0 + 0 is 0
  return tenths.toFixed(1).replace("-", "\u2212");
}

// Values, row by row, as colours between `low` and `high`, over the part of the photo [left, top, right, bottom], 0..1
export function drawMap(canvas, { values, height, width }, { low, high, colours, box = [0, 0, 1, 1] }) {
  const [left, top, right, bottom] = box;
  Object.assign(canvas, { width, height });
  Object.assign(canvas.style, {
    left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
  });
  const picture = new ImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    picture.data.set([...colour((values[n] - low) / (high - low || 1), colours), 255], 4 * n);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// Of a fraction 0..1, between colours given as "rrggbb"
function colour(fraction, colours) {
  const place = Math.min(Math.max(fraction, 0), 1) * (colours.length - 1);
  const below = Math.min(Math.floor(place), colours.length - 2);
  const [one, two] = [colours[below], colours[below + 1]].map((hex) =>
    [0, 2, 4].map((n) => parseInt(hex.slice(n, n + 2), 16)),
  );
  return one.map((c, n) => Math.round(c + (two[n] - c) * (place - below)));
}
