//! Reads one Rust file as tokens: which modules it declares, which paths it mentions, which macros and attributes it
//! uses, on which line, and whether that is test code. Comments, documentation and strings are not code here.
//!
//! Tokens rather than a syntax tree, since paths inside macro calls count as well.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) modules: Vec<Declared>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) macros: Vec<Named>,
    pub(crate) attributes: Vec<Named>,
    /// Every identifier of the file, for asking whether a name exists at all.
    pub(crate) words: BTreeSet<String>,
}

/// `mod name;` or `mod name { ... }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// The inline modules around the declaration, outermost first.
    pub(crate) within: Vec<String>,
    pub(crate) line: usize,
    pub(crate) place: Place,
    pub(crate) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The module has a file of its own.
    Own,
    Inline,
}

/// Whether code is part of the product or compiled for tests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Product,
    Test,
}

/// A path such as `crate::queue::Key`, written out in code or taken from an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) segments: Vec<String>,
    pub(crate) within: Vec<String>,
    pub(crate) line: usize,
    pub(crate) place: Place,
    pub(crate) kind: MentionKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MentionKind {
    /// Out of a `use` declaration, under the name that it binds (`*` for a glob).
    Import {
        name: String,
    },
    Code,
    /// A call of a bare name.
    Call,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) line: usize,
}

impl File {
    /// # Errors
    /// When the text has no Rust tokens: an open brace or quote.
    pub(crate) fn read(text: &str, place: Place) -> Result<Self, String> {
        // A byte order mark and a first line `#!` are not tokens.
        let text = text.trim_start_matches('\u{feff}');
        let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            format!("is no Rust that can be read, near line {}", error.span().start().line)
        })?;
        let mut file = File::default();
        file.walk(&stream.into_iter().collect::<Vec<_>>(), &Scope { within: Vec::new(), place });
        Ok(file)
    }

    fn walk(&mut self, tokens: &[TokenTree], scope: &Scope) {
        let mut scope = scope.clone();
        let mut at = 0;
        while at < tokens.len() {
            if let Some((attribute, inner, next)) = attribute_at(tokens, at) {
                at = next;
                if !is_test_only(attribute) {
                    self.read_attribute(attribute, &scope);
                    continue;
                }
                self.read_attribute(attribute, &Scope { place: Place::Test, ..scope.clone() });
                if inner {
                    scope.place = Place::Test;
                } else {
                    let end = end_of_item(tokens, at);
                    self.walk(&tokens[at..end], &Scope { place: Place::Test, ..scope.clone() });
                    at = end;
                }
                continue;
            }
            at = match &tokens[at] {
                TokenTree::Ident(word) if word == "mod" => self.read_module(tokens, at, &scope),
                TokenTree::Ident(word) if word == "use" => self.read_import(tokens, at, &scope),
                TokenTree::Ident(_) => self.read_path(tokens, at, &scope),
                TokenTree::Group(group) => {
                    self.walk(&trees(group), &scope);
                    at + 1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    fn read_attribute(&mut self, attribute: &Group, scope: &Scope) {
        let inside = trees(attribute);
        if let Some(TokenTree::Ident(name)) = inside.first() {
            self.attributes.push(Named { name: name.to_string(), line: name.span().start().line });
        }
        self.walk(&inside, scope);
    }

    fn read_module(&mut self, tokens: &[TokenTree], at: usize, scope: &Scope) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else {
            return at + 1;
        };
        self.words.insert(name.to_string());
        let body = match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => Some(body),
            Some(TokenTree::Punct(end)) if end.as_char() == ';' => None,
            _ => return at + 1,
        };
        self.modules.push(Declared {
            name: name.to_string(),
            within: scope.within.clone(),
            line: name.span().start().line,
            place: scope.place,
            form: if body.is_some() { Form::Inline } else { Form::Own },
        });
        if let Some(body) = body {
            let mut within = scope.within.clone();
            within.push(name.to_string());
            self.walk(&trees(body), &Scope { within, place: scope.place });
        }
        at + 3
    }

    fn read_import(&mut self, tokens: &[TokenTree], at: usize, scope: &Scope) -> usize {
        let length = tokens[at..].iter().position(|token| is_punct(token, ';'));
        let end = length.map_or(tokens.len(), |length| at + length);
        // `impl Trait + use<'a>` captures lifetimes and imports nothing.
        if tokens.get(at + 1).is_some_and(|token| is_punct(token, '<')) {
            return at + 1;
        }
        self.read_use_tree(&tokens[at + 1..end], &[], scope);
        end
    }

    /// One level of a use tree: `a::b`, `a::{b, c as d}`, `a::*`, separated by commas.
    fn read_use_tree(&mut self, tokens: &[TokenTree], prefix: &[String], scope: &Scope) {
        for branch in tokens.split(|token| is_punct(token, ',')) {
            let Some(first) = branch.first() else { continue };
            let line = first.span().start().line;
            let mut segments = prefix.to_vec();
            let mut renamed = None;
            let mut group = None;
            let mut rest = branch.iter();
            while let Some(token) = rest.next() {
                match token {
                    TokenTree::Ident(word) if word == "as" => renamed = rest.next().map(ToString::to_string),
                    TokenTree::Ident(word) => segments.push(word.to_string()),
                    TokenTree::Punct(star) if star.as_char() == '*' => segments.push("*".to_owned()),
                    TokenTree::Group(inner) => group = Some(inner),
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if let Some(inner) = group {
                self.read_use_tree(&trees(inner), &segments, scope);
                continue;
            }
            // `use a::{self}` binds `a`.
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            self.words.extend(segments.iter().cloned());
            let name = renamed.or_else(|| segments.last().cloned()).unwrap_or_default();
            self.mention(segments, line, scope, MentionKind::Import { name });
        }
    }

    /// A path, a macro call or a single word of code.
    fn read_path(&mut self, tokens: &[TokenTree], start: usize, scope: &Scope) -> usize {
        let mut segments = Vec::new();
        let mut at = start;
        while let Some(TokenTree::Ident(word)) = tokens.get(at) {
            self.words.insert(word.to_string());
            segments.push(word.to_string());
            at += 1;
            let goes_on =
                is_path_separator(tokens, at) && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)));
            if !goes_on {
                break;
            }
            at += 2;
        }
        let line = tokens[start].span().start().line;
        let before = start.checked_sub(1).map(|before| &tokens[before]);
        let is_named_elsewhere = before.is_some_and(|token| is_punct(token, '.') || is_ident(token, "fn"));
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(mark), Some(TokenTree::Group(_))) if is_punct(mark, '!') => {
                let name = segments.last().cloned().unwrap_or_default();
                self.macros.push(Named { name, line });
            }
            _ if segments.len() > 1 => self.mention(segments, line, scope, MentionKind::Code),
            (Some(TokenTree::Group(arguments)), _)
                if arguments.delimiter() == Delimiter::Parenthesis && !is_named_elsewhere =>
            {
                self.mention(segments, line, scope, MentionKind::Call);
            }
            _ => {}
        }
        at
    }

    fn mention(&mut self, segments: Vec<String>, line: usize, scope: &Scope, kind: MentionKind) {
        let Scope { within, place } = scope.clone();
        self.mentions.push(Mention { segments, within, line, place, kind });
    }
}

#[derive(Clone)]
struct Scope {
    within: Vec<String>,
    place: Place,
}

/// The brackets of `#[...]` or `#![...]` (then the flag is true), and the index behind them.
fn attribute_at(tokens: &[TokenTree], at: usize) -> Option<(&Group, bool, usize)> {
    if !is_punct(tokens.get(at)?, '#') {
        return None;
    }
    let inner = is_punct(tokens.get(at + 1)?, '!');
    let place = at + 1 + usize::from(inner);
    match tokens.get(place)? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some((group, inner, place + 1)),
        _ => None,
    }
}

/// Whether an attribute keeps its item out of the product: `#[test]`, `#[tokio::test]`, `#[cfg(all(test, unix))]`.
/// Code for loom is code for tests.
fn is_test_only(attribute: &Group) -> bool {
    let inside = trees(attribute);
    match inside.as_slice() {
        [TokenTree::Ident(name), TokenTree::Group(predicate)] if name == "cfg" => {
            implies_test(&trees(predicate))
        }
        [TokenTree::Ident(name), ..] if inside.len() == 1 || is_path_separator(&inside, 1) => {
            let words = inside.iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
            let last = words.filter(|token| matches!(token, TokenTree::Ident(_))).last();
            name == "test" || last.is_some_and(|word| is_ident(word, "test"))
        }
        _ => false,
    }
}

/// Whether a `cfg` predicate can only hold in tests.
fn implies_test(predicate: &[TokenTree]) -> bool {
    match predicate {
        [TokenTree::Ident(flag)] => flag == "test" || flag == "unruffled_loom",
        [TokenTree::Ident(operator), TokenTree::Group(operands)] => {
            let operands = trees(operands);
            let mut each = operands.split(|token| is_punct(token, ',')).filter(|one| !one.is_empty());
            match operator.to_string().as_str() {
                "all" => each.any(implies_test),
                "any" => each.all(implies_test),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Where the item, statement, field or arm that begins at `at` ends.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let mut start = at;
    while let Some((_, _, next)) = attribute_at(tokens, start) {
        start = next;
    }
    if tokens.get(start).is_some_and(|token| is_ident(token, "pub")) {
        start += 1;
        if matches!(tokens.get(start), Some(TokenTree::Group(_))) {
            start += 1;
        }
    }
    let word = |at: usize| match tokens.get(at) {
        Some(TokenTree::Ident(word)) => word.to_string(),
        _ => String::new(),
    };
    let followed_by_fn = matches!(word(start + 1).as_str(), "fn" | "unsafe" | "async" | "extern");
    let (brace_ends, comma_ends) = match word(start).as_str() {
        "const" if followed_by_fn => (true, false),
        "use" | "const" | "static" | "type" | "let" => (false, false),
        "fn" | "mod" | "struct" | "enum" | "union" | "impl" | "trait" | "unsafe" | "async" | "extern"
        | "macro_rules" => (true, false),
        _ => (true, true),
    };
    for (place, token) in tokens.iter().enumerate().skip(start) {
        let ends = match token {
            TokenTree::Punct(punct) => punct.as_char() == ';' || (comma_ends && punct.as_char() == ','),
            TokenTree::Group(group) => brace_ends && group.delimiter() == Delimiter::Brace,
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        if ends {
            return place + 1;
        }
    }
    tokens.len()
}

fn trees(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let joined =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
    matches!(tokens.get(at..at + 2), Some([first, second])
        if is_punct(first, ':') && joined(first) && is_punct(second, ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> File {
        File::read(text, Place::Product).unwrap()
    }

    #[track_caller]
    fn check_product_paths(text: &str, expected: &[&str]) {
        let file = read(text);
        let product = file.mentions.iter().filter(|one| one.place == Place::Product);
        let long = product.filter(|one| one.kind != MentionKind::Call);
        let paths: Vec<String> = long.map(|one| one.segments.join("::")).collect();
        assert_eq!(paths, expected, "in {text:?}");
    }

    #[test]
    fn paths_are_found_in_imports_code_and_macros() {
        for (text, expected) in [
            ("use crate::queue;", &["crate::queue"][..]),
            ("pub use crate::{a::B, c::{self, D as E}};", &["crate::a::B", "crate::c", "crate::c::D"]),
            ("use super::*;", &["super::*"]),
            (
                "fn f() -> crate::queue::Key { crate::batch::form::<u8>() }",
                &["crate::queue::Key", "crate::batch::form"],
            ),
            ("fn f() { assert!(crate::a::ok(), \"crate::b\") }", &["crate::a::ok"]),
            ("/// See [`crate::late::X`].\n//! crate::y\nstruct S; // crate::z", &[]),
            ("const S: &str = \"crate::a::B\"; const C: char = 'c';", &[]),
            ("impl<'a> crate::a::T<'a> for X {}", &["crate::a::T"]),
            ("#[derive(serde::Serialize)] struct S;", &["serde::Serialize"]),
            ("fn f() -> impl Sized + use<'static> { x }", &[]),
            ("fn f() { env!(\"A\"); std::env!(\"B\"); if a != (b) {} }", &[]),
        ] {
            check_product_paths(text, expected);
        }
    }

    #[test]
    fn test_code_is_told_from_the_product() {
        for (text, expected) in [
            ("#[cfg(test)] mod tests { use crate::a; } use crate::b;", &["crate::b"][..]),
            ("#[cfg(test)] use crate::{a, c}; use crate::b;", &["crate::b"]),
            (
                "#[cfg(all(test, unix))] pub(crate) fn f() { crate::a::x() } fn g() { crate::b::x() }",
                &["crate::b::x"],
            ),
            ("#[cfg(any(test, unix))] use crate::a::x;", &["crate::a::x"]),
            ("#[cfg(not(test))] use crate::a::x;", &["crate::a::x"]),
            (
                "#[tokio::test(start_paused = true)] async fn f() { crate::a::x() } use crate::b::x;",
                &["crate::b::x"],
            ),
            ("#[test] fn f() { crate::a::x() } use crate::b::x;", &["crate::b::x"]),
            ("struct S { #[cfg(test)] field: crate::a::T, other: crate::b::T }", &["crate::b::T"]),
            ("#![cfg(test)] use crate::a::x;", &[]),
            ("#[cfg(all(loom, test))] mod loom { use crate::a; }", &[]),
            ("#[cfg(test)] const fn f() { crate::a::x() } use crate::b::x;", &["crate::b::x"]),
            ("#[cfg(test)] const A: B = B { c: crate::a::X }; use crate::b::x;", &["crate::b::x"]),
        ] {
            check_product_paths(text, expected);
        }
    }

    #[test]
    fn modules_are_listed_in_order_with_their_form() {
        let file = read("mod a;\npub mod b { mod c; }\n#[cfg(test)]\nmod tests {}");
        let listed: Vec<_> =
            file.modules.iter().map(|one| (one.name.as_str(), one.form, one.place)).collect();
        assert_eq!(
            listed,
            [
                ("a", Form::Own, Place::Product),
                ("b", Form::Inline, Place::Product),
                ("c", Form::Own, Place::Product),
                ("tests", Form::Inline, Place::Test)
            ]
        );
        assert_eq!(file.modules[2].within, ["b"]);
        assert_eq!(file.modules[3].line, 4);
    }

    #[test]
    fn macros_calls_and_attributes_are_named() {
        let file = read("#[ignore = \"why\"] fn f() { todo!(); sleep(x); y.sleep(z); }");
        assert_eq!(file.attributes[0].name, "ignore");
        assert_eq!(file.macros[0].name, "todo");
        let calls: Vec<_> = file.mentions.iter().filter(|one| one.kind == MentionKind::Call).collect();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].segments, ["sleep"]);
    }

    #[test]
    fn what_is_no_rust_says_so() {
        assert!(File::read("fn f() {", Place::Product).is_err());
    }
}
