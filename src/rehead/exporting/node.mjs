// onnxruntime-web without a browser: a photo a line on the standard input, an answer a line on the output.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [runtime, wasm, model] = process.argv.slice(2);
const ort = await import(runtime);
ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = readFileSync(wasm);
const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(model)), { executionProviders: ["wasm"] });

for await (const line of createInterface({ input: process.stdin })) {
  const { shape, data } = JSON.parse(line);
  const image = new ort.Tensor("uint8", new Uint8Array(Buffer.from(data, "base64")), shape);
  const found = await session.run({ image }, ["probabilities", "outlier_score"]);
  console.log(JSON.stringify([Array.from(found.probabilities.data), found.outlier_score.data[0]]));
}
