//! [`CtcText`]: the text that scores of characters spell.

use unruffled_model::{
    Bytes, DType, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use crate::error::StepError;
use crate::files::Files;
use crate::labels::Labels;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::Reader;

/// `ctc-text`: text of a connectionist temporal classification: the best class of each step, repetitions and class 0
/// dropped. The meaning of `decode = "ctc"` in the settings of an output.
///
/// Takes `scores` f32 \[k, steps, classes\]; gives `text` bytes \[k\] and `score` f32 \[k\], the mean score of the characters,
/// 0 for an empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtcText {
    /// The file with the characters, one a line; line n is class n.
    pub labels: String,
}

impl CtcText {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        Ok(Self { labels: reader.file("labels", "labels.txt")? })
    }

    pub(crate) fn load(&self, kind: &'static str, files: &dyn Files) -> Result<TensorModel, StepError> {
        let labels = Labels::read(files, "labels", &self.labels)?;
        let signature = Signature {
            inputs: vec![spec("scores", DType::F32, [same("k"), same("steps"), same("classes")])],
            outputs: vec![spec("text", DType::Bytes, [same("k")]), spec("score", DType::F32, [same("k")])],
        };
        Ok(model(kind, Interrupt::Cooperative, signature, Decoder { labels }))
    }
}

struct Decoder {
    labels: Labels,
}

impl Compute for Decoder {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let scores = input(inputs, "scores")?;
        let &[rows, steps, classes] = scores.shape() else {
            return Err(ModelError::invalid_input("expected [k, steps, classes]").at("scores"));
        };
        if classes != self.labels.len() {
            let message = format!("has {classes} classes; there are {} labels", self.labels.len());
            return Err(ModelError::invalid_input(message).at("scores"));
        }
        let elements = scores.elements::<f32>()?;
        let (mut texts, mut means) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            watch(ctx)?;
            let (text, score) = self.line(&elements[row * steps * classes..][..steps * classes], classes);
            texts.push(Bytes::from(text));
            means.push(score);
        }
        Ok(Tensors::new()
            .with("text", Tensor::new(&[rows], texts)?)
            .with("score", Tensor::new(&[rows], means)?))
    }
}

impl Decoder {
    fn line(&self, row: &[f32], classes: usize) -> (Vec<u8>, f32) {
        let (mut text, mut sum, mut count, mut before) = (Vec::new(), 0.0_f64, 0_u32, 0);
        for step in row.chunks_exact(classes) {
            let (class, score) =
                step.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (class, score)| {
                    if *score > best.1 { (class, *score) } else { best }
                });
            if class != 0 && class != before {
                text.extend_from_slice(self.labels.get(class).map_or("\u{fffd}".as_bytes(), |label| label));
                sum += f64::from(score);
                count += 1;
            }
            before = class;
        }
        (text, if count == 0 { 0.0 } else { (sum / f64::from(count)) as f32 })
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Bytes, Tensor, Tensors};

    use super::CtcText;
    use crate::model::answer;

    fn scores(rows: &[&[usize]], classes: usize) -> Tensor {
        let elements = rows
            .iter()
            .flat_map(|row| row.iter())
            .flat_map(|best| (0..classes).map(move |class| if class == *best { 0.75 } else { 0.125_f32 }));
        let shape = [rows.len(), rows.first().map_or(3, |row| row.len()), classes];
        Tensor::new(&shape, elements.collect::<Vec<_>>()).unwrap()
    }

    #[track_caller]
    fn check(rows: &[&[usize]], texts: &[&str], means: &[f32]) {
        let files = |_: &str| Ok("-\na\nb\n \n".as_bytes().to_vec());
        let model = CtcText { labels: "labels.txt".into() }.load("ctc-text", &files).unwrap();
        let out = answer(&model, Tensors::new().with("scores", scores(rows, 4))).unwrap();
        let expected: Vec<_> = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        assert_eq!(out.get("text").unwrap().elements::<Bytes>().unwrap(), expected);
        assert_eq!(out.get("score").unwrap().elements::<f32>().unwrap(), means);
    }

    #[test]
    fn repetitions_and_blanks_are_dropped() {
        check(&[&[1, 1, 0, 1, 3, 2], &[0, 0, 0, 0, 0, 0]], &["aa b", ""], &[0.75, 0.0]);
        check(&[], &[], &[]);
    }

    #[test]
    fn labels_must_be_as_many_as_classes() {
        let load = |text: &'static str| {
            CtcText { labels: "l".into() }.load("ctc-text", &|_: &str| Ok(text.as_bytes().to_vec()))
        };
        let refused = answer(&load("a\nb").unwrap(), Tensors::new().with("scores", scores(&[&[1]], 3)));
        assert_eq!(refused.unwrap_err().to_string(), "`scores`: has 3 classes; there are 2 labels");
        assert_eq!(load("").err().unwrap().to_string(), "`labels`: \"l\" is empty; write one label a line");
    }
}
