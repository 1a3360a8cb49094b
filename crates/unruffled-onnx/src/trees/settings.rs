//! [`Settings`]: the attributes of a node, read by name and type; what nobody has asked for is found out.

use std::cell::RefCell;

use unruffled_model::{Bytes, Tensor};

use crate::graph::{Attribute, Node};

/// The attributes of one node.
pub(super) struct Settings<'a> {
    attributes: &'a [Attribute],
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { attributes: &node.attributes, asked: RefCell::default() }
    }

    fn find(&self, name: &'static str) -> Option<&'a Attribute> {
        self.asked.borrow_mut().push(name);
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Whether it is there.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn integer(&self, name: &'static str) -> Option<i64> {
        self.find(name)?.integer
    }

    pub(super) fn float(&self, name: &'static str) -> Option<f32> {
        self.find(name)?.float
    }

    /// A string; `None` also if it is not text.
    pub(super) fn string(&self, name: &'static str) -> Option<&'a str> {
        str::from_utf8(self.find(name)?.string.as_deref()?).ok()
    }

    /// A string as it is.
    pub(super) fn bytes(&self, name: &'static str) -> Option<Bytes> {
        self.find(name)?.string.clone()
    }

    /// A list; empty if it is not there.
    pub(super) fn integers(&self, name: &'static str) -> &'a [i64] {
        self.find(name).map_or(&[], |attribute| &attribute.integers)
    }

    /// A list; empty if it is not there.
    pub(super) fn floats(&self, name: &'static str) -> &'a [f32] {
        self.find(name).map_or(&[], |attribute| &attribute.floats)
    }

    /// A list; empty if it is not there.
    pub(super) fn strings(&self, name: &'static str) -> &'a [Bytes] {
        self.find(name).map_or(&[], |attribute| &attribute.strings)
    }

    /// A tensor, if there is one.
    ///
    /// # Errors
    ///
    /// A reason, if it cannot be read.
    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<Tensor>, String> {
        let tensor = self.find(name).and_then(|attribute| attribute.tensor.as_ref());
        tensor.map(|tensor| tensor.tensor().map_err(|why| format!("its `{name}` {why}"))).transpose()
    }

    /// Passes over settings that change no answer.
    pub(super) fn ignore(&self, names: &[&'static str]) {
        self.asked.borrow_mut().extend(names);
    }

    /// The first setting that nobody has asked for: it may change what the operator does.
    pub(super) fn unknown(&self) -> Option<&'a str> {
        let asked = self.asked.borrow();
        let unread = |attribute: &&Attribute| attribute.other || !asked.contains(&attribute.name.as_str());
        self.attributes.iter().find(unread).map(|attribute| attribute.name.as_str())
    }
}
