//! What a page asks for, in a real WebView: answered, given up, superseded, streamed, reloaded away, and over the slow way.

use serde_json::json;

use crate::support::Window;

#[test]
fn asked_and_answered() {
    let window = Window::open();
    let answer = window.call(
        "const model = await api.load('demo-wait');
         const out = await model.infer({ ms: 1 });
         const ms = out.get('ms');
         return { type: ms.data.constructor.name, ms: Number(ms.data[0]), run: out.timings.run_ms };",
    );
    assert_eq!((&answer["type"], &answer["ms"]), (&json!("BigInt64Array"), &json!(1)));
    assert!(answer["run"].as_f64().is_some_and(|run| run > 0.0), "{answer}");
}

#[test]
fn a_large_tensor_arrives_whole() {
    let window = Window::open();
    let same = window.call(
        "const model = await api.load('demo-echo');
         const x = new Float32Array(2 << 20);
         for (let i = 0; i < x.length; i++) x[i] = (i * 2654435761 % 4294967296) / 65536;
         const y = (await model.infer({ x: { datatype: 'FP32', shape: [2, 1 << 20], data: x } })).get('y');
         return y.shape.join() === '2,1048576' && y.data.every((value, at) => value === x[at]);",
    );
    assert_eq!(same, true);
}

#[test]
fn an_abort_reaches_the_model() {
    let window = Window::open();
    let ends = window.call(
        "const model = await api.load('demo-wait');
         const abort = new AbortController();
         const asked = model.infer({ ms: 60_000 }, { signal: abort.signal });
         const running = async () => (await api.metrics()).models.find(({ name }) => name === 'demo-wait').running;
         while (await running() === 0);
         abort.abort(new Error('enough'));
         const reason = await asked.catch((error) => error.message);
         while (await running() > 0);
         return { reason, next: Number((await model.infer({ ms: 1 })).get('ms').data[0]) };",
    );
    assert_eq!(ends, json!({ "reason": "enough", "next": 1 }));
}

#[test]
fn a_newer_request_of_a_key_takes_the_place_of_the_older() {
    let window = Window::open();
    let ends = window.call(
        "const model = await api.load('demo-wait');
         const old = model.infer({ ms: 60_000 }, { supersede: 'pen' }).catch((error) => error.code);
         const running = async () => (await api.metrics()).models.find(({ name }) => name === 'demo-wait').running;
         while (await running() === 0);
         const fresh = await model.infer({ ms: 1 }, { supersede: 'pen' });
         return [await old, Number(fresh.get('ms').data[0])];",
    );
    assert_eq!(ends, json!(["cancelled", 1]));
}

#[test]
fn a_stream_keeps_its_order() {
    let window = Window::open();
    let items = window.call(
        "const model = await api.load('demo-wait');
         const items = [];
         const source = (async function* () { for (let ms = 0; ms < 200; ms++) yield { ms: ms % 3 }; })();
         for await (const result of model.stream(source)) items.push([result.item, Number(result.outputs.get('ms').data[0])]);
         return items;",
    );
    let expected: Vec<_> = (0..200).map(|item| json!([item, item % 3])).collect();
    assert_eq!(items.as_array().unwrap(), &expected);
}

#[test]
fn a_reload_ends_what_the_page_had_begun_and_runs_nothing_twice() {
    let window = Window::open();
    window.call(
        "const model = await api.load('demo-wait');
         for (let i = 0; i < 3; i++) void model.infer({ ms: 60_000 });
         const figures = async () => (await api.metrics()).models.find(({ name }) => name === 'demo-wait');
         for (let all = 0; all < 3; ) { const { running, queued } = await figures(); all = running + queued; }",
    );
    window.refresh();
    window.until("document.readyState === 'complete' && window.__demo?.api");
    let figures = window.call(
        "const model = await api.load('demo-wait');
         const figures = async () => (await api.metrics()).models.find(({ name }) => name === 'demo-wait');
         let seen = await figures();
         while (seen.running + seen.queued > 0) seen = await figures();
         const next = Number((await model.infer({ ms: 1 })).get('ms').data[0]);
         const { requests, errors } = await figures();
         return { requests, cancelled: errors.cancelled, next };",
    );
    assert_eq!(figures, json!({ "requests": 1, "cancelled": 3, "next": 1 }));
}

/// Once Tauri's fast way has failed, everything goes as numbers in JSON for as long as the page lives.
#[test]
fn the_slow_way_works_and_warns() {
    let window = Window::open();
    let told = window.call(
        "const warnings = [];
         const warn = console.warn;
         console.warn = (...words) => { warnings.push(words.join(' ')); warn(...words); };
         const model = await api.load('demo-echo');
         window.fetch = () => Promise.reject(new TypeError('blocked'));
         const ask = async () => Array.from((await model.infer({ x: { datatype: 'FP32', shape: [2], data: new Float32Array([1, 2.5]) } })).get('y').data);
         const answers = [await ask(), await ask()];
         return { answers, warnings: warnings.filter((text) => text.includes('connect-src')).length };",
    );
    assert_eq!(told, json!({ "answers": [[1, 2.5], [1, 2.5]], "warnings": 1 }));
}

#[test]
fn a_window_may_use_the_models_of_its_scope_only() {
    let window = Window::open();
    let told = window.call(
        "const code = (promise) => promise.then(() => 'answered', (error) => error.code);
         return [await code(api.load('ppocr-det')), (await api.models()).some(({ name }) => name === 'ppocr-det'),
                 await code((await api.load('magika')).unload())];",
    );
    assert_eq!(told, json!(["forbidden", false, "forbidden"]));
}

/// A scope counts for the permission at which it stands.
#[test]
fn jobs_and_figures_have_the_same_scope() {
    let window = Window::open();
    let told = window.call(
        "const frame = (said) => {
           const json = new TextEncoder().encode(JSON.stringify(said).padEnd(Math.ceil((JSON.stringify(said).length + 4) / 8) * 8 - 4));
           const bytes = new Uint8Array(4 + json.length);
           new DataView(bytes.buffer).setUint32(0, json.length, true);
           bytes.set(json, 4);
           return bytes;
         };
         const asked = frame({ page: 'scope', call: 1, model: 'silero-vad', inputs: [] });
         const code = await window.__demo.invoke('plugin:unruffled|submit', asked).then(() => 'answered', (error) => error.code);
         return [code, (await api.metrics()).models.some(({ name }) => name === 'silero-vad')];",
    );
    assert_eq!(told, json!(["forbidden", false]));
}
