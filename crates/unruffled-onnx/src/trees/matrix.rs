//! Products of rows with constant matrices: `MatMul`, `Gemm`, and the linear models that are built on them.

use unruffled_model::{DType, Data, Element, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Operand, Site, check_columns};
use super::shape::{Dim, Type, broadcast};

/// A constant matrix, the coefficients of each output side by side.
pub(super) struct Matrix<T> {
    pub(super) coefficients: Vec<T>,
    /// How many numbers go in.
    pub(super) width: usize,
    /// How many come out.
    pub(super) outputs: usize,
}

/// A float that is multiplied and added up, in 64 bits.
pub(super) trait Float: Element + Copy + Into<f64> {
    fn narrow(x: f64) -> Self;
}

impl Float for f32 {
    fn narrow(x: f64) -> Self {
        x as f32
    }
}

impl Float for f64 {
    fn narrow(x: f64) -> Self {
        x
    }
}

impl<T: Float> Matrix<T> {
    /// Calls `give` with the product of a row with the coefficients of each output.
    pub(super) fn multiply(&self, row: &[T], mut give: impl FnMut(usize, f64)) {
        for (output, coefficients) in self.coefficients.chunks_exact(self.width.max(1)).enumerate() {
            give(output, dot(row, coefficients));
        }
    }
}

/// The sum of the products.
pub(super) fn dot<T: Float>(a: &[T], b: &[T]) -> f64 {
    /// Sums that are added up side by side, which need not wait for each other.
    const SIDES: usize = 4;
    let mut sums = [0.0; SIDES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDES>(), b.as_chunks::<SIDES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a.into() * b.into();
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| a.into() * b.into()).sum();
    sums.iter().sum::<f64>() + rest
}

/// Builds a `MatMul` of rows with a constant.
pub(super) fn matmul(site: &Site<'_>) -> Result<Built, String> {
    let [input, matrix] = site.exactly()?;
    product(input, matrix, Turned::No, 1.0, None)
}

/// Builds a `Gemm` of rows with a constant.
pub(super) fn gemm(site: &Site<'_>) -> Result<Built, String> {
    let settings = site.settings;
    let (input, matrix, addend) = match site.inputs {
        [input, matrix] => (input, matrix, None),
        [input, matrix, addend] => (input, matrix, Some(addend)),
        _ => return Err("takes two or three inputs".into()),
    };
    if settings.integer("transA").unwrap_or(0) != 0 {
        return Err("turns rows into columns".into());
    }
    let turned = if settings.integer("transB").unwrap_or(0) == 0 { Turned::No } else { Turned::Yes };
    let (alpha, beta) = (settings.float("alpha").unwrap_or(1.0), settings.float("beta").unwrap_or(1.0));
    product(input, matrix, turned, alpha.into(), addend.map(|addend| (addend, f64::from(beta))))
}

/// Whether the coefficients of an output lie side by side in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turned {
    Yes,
    No,
}

fn product(
    input: &Operand,
    matrix: &Operand,
    turned: Turned,
    scale: f64,
    addend: Option<(&Operand, f64)>,
) -> Result<Built, String> {
    let (from, constant) = (&input.r#type, matrix.constant.as_ref());
    let columns = from.columns()?;
    let constant = constant.ok_or("multiplies rows with something computed")?;
    let (width, outputs, is_flat) = match (constant.shape(), turned) {
        (&[width, outputs], Turned::No) | (&[outputs, width], Turned::Yes) => (width, outputs, false),
        (&[width], _) => (width, 1, true),
        _ => return Err(format!("multiplies with {}", matrix.r#type)),
    };
    if from.dtype != matrix.r#type.dtype || columns.is_some_and(|columns| columns != width) {
        return Err(format!("multiplies {from} with {}", matrix.r#type));
    }
    let dims = if is_flat { vec![Dim::Rows] } else { vec![Dim::Rows, Dim::Size(outputs)] };
    let addend = match addend {
        None => None,
        Some((operand, beta)) => {
            let constant = operand.constant.as_ref().ok_or("adds something computed")?;
            if broadcast(&dims, &operand.r#type.dims)? != dims {
                return Err(format!("adds {}", operand.r#type));
            }
            Some((constant, beta))
        }
    };
    fn made<T: Float>(
        constant: &Tensor,
        [width, outputs]: [usize; 2],
        is_turned: bool,
        scale: f64,
        addend: Option<(&Tensor, f64)>,
        is_flat: bool,
    ) -> Result<Product<T>, ModelError> {
        let given = constant.elements::<T>()?;
        let at = |output: usize, i: usize| match is_turned {
            true => given[output * width + i],
            false => given[i * outputs + output],
        };
        let coefficients = (0..outputs).flat_map(|output| (0..width).map(move |i| (output, i)));
        let coefficients = coefficients.map(|(output, i)| at(output, i)).collect();
        let mut add = vec![0.0; outputs];
        if let Some((tensor, beta)) = addend {
            let given = tensor.elements::<T>()?.iter().cycle();
            add = given.take(outputs).map(|&x| x.into() * beta).collect();
        }
        Ok(Product { matrix: Matrix { coefficients, width, outputs }, scale, add, is_flat })
    }
    let r#type = Type::new(from.dtype, dims);
    let (sizes, turned) = ([width, outputs], turned == Turned::Yes);
    let wrong = |error: ModelError| error.to_string();
    Ok(match from.dtype {
        DType::F32 => {
            Built::new(made::<f32>(constant, sizes, turned, scale, addend, is_flat).map_err(wrong)?, [r#type])
        }
        DType::F64 => {
            Built::new(made::<f64>(constant, sizes, turned, scale, addend, is_flat).map_err(wrong)?, [r#type])
        }
        other => return Err(format!("takes {other}, which is not computed with here")),
    })
}

struct Product<T> {
    matrix: Matrix<T>,
    scale: f64,
    add: Vec<f64>,
    is_flat: bool,
}

impl<T: Float> Kernel for Product<T> {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, width) = super::kernel::rows_columns(inputs[0])?;
        check_columns(width, self.matrix.width)?;
        let mut products = vec![T::narrow(0.0); rows * self.matrix.outputs];
        let x = inputs[0].elements::<T>()?.chunks_exact(width.max(1));
        for (row, products) in x.zip(products.chunks_exact_mut(self.matrix.outputs.max(1))) {
            self.matrix
                .multiply(row, |i, product| products[i] = T::narrow(self.scale * product + self.add[i]));
        }
        let shape = [rows, self.matrix.outputs];
        outputs.push(Tensor::new(if self.is_flat { &shape[..1] } else { &shape }, products)?);
        Ok(())
    }
}

/// The elements of any numbers as 32-bit floats, which the operators of `ai.onnx.ml` compute with.
///
/// # Errors
///
/// `InvalidInput` if they are no numbers.
pub(super) fn as_floats(tensor: &Tensor) -> Result<std::borrow::Cow<'_, [f32]>, ModelError> {
    Ok(match tensor.data() {
        Data::F32(x) => std::borrow::Cow::Borrowed(x),
        Data::F64(x) => x.iter().map(|&x| x as f32).collect(),
        Data::I64(x) => x.iter().map(|&x| x as f32).collect(),
        Data::I32(x) => x.iter().map(|&x| x as f32).collect(),
        _ => return Err(ModelError::invalid_input(format!("is {}, not numbers", tensor.dtype()))),
    })
}

/// Checks that an operator of `ai.onnx.ml` takes this type, and gives the number of columns where it is known.
///
/// # Errors
///
/// A reason, if it is of another type or shape.
pub(super) fn numeric_columns(r#type: &Type) -> Result<Option<usize>, String> {
    match r#type.dtype {
        DType::F32 | DType::F64 | DType::I64 | DType::I32 => r#type.columns(),
        other => Err(format!("takes {other}, which is not computed with here")),
    }
}
