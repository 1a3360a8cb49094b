//! Protobuf's text format: `name: value`, `name { ... }`, `name: [ ... ]`, with the line of everything.

use std::rc::Rc;

/// The largest file that is read, in bytes.
pub(super) const BYTES_MAX: usize = 256 << 10;

/// How deep messages may lie in each other; those of a model's configuration do so 6 deep.
const DEPTH_MAX: usize = 16;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    /// The field with those around it; `None` where none could be read.
    pub(super) key: Option<String>,
    pub(super) message: String,
}

/// Fields in the order in which they are written.
pub(super) type Message = Vec<Field>;

/// One value of one field; a list is as many fields of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    /// The names of the messages around it.
    around: Rc<str>,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a field may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Message(Message),
    Text(String),
    /// As it is written: what it may be depends on the field.
    Number(String),
    /// `true`, or one of the values of an enumeration.
    Word(String),
}

impl Field {
    /// The name with those of the messages around it.
    pub(super) fn key(&self) -> String {
        match &*self.around {
            "" => self.name.clone(),
            around => format!("{around}.{}", self.name),
        }
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, key: Some(self.key()), message: message.into() }
    }
}

/// Reads a text. Nothing is known of the fields yet.
pub(super) fn parse(text: &str) -> Result<Message, Fault> {
    if text.len() > BYTES_MAX {
        let message = format!("is {} bytes long; {BYTES_MAX} are read at most", text.len());
        return Err(Fault { line: 1, key: None, message });
    }
    let mut reader = Reader { rest: text, line: 1 };
    let fields = reader.fields(&"".into(), 0)?;
    match reader.peek() {
        None => Ok(fields),
        Some(other) => Err(reader.fault(format!("`{}` closes nothing", other.escape_debug()))),
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, key: None, message: message.into() }
    }

    /// The next character that is neither space nor comment.
    fn peek(&mut self) -> Option<char> {
        loop {
            let next = self.rest.chars().next()?;
            if next == '#' {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
            } else if next.is_ascii_whitespace() {
                self.bump();
            } else {
                return Some(next);
            }
        }
    }

    /// Takes the next character, whatever it is.
    fn bump(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.bump();
        }
        is_next
    }

    /// Takes what belongs together.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn expected(&mut self, what: &str) -> Fault {
        match self.peek() {
            None => self.fault(format!("ends where {what} is expected")),
            Some(other) => self.fault(format!("`{}` where {what} is expected", other.escape_debug())),
        }
    }

    /// The fields of a message up to what closes it.
    fn fields(&mut self, around: &Rc<str>, depth: usize) -> Result<Message, Fault> {
        let mut fields = Vec::new();
        while let Some(next) = self.peek() {
            if matches!(next, '}' | '>') {
                break;
            }
            if !(next.is_ascii_alphabetic() || next == '_') {
                return Err(self.expected("the name of a field"));
            }
            self.field(around, depth, &mut fields)?;
            let _ = self.take_if(',') || self.take_if(';');
        }
        Ok(fields)
    }

    fn field(&mut self, around: &Rc<str>, depth: usize, fields: &mut Message) -> Result<(), Fault> {
        let line = self.line;
        let name = self.take_while(is_word);
        let mut add = |line, value| {
            fields.push(Field { name: name.clone(), around: Rc::clone(around), line, value });
        };
        let has_colon = self.take_if(':');
        if !has_colon && !matches!(self.peek(), Some('{' | '<' | '[')) {
            return Err(self.expected(&format!("`:` or `{{` after `{name}`")));
        }
        let within = || -> Rc<str> {
            match &**around {
                "" => name.as_str().into(),
                around => format!("{around}.{name}").into(),
            }
        };
        if !self.take_if('[') {
            let value = self.value(within, depth)?;
            add(line, value);
            return Ok(());
        }
        while !self.take_if(']') {
            self.peek();
            let line = self.line;
            let value = self.value(within, depth)?;
            add(line, value);
            if !self.take_if(',') && self.peek() != Some(']') {
                return Err(self.expected("`,` or `]`"));
            }
        }
        Ok(())
    }

    fn value(&mut self, within: impl Fn() -> Rc<str>, depth: usize) -> Result<Value, Fault> {
        match self.peek() {
            Some(open @ ('{' | '<')) => {
                if depth == DEPTH_MAX {
                    return Err(self.fault(format!("messages lie more than {DEPTH_MAX} deep in each other")));
                }
                self.bump();
                let fields = self.fields(&within(), depth + 1)?;
                let close = if open == '{' { '}' } else { '>' };
                if !self.take_if(close) {
                    return Err(self.expected(&format!("`{close}`")));
                }
                Ok(Value::Message(fields))
            }
            Some('"' | '\'') => self.text().map(Value::Text),
            Some('-') => {
                self.bump();
                self.peek();
                let number = self.take_while(is_number);
                if number.is_empty() {
                    return Err(self.expected("a number"));
                }
                Ok(Value::Number(format!("-{number}")))
            }
            Some(next) if next.is_ascii_digit() || next == '.' => {
                Ok(Value::Number(self.take_while(is_number)))
            }
            Some(next) if is_word(next) => Ok(Value::Word(self.take_while(is_word))),
            _ => Err(self.expected("a value")),
        }
    }

    /// A text in quotation marks, or several that are one.
    fn text(&mut self) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        let line = self.line;
        while let Some(quote @ ('"' | '\'')) = self.peek() {
            self.bump();
            loop {
                match self.bump() {
                    Some(next) if next == quote => break,
                    Some('\\') => self.escape(&mut bytes)?,
                    None | Some('\n') => {
                        let message = "a text does not end on its line; close it";
                        return Err(Fault { line, key: None, message: message.into() });
                    }
                    Some(next) => bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        String::from_utf8(bytes).map_err(|_| Fault { line, key: None, message: "a text is not UTF-8".into() })
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let byte = match self.bump() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('v') => 11,
            Some(same @ ('"' | '\'' | '\\' | '?')) => same as u8,
            Some('x' | 'X') => self.digits(16, 1, 2)? as u8,
            Some(wide @ ('u' | 'U')) => {
                let count = if wide == 'u' { 4 } else { 8 };
                let code = self.digits(16, count, count)?;
                let point = char::from_u32(code).ok_or_else(|| self.fault("a text names no character"))?;
                bytes.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            Some(first) if first.is_digit(8) => {
                let mut code = first.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|next| next.to_digit(8)) else {
                        break;
                    };
                    self.bump();
                    code = 8 * code + digit;
                }
                u8::try_from(code).map_err(|_| self.fault("a text names no byte"))?
            }
            _ => return Err(self.fault("a text has a `\\` that means nothing; write `\\\\`")),
        };
        bytes.push(byte);
        Ok(())
    }

    /// A number of so many digits.
    fn digits(&mut self, radix: u32, least: usize, most: usize) -> Result<u32, Fault> {
        let mut code = 0_u32;
        for at in 0..most {
            match self.rest.chars().next().and_then(|next| next.to_digit(radix)) {
                Some(digit) => {
                    self.bump();
                    code = code.wrapping_mul(radix).wrapping_add(digit);
                }
                None if at >= least => break,
                None => return Err(self.fault("a text has a `\\` without its digits")),
            }
        }
        Ok(code)
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What a number may be made of: `-7`, `0x1f`, `1.5e-3f`.
fn is_number(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')
}
