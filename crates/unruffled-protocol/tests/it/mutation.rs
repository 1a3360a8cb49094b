//! Documents with random damage are refused or read, and never make the reader panic.

use unruffled_protocol::{InferRequest, InferResponse, Limits, ModelMetadata};

const CASES: u64 = 20_000;

const WHOLE: [&str; 4] = [
    r#"{"id":"42","parameters":{"priority":1,"timeout":1000,"note":"a\"b"},"inputs":[
    {"name":"x","shape":[2,3],"datatype":"FP32","data":[[1.5,-2e3,NaN],[0,Infinity,1e-9]]},
    {"name":"ids","datatype":"INT64","shape":[4],"data":[9223372036854775807,-1,0,7]}],"outputs":[{"name":"y"}]}"#,
    r#"{"inputs":[{"data":["a","\u00fc\ud83d\ude00",""],"shape":[3,1],"name":"text","datatype":"BYTES","parameters":{"k":[]}},
    {"name":"flags","shape":[1,2],"datatype":"BOOL","data":[[true,false]]}],"extra":{"deep":[[[[{"a":null}]]]]}}"#,
    r#"{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP16","shape":[2],"data":[0.5,-Infinity]},
    {"name":"z","datatype":"UINT8","shape":[0,4],"data":[]}]}"#,
    r#"{"name":"m","versions":["1"],"platform":"p","inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],"outputs":[]}"#,
];

/// Pieces that matter to the reader, to put where they do not belong.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "null",
    "NaN",
    "-Infinity",
    "Infinity",
    "-",
    "0",
    "1e999",
    "18446744073709551616",
    "\"shape\":",
    "\"data\":",
    "[[",
    "]]",
    "ü",
    " ",
];

/// SplitMix64: the damage is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn damage(&mut self, body: &mut Vec<u8>) {
        let start = self.below(body.len());
        let end = start + self.below((body.len() - start).min(12) + 1);
        match self.below(6) {
            0 => body[start] ^= 1 << self.below(8),
            1 => body[start] = b"0123456789"[self.below(10)],
            2 => drop(body.drain(start..end)),
            3 => drop(body.splice(start..start, PIECES[self.below(PIECES.len())].bytes())),
            4 => drop(body.splice(start..end, PIECES[self.below(PIECES.len())].bytes())),
            _ => {
                let copy = body[start..end].to_vec();
                let to = self.below(body.len());
                drop(body.splice(to..to, copy));
            }
        }
    }
}

#[test]
fn damaged_documents_never_panic() {
    let mut read = 0;
    for seed in 0..CASES {
        let mut random = Random(seed);
        let mut body = WHOLE[random.below(WHOLE.len())].as_bytes().to_vec();
        for _ in 0..1 + random.below(2) {
            if !body.is_empty() {
                random.damage(&mut body);
            }
        }
        let limits = Limits::default();
        let outcomes = [
            InferRequest::from_json(&body, &limits).map(drop),
            InferResponse::from_json(&body, &limits).map(drop),
            ModelMetadata::from_json(&body).map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => read += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty() && error.to_string().len() < 1500, "seed {seed}");
                }
            }
        }
    }
    assert!(read > CASES / 25, "the damage is too great to test anything: {read} were read");
}
