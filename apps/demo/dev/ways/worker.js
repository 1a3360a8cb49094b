// MiniLM on ONNX Runtime's WebAssembly build, in a worker: one message in, one out.
importScripts("/ort/ort.wasm.min.js");

const session = (async () => {
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const session = await ort.InferenceSession.create("/model.onnx");
  postMessage({ ready: true, threads: ort.env.wasm.numThreads });
  return session;
})().catch((error) => postMessage({ failed: String(error) }));

onmessage = async ({ data: { id, rows, tokens, bytes } }) => {
  if (bytes) return postMessage({ id, bytes });
  const ones = new BigInt64Array(rows * tokens).fill(1n);
  const tensor = (data) => new ort.Tensor("int64", data, [rows, tokens]);
  const inputs = { input_ids: tensor(ones.map(() => 2023n)), attention_mask: tensor(ones), token_type_ids: tensor(ones.map(() => 0n)) };
  const outputs = await (await session).run(inputs);
  postMessage({ id, first: outputs.sentence_embedding.data[0] });
};
