//! Whatever is written reads back the same.

use half::{bf16, f16};
use proptest::collection::vec;
use proptest::prelude::*;
use unruffled_model::{Bytes, Element, Tensor, Tensors, for_each_dtype};
use unruffled_protocol::{InferRequest, InferResponse, Limits, Parameters, datatype};

/// A tensor of up to three dimensions, zeros among them.
fn tensor<T: Element>(element: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Tensor> {
    vec(0_usize..4, 0..4).prop_flat_map(move |shape| {
        let count: usize = shape.iter().product();
        vec(element.clone(), count).prop_map(move |elements| Tensor::new(&shape, elements).unwrap())
    })
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let texts = any::<String>().prop_map(|text| Bytes::from(text.into_bytes()));
    prop_oneof![
        tensor(any::<bool>()),
        tensor(any::<u8>()),
        tensor(any::<u16>()),
        tensor(any::<u32>()),
        tensor(any::<u64>()),
        tensor(any::<i8>()),
        tensor(any::<i16>()),
        tensor(any::<i32>()),
        tensor(any::<i64>()),
        tensor(any::<u16>().prop_map(f16::from_bits)),
        tensor(any::<u16>().prop_map(bf16::from_bits)),
        tensor(any::<u32>().prop_map(f32::from_bits)),
        tensor(any::<u64>().prop_map(f64::from_bits)),
        tensor(texts),
    ]
}

/// Equal, with NaN equal to itself and -0 different from 0.
#[track_caller]
fn assert_same(left: &Tensor, right: &Tensor) {
    let text = |tensor: &Tensor| {
        let elements = for_each_dtype!(tensor.data(), elements => {
            elements.iter().map(|element| format!("{element:?}")).collect::<Vec<_>>()
        });
        (tensor.dtype(), tensor.shape().to_vec(), elements)
    };
    assert_eq!(text(left), text(right));
}

/// The `data` of the flat `body`, nested to `shape`.
fn nest(shape: &[usize], elements: &mut impl Iterator<Item = String>) -> String {
    match shape {
        [] => elements.next().unwrap(),
        [size, inner @ ..] => {
            let items: Vec<_> = (0..*size).map(|_| nest(inner, elements)).collect();
            format!("[{}]", items.join(" , "))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_response_reads_back(first in any_tensor(), second in any_tensor(), name: String, id: Option<String>) {
        let outputs = Tensors::new().with(format!("1{name}"), first).with(format!("2{name}"), second);
        let parameters = Parameters::new().with(name.as_str(), name.as_str());
        let body = InferResponse::write_json(&name, id.as_deref(), id.as_deref(), &parameters, outputs.iter()).unwrap();
        let read = InferResponse::from_json(&body, &Limits::default()).unwrap();
        prop_assert_eq!((&read.model_name, &read.id, &read.model_version), (&name, &id, &id));
        prop_assert_eq!(read.parameters, parameters);
        for ((name, tensor), (read_name, read)) in outputs.iter().zip(read.outputs.iter()) {
            prop_assert_eq!(name, read_name);
            assert_same(tensor, read);
        }
    }

    #[test]
    fn nested_is_flat(tensor in any_tensor()) {
        let request = InferRequest { inputs: Tensors::new().with("x", tensor.clone()), ..InferRequest::default() };
        let flat = InferRequest::from_json(&request.to_json().unwrap(), &Limits::default()).unwrap();
        assert_same(flat.inputs.get("x").unwrap(), &tensor);

        let mut elements = for_each_dtype!(tensor.data(), elements => elements.iter().map(json).collect::<Vec<_>>()).into_iter();
        let data = nest(tensor.shape(), &mut elements);
        let body = format!(
            r#"{{"inputs":[{{"name":"x","shape":{:?},"datatype":"{}","data":{data}}}]}}"#,
            tensor.shape(), datatype::name(tensor.dtype())
        );
        let nested = InferRequest::from_json(body.as_bytes(), &Limits::default()).unwrap();
        assert_same(nested.inputs.get("x").unwrap(), &tensor);
    }

    #[test]
    fn anything_is_read_or_refused(body: Vec<u8>, text: String) {
        for body in [body.as_slice(), text.as_bytes()] {
            let _ = InferRequest::from_json(body, &Limits::default());
            let _ = InferResponse::from_json(body, &Limits::default());
        }
    }
}

/// One element as JSON, by other means than the crate's own.
fn json<T: Element>(element: &T) -> String {
    let tensor = Tensor::scalar(element.clone());
    let float = tensor
        .elements::<f16>()
        .map(|x| f32::from(x[0]))
        .or_else(|_| tensor.elements::<bf16>().map(|x| f32::from(x[0])))
        .or_else(|_| tensor.elements::<f32>().map(|x| x[0]))
        .map(|x| format!("{x:?}"))
        .or_else(|_| tensor.elements::<f64>().map(|x| format!("{:?}", x[0])));
    if let Ok(text) = float {
        return text.replace("inf", "Infinity");
    }
    match tensor.elements::<Bytes>() {
        Ok(texts) => serde_json::to_string(std::str::from_utf8(&texts[0]).unwrap()).unwrap(),
        Err(_) => format!("{element:?}"),
    }
}
