//! Parameters to and from their messages.

use std::collections::BTreeMap;

use super::generated::InferParameter;
use super::generated::infer_parameter::ParameterChoice;
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::parameters::{ParameterValue, Parameters};

impl Parameters {
    /// Reads a message; a parameter without a value counts as left out.
    ///
    /// # Errors
    ///
    /// `LimitExceeded` if there are too many or a name is too long.
    pub(super) fn from_grpc(
        message: BTreeMap<String, InferParameter>,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let exceeded = |message| Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        if message.len() > limits.parameters {
            let (given, most) = (message.len(), limits.parameters);
            return exceeded(format!("`parameters` has {given} members; at most {most} are allowed"));
        }
        let mut parameters = Self::new();
        for (name, value) in message {
            if name.len() > limits.name_bytes {
                let (given, most) = (name.len(), limits.name_bytes);
                return exceeded(format!(
                    "the name of a parameter has {given} bytes; at most {most} are allowed"
                ));
            }
            let value = match value.parameter_choice {
                None => continue,
                Some(ParameterChoice::BoolParam(value)) => ParameterValue::Bool(value),
                Some(ParameterChoice::Int64Param(value)) => ParameterValue::I64(value),
                Some(ParameterChoice::Uint64Param(value)) => {
                    i64::try_from(value).map_or(ParameterValue::U64(value), ParameterValue::I64)
                }
                Some(ParameterChoice::DoubleParam(value)) => ParameterValue::F64(value),
                Some(ParameterChoice::StringParam(value)) => ParameterValue::Text(value),
            };
            parameters.insert(name, value);
        }
        Ok(parameters)
    }

    /// Writes the message.
    pub(super) fn to_grpc(&self) -> BTreeMap<String, InferParameter> {
        let write = |(name, value): (&str, &ParameterValue)| {
            let choice = match value {
                ParameterValue::Bool(value) => ParameterChoice::BoolParam(*value),
                ParameterValue::I64(value) => ParameterChoice::Int64Param(*value),
                ParameterValue::U64(value) => ParameterChoice::Uint64Param(*value),
                ParameterValue::F64(value) => ParameterChoice::DoubleParam(*value),
                ParameterValue::Text(value) => ParameterChoice::StringParam(value.clone()),
            };
            (name.to_owned(), InferParameter { parameter_choice: Some(choice) })
        };
        self.iter().map(write).collect()
    }
}
