//! Sequences and maps, as scikit-learn's converters make them, in tensors.

use std::hash::Hash;

use ort::value::{
    DynValue, DynValueTypeMarker, IntoTensorElementType, PrimitiveTensorElementType, TensorElementType,
    ValueType,
};
use unruffled_model::{Bytes, DType, Dim, Element, ModelError, Name, Tensor, TensorSpec};

use super::convert::{dtype, from_ort, lost};

/// How an output becomes tensors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// As it is.
    Tensor,
    /// Tensors of one shape, stacked on a new first dimension.
    Stack,
    /// A map: its values, and its keys under [`keys_name`].
    Map(Entry),
    /// A map for each row, all with the same keys: as a map, with a row for each.
    Maps(Entry),
}

/// The types of a map's keys and values, and how they are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    key: DType,
    value: DType,
    read: fn(&[DynValue]) -> Result<Table, ModelError>,
}

/// Maps as tensors, with a row for each.
struct Table {
    keys: Tensor,
    values: Tensor,
}

/// What the keys of the map `name` are called.
fn keys_name(name: &str) -> Name {
    format!("{name}.keys").into()
}

impl Form {
    /// How to treat the output `name` of this type, and the tensors that it becomes; `None` if there is no way.
    pub(super) fn of(name: &str, ty: &ValueType) -> Option<(Self, Vec<TensorSpec>)> {
        let entry =
            |key: &TensorElementType, value: &TensorElementType| Entry::of(dtype(*key)?, dtype(*value)?);
        Some(match ty {
            ValueType::Tensor { .. } => (Form::Tensor, vec![tensor(name, ty)?]),
            ValueType::Map { key, value } => {
                let entry = entry(key, value)?;
                (Form::Map(entry), entry.specs(name, &[Dim::Any]))
            }
            ValueType::Sequence(inner) => match &**inner {
                ValueType::Tensor { .. } => {
                    let part = tensor(name, inner)?;
                    let dims = part.dims.map(|dims| [vec![Dim::Any], dims].concat());
                    (Form::Stack, vec![TensorSpec { dims, ..part }])
                }
                ValueType::Map { key, value } => {
                    let entry = entry(key, value)?;
                    (Form::Maps(entry), entry.specs(name, &[Dim::Any, Dim::Any]))
                }
                _ => return None,
            },
            ValueType::Optional(_) => return None,
        })
    }

    /// Turns an output into tensors.
    ///
    /// # Errors
    ///
    /// `Failed` if it is not of this form, or if its parts do not fit together.
    pub(super) fn tensors(self, name: &Name, value: DynValue) -> Result<Vec<(Name, Tensor)>, ModelError> {
        let tensors = match self {
            Form::Tensor => vec![(name.clone(), from_ort(value)?)],
            Form::Stack => vec![(name.clone(), stack(parts(&value)?)?)],
            Form::Map(entry) => {
                let table = (entry.read)(&[value])?;
                vec![(name.clone(), flat(&table.values)?), (keys_name(name), flat(&table.keys)?)]
            }
            Form::Maps(entry) => {
                let table = (entry.read)(&parts(&value)?)?;
                vec![(name.clone(), table.values), (keys_name(name), table.keys)]
            }
        };
        Ok(tensors)
    }
}

/// A tensor that ONNX Runtime has found out about.
fn tensor(name: &str, ty: &ValueType) -> Option<TensorSpec> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = ty else { return None };
    let dims = shape.iter().enumerate().map(|(i, &size)| match usize::try_from(size) {
        Ok(size) => Dim::Fixed(size),
        Err(_) => match dimension_symbols.get(i).map(String::as_str) {
            None | Some("") => Dim::Any,
            Some(symbol) => Dim::Symbolic(symbol.into()),
        },
    });
    let dims: Vec<Dim> = dims.collect();
    // It tells a scalar and a tensor of unknown shape by the same shape.
    let dims = Some(dims).filter(|dims| !dims.is_empty());
    Some(TensorSpec { name: name.into(), dtype: dtype(*ty)?, dims, default: None })
}

fn parts(value: &DynValue) -> Result<Vec<DynValue>, ModelError> {
    value.try_extract_sequence::<DynValueTypeMarker>().map_err(lost)
}

/// The only row.
fn flat(tensor: &Tensor) -> Result<Tensor, ModelError> {
    tensor.reshaped(&tensor.shape()[1..])
}

fn stack(parts: Vec<DynValue>) -> Result<Tensor, ModelError> {
    let rows = parts.into_iter().map(|part| {
        let part = from_ort(part)?;
        part.reshaped(&[&[1], part.shape()].concat())
    });
    let rows = rows.collect::<Result<Vec<Tensor>, ModelError>>()?;
    Tensor::concat(rows.iter()).map_err(|error| {
        ModelError::failed(format!("a sequence becomes one tensor only if all of it has one shape: {error}"))
    })
}

impl Entry {
    fn of(key: DType, value: DType) -> Option<Self> {
        let read = match (key, value) {
            (DType::I64, DType::F32) => integers::<f32>,
            (DType::I64, DType::F64) => integers::<f64>,
            (DType::I64, DType::I64) => integers::<i64>,
            (DType::Bytes, DType::F32) => texts::<f32>,
            (DType::Bytes, DType::F64) => texts::<f64>,
            (DType::Bytes, DType::I64) => texts::<i64>,
            _ => return None,
        };
        Some(Self { key, value, read })
    }

    fn specs(self, name: &str, dims: &[Dim]) -> Vec<TensorSpec> {
        vec![TensorSpec::new(name, self.value, dims), TensorSpec::new(keys_name(name), self.key, dims)]
    }
}

fn integers<V: Element + PrimitiveTensorElementType>(maps: &[DynValue]) -> Result<Table, ModelError> {
    table::<i64, V, _>(maps, |key| key)
}

fn texts<V: Element + PrimitiveTensorElementType>(maps: &[DynValue]) -> Result<Table, ModelError> {
    table::<String, V, _>(maps, Bytes::from)
}

/// Lays maps out as rows, columns in the order of their keys.
fn table<K, V, E>(maps: &[DynValue], element: impl Fn(K) -> E) -> Result<Table, ModelError>
where
    K: IntoTensorElementType + Clone + Hash + Ord,
    V: Element + PrimitiveTensorElementType,
    E: Element,
{
    let (mut all_keys, mut all_values) = (Vec::new(), Vec::new());
    let mut columns = 0;
    for (row, map) in maps.iter().enumerate() {
        let mut entries = map.try_extract_key_values::<K, V>().map_err(lost)?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let start = all_keys.len();
        for (key, value) in entries {
            all_keys.push(key);
            all_values.push(value);
        }
        if row == 0 {
            columns = all_keys.len();
        }
        if all_keys[start..] != all_keys[..columns] {
            return Err(ModelError::failed(format!(
                "the maps of rows 0 and {row} have other keys, so they make no table"
            )));
        }
    }
    let shape = [maps.len(), columns];
    let keys: Vec<E> = all_keys.into_iter().map(element).collect();
    Ok(Table { keys: Tensor::new(&shape, keys)?, values: Tensor::new(&shape, all_values)? })
}
