//! Which outputs a request asks for, and picking them.

use std::num::NonZeroUsize;

use unruffled_model::{Name, Signature, Tensors};

use crate::brief::Brief;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::parameters::Parameters;
use crate::place::Form;

/// The most names that a message lists.
const LISTED: usize = 16;

/// One output that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedOutput {
    /// Which output.
    pub name: Name,
    /// How to send it.
    pub parameters: Parameters,
}

impl RequestedOutput {
    /// How many classes are wanted instead of the output itself, if any are: the parameter `classification`.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is no integer, or negative.
    pub fn classes(&self) -> Result<Option<NonZeroUsize>, ProtocolError> {
        let place = |error: ProtocolError| error.at(Place::output(&self.name));
        let classes = self.parameters.u64("classification").map_err(place)?;
        // More than there can be is as many as there are.
        Ok(classes.and_then(|classes| NonZeroUsize::new(usize::try_from(classes).unwrap_or(usize::MAX))))
    }
}

/// The parameter of a request that asks for all outputs in binary.
pub(crate) const ALL_BINARY: &str = "binary_data_output";

/// In which form outputs are to be sent, by the parameters of the request and those of the outputs that it asks for: all `count`
/// of them, if it asks for none in particular.
///
/// # Errors
///
/// `InvalidParameter` if what is asked for makes no sense.
pub fn forms(
    parameters: &Parameters,
    requested: &[RequestedOutput],
    count: usize,
) -> Result<Vec<Form>, ProtocolError> {
    let binary = parameters.bool(ALL_BINARY)?.unwrap_or(false);
    if requested.is_empty() {
        return Ok(vec![if binary { Form::Binary } else { Form::Json }; count]);
    }
    let form = |output: &RequestedOutput| {
        Form::of(&output.parameters, binary).map_err(|error| error.at(Place::output(&output.name)))
    };
    requested.iter().map(form).collect()
}

/// Checks before the run that the model has every output that is asked for, each once.
///
/// # Errors
///
/// `InvalidOutput` that names the first one that is unknown, and the known ones, or the first that occurs twice.
pub fn check(requested: &[RequestedOutput], signature: &Signature) -> Result<(), ProtocolError> {
    for (index, output) in requested.iter().enumerate() {
        let message = if !signature.outputs.iter().any(|spec| spec.name == output.name) {
            format!("the model has no such output; it gives {}", known(signature))
        } else if requested[..index].iter().any(|earlier| earlier.name == output.name) {
            "is asked for twice".to_owned()
        } else {
            continue;
        };
        let place = Place::output(&output.name);
        return Err(ProtocolError::new(ProtocolErrorKind::InvalidOutput, message).at(place));
    }
    Ok(())
}

/// Picks the outputs that are asked for, in the order asked; all of them, in the model's order, if none is named.
///
/// # Errors
///
/// As [`check`], and `MissingOutput` if the model did not give what its signature promises.
pub fn select(
    mut outputs: Tensors,
    requested: &[RequestedOutput],
    signature: &Signature,
) -> Result<Tensors, ProtocolError> {
    check(requested, signature)?;
    let mut selected = Tensors::new();
    let mut pick = |name: &Name| match outputs.remove(name) {
        Some(tensor) => {
            selected.insert(Name::clone(name), tensor);
            Ok(())
        }
        None => {
            let message = "the model did not give this output of its signature";
            Err(ProtocolError::new(ProtocolErrorKind::MissingOutput, message).at(Place::output(name)))
        }
    };
    if requested.is_empty() {
        signature.outputs.iter().try_for_each(|spec| pick(&spec.name))?;
    } else {
        requested.iter().try_for_each(|output| pick(&output.name))?;
    }
    Ok(selected)
}

fn known(signature: &Signature) -> String {
    let names = signature.outputs.iter().take(LISTED).map(|spec| format!("`{}`", Brief(&spec.name)));
    let names: Vec<_> = names.collect();
    match signature.outputs.len() {
        0 => "none".to_owned(),
        count if count > LISTED => format!("{} and {} more", names.join(", "), count - LISTED),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{DType, Name, Signature, Tensor, TensorSpec, Tensors};

    use super::{RequestedOutput, select};
    use crate::parameters::Parameters;

    fn signature(names: &[&str]) -> Signature {
        let outputs = names.iter().map(|name| TensorSpec::new(*name, DType::U8, [])).collect();
        Signature { inputs: vec![], outputs }
    }

    #[track_caller]
    fn check(given: &[&str], requested: &[&str], expected: Result<&[&str], &str>) {
        let outputs: Tensors = given.iter().map(|name| (*name, Tensor::scalar(1_u8))).collect();
        let requested: Vec<_> = requested
            .iter()
            .map(|name| RequestedOutput { name: Name::from(*name), parameters: Parameters::new() })
            .collect();
        let selected = select(outputs, &requested, &signature(&["a", "b", "c"]))
            .map(|outputs| outputs.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>())
            .map_err(|error| error.to_string());
        let expected = expected
            .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(selected, expected);
    }

    #[test]
    fn picks_in_the_order_asked_or_the_models() {
        check(&["c", "a", "b"], &[], Ok(&["a", "b", "c"]));
        check(&["c", "a", "b"], &["c", "b"], Ok(&["c", "b"]));
        check(&["c", "a"], &["a"], Ok(&["a"]));
    }

    #[test]
    fn names_what_is_not_there() {
        let unknown = "output `d`: the model has no such output; it gives `a`, `b`, `c`";
        check(&["a", "b", "c"], &["a", "d"], Err(unknown));
        check(&["a", "b", "c"], &["a", "b", "a"], Err("output `a`: is asked for twice"));
        let missing = "output `b`: the model did not give this output of its signature";
        check(&["a", "c"], &["b"], Err(missing));
        check(&["a", "c"], &[], Err(missing));
    }

    #[test]
    fn lists_only_some_of_many() {
        let names: Vec<_> = (0..20).map(|i| format!("{i:02}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert!(super::known(&signature(&names)).ends_with("`14`, `15` and 4 more"));
        assert_eq!(super::known(&signature(&[])), "none");
    }
}
