//! Operators that turn categories into numbers and back: `OneHotEncoder` and `LabelEncoder`.

use std::collections::HashMap;
use std::hash::Hash;

use unruffled_model::{Bytes, DType, Data, Element, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site};
use super::settings::Settings;
use super::shape::{Dim, Type};

/// Builds a `OneHotEncoder`.
pub(super) fn one_hot(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    let zeros = settings.integer("zeros").unwrap_or(1) != 0;
    let whole = settings.integers("cats_int64s");
    let strings = settings.strings("cats_strings");
    let categories = match (input.r#type.dtype, whole, strings) {
        (DType::Bytes, [], strings) if !strings.is_empty() => {
            Categories::Strings(numbered(strings.iter().cloned()))
        }
        (DType::I64 | DType::I32 | DType::F32 | DType::F64, whole, []) if !whole.is_empty() => {
            Categories::Integers(numbered(whole.iter().copied()))
        }
        (other, ..) => return Err(format!("has no categories for {other}")),
    };
    let width = whole.len().max(strings.len());
    let mut dims = input.r#type.dims.clone();
    dims.push(Dim::Size(width));
    Ok(Built::new(OneHot { categories, width, zeros }, [Type::new(DType::F32, dims)]))
}

/// The place of each; of those that are there twice, the last.
fn numbered<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    keys.enumerate().map(|(i, key)| (key, i)).collect()
}

enum Categories {
    Integers(HashMap<i64, usize>),
    Strings(HashMap<Bytes, usize>),
}

struct OneHot {
    categories: Categories,
    width: usize,
    /// Whether a category that is not known is all zeros; an error if not.
    zeros: bool,
}

impl OneHot {
    fn encode<T: std::fmt::Debug>(
        &self,
        values: &[T],
        place: impl Fn(&T) -> Option<usize>,
    ) -> Result<Vec<f32>, ModelError> {
        let mut encoded = vec![0.0; values.len() * self.width];
        for (value, row) in values.iter().zip(encoded.chunks_exact_mut(self.width)) {
            match place(value) {
                Some(place) => row[place] = 1.0,
                None if self.zeros => {}
                None => {
                    let message = format!("the category {value:?} is not known to the model");
                    return Err(ModelError::invalid_input(message));
                }
            }
        }
        Ok(encoded)
    }
}

impl Kernel for OneHot {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        // Floats are cut off, as whole numbers of them.
        let encoded = match (&self.categories, inputs[0].data()) {
            (Categories::Strings(places), Data::Bytes(x)) => self.encode(x, |x| places.get(x).copied()),
            (Categories::Integers(places), Data::I64(x)) => self.encode(x, |x| places.get(x).copied()),
            (Categories::Integers(places), Data::I32(x)) => {
                self.encode(x, |&x| places.get(&x.into()).copied())
            }
            (Categories::Integers(places), Data::F32(x)) => {
                self.encode(x, |&x| places.get(&(x as i64)).copied())
            }
            (Categories::Integers(places), Data::F64(x)) => {
                self.encode(x, |&x| places.get(&(x as i64)).copied())
            }
            _ => Err(ModelError::failed("types were checked when the plan was made")),
        };
        let shape = [inputs[0].shape(), &[self.width]].concat();
        outputs.push(Tensor::new(&shape, encoded?)?);
        Ok(())
    }
}

/// Builds a `LabelEncoder`.
pub(super) fn label(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let settings = site.settings;
    if site.version < 2 {
        return classes(input.r#type.clone(), settings);
    }
    let keys = table(settings, ["keys_int64s", "keys_floats", "keys_strings", "keys_tensor"])?;
    let values = table(settings, ["values_int64s", "values_floats", "values_strings", "values_tensor"])?;
    // A default of another type than the values is of no use, and common.
    let tensor = settings.tensor("default_tensor")?;
    let whole = settings.integer("default_int64").unwrap_or(-1);
    let float = settings.float("default_float").unwrap_or(-0.0);
    let string = settings.bytes("default_string").unwrap_or(Bytes::from_static(b"_Unused"));
    let default = match (tensor, values.dtype()) {
        (Some(tensor), dtype) if tensor.dtype() == dtype && tensor.len() == 1 => tensor,
        (Some(tensor), dtype) => return Err(format!("has a default of {} for {dtype}", tensor.dtype())),
        (None, DType::I64) => Tensor::scalar(whole),
        (None, DType::F32) => Tensor::scalar(float),
        (None, DType::F64) => Tensor::scalar(-0.0_f64),
        (None, DType::Bytes) => Tensor::scalar(string),
        (None, other) => return Err(format!("gives {other}")),
    };
    encoder(input.r#type.clone(), &keys, values, default)
}

/// The first version: strings to their places in a list and back.
fn classes(from: Type, settings: &Settings<'_>) -> Result<Built, String> {
    let strings = settings.strings("classes_strings").to_vec();
    let whole = settings.integer("default_int64").unwrap_or(-1);
    let string = settings.bytes("default_string").unwrap_or(Bytes::from_static(b"_Unused"));
    let count = strings.len();
    let places = Tensor::new(&[count], (0..count as i64).collect::<Vec<_>>());
    let strings = Tensor::new(&[count], strings);
    let wrong = |error: ModelError| error.to_string();
    let (places, strings) = (places.map_err(wrong)?, strings.map_err(wrong)?);
    match from.dtype {
        DType::Bytes => encoder(from, &strings, places, Tensor::scalar(whole)),
        _ => encoder(from, &places, strings, Tensor::scalar(string)),
    }
}

/// The one of four lists that is there.
fn table(settings: &Settings<'_>, names: [&'static str; 4]) -> Result<Tensor, String> {
    let [whole, floats, strings, tensor] = names;
    let given = names.iter().filter(|name| settings.has(name)).count();
    if given != 1 {
        return Err(format!("has {given} of `{whole}` and its like, not one"));
    }
    if let Some(tensor) = settings.tensor(tensor)? {
        return Ok(tensor);
    }
    let (whole, floats, strings) =
        (settings.integers(whole), settings.floats(floats), settings.strings(strings));
    let made = match (whole, floats, strings) {
        (whole, [], []) => Tensor::new(&[whole.len()], whole.to_vec()),
        ([], floats, []) => Tensor::new(&[floats.len()], floats.to_vec()),
        (.., strings) => Tensor::new(&[strings.len()], strings.to_vec()),
    };
    made.map_err(|error| error.to_string())
}

fn encoder(from: Type, keys: &Tensor, values: Tensor, default: Tensor) -> Result<Built, String> {
    if keys.dtype() != from.dtype || keys.len() != values.len() {
        return Err(format!(
            "maps {} keys of {} to {} values for {from}",
            keys.len(),
            keys.dtype(),
            values.len()
        ));
    }
    let places = match keys.data() {
        Data::I64(keys) => Places::Integers(numbered_first(keys.iter().copied())),
        Data::Bytes(keys) => Places::Strings(numbered_first(keys.iter().cloned())),
        Data::F32(keys) => Places::Floats(numbered_first(keys.iter().map(|&x| float_key(x.into())))),
        Data::F64(keys) => Places::Floats(numbered_first(keys.iter().map(|&x| float_key(x)))),
        _ => return Err(format!("has keys of {}", keys.dtype())),
    };
    let r#type = Type::new(values.dtype(), from.dims);
    Ok(Built::new(LabelEncoder { places, values, default }, [r#type]))
}

/// The place of each; of those that are there twice, the first.
fn numbered_first<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (i, key) in keys.enumerate() {
        places.entry(key).or_insert(i);
    }
    places
}

/// A float as a key: both zeros are one, and so is all that is not a number.
fn float_key(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

enum Places {
    Integers(HashMap<i64, usize>),
    Strings(HashMap<Bytes, usize>),
    Floats(HashMap<u64, usize>),
}

struct LabelEncoder {
    places: Places,
    values: Tensor,
    default: Tensor,
}

impl Kernel for LabelEncoder {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let places: Vec<Option<usize>> = match (&self.places, inputs[0].data()) {
            (Places::Integers(places), Data::I64(x)) => x.iter().map(|x| places.get(x).copied()).collect(),
            (Places::Strings(places), Data::Bytes(x)) => x.iter().map(|x| places.get(x).copied()).collect(),
            (Places::Floats(places), Data::F32(x)) => {
                x.iter().map(|&x| places.get(&float_key(x.into())).copied()).collect()
            }
            (Places::Floats(places), Data::F64(x)) => {
                x.iter().map(|&x| places.get(&float_key(x)).copied()).collect()
            }
            _ => return Err(ModelError::failed("types were checked when the plan was made")),
        };
        fn mapped<T: Element>(
            values: &[T],
            default: &Tensor,
            places: &[Option<usize>],
            shape: &[usize],
        ) -> Result<Tensor, ModelError> {
            let default = &default.elements::<T>()?[0];
            let mapped = places.iter().map(|place| place.map_or(default, |place| &values[place]).clone());
            Tensor::new(shape, mapped.collect::<Vec<_>>())
        }
        let shape = inputs[0].shape();
        let encoded = unruffled_model::for_each_dtype!(
            self.values.data(),
            values => mapped(values, &self.default, &places, shape)
        );
        outputs.push(encoded?);
        Ok(())
    }
}
