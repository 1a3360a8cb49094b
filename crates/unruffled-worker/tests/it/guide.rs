//! The examples of the guide are models that load.

use crate::python::{options, try_load};

const PAGE: &str = include_str!("../../../../docs/guide/python.md");

#[test]
fn the_examples_of_the_guide_load() {
    let examples: Vec<&str> =
        PAGE.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 5, "the page has its examples");
    for example in examples {
        let loaded = try_load(example, options());
        let signature =
            &loaded.unwrap_or_else(|error| panic!("{error}\n{example}")).model.info().signature.clone();
        assert!(!signature.inputs.is_empty() && !signature.outputs.is_empty());
    }
}
