//! [`TopK`]: the best classes of each row, by name.

use unruffled_model::{
    Bytes, DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use crate::error::StepError;
use crate::files::Files;
use crate::labels::Labels;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::Reader;

/// `top-k`: the best classes of each row, the best first; of equals the first, what is no number last.
///
/// Takes `scores` f32 \[n, c\]; gives `label` bytes \[n, k\], `index` i64 \[n, k\] and `score` f32 \[n, k\]. A class without a
/// label is called by its index; rows of fewer classes have as many columns as classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    /// How many classes to tell; 3 unless set.
    pub top: usize,
    /// The file with what the classes are called, one a line; none unless set.
    pub labels: Option<String>,
}

impl Default for TopK {
    fn default() -> Self {
        Self { top: 3, labels: None }
    }
}

impl TopK {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        Ok(Self { top: reader.count("top", 1)?.unwrap_or(usual.top), labels: reader.text("labels")? })
    }

    pub(crate) fn load(&self, kind: &'static str, files: &dyn Files) -> Result<TensorModel, StepError> {
        let labels = self.labels.as_deref().map(|name| Labels::read(files, "labels", name)).transpose()?;
        let classes = labels.as_ref().map_or_else(|| same("classes"), |labels| Dim::Fixed(labels.len()));
        let signature = Signature {
            inputs: vec![spec("scores", DType::F32, [same("n"), classes])],
            outputs: vec![
                spec("label", DType::Bytes, [same("n"), same("k")]),
                spec("index", DType::I64, [same("n"), same("k")]),
                spec("score", DType::F32, [same("n"), same("k")]),
            ],
        };
        let best = Best { top: self.top, labels: labels.unwrap_or_default() };
        Ok(model(kind, Interrupt::Cooperative, signature, best))
    }
}

struct Best {
    top: usize,
    labels: Labels,
}

impl Compute for Best {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let scores = input(inputs, "scores")?;
        let &[rows, classes] = scores.shape() else {
            return Err(ModelError::invalid_input("expected [n, classes]").at("scores"));
        };
        let elements = scores.elements::<f32>()?;
        let columns = self.top.min(classes);
        let (mut labels, mut indices, mut best) = (Vec::new(), Vec::new(), Vec::new());
        let mut order: Vec<usize> = Vec::with_capacity(classes);
        for row in 0..rows {
            watch(ctx)?;
            let row = &elements[row * classes..][..classes];
            let rank = |class: usize| if row[class].is_nan() { f32::NEG_INFINITY } else { row[class] };
            order.clear();
            order.extend(0..classes);
            let by_rank = |a: &usize, b: &usize| rank(*b).total_cmp(&rank(*a)).then(a.cmp(b));
            if columns < classes {
                order.select_nth_unstable_by(columns, by_rank);
            }
            order[..columns].sort_unstable_by(by_rank);
            for &class in &order[..columns] {
                labels.push(self.labels.get(class).cloned().unwrap_or_else(|| class.to_string().into()));
                indices.push(class as i64);
                best.push(row[class]);
            }
        }
        let shape = [rows, columns];
        Ok(Tensors::new()
            .with("label", Tensor::new::<Bytes>(&shape, labels)?)
            .with("index", Tensor::new(&shape, indices)?)
            .with("score", Tensor::new(&shape, best)?))
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Bytes, Tensor, Tensors};

    use super::TopK;
    use crate::files::NoFiles;
    use crate::model::answer;

    fn scores(rows: usize, elements: Vec<f32>) -> Tensors {
        let classes = elements.len() / rows.max(1);
        Tensors::new().with("scores", Tensor::new(&[rows, classes], elements).unwrap())
    }

    #[track_caller]
    fn check(top: usize, inputs: Tensors, indices: &[i64], labels: &[&str]) {
        let files = |_: &str| Ok(b"cat\ndog\nbird\nfish".to_vec());
        let model = TopK { top, labels: Some("labels.txt".into()) }.load("top-k", &files).unwrap();
        let out = answer(&model, inputs).unwrap();
        assert_eq!(out.get("index").unwrap().elements::<i64>().unwrap(), indices);
        let expected: Vec<_> = labels.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        assert_eq!(out.get("label").unwrap().elements::<Bytes>().unwrap(), expected);
    }

    #[test]
    fn the_best_come_first_and_of_equals_the_first() {
        check(
            2,
            scores(2, vec![0.1, 0.7, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]),
            &[1, 0, 2, 3],
            &["dog", "cat", "bird", "fish"],
        );
        check(
            9,
            scores(1, vec![f32::NAN, -1.0, 2.0, f32::NEG_INFINITY]),
            &[2, 1, 0, 3],
            &["bird", "dog", "cat", "fish"],
        );
    }

    #[test]
    fn rows_and_labels_may_be_missing_but_classes_must_fit() {
        let plain = TopK { top: 1, labels: None }.load("top-k", &NoFiles).unwrap();
        let out = answer(&plain, scores(1, vec![0.0, 1.0])).unwrap();
        assert_eq!(out.get("label").unwrap().elements::<Bytes>().unwrap(), [Bytes::from("1")]);
        let none = Tensors::new().with("scores", Tensor::new::<f32>(&[0, 4], vec![]).unwrap());
        assert_eq!(answer(&plain, none).unwrap().get("index").unwrap().shape(), [0, 1]);
        let files = |_: &str| Ok(b"cat\ndog".to_vec());
        let two = TopK { top: 1, labels: Some("l".into()) }.load("top-k", &files).unwrap();
        let refused = answer(&two, scores(1, vec![0.0; 3])).unwrap_err();
        assert_eq!(refused.to_string(), "`scores`: expected shape [n, 2], got [1, 3]");
    }
}
