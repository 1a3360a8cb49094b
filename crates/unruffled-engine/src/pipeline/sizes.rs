//! [`Sizes`]: what is known of the sizes of values; those that must be equal are one.

use std::fmt::Write as _;

use unruffled_model::{Dim, Name};

/// One size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Always this.
    Fixed(usize),
    /// The same wherever it occurs.
    Same(usize),
    /// Anything.
    Any,
}

/// Sizes that were found equal have one root, which knows the number if anybody does.
#[derive(Default)]
pub(super) struct Sizes(Vec<Node>);

struct Node {
    parent: usize,
    known: Option<usize>,
    name: Option<Name>,
}

impl Sizes {
    /// A size of which nothing is known but its name.
    pub(super) fn fresh(&mut self, name: Option<&Name>) -> Size {
        let at = self.0.len();
        self.0.push(Node { parent: at, known: None, name: name.cloned() });
        Size::Same(at)
    }

    fn root(&self, mut at: usize) -> usize {
        while self.0[at].parent != at {
            at = self.0[at].parent;
        }
        at
    }

    /// What is known of a size by now.
    pub(super) fn look(&self, size: Size) -> Size {
        let Size::Same(at) = size else { return size };
        let root = self.root(at);
        self.0[root].known.map_or(Size::Same(root), Size::Fixed)
    }

    /// Says that two sizes are equal. False: they cannot be.
    pub(super) fn unify(&mut self, a: Size, b: Size) -> bool {
        match (self.look(a), self.look(b)) {
            (Size::Any, _) | (_, Size::Any) => true,
            (Size::Fixed(a), Size::Fixed(b)) => a == b,
            (Size::Same(root), Size::Fixed(number)) | (Size::Fixed(number), Size::Same(root)) => {
                self.0[root].known = Some(number);
                true
            }
            (Size::Same(a), Size::Same(b)) => {
                // The name that was there first stays: it is that of an input, or nearer to one.
                let (first, other) = (a.min(b), a.max(b));
                if first != other {
                    let name = self.0[other].name.take();
                    self.0[other].parent = first;
                    self.0[first].name = self.0[first].name.take().or(name);
                }
                true
            }
        }
    }

    /// Says that the sizes of two shapes are equal. False: they cannot be, or there are not as many.
    pub(super) fn unify_all(&mut self, a: &[Size], b: &[Size]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.unify(*a, *b))
    }

    /// As people write it.
    pub(super) fn show(&self, sizes: &[Size]) -> String {
        let mut text = String::from("[");
        for (at, size) in sizes.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let shown = match self.look(*size) {
                Size::Fixed(number) => write!(text, "{comma}{number}"),
                Size::Same(root) => write!(text, "{comma}{}", self.0[root].name.as_deref().unwrap_or("?")),
                Size::Any => write!(text, "{comma}?"),
            };
            shown.expect("a String takes everything");
        }
        text.push(']');
        text
    }
}

/// The symbols of one step: its own, whatever others call theirs.
#[derive(Default)]
pub(super) struct Symbols(Vec<(Name, Size)>);

impl Symbols {
    pub(super) fn sizes(&mut self, sizes: &mut Sizes, dims: &[Dim]) -> Vec<Size> {
        let mut size = |dim: &Dim| match dim {
            Dim::Fixed(number) => Size::Fixed(*number),
            Dim::Any => Size::Any,
            Dim::Symbolic(symbol) => match self.0.iter().find(|(known, _)| known == symbol) {
                Some((_, size)) => *size,
                None => {
                    let size = sizes.fresh(Some(symbol));
                    self.0.push((symbol.clone(), size));
                    size
                }
            },
        };
        dims.iter().map(&mut size).collect()
    }
}

/// Gives sizes names again, each its own.
#[derive(Default)]
pub(super) struct Names(Vec<(usize, Name)>);

impl Names {
    pub(super) fn dims(&mut self, sizes: &Sizes, shape: &[Size]) -> Vec<Dim> {
        shape.iter().map(|size| self.dim(sizes, *size)).collect()
    }

    fn dim(&mut self, sizes: &Sizes, size: Size) -> Dim {
        let root = match sizes.look(size) {
            Size::Fixed(number) => return Dim::Fixed(number),
            Size::Any => return Dim::Any,
            Size::Same(root) => root,
        };
        if let Some((_, name)) = self.0.iter().find(|(known, _)| *known == root) {
            return Dim::Symbolic(name.clone());
        }
        let base = sizes.0[root].name.clone().unwrap_or_else(|| "n".into());
        let is_taken = |name: &str| self.0.iter().any(|(_, known)| **known == *name);
        let mut name = base.clone();
        let mut count = 2;
        while is_taken(&name) {
            name = format!("{base}_{count}").into();
            count += 1;
        }
        self.0.push((root, name.clone()));
        Dim::Symbolic(name)
    }
}
