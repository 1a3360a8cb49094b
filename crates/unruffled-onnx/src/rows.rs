//! Whether rows of different requests may be joined into one run.

use half::{bf16, f16};
use unruffled_model::{
    Batching, Bytes, DType, Data, Dim, ModelError, RowPlace, Signature, Tensor, TensorSpec, Tensors,
};

/// What the trial tries for dimensions of any size, one after the other until the model accepts one: image models mostly
/// want multiples of 32, readers of text lines a height of 48, and listeners some hundred samples.
const ANY_SIZES: [usize; 4] = [32, 48, 64, 576];

/// No trial is made with inputs of more elements.
const TRIAL_ELEMENTS_MAX: usize = 1 << 20;

/// Decides about batches, and gives the rows of all inputs and outputs one name if they turn out to be the same rows.
///
/// A file whose inputs and outputs all begin with one symbol, and have it nowhere else, says itself that these are the rows,
/// and is believed. Many exporters write no symbol there, or another one for each tensor, or, for outputs, the one row that they
/// have tried. Then `run` is asked three times, with one row, with two others, and with these three together: only if every
/// row gets the same answer alone and in company are they joined. So it is, too, where a symbol stands in the middle, as in the
/// state of a recurrent model, or beside inputs without dimensions, which are the same for a whole run. A model that does not pass the trial, for whatever reason,
/// runs one request at a time, since a wrong join is a wrong answer.
pub(crate) fn batching(
    signature: &mut Signature,
    run: impl FnMut(&Tensors) -> Result<Tensors, ModelError>,
) -> Batching {
    if signature.is_batchable() {
        return Batching::Joint;
    }
    if signature.row_symbol().is_some() {
        // What keeps a state mostly listens: it wants long pieces, and a runtime may complain aloud of short ones.
        return match verdict(signature, ANY_SIZES.into_iter().rev(), run) {
            Some(true) => Batching::Joint,
            _ => Batching::Single,
        };
    }
    if !is_candidate(signature) || verdict(signature, ANY_SIZES, run) != Some(true) {
        return Batching::Single;
    }
    for spec in signature.inputs.iter_mut().chain(&mut signature.outputs) {
        if let Some([first, ..]) = spec.dims.as_deref_mut() {
            *first = Dim::Symbolic("batch".into());
        }
    }
    Batching::Joint
}

/// Corrects what the file says of its outputs' shapes by what comes out for one row and for two, and gives what came out for
/// one: converters of classical models declare a single row or column where there are more. `None` if that could not be
/// found out, and all stays as it was.
pub(crate) fn corrected(
    signature: &mut Signature,
    mut run: impl FnMut(&Tensors) -> Result<Tensors, ModelError>,
) -> Option<Tensors> {
    let sizes = signature.inputs.iter().filter_map(|spec| spec.dims.as_deref()?.get(1..)).flatten();
    // What comes out may be as wide as what was made up.
    let has_open_sizes = sizes.into_iter().any(|dim| !matches!(dim, Dim::Fixed(_)));
    let inputs = [1, 2].map(|rows| made_up(signature, rows, ANY_SIZES[0]));
    let [one, two] = [inputs[0].as_ref()?, inputs[1].as_ref()?].map(|inputs| run(inputs).ok());
    let (one, two) = (one?, two?);
    for spec in &mut signature.outputs {
        let (Some(dims), Some(one), Some(two)) = (&mut spec.dims, one.get(&spec.name), two.get(&spec.name))
        else {
            continue;
        };
        if [one, two].iter().any(|tensor| tensor.shape().len() != dims.len()) {
            spec.dims = None;
            continue;
        }
        for (at, dim) in dims.iter_mut().enumerate().filter(|(_, dim)| matches!(dim, Dim::Fixed(_))) {
            *dim = match (at, one.shape()[at], two.shape()[at]) {
                (at, a, b) if at > 0 && a == b && !has_open_sizes => Dim::Fixed(a),
                (_, a, b) if *dim == Dim::Fixed(a) && a == b => Dim::Fixed(a),
                // If these are the rows, a trial tells.
                _ => Dim::Any,
            };
        }
    }
    Some(one)
}

/// Whether everything begins with a dimension that may mean rows, and nothing else as far as names tell.
fn is_candidate(signature: &Signature) -> bool {
    let specs = || signature.inputs.iter().chain(&signature.outputs);
    let leading = |spec: &TensorSpec| spec.dims.as_ref()?.first().cloned();
    let (Some(inputs), Some(outputs)) = (
        signature.inputs.iter().map(leading).collect::<Option<Vec<Dim>>>(),
        signature.outputs.iter().map(leading).collect::<Option<Vec<Dim>>>(),
    ) else {
        return false;
    };
    let elsewhere = || specs().filter_map(|spec| spec.dims.as_ref()).flat_map(|dims| &dims[1..]);
    let is_free = |dim: &Dim| match dim {
        Dim::Fixed(_) => false,
        Dim::Any => true,
        symbol => elsewhere().all(|other| other != symbol),
    };
    let batch = Dim::Symbolic("batch".into());
    let mut symbols = inputs.iter().filter(|dim| matches!(dim, Dim::Symbolic(_)));
    let first = symbols.next();
    // Inputs that name different sizes may have different numbers of rows.
    let is_one = symbols.all(|symbol| Some(symbol) == first);
    is_one
        && !inputs.is_empty()
        && inputs.iter().all(is_free)
        && outputs.iter().all(|dim| *dim == Dim::Fixed(1) || is_free(dim))
        && elsewhere().all(|other| *other != batch)
}

/// The outcome of the first trial that has one.
fn verdict(
    signature: &Signature,
    sizes: impl IntoIterator<Item = usize>,
    mut run: impl FnMut(&Tensors) -> Result<Tensors, ModelError>,
) -> Option<bool> {
    sizes.into_iter().find_map(|size| trial(signature, size, &mut run))
}

/// Whether three rows get the same answers together as apart; `None` if that could not be found out.
fn trial(
    signature: &Signature,
    any_size: usize,
    mut run: impl FnMut(&Tensors) -> Result<Tensors, ModelError>,
) -> Option<bool> {
    let (one, two) = (made_up(signature, 1, any_size)?, made_up(signature, 2, any_size)?);
    let three = signature.input_rows().map(|(spec, place)| {
        let parts = [one.get(&spec.name)?, two.get(&spec.name)?];
        let joined = match place {
            RowPlace::Axis(axis) => Tensor::concat_along(axis, parts.into_iter()).ok()?,
            RowPlace::Shared => parts[0].clone(),
        };
        Some((spec.name.clone(), joined))
    });
    let three = three.collect::<Option<Tensors>>()?;
    let (first, rest, together) = (run(&one).ok()?, run(&two).ok()?, run(&three).ok()?);
    // Rows that get no number agree about nothing.
    if !together.iter().all(|(_, tensor)| has_finite(tensor)) {
        return None;
    }
    Some(together.iter().all(|(name, joined)| {
        let (Some(first), Some(rest)) = (first.get(name), rest.get(name)) else {
            return false;
        };
        let place = signature.output_rows().find(|(spec, _)| spec.name == *name);
        let axis = match place {
            Some((_, RowPlace::Axis(axis))) => axis,
            _ => 0,
        };
        let rows = [first, rest, joined].map(|tensor| tensor.shape().get(axis).copied());
        rows == [Some(1), Some(2), Some(3)]
            && is_close(first, &joined.part(axis, 0..1))
            && is_close(rest, &joined.part(axis, 1..3))
    }))
}

/// Inputs of so many rows: numbers around zero, and the smallest integers, which every table of embeddings has. Rows of few
/// values begin with 0 and 1 in turn, so that no two neighbours are the same.
fn made_up(signature: &Signature, rows: usize, any_size: usize) -> Option<Tensors> {
    let mut random = Random { state: rows as u64, width: 1, first_row: rows - 1 };
    let tensors = signature.input_rows().map(|(spec, place)| {
        // What is the same for all rows is mostly a setting, and few settings make sense.
        if place == RowPlace::Shared {
            let setting = spec.default.clone().or_else(|| Tensor::from_number(spec.dtype, 1.0).ok())?;
            return Some((spec.name.clone(), setting));
        }
        let dims = spec.dims.as_ref()?.iter().enumerate();
        let shape: Vec<usize> = dims
            .map(|(i, dim)| match dim {
                _ if place == RowPlace::Axis(i) => rows,
                Dim::Fixed(size) => *size,
                Dim::Symbolic(_) | Dim::Any => any_size,
            })
            .collect();
        let count = shape.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
        if count > TRIAL_ELEMENTS_MAX {
            return None;
        }
        random.width = (count / rows).max(1);
        let tensor = match spec.dtype {
            DType::F32 => Tensor::new(&shape, random.take(count, |x| x as f32 - 0.5)),
            DType::F64 => Tensor::new(&shape, random.take(count, |x| x - 0.5)),
            DType::I32 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as i32)),
            DType::I64 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as i64)),
            DType::U8 => Tensor::new(&shape, random.take(count, |x| (256.0 * x) as u8)),
            DType::Bool => Tensor::new(&shape, random.take_few(count, |x| x < 0.5)),
            DType::F16 => Tensor::new(&shape, random.take(count, |x| f16::from_f64(x - 0.5))),
            DType::BF16 => Tensor::new(&shape, random.take(count, |x| bf16::from_f64(x - 0.5))),
            DType::I8 => Tensor::new(&shape, random.take(count, |x| (256.0 * x - 128.0) as i8)),
            DType::I16 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as i16)),
            DType::U16 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as u16)),
            DType::U32 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as u32)),
            DType::U64 => Tensor::new(&shape, random.take_few(count, |x| (2.0 * x) as u64)),
            DType::Bytes => Tensor::new(
                &shape,
                random.take_few(count, |x| Bytes::from_static(if x < 0.5 { b"a" } else { b"b" })),
            ),
        };
        Some((spec.name.clone(), tensor.ok()?))
    });
    tensors.collect()
}

/// Whether a tensor of floats has a number in it; others always do.
fn has_finite(tensor: &Tensor) -> bool {
    match tensor.data() {
        Data::F64(x) => x.is_empty() || x.iter().any(|x| x.is_finite()),
        Data::F32(x) => x.is_empty() || x.iter().any(|x| x.is_finite()),
        Data::F16(x) => x.is_empty() || x.iter().any(|x| x.is_finite()),
        Data::BF16(x) => x.is_empty() || x.iter().any(|x| x.is_finite()),
        _ => true,
    }
}

/// Numbers that look random and are the same each time: splitmix64.
struct Random {
    state: u64,
    /// Elements of a row.
    width: usize,
    /// The number of the first row.
    first_row: usize,
}

impl Random {
    /// For types that have few values here: every row begins with another than the one before.
    fn take_few<T>(&mut self, count: usize, make: impl Fn(f64) -> T) -> Vec<T> {
        let (width, first_row) = (self.width, self.first_row);
        let numbers = self.take(count, |x| x).into_iter().enumerate();
        let marked = numbers.map(|(at, x)| match at % width {
            0 => ((first_row + at / width) % 2) as f64 / 2.0,
            _ => x,
        });
        marked.map(make).collect()
    }

    fn take<T>(&mut self, count: usize, make: impl Fn(f64) -> T) -> Vec<T> {
        let next = || {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            make(((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64)
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

/// Equal but for the order in which a kernel adds up more or fewer rows.
fn is_close(a: &Tensor, b: &Tensor) -> bool {
    fn all<T: Copy>(x: &[T], y: &[T], tolerance: f64, wide: impl Fn(T) -> f64) -> bool {
        x.iter().zip(y).all(|(&x, &y)| {
            let (x, y) = (wide(x), wide(y));
            x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * (0.1 + y.abs())
        })
    }
    a.shape() == b.shape()
        && match (a.data(), b.data()) {
            (Data::F64(x), Data::F64(y)) => all(x, y, 1e-4, |x| x),
            (Data::F32(x), Data::F32(y)) => all(x, y, 1e-4, f64::from),
            (Data::F16(x), Data::F16(y)) => all(x, y, 1e-2, f64::from),
            (Data::BF16(x), Data::BF16(y)) => all(x, y, 1e-1, f64::from),
            _ => a == b,
        }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Batching, DType, Dim, ModelError, Signature, Tensor, TensorSpec, Tensors};

    use super::batching;

    fn symbol(name: &str) -> Dim {
        Dim::Symbolic(name.into())
    }

    fn signature(input: [Dim; 2], output: [Dim; 2]) -> Signature {
        Signature {
            inputs: vec![TensorSpec::new("x", DType::F32, input)],
            outputs: vec![TensorSpec::new("y", DType::F32, output)],
        }
    }

    /// Answers each row from the running number of the row, what it holds, and the sum of all rows.
    fn model(answer: impl Fn(usize, f32, f32) -> f32) -> impl Fn(&Tensors) -> Result<Tensors, ModelError> {
        move |inputs| {
            let x = inputs.get("x").unwrap();
            let (elements, width) = (x.elements::<f32>()?, x.shape()[1]);
            let sum = elements.iter().sum();
            let y = elements.iter().enumerate().map(|(i, &x)| answer(i / width, x, sum));
            Ok(Tensors::new().with("y", Tensor::new(x.shape(), y.collect::<Vec<_>>())?))
        }
    }

    #[track_caller]
    fn check(
        mut signature: Signature,
        model: impl Fn(&Tensors) -> Result<Tensors, ModelError>,
        expected: Batching,
    ) {
        assert_eq!(batching(&mut signature, model), expected);
        assert_eq!(signature.is_batchable(), expected == Batching::Joint);
    }

    #[test]
    fn rows_that_do_not_know_each_other_are_joined() {
        let nameless = || signature([Dim::Any, Dim::Fixed(3)], [symbol("other"), Dim::Any]);
        check(nameless(), model(|_, x, _| 2.0 * x), Batching::Joint);
        // Some exporters write down the one row that they have tried.
        check(
            signature([Dim::Any, Dim::Fixed(3)], [Dim::Fixed(1), Dim::Any]),
            model(|_, x, _| 2.0 * x),
            Batching::Joint,
        );
        check(nameless(), model(|_, x, sum| x / sum), Batching::Single);
        check(nameless(), model(|row, x, _| x + row as f32), Batching::Single);
        check(nameless(), |_| Err(ModelError::failed("no")), Batching::Single);
        let scalar = |_: &Tensors| Ok(Tensors::new().with("y", Tensor::scalar(1.0_f32)));
        check(nameless(), scalar, Batching::Single);
    }

    /// A model with a state whose rows are in the middle, and a rate that is the same for all of them.
    fn recurrent() -> Signature {
        let state = || vec![Dim::Fixed(2), symbol("n")];
        let mut rate = TensorSpec::new("rate", DType::I64, []);
        rate.default = Some(Tensor::scalar(16_000_i64));
        let x = TensorSpec::new("x", DType::F32, [symbol("n"), Dim::Any]);
        Signature {
            inputs: vec![x, TensorSpec::new("state", DType::F32, state()), rate],
            outputs: vec![
                TensorSpec::new("y", DType::F32, [symbol("n")]),
                TensorSpec::new("next", DType::F32, state()),
            ],
        }
    }

    #[test]
    fn rows_in_the_middle_are_tried() {
        // It listens to a whole piece of sound, and to nothing else.
        let listen = |leak: f32| {
            move |inputs: &Tensors| {
                let [x, state] = ["x", "state"].map(|name| inputs.get(name).unwrap());
                assert_eq!(inputs.get("rate"), Some(&Tensor::scalar(16_000_i64)));
                let rows = x.shape()[0];
                if x.shape()[1] < 192 {
                    return Err(ModelError::failed("too short"));
                }
                let (x, state) = (x.elements::<f32>()?, state.elements::<f32>()?);
                let y: Vec<f32> = (0..rows).map(|row| x[row * 576] + state[row] + leak * state[0]).collect();
                let next = state.iter().map(|state| 0.5 * state).collect::<Vec<_>>();
                Ok(Tensors::new()
                    .with("y", Tensor::new(&[rows], y)?)
                    .with("next", Tensor::new(&[2, rows], next)?))
            }
        };
        assert_eq!(batching(&mut recurrent(), listen(0.0)), Batching::Joint);
        assert_eq!(batching(&mut recurrent(), listen(1.0)), Batching::Single, "a row hears of another");
    }

    #[test]
    fn names_that_say_otherwise_are_believed() {
        let double = || model(|_, x, _| 2.0 * x);
        check(signature([symbol("n"), Dim::Any], [symbol("n"), Dim::Any]), double(), Batching::Joint);
        check(signature([symbol("n"), symbol("n")], [Dim::Any, Dim::Any]), double(), Batching::Single);
        check(signature([Dim::Fixed(1), Dim::Any], [Dim::Any, Dim::Any]), double(), Batching::Single);
        check(signature([Dim::Any, Dim::Any], [Dim::Fixed(2), Dim::Any]), double(), Batching::Single);
        check(signature([Dim::Any, symbol("batch")], [Dim::Any, Dim::Any]), double(), Batching::Single);
        let mut unknown = signature([Dim::Any, Dim::Any], [Dim::Any, Dim::Any]);
        unknown.outputs[0].dims = None;
        check(unknown, double(), Batching::Single);
        check(Signature::default(), double(), Batching::Single);
    }
}
