// Photos in, answers out, beside the page so that it never waits: decode, resize as Pillow does, run the network.
"use strict";

let ort, session, model;

onmessage = async ({ data: { id, start, photo, golden } }) => {
  try {
    postMessage({ id, found: start ? await open(start) : golden ? await selfTest() : await answer(photo) });
  } catch (error) {
    postMessage({ id, error: String((error && error.message) || error) });
  }
};

async function open({ runtime, wasm, graph, about }) {
  model = about;
  ort = await import(runtime);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
}

// Whether the file's golden pictures get the file's answers here; in Python it is classification.self_test
async function selfTest() {
  const { golden, tolerance } = model;
  const scale = Math.max(...golden.map((picture) => Math.abs(picture.outlier_score)), 1e-6);
  let [apart, outliers, others] = [0, 0, 0];
  for (const picture of golden) {
    const bytes = Uint8Array.from(atob(picture.png), (letter) => letter.charCodeAt(0));
    const found = await answer(new Blob([bytes], { type: "image/png" }), model.takesAny);
    apart = Math.max(apart, ...found.probabilities.map((p, n) => Math.abs(p - picture.probabilities[n])));
    outliers = Math.max(outliers, Math.abs(found.outlierScore - picture.outlier_score) / scale);
    if (found.label !== picture.answer) others += 1;
  }
  const same = others === 0 && apart <= tolerance.probability && outliers <= tolerance.outlier_score;
  return { same, pictures: golden.length, others, apart, outliers };
}

async function answer(photo, whole = false) {
  const begun = performance.now();
  const pixels = await decoded(photo);
  const [data, height, width] = whole ? [rgb(pixels), pixels.height, pixels.width] : network(pixels);
  const read = performance.now();
  const names = ["probabilities", "outlier_score", "maps", "styles"];
  const wanted = names.filter((name) => session.outputNames.includes(name));
  const found = await session.run({ image: new ort.Tensor("uint8", data, [1, height, width, 3]) }, wanted);
  const probabilities = Array.from(found.probabilities.data);
  const best = probabilities.indexOf(Math.max(...probabilities));
  const outlierScore = found.outlier_score.data[0];
  const reason = refusal(probabilities[best], outlierScore);
  return {
    probabilities,
    best,
    outlierScore,
    reason,
    label: reason ? model.unknown : model.labels[best],
    note: reason || !found.styles ? "" : style(found.styles.data),
    maps: found.maps && { values: found.maps.data, height: found.maps.dims[2], width: found.maps.dims[3] },
    box: cropped(pixels.width, pixels.height).map((edge, n) => edge / (n % 2 ? pixels.height : pixels.width)),
    milliseconds: { photo: read - begun, network: performance.now() - read },
  };
}

// Why there is no answer, "" where there is one; in Python it is OperatingPoint.reason
function refusal(probability, outlierScore) {
  const { limits, reasons } = model;
  if (!(outlierScore <= limits.outlier_score)) return worded(reasons.unlike, outlierScore, limits.outlier_score);
  if (!(probability >= limits.probability)) return worded(reasons.unsure, probability, limits.probability);
  return "";
}

function worded(sentence, found, limit) {
  let digits = 2;
  while (digits < 17 && found.toFixed(digits) === limit.toFixed(digits)) digits += 1;
  return sentence.replace("{found}", found.toFixed(digits)).replace("{limit}", limit.toFixed(digits));
}

function style(margins) {
  const most = margins.indexOf(Math.max(...margins));
  return margins[most] > model.styles.limit ? `another kind of photo: ${model.styles.names[most]}` : "";
}

// Photo to pixels

// {data, width, height, channels, turned}: upright, over white, colour profiles not applied; `turned`, of a JPEG only
async function decoded(photo) {
  const head = new Uint8Array(photo instanceof Blob ? await photo.slice(0, EXIF_ENDS).arrayBuffer() : []);
  const deep = head[0] === 0x89 && head[24] === 16 && head[25] === 0;
  if (deep && model.greyRange && String(model.greyRange) !== "0,65535") {
    throw Error("a grey picture of more than 8 bits, which a browser cannot read as this model needs it");
  }
  let bitmap = photo;
  if (photo instanceof Blob) {
    try {
      bitmap = await createImageBitmap(photo, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      throw Error("this browser cannot read it; try a JPEG, PNG or WebP");
    }
  }
  const { width, height } = bitmap;
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = pen.getImageData(0, 0, width, height);
  const jpeg = head[0] === 0xff && head[1] === 0xd8;
  return { data, width, height, channels: 4, turned: jpeg ? orientation(new DataView(head.buffer)) : undefined };
}

const EXIF_ENDS = 2 ** 17; // bytes; APP1, which is in front, has 64 KiB at the most

// EXIF 2.32, tag 0x0112 of a JPEG: 1 to 8, 1 where it has none
function orientation(view) {
  try {
    for (let at = 2; view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
      if (view.getUint16(at) !== 0xffe1 || view.getUint32(at + 4) !== 0x45786966) continue;
      const little = view.getUint16(at + 10) === 0x4949;
      const entries = at + 10 + view.getUint32(at + 14, little);
      for (let n = 0; n < view.getUint16(entries, little); n++) {
        const entry = entries + 2 + 12 * n;
        if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut short, or damaged
  }
  return 1;
}

// What the network takes: [uint8 RGB, height, width]
function network(pixels) {
  const side = model.side;
  const small = pixels.turned ? reduced(pixels, Math.ceil(side / (model.crop || 1))) : pixels;
  return [resized(small, cropped(small.width, small.height), side, side), side, side];
}

function rgb({ data, width, height }) {
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  return pixels;
}

// The part that is taken: left, top, right, bottom; in Python it is PreprocessSpec.crop_box
function cropped(width, height) {
  if (model.crop === null) return [0, 0, width, height];
  const side = Math.min(width, height) * model.crop;
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return [left, top, left + side, top + side];
}

// A JPEG as libjpeg-turbo decodes it at 1/8, 1/4 or 1/2, the smallest with sides of `least`: means of squares,
// which begin where the file begins, in another corner where the photo was turned
function reduced({ data, width, height, channels, turned }, least) {
  const most = Math.min(Math.floor(width / least), Math.floor(height / least));
  const by = [8, 4, 2, 1].find((scale) => most >= scale) || 1;
  if (by === 1) return { data, width, height, channels };
  const [w, h] = [Math.ceil(width / by), Math.ceil(height / by)];
  const [right, below] = [[2, 3, 6, 7].includes(turned) ? w * by - width : 0, [3, 4, 7, 8].includes(turned) ? h * by - height : 0];
  const small = new Uint8ClampedArray(w * h * 3);
  const sums = new Uint32Array(w * 3);
  for (let y = 0; y < h; y++) {
    sums.fill((by * by) / 2);
    for (let dy = 0; dy < by; dy++) {
      const row = Math.min(Math.max(y * by + dy - below, 0), height - 1) * width;
      for (let x = 0; x < w * by; x++) {
        const from = (row + Math.min(Math.max(x - right, 0), width - 1)) * channels;
        const to = Math.floor(x / by) * 3;
        sums[to] += data[from];
        sums[to + 1] += data[from + 1];
        sums[to + 2] += data[from + 2];
      }
    }
    for (let n = 0; n < sums.length; n++) small[y * w * 3 + n] = Math.floor(sums[n] / (by * by));
  }
  return { data: small, width: w, height: h, channels: 3 };
}

// Pillow's resize with antialiasing, to the bit: Resample.c, weights of 22 bits, rounded after each direction
const ONE = 2 ** 22;
const FILTERS = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const [a, d] = [-0.5, Math.abs(x)];
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
  }],
};

// For each of `size` pixels between two edges: the first pixel that counts, and the weights from it on
function weights(length, low, high, size) {
  const [reach, filter] = FILTERS[model.filter];
  const scale = Math.fround(Math.fround(high) - Math.fround(low)) / size;
  const wide = Math.max(scale, 1);
  return Array.from({ length: size }, (_, n) => {
    const centre = Math.fround(low) + (n + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const last = Math.min(length, Math.trunc(centre + reach * wide + 0.5));
    const each = Array.from({ length: last - first }, (_, i) => filter((i + first - centre + 0.5) / wide));
    const sum = each.reduce((a, b) => a + b, 0);
    return [first, Float64Array.from(each, (w) => Math.trunc((w / sum) * ONE + (w < 0 ? -0.5 : 0.5)))];
  });
}

function resized(pixels, [left, top, right, bottom], w, h) {
  const across = weights(pixels.width, left, right, w);
  const down = weights(pixels.height, top, bottom, h);
  const tall = pixels.height > h && pixels.height - h > 2 * (pixels.width - w); // from Pillow 13 on
  const both = tall ? horizontally(vertically(pixels, down), across) : vertically(horizontally(pixels, across), down);
  return new Uint8Array(both.data.buffer);
}

function horizontally({ data, width, height, channels }, across) {
  const w = across.length;
  const result = new Uint8ClampedArray(w * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < w; x++) {
      const [first, each] = across[x];
      for (let c = 0; c < 3; c++, to++) {
        let sum = ONE / 2;
        for (let i = 0, from = (y * width + first) * channels + c; i < each.length; i++, from += channels) {
          sum += data[from] * each[i];
        }
        result[to] = Math.floor(sum / ONE);
      }
    }
  }
  return { data: result, width: w, height, channels: 3 };
}

function vertically({ data, width, channels }, down) {
  const h = down.length;
  const result = new Uint8ClampedArray(width * h * 3);
  for (let y = 0, to = 0; y < h; y++) {
    const [first, each] = down[y];
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, to++) {
        let sum = ONE / 2;
        for (let i = 0, from = (first * width + x) * channels + c; i < each.length; i++, from += width * channels) {
          sum += data[from] * each[i];
        }
        result[to] = Math.floor(sum / ONE);
      }
    }
  }
  return { data: result, width, height: h, channels: 3 };
}
