//! Reads the `data` of a tensor, flat or nested to its shape, straight into a `Vec` of its type.

use std::borrow::Cow;

use crate::brief::Brief;

/// Why an element is refused: completes "element 3 is `x`; ".
pub(crate) type Refusal = Cow<'static, str>;

/// What [`read`] reads.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The dimensions, outermost first.
    pub(crate) shape: &'a [usize],
    /// Their product.
    pub(crate) count: usize,
    /// The least bytes of text that one element takes, with the comma after it.
    pub(crate) width_min: usize,
}

/// Reads elements from `json`, which the parser has found to be one JSON value.
///
/// Each goes through `element` as the text that stands for it. Room is made for no more elements than the text could
/// hold, whatever the shape says.
///
/// # Errors
///
/// What is wrong and at which element, counted in row-major order from 0.
pub(crate) fn read<T>(
    json: &str,
    layout: Layout<'_>,
    element: impl FnMut(&str) -> Result<T, Refusal>,
) -> Result<Vec<T>, String> {
    let mut reader = Reader {
        json,
        at: 0,
        layout,
        elements: Vec::with_capacity(layout.count.min(json.len() / layout.width_min + 1)),
        element,
    };
    reader.data()?;
    Ok(reader.elements)
}

struct Reader<'a, T, F> {
    json: &'a str,
    at: usize,
    layout: Layout<'a>,
    elements: Vec<T>,
    element: F,
}

impl<'a, T, F: FnMut(&str) -> Result<T, Refusal>> Reader<'a, T, F> {
    fn data(&mut self) -> Result<(), String> {
        let (shape, count) = (self.layout.shape, self.layout.count);
        self.skip_space();
        if self.peek() != Some(b'[') {
            return match shape {
                [] => self.one(),
                _ => Err(format!("`data` is `{}`; expected an array", Brief(self.token()))),
            };
        }
        if shape.len() > 1 && self.second() == Some(b'[') {
            return self.nested(shape);
        }
        let given = self.row(count)?;
        if given == Some(count) {
            return Ok(());
        }
        Err(format!("shape {shape:?} asks for {}, but `data` has {}", elements(count), amount(given)))
    }

    /// An array whose items nest as `shape` says.
    fn nested(&mut self, shape: &[usize]) -> Result<(), String> {
        let size = shape[0];
        if self.peek() != Some(b'[') {
            let (at, token) = (self.elements.len(), Brief(self.token()));
            let Layout { shape, .. } = self.layout;
            return Err(format!(
                "element {at} is `{token}` where shape {shape:?} nests deeper; nest every row alike, or none"
            ));
        }
        let given = match &shape[1..] {
            [] => self.row(size)?,
            inner => self.items(size, |reader| reader.nested(inner))?,
        };
        if given == Some(size) {
            return Ok(());
        }
        let Layout { shape: whole, .. } = self.layout;
        let (at, depth) = (self.elements.len(), 1 + whole.len() - shape.len());
        Err(format!(
            "shape {whole:?} asks for {size} at depth {depth}, but the array there, up to element {at}, has {}",
            amount(given)
        ))
    }

    /// An array of at most `most` elements: how many there were, or `None` if more.
    fn row(&mut self, most: usize) -> Result<Option<usize>, String> {
        self.items(most, Self::one)
    }

    fn items(
        &mut self,
        most: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<Option<usize>, String> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Some(0));
        }
        for given in 1.. {
            if given > most {
                return Ok(None);
            }
            self.skip_space();
            item(self)?;
            self.skip_space();
            let after = self.peek();
            self.at += 1;
            match after {
                Some(b',') => {}
                Some(b']') => return Ok(Some(given)),
                _ => break,
            }
        }
        Err("`data` is not JSON".into())
    }

    fn one(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'[') {
            let (at, shape) = (self.elements.len(), self.layout.shape);
            return Err(format!(
                "element {at} is an array, deeper than shape {shape:?} nests; nest every row alike, or none"
            ));
        }
        let token = self.token();
        match (self.element)(token) {
            Ok(element) => {
                self.elements.push(element);
                Ok(())
            }
            Err(refusal) => {
                let (at, token) = (self.elements.len(), Brief(token));
                Err(format!("element {at} is `{token}`; {refusal}"))
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// What stands behind the opening bracket.
    fn second(&self) -> Option<u8> {
        self.json.as_bytes()[self.at + 1..].iter().copied().find(|byte| !is_space(*byte))
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// The text of the value that begins here; of an object only the beginning, since no element is one.
    fn token(&mut self) -> &'a str {
        let rest = &self.json.as_bytes()[self.at..];
        let length = match rest.first() {
            Some(b'"') => text_len(rest),
            Some(b'{') => rest.iter().position(|byte| *byte == b'}').map(|at| at + 1),
            _ => rest.iter().position(|byte| matches!(byte, b',' | b']') || is_space(*byte)),
        };
        let start = self.at;
        self.at += length.unwrap_or(rest.len());
        self.json.get(start..self.at).unwrap_or_default()
    }
}

fn elements(count: usize) -> String {
    if count == 1 { "1 element".to_owned() } else { format!("{count} elements") }
}

fn amount(given: Option<usize>) -> Cow<'static, str> {
    given.map_or("more".into(), |given| given.to_string().into())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The length of the quoted text at the start of `json`, quotes included.
fn text_len(json: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, read};

    #[test]
    fn room_is_made_for_what_the_text_can_hold() {
        let count = usize::MAX / 16;
        let layout = Layout { shape: &[count], count, width_min: 2 };
        let outcome = read::<u64>("[1,1,1]", layout, |_| Ok(1));
        let message = "shape [1152921504606846975] asks for 1152921504606846975 elements, but `data` has 3";
        assert_eq!(outcome, Err(message.into()), "and no attempt to allocate for them");
    }

    /// The parser has seen every text before; a part of one must be refused all the same, not panic.
    #[test]
    fn cut_texts_are_refused() {
        let whole = r#"[[1, "a\"b"], [ "" , 2]]"#;
        let layout = Layout { shape: &[2, 2], count: 4, width_min: 2 };
        assert!(read(whole, layout, |token| Ok(token.len())).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end], layout, |token| Ok(token.len())).is_err(), "{end}");
        }
    }
}
