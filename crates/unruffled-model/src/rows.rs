//! Where the rows of a request lie in its tensors.

use crate::signature::{Dim, Signature, TensorSpec};

/// Where the rows lie in one input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowPlace {
    /// Along this dimension.
    Axis(usize),
    /// Nowhere: a single value, the same for all rows of a run.
    Shared,
}

impl TensorSpec {
    /// Where the rows lie if this symbol names them; `None` if that is nowhere, or cannot be told.
    fn row_place(&self, symbol: &str) -> Option<RowPlace> {
        let dims = self.dims.as_deref()?;
        if dims.is_empty() {
            return Some(RowPlace::Shared);
        }
        let mut named = dims
            .iter()
            .enumerate()
            .filter(|(_, dim)| matches!(dim, Dim::Symbolic(name) if **name == *symbol));
        match (named.next(), named.next()) {
            (Some((axis, _)), None) => Some(RowPlace::Axis(axis)),
            _ => None,
        }
    }
}

impl Signature {
    /// The symbol that names rows: some input begins with it, each other input that has dimensions and every output has it
    /// once, wherever. Inputs without dimensions are the same for all rows of a run.
    ///
    /// That the names agree does not prove that rows may be joined: see [`is_batchable`](Self::is_batchable) for what does.
    pub fn row_symbol(&self) -> Option<&str> {
        let leading = self.inputs.iter().filter_map(|spec| match spec.dims.as_deref() {
            Some([Dim::Symbolic(symbol), ..]) => Some(&**symbol),
            _ => None,
        });
        let names_rows = |symbol: &&str| {
            self.inputs.iter().all(|spec| spec.row_place(symbol).is_some())
                && self.outputs.iter().all(|spec| matches!(spec.row_place(symbol), Some(RowPlace::Axis(_))))
        };
        leading.into_iter().find(names_rows)
    }

    /// Where rows lie, input by input; in front where names do not tell.
    pub fn input_rows(&self) -> impl Iterator<Item = (&TensorSpec, RowPlace)> {
        places(&self.inputs, self.row_symbol())
    }

    /// Where rows lie, output by output; in front where names do not tell.
    pub fn output_rows(&self) -> impl Iterator<Item = (&TensorSpec, RowPlace)> {
        places(&self.outputs, self.row_symbol())
    }
}

fn places<'a>(
    specs: &'a [TensorSpec],
    symbol: Option<&'a str>,
) -> impl Iterator<Item = (&'a TensorSpec, RowPlace)> {
    let place = move |spec: &TensorSpec| symbol.and_then(|symbol| spec.row_place(symbol));
    specs.iter().map(move |spec| (spec, place(spec).unwrap_or(RowPlace::Axis(0))))
}

#[cfg(test)]
mod tests {
    use super::RowPlace;
    use crate::{DType, Dim, Signature, TensorSpec};

    fn spec(name: &str, dims: &[&str]) -> TensorSpec {
        let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Symbolic((*text).into()), Dim::Fixed);
        TensorSpec::new(name, DType::F32, dims.iter().map(dim).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(inputs: &[&[&str]], outputs: &[&[&str]], symbol: Option<&str>) {
        let specs = |all: &[&[&str]]| all.iter().map(|dims| spec("x", dims)).collect();
        let signature = Signature { inputs: specs(inputs), outputs: specs(outputs) };
        assert_eq!(signature.row_symbol(), symbol);
    }

    #[test]
    fn rows_have_one_name_and_one_place_in_each_tensor() {
        check(&[&["n", "4"], &[], &["2", "n", "8"]], &[&["n"], &["2", "n", "8"]], Some("n"));
        check(&[&["2", "n"], &["n", "s"]], &[&["n"]], Some("n"));
        check(&[&["s"], &["n", "s"]], &[&["n", "s"]], Some("s"));
        check(&[&["n", "n"]], &[&["n"]], None);
        check(&[&["n", "4"]], &[&[]], None);
        check(&[&["n", "4"]], &[&["4"]], None);
        check(&[&["2", "n"]], &[&["n"]], None);
        check(&[&[]], &[&["n"]], None);
        check(&[], &[], None);
    }

    #[test]
    fn places_are_told_in_order() {
        let inputs = vec![spec("a", &["n"]), spec("b", &[]), spec("c", &["2", "n"])];
        let signature = Signature { inputs, outputs: vec![spec("y", &["n"])] };
        let places: Vec<_> = signature.input_rows().map(|(_, place)| place).collect();
        assert_eq!(places, [RowPlace::Axis(0), RowPlace::Shared, RowPlace::Axis(1)]);
        let unknown = Signature { inputs: vec![spec("a", &["4"])], outputs: Vec::new() };
        assert_eq!(unknown.input_rows().next().unwrap().1, RowPlace::Axis(0));
    }
}
