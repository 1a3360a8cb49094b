//! What goes in as what, and what comes out of it.

use std::fmt;

use ndarray::{Array1, Array2, ArrayD, array};

use super::{FromTensors, IntoTensors, field_from, field_into};
use crate::dtype::DType;
use crate::error::{ModelError, ModelErrorKind};
use crate::signature::{Dim, Signature, TensorSpec};
use crate::tensor::Tensor;
use crate::tensors::Tensors;

fn spec(name: &str, dtype: DType) -> TensorSpec {
    TensorSpec::new(name, dtype, [Dim::Symbolic("batch".into()), Dim::Fixed(2)])
}

fn signature(inputs: impl IntoIterator<Item = TensorSpec>) -> Signature {
    Signature { inputs: inputs.into_iter().collect(), outputs: Vec::new() }
}

#[track_caller]
fn check_in(input: impl IntoTensors, dtype: DType, expected: Result<&[usize], &str>) {
    let signature = signature([spec("x", dtype)]);
    let outcome =
        input.into_tensors(&signature).and_then(|tensors| signature.check(&tensors).map(|()| tensors));
    let shape = outcome.map(|tensors| tensors.get("x").unwrap().shape().to_vec());
    let shape = shape.map_err(|error| (error.kind(), error.to_string()));
    let expected = expected.map(<[usize]>::to_vec);
    assert_eq!(shape, expected.map_err(|text| (ModelErrorKind::InvalidInput, text.to_owned())));
}

#[test]
fn inputs_take_the_shape_that_is_asked_for() {
    check_in(vec![1.0_f32, 2.0], DType::F32, Ok(&[1, 2]));
    check_in([1.0_f32; 6], DType::F32, Ok(&[3, 2]));
    check_in(&[1_i64, 2][..], DType::I64, Ok(&[1, 2]));
    check_in(array![[1_u8, 2], [3, 4]], DType::U8, Ok(&[2, 2]));
    check_in(vec!["a".to_owned(), "b".to_owned()], DType::Bytes, Ok(&[1, 2]));
    check_in(Tensor::filled(&[5, 2], true).unwrap(), DType::Bool, Ok(&[5, 2]));
    check_in(Tensors::new().with("x", Tensor::filled(&[1, 2], 0.0).unwrap()), DType::F64, Ok(&[1, 2]));
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let odd = "`x`: 3 numbers do not fill x: f32 [batch, 2]; give 2, or a multiple of it for several rows";
    check_in(vec![1.0_f32; 3], DType::F32, Err(odd));
    check_in(vec![1.0_f64; 2], DType::F32, Err("`x`: expected elements of type f32, got f64"));
    check_in(array![1.0_f32, 2.0], DType::F32, Err("`x`: expected shape [batch, 2], got [2]"));
}

#[test]
fn the_only_input_that_is_required_is_meant() {
    let mut second = spec("second", DType::F32);
    let both = signature([spec("first", DType::F32), second.clone()]);
    let error = vec![1.0_f32, 2.0].into_tensors(&both).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model takes several inputs: first: f32 [batch, 2], second: f32 [batch, 2]; give `Tensors`, or a type with a \
         field for each"
    );
    second.default = Some(Tensor::scalar(0_f32));
    let one = signature([spec("first", DType::F32), second]);
    assert!(vec![1.0_f32, 2.0].into_tensors(&one).unwrap().get("first").is_some());
    assert!(1_u8.into_tensors(&signature([])).is_err());
}

#[test]
fn one_element_is_a_scalar_where_that_is_asked_for() {
    let signature = signature([TensorSpec::new("x", DType::I64, [])]);
    assert_eq!(3_i64.into_tensors(&signature).unwrap().get("x"), Some(&Tensor::scalar(3_i64)));
    assert!(vec![1_i64, 2].into_tensors(&signature).is_err());
}

#[track_caller]
fn check_out<T: FromTensors + PartialEq + fmt::Debug>(tensor: Tensor, expected: Result<T, &str>) {
    let outcome = T::from_tensors(Tensors::new().with("y", tensor));
    let told = outcome.map_err(|error| (error.kind(), error.to_string()));
    assert_eq!(told, expected.map_err(|text| (ModelErrorKind::Failed, text.to_owned())));
}

#[test]
fn outputs_are_read_as_asked_for() {
    let tensor = Tensor::new(&[2, 2], vec![1.0_f32, 2.0, 3.0, 4.0]).unwrap();
    check_out(tensor.clone(), Ok(vec![1.0_f32, 2.0, 3.0, 4.0]));
    check_out::<Array2<f32>>(tensor.clone(), Ok(array![[1.0, 2.0], [3.0, 4.0]]));
    check_out::<ArrayD<f32>>(tensor.clone(), Ok(array![[1.0, 2.0], [3.0, 4.0]].into_dyn()));
    check_out(tensor.clone(), Ok(tensor.clone()));
    check_out(Tensor::filled(&[1, 1], 7_i64).unwrap(), Ok(7_i64));
    check_out(Tensor::scalar(bytes::Bytes::from("text")), Ok("text".to_owned()));
    check_out::<Vec<f64>>(tensor.clone(), Err("`y`: cannot be read as asked for: is f32, not f64"));
    check_out::<f32>(
        tensor.clone(),
        Err("`y`: cannot be read as asked for: has the shape [2, 2], not one element"),
    );
    check_out::<Array1<f32>>(
        tensor,
        Err("`y`: cannot be read as asked for: has the shape [2, 2], not 1 dimensions"),
    );
    let error = String::from_tensors(Tensors::new().with("y", Tensor::scalar(bytes::Bytes::from(vec![255]))));
    assert!(error.unwrap_err().to_string().starts_with("`y`: cannot be read as asked for: is not text"));
}

#[test]
fn one_output_is_read_where_one_is_given() {
    let two = Tensors::new().with("a", Tensor::scalar(1_u8)).with("b", Tensor::scalar(2_u8));
    let error = u8::from_tensors(two).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gave several outputs, `a` and `b` among them; read them as `Tensors`, or as a type with a field for each"
    );
    assert!(u8::from_tensors(Tensors::new()).is_err());
}

#[test]
fn fields_are_inputs_and_outputs_by_name() -> Result<(), ModelError> {
    let signature = signature([spec("x", DType::F32)]);
    let mut tensors = Tensors::new();
    field_into(&mut tensors, &signature, "x", vec![1.0_f32, 2.0])?;
    let error = field_into(&mut tensors, &signature, "y", 1_u8).unwrap_err();
    assert_eq!(error.to_string(), "`y`: no such input; the model takes x: f32 [batch, 2]");
    assert_eq!(field_from::<Vec<f32>>(&mut tensors.clone(), "x")?, [1.0, 2.0]);
    let error = field_from::<f32>(&mut tensors, "z").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ModelErrorKind::Failed, "`z`: was not given by the model; there is `x`")
    );
    Ok(())
}
