//! [`Tokenize`]: texts become the numbers that a language model takes.

use tokenizers::{Encoding, PostProcessor as _, Tokenizer, TruncationParams};
use unruffled_model::{
    Bytes, DType, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use crate::error::StepError;
use crate::files::{self, Files};
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::{Reader, at_least_one};

/// `tokenize`: texts to tokens, by a `tokenizer.json`; texts of one request are filled up to the longest of them.
///
/// Takes `text` bytes \[n\], UTF-8; gives `input_ids`, `attention_mask` and `token_type_ids` i64 \[n, s\], and `token_count`
/// i64 \[n\], how many tokens each text has. What the file says of truncation and padding does not count but for the token
/// that fills up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenize {
    /// The file; `tokenizer.json` unless set.
    pub tokenizer: String,
    /// Tokens of one text, its beginning and end included; what is more is cut off; 256 unless set.
    pub tokens_max: usize,
    /// Tokens are filled up to a multiple of this, so that texts of similar length share a run of the model; 1 unless set.
    pub multiple: usize,
    /// Bytes of one text, refused if there are more; 1 MiB unless set.
    pub text_bytes_max: usize,
}

impl Default for Tokenize {
    fn default() -> Self {
        Self { tokenizer: "tokenizer.json".into(), tokens_max: 256, multiple: 1, text_bytes_max: 1 << 20 }
    }
}

impl Tokenize {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        Ok(Self {
            tokenizer: reader.text("tokenizer")?.unwrap_or(usual.tokenizer),
            tokens_max: reader.count("tokens_max", 1)?.unwrap_or(usual.tokens_max),
            multiple: reader.count("multiple", 1)?.unwrap_or(usual.multiple),
            text_bytes_max: reader.count("text_bytes_max", 1)?.unwrap_or(usual.text_bytes_max),
        })
    }

    pub(crate) fn load(&self, kind: &'static str, files: &dyn Files) -> Result<TensorModel, StepError> {
        at_least_one(&[("multiple", self.multiple)])?;
        let bytes = files::read(files, "tokenizer", &self.tokenizer)?;
        let refused = |error: tokenizers::Error| {
            let message = format!("\"{}\" is not a tokenizer that can be used: {error}", self.tokenizer);
            StepError::file("tokenizer", message).caused_by(error)
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(refused)?;
        let fill = tokenizer.get_padding().map_or(0, |padding| padding.pad_id);
        let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if self.tokens_max <= added {
            let message = format!(
                "is {}, of which every text takes {added} for itself; expected more",
                self.tokens_max
            );
            return Err(StepError::setting("tokens_max", message));
        }
        let truncation = TruncationParams { max_length: self.tokens_max, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| {
            StepError::setting("tokens_max", format!("is {}: {error}", self.tokens_max)).caused_by(error)
        })?;
        tokenizer.with_padding(None);
        let dims = || [same("n"), same("s")];
        let signature = Signature {
            inputs: vec![spec("text", DType::Bytes, [same("n")])],
            outputs: vec![
                spec("input_ids", DType::I64, dims()),
                spec("attention_mask", DType::I64, dims()),
                spec("token_type_ids", DType::I64, dims()),
                spec("token_count", DType::I64, [same("n")]),
            ],
        };
        let tokens = Tokens { tokenizer, fill, options: self.clone() };
        Ok(model(kind, Interrupt::Cooperative, signature, tokens))
    }
}

struct Tokens {
    tokenizer: Tokenizer,
    /// The token that fills up.
    fill: u32,
    options: Tokenize,
}

impl Compute for Tokens {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let texts = input(inputs, "text")?.elements::<Bytes>()?;
        let mut encodings = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            watch(ctx)?;
            encodings.push(self.encode(at, text)?);
        }
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        let width = longest.next_multiple_of(self.options.multiple);
        let shape = [encodings.len(), width];
        let counts: Vec<i64> = encodings.iter().map(|encoding| encoding.len() as i64).collect();
        let filled = |column: fn(&Encoding) -> &[u32], fill: u32| {
            let mut ids = Vec::with_capacity(shape[0] * width);
            for encoding in &encodings {
                let row = column(encoding).iter().copied();
                ids.extend(row.chain(std::iter::repeat(fill)).take(width).map(i64::from));
            }
            Tensor::new(&shape, ids)
        };
        Ok(Tensors::new()
            .with("input_ids", filled(Encoding::get_ids, self.fill)?)
            .with("attention_mask", filled(Encoding::get_attention_mask, 0)?)
            .with("token_type_ids", filled(Encoding::get_type_ids, 0)?)
            .with("token_count", Tensor::new(&shape[..1], counts)?))
    }
}

impl Tokens {
    fn encode(&self, at: usize, text: &[u8]) -> Result<Encoding, ModelError> {
        let most = self.options.text_bytes_max;
        if text.len() > most {
            let message = format!("text {at} has {} bytes; the most is {most}: cut it", text.len());
            return Err(ModelError::invalid_input(message).at("text"));
        }
        let text = std::str::from_utf8(text).map_err(|error| {
            let message = format!("text {at} is not UTF-8: {error}");
            ModelError::invalid_input(message).at("text").caused_by(error)
        })?;
        self.tokenizer.encode_fast(text, true).map_err(|error| {
            ModelError::failed(format!("text {at} has no tokens: {error}")).at("text").caused_by(error)
        })
    }
}
