//! [`Pool`]: one vector out of those of all tokens.

use unruffled_model::{DType, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors};

use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::Reader;

/// `pool`: the mean of the tokens' vectors, of those that the mask keeps; of length 1 unless it is said otherwise.
///
/// Takes `hidden` f32 \[n, s, h\] and `mask` i64 \[n, s\]; gives `embedding` f32 \[n, h\]. A text without any token is a vector
/// of zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Whether each vector is brought to length 1; it is unless set.
    pub normalize: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { normalize: true }
    }
}

impl Pool {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        Ok(Self { normalize: reader.truth("normalize", Self::default().normalize)? })
    }

    pub(crate) fn load(&self, kind: &'static str) -> TensorModel {
        let signature = Signature {
            inputs: vec![
                spec("hidden", DType::F32, [same("n"), same("s"), same("h")]),
                spec("mask", DType::I64, [same("n"), same("s")]),
            ],
            outputs: vec![spec("embedding", DType::F32, [same("n"), same("h")])],
        };
        model(kind, Interrupt::Cooperative, signature, Mean { normalize: self.normalize })
    }
}

struct Mean {
    normalize: bool,
}

impl Compute for Mean {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let (hidden, mask) = (input(inputs, "hidden")?, input(inputs, "mask")?);
        let &[rows, tokens, width] = hidden.shape() else {
            return Err(ModelError::invalid_input("expected [n, s, h]").at("hidden"));
        };
        let (hidden, mask) = (hidden.elements::<f32>()?, mask.elements::<i64>()?);
        let mut pooled = vec![0.0_f32; rows * width];
        for row in 0..rows {
            watch(ctx)?;
            let sum = &mut pooled[row * width..][..width];
            let mut count = 0.0_f32;
            for token in (0..tokens).filter(|token| mask[row * tokens + token] != 0) {
                let vector = &hidden[(row * tokens + token) * width..][..width];
                sum.iter_mut().zip(vector).for_each(|(sum, part)| *sum += part);
                count += 1.0;
            }
            let length = sum.iter().map(|part| part * part).sum::<f32>().sqrt();
            let by = if self.normalize { length } else { count };
            if by > 0.0 {
                sum.iter_mut().for_each(|part| *part /= by);
            }
        }
        Ok(Tensors::new().with("embedding", Tensor::new(&[rows, width], pooled)?))
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Tensor, Tensors};

    use super::Pool;
    use crate::model::answer;

    #[track_caller]
    fn check(normalize: bool, mask: [i64; 4], expected: &[f32]) {
        let hidden = vec![3.0_f32, 0.0, 0.0, 4.0, 6.0, 8.0, 1.0, 1.0];
        let inputs = Tensors::new()
            .with("hidden", Tensor::new(&[2, 2, 2], hidden).unwrap())
            .with("mask", Tensor::new(&[2, 2], mask.to_vec()).unwrap());
        let out = answer(&Pool { normalize }.load("pool"), inputs).unwrap();
        let given = out.get("embedding").unwrap().elements::<f32>().unwrap();
        let close = given.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close && given.len() == expected.len(), "{given:?}");
    }

    #[test]
    fn the_mean_of_what_the_mask_keeps() {
        check(false, [1, 1, 1, 0], &[1.5, 2.0, 6.0, 8.0]);
        check(true, [1, 1, 1, 0], &[0.6, 0.8, 0.6, 0.8]);
    }

    #[test]
    fn nothing_kept_is_nothing_not_a_division_by_zero() {
        check(true, [0, 0, 0, 0], &[0.0; 4]);
        check(false, [0, 0, 0, 0], &[0.0; 4]);
    }

    #[test]
    fn a_mask_of_another_shape_is_refused() {
        let inputs = Tensors::new()
            .with("hidden", Tensor::filled(&[1, 2, 3], 0_f32).unwrap())
            .with("mask", Tensor::filled(&[1, 3], 1_i64).unwrap());
        let refused = answer(&Pool::default().load("pool"), inputs).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`mask`: dimension `s` is 3 here but 2 in `hidden`; it must be the same in both"
        );
    }
}
