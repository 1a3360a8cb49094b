//! Tensors to rten and back. rten computes with `f32`, `i32`, `i8` and `u8` only.

use std::fmt::Display;

use half::{bf16, f16};
use rten::{Value, ValueOrView, ValueView};
use unruffled_model::{Buffer, DType, Data, Element, ModelError, Tensor};

/// An input as rten takes it: lent where rten has the type, narrowed where it has only a smaller one.
///
/// # Errors
///
/// `InvalidInput` if an element does not survive the narrowing, `Unsupported` for byte strings.
pub(super) fn to_rten(tensor: &Tensor) -> Result<ValueOrView<'_>, ModelError> {
    let shape = tensor.shape();
    const FITS: &str = "a tensor holds as many elements as its shape says";
    let lent = match tensor.data() {
        Data::F32(buffer) => ValueView::from_shape(shape, buffer).expect(FITS),
        Data::I32(buffer) => ValueView::from_shape(shape, buffer).expect(FITS),
        Data::I8(buffer) => ValueView::from_shape(shape, buffer).expect(FITS),
        Data::U8(buffer) => ValueView::from_shape(shape, buffer).expect(FITS),
        _ => return Ok(ValueOrView::Value(converted(tensor)?)),
    };
    Ok(ValueOrView::View(lent))
}

fn converted(tensor: &Tensor) -> Result<Value, ModelError> {
    match tensor.data() {
        Data::Bool(buffer) => integers(tensor, buffer),
        Data::U16(buffer) => integers(tensor, buffer),
        Data::U32(buffer) => integers(tensor, buffer),
        Data::U64(buffer) => integers(tensor, buffer),
        Data::I16(buffer) => integers(tensor, buffer),
        Data::I64(buffer) => integers(tensor, buffer),
        Data::F16(buffer) => Ok(value(tensor, buffer.iter().map(|x| x.to_f32()).collect())),
        Data::BF16(buffer) => Ok(value(tensor, buffer.iter().map(|x| x.to_f32()).collect())),
        Data::F64(buffer) => {
            let narrow = |x: f64| Some(x as f32).filter(|narrowed| narrowed.is_finite() || !x.is_finite());
            narrowed(tensor, buffer, narrow, "32-bit floats", f32::MIN, f32::MAX)
        }
        Data::Bytes(_) => Err(ModelError::unsupported("rten has no strings")),
        Data::F32(_) | Data::I32(_) | Data::I8(_) | Data::U8(_) => unreachable!("these are lent"),
    }
}

fn integers<T: Copy + Display + TryInto<i32>>(tensor: &Tensor, elements: &[T]) -> Result<Value, ModelError> {
    let narrow = |x: T| x.try_into().ok();
    narrowed(tensor, elements, narrow, "32-bit integers", i32::MIN, i32::MAX)
}

/// Narrows every element, or says which one does not fit.
fn narrowed<T: Copy + Display, N: Display>(
    tensor: &Tensor,
    elements: &[T],
    narrow: impl Fn(T) -> Option<N>,
    kind: &str,
    min: N,
    max: N,
) -> Result<Value, ModelError>
where
    Value: From<rten_tensor::Tensor<N>>,
{
    let mut all = Vec::with_capacity(elements.len());
    for (i, &element) in elements.iter().enumerate() {
        let Some(narrowed) = narrow(element) else {
            let at = index(tensor.shape(), i);
            return Err(ModelError::invalid_input(format!(
                "element {at:?} is {element}, but rten computes with {kind}: give values from {min} to {max}"
            )));
        };
        all.push(narrowed);
    }
    Ok(value(tensor, all))
}

fn value<T>(tensor: &Tensor, elements: Vec<T>) -> Value
where
    Value: From<rten_tensor::Tensor<T>>,
{
    Value::from_shape(tensor.shape(), elements).expect("as many elements as the tensor had")
}

/// The place of the `flat`th element.
fn index(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &size) in index.iter_mut().zip(shape).rev() {
        (*place, flat) = (flat % size, flat / size);
    }
    index
}

/// An output of rten as the file declares it: moved where the types agree, widened where rten had narrowed.
///
/// # Errors
///
/// `Failed` if rten gives something that the declared type does not hold.
pub(super) fn from_rten(value: Value, declared: DType) -> Result<Tensor, ModelError> {
    match (value, declared) {
        (Value::FloatTensor(tensor), DType::F32) => moved(tensor),
        (Value::FloatTensor(tensor), DType::F64) => mapped(tensor, |x| Some(f64::from(x))),
        (Value::FloatTensor(tensor), DType::F16) => mapped(tensor, |x| Some(f16::from_f32(x))),
        (Value::FloatTensor(tensor), DType::BF16) => mapped(tensor, |x| Some(bf16::from_f32(x))),
        (Value::Int32Tensor(tensor), DType::I32) => moved(tensor),
        (Value::Int32Tensor(tensor), DType::I64) => mapped(tensor, |x| Some(i64::from(x))),
        (Value::Int32Tensor(tensor), DType::Bool) => mapped(tensor, |x| Some(x != 0)),
        (Value::Int32Tensor(tensor), DType::I8) => mapped(tensor, |x| i8::try_from(x).ok()),
        (Value::Int32Tensor(tensor), DType::I16) => mapped(tensor, |x| i16::try_from(x).ok()),
        (Value::Int32Tensor(tensor), DType::U8) => mapped(tensor, |x| u8::try_from(x).ok()),
        (Value::Int32Tensor(tensor), DType::U16) => mapped(tensor, |x| u16::try_from(x).ok()),
        (Value::Int32Tensor(tensor), DType::U32) => mapped(tensor, |x| u32::try_from(x).ok()),
        (Value::Int32Tensor(tensor), DType::U64) => mapped(tensor, |x| u64::try_from(x).ok()),
        (Value::Int8Tensor(tensor), DType::I8) => moved(tensor),
        (Value::UInt8Tensor(tensor), DType::U8) => moved(tensor),
        (value, declared) => {
            let given = value.dtype();
            Err(ModelError::failed(format!("rten gave {given} where the file declares {declared}")))
        }
    }
}

/// Takes over the elements; copies them only if they do not lie in row-major order.
fn moved<T: Element>(tensor: rten_tensor::Tensor<T>) -> Result<Tensor, ModelError> {
    let shape = rten_tensor::Layout::shape(&tensor).to_vec();
    Tensor::new(&shape, Buffer::new(tensor.into_data()))
}

fn mapped<T: Copy + Display, U: Element>(
    tensor: rten_tensor::Tensor<T>,
    map: impl Fn(T) -> Option<U>,
) -> Result<Tensor, ModelError> {
    let shape = rten_tensor::Layout::shape(&tensor).to_vec();
    let elements = tensor.into_data().into_iter().map(|element| {
        map(element).ok_or_else(|| {
            let declared = U::DTYPE;
            ModelError::failed(format!("rten gave {element} where the file declares {declared}"))
        })
    });
    Tensor::new(&shape, elements.collect::<Result<Vec<U>, _>>()?)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use rten::{Value, ValueOrView, ValueView};
    use rten_tensor::AsView;
    use unruffled_model::{Bytes, DType, Element, Tensor};

    use super::{from_rten, to_rten};

    /// The elements come back as they went, through whatever type rten has for them.
    #[track_caller]
    fn check_round_trip<T: Element>(elements: &[T]) {
        let tensor = Tensor::new(&[elements.len(), 1], elements.to_vec()).unwrap();
        let value = match to_rten(&tensor).unwrap() {
            ValueOrView::View(view) => view.to_owned(),
            ValueOrView::Value(value) => value,
        };
        assert_eq!(from_rten(value, T::DTYPE).unwrap(), tensor);
    }

    #[test]
    fn every_type_comes_back() {
        check_round_trip(&[1.5_f32, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE / 2.0]);
        check_round_trip(&[1.5_f64, f64::INFINITY]);
        check_round_trip(&[f16::MAX, f16::from_f32(-0.1)]);
        check_round_trip(&[bf16::from_f32(3.0), bf16::MIN]);
        check_round_trip(&[true, false]);
        check_round_trip(&[i8::MIN, i8::MAX]);
        check_round_trip(&[u8::MIN, u8::MAX]);
        check_round_trip(&[i16::MIN, i16::MAX]);
        check_round_trip(&[u16::MIN, u16::MAX]);
        check_round_trip(&[i32::MIN, i32::MAX]);
        check_round_trip(&[0_u32, i32::MAX as u32]);
        check_round_trip(&[i64::from(i32::MIN), i64::from(i32::MAX)]);
        check_round_trip(&[0_u64, i32::MAX as u64]);
        check_round_trip::<i64>(&[]);
    }

    #[track_caller]
    fn check_refused(tensor: &Tensor, message: &str) {
        let refused = to_rten(tensor).map(|_| ()).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let wide = |elements: Vec<i64>| Tensor::new(&[2, 3], elements).unwrap();
        check_refused(
            &wide(vec![0, 1, 2, 3, 4, 2_147_483_648]),
            "element [1, 2] is 2147483648, but rten computes with 32-bit integers: give values from -2147483648 to 2147483647",
        );
        check_refused(
            &wide(vec![-2_147_483_649, 1, 2, 3, 4, 5]),
            "element [0, 0] is -2147483649, but rten computes with 32-bit integers: give values from -2147483648 to 2147483647",
        );
        check_refused(
            &Tensor::scalar(u32::MAX),
            "element [] is 4294967295, but rten computes with 32-bit integers: give values from -2147483648 to 2147483647",
        );
        let message = to_rten(&Tensor::scalar(1e300_f64)).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("32-bit floats"), "{message}");
        check_refused(&Tensor::scalar(Bytes::from_static(b"a")), "rten has no strings");
    }

    #[test]
    fn what_rten_has_is_lent() {
        let tensor = Tensor::new(&[2, 2], vec![1.0_f32, 2.0, 3.0, 4.0]).unwrap();
        let Ok(ValueOrView::View(ValueView::FloatTensor(view))) = to_rten(&tensor) else {
            panic!("not lent");
        };
        let elements = tensor.elements::<f32>().unwrap();
        assert!(std::ptr::eq(view.data().unwrap(), elements), "an input must not be copied");
    }

    #[test]
    fn contiguous_outputs_are_moved_and_others_put_in_order() {
        let elements = vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let address = elements.as_ptr();
        let whole = rten_tensor::Tensor::from_data(&[2, 3], elements);
        let tensor = from_rten(Value::from(whole.clone()), DType::F32).unwrap();
        assert_eq!(tensor.elements::<f32>().unwrap(), [1., 2., 3., 4., 5., 6.]);
        let moved = from_rten(Value::from(whole), DType::F32).unwrap();
        assert!(
            std::ptr::eq(moved.elements::<f32>().unwrap().as_ptr(), address),
            "an output must not be copied"
        );
        let mut turned = rten_tensor::Tensor::from_data(&[2, 3], vec![1_i32, 2, 3, 4, 5, 6]);
        turned.permute(&[1, 0]);
        let tensor = from_rten(Value::from(turned), DType::I64).unwrap();
        assert_eq!(tensor.shape(), [3, 2]);
        assert_eq!(tensor.elements::<i64>().unwrap(), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn an_output_of_another_type_is_an_error() {
        let negative = Value::from_shape([1], vec![-1_i32]).unwrap();
        let error = from_rten(negative.clone(), DType::U32).unwrap_err();
        assert_eq!(error.to_string(), "rten gave -1 where the file declares u32");
        let error = from_rten(negative, DType::F32).unwrap_err();
        assert_eq!(error.to_string(), "rten gave tensor(i32) where the file declares f32");
    }
}
