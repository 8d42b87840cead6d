// Boxes with names, and points, over the photo: in its pixels, whatever its size on the screen.

const LETTERS = 13; // pixels of the screen that letters have at least
const SVG = "http://www.w3.org/2000/svg";

// `size` is [width, height] of the photo; boxes are {box: [x0, y0, x1, y1], name, known}, points [x, y]
export function drawMarks(svg, [width, height], { boxes = [], points = [] }, mirrored = false) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const unit = Math.max(width, height) / 100;
  const letters = Math.max(3.4 * unit, (LETTERS * width) / (svg.getBoundingClientRect().width || width));
  const across = (x) => (mirrored ? width - x : x);
  svg.replaceChildren(
    ...boxes.flatMap(({ box: [x0, y0, x1, y1], name, known }) => {
      const place = { x: Math.min(across(x0), across(x1)), y: y0, width: x1 - x0, height: y1 - y0, rx: unit };
      const kind = known ? "" : "unknown ";
      const text = made("text", {
        x: place.x, y: y0 > 1.5 * letters ? y0 - 0.3 * letters : y1 + 1.2 * letters, "font-size": letters, "stroke-width": 0.24 * letters,
      });
      text.textContent = name;
      return [made("rect", { class: `${kind}under`, ...place }), made("rect", { class: `${kind}over`, ...place }), text];
    }),
    ...points.flatMap(([x, y]) => {
      const place = { cx: across(x + 0.5), cy: y + 0.5, r: 0.6 * unit }; // (0, 0) is the middle of the first pixel
      return [made("circle", { class: "under", ...place }), made("circle", { class: "over", ...place })];
    }),
  );
}

function made(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
