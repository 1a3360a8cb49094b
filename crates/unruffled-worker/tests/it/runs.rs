//! What models take and give.

use unruffled_model::{Tensor, Tensors};

use crate::python::{load, run};

const ADD: &str = r#"
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["f32", "n"], y: Tensor["f32", "n"]) -> Tensor["f32", "n"]:
        return x + y
"#;

#[test]
fn one_request_at_a_time() {
    let python = load(ADD);
    let x = Tensor::new(&[2], vec![1_f32, 2.0]).unwrap();
    let inputs = Tensors::new().with("x", x.clone()).with("y", x);
    python.serve(|instance| {
        for _ in 0..3 {
            let answer = run(instance, inputs.clone()).unwrap();
            assert_eq!(answer.get("output").unwrap().elements::<f32>().unwrap(), [2.0, 4.0]);
        }
    });
}
