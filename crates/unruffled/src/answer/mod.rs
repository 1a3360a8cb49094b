//! [`Answer`]: what a model gave, read for people: the best classes by their labels, text, or plain numbers.

mod numbers;

mod reading;

mod pipeline;

mod summary;

use serde_json::{Value, json};
use unruffled_model::{DType, Name, Tensor, Tensors};

use crate::config::ModelConfig;

pub use reading::{Class, Line, Reading};
pub use summary::Summary;

/// The outputs of one request, each read as the settings of the model say.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The outputs, in the model's order.
    pub outputs: Vec<OutputAnswer>,
}

/// One output, read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutputAnswer {
    /// What the model calls it.
    pub name: Name,
    /// What it gave.
    pub tensor: Tensor,
    /// What that means.
    pub reading: Reading,
}

impl Answer {
    /// Reads outputs; `top` is how many classes to tell, if not as many as the settings say.
    pub fn read(outputs: &Tensors, config: &ModelConfig, top: Option<usize>) -> Self {
        let read = |(name, tensor): (&Name, &Tensor)| OutputAnswer {
            name: name.clone(),
            tensor: tensor.clone(),
            reading: reading::read(tensor, config.output(name), top),
        };
        let mut outputs: Vec<OutputAnswer> = outputs.iter().map(read).collect();
        pipeline::read(&mut outputs);
        Self { outputs }
    }

    /// Whether people see an output beside another one, as the scores of texts, and not by itself.
    pub fn is_told_beside(&self, name: &str) -> bool {
        name == pipeline::SCORE && self.outputs.iter().any(pipeline::is_scored)
    }

    /// The outputs as a JSON array: name, dtype and shape, and `classes`, `text` or the whole `data`.
    pub fn to_json(&self) -> Value {
        self.outputs.iter().map(OutputAnswer::to_json).collect()
    }
}

impl OutputAnswer {
    fn to_json(&self) -> Value {
        let mut all = json!({
            "name": &*self.name,
            "dtype": self.tensor.dtype().name(),
            "shape": self.tensor.shape(),
        });
        let (key, value) = match &self.reading {
            Reading::Classes(rows) => {
                let class = |class: &Class| {
                    let mut told = json!({ "index": class.index, "label": class.label });
                    if let Some(score) = class.score {
                        told["score"] = self.score(score);
                    }
                    told
                };
                let row = |row: &Vec<Class>| row.iter().map(class).collect::<Value>();
                ("classes", rows.iter().map(row).collect())
            }
            Reading::Text(lines) => {
                let line = |line: &Line| json!({ "text": line.text, "score": self.score(line.score) });
                ("text", lines.iter().map(line).collect())
            }
            Reading::Plain | Reading::Spans(_) => ("data", numbers::json(&self.tensor)),
        };
        all[key] = value;
        all
    }

    /// A score, as precise as the tensor that it was taken from.
    fn score(&self, score: f64) -> Value {
        match self.tensor.dtype() {
            DType::F64 => numbers::float(score),
            _ => numbers::narrow(score as f32),
        }
    }
}

#[cfg(test)]
mod tests;
