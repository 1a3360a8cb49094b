//! ONNX files of any weight, written on the fly: products with matrices that fill as many bytes as are wanted.

/// How many numbers a request to such a model has.
pub(super) const INPUTS: usize = 64;

/// A model of about so many bytes: `y = x W V` for `x` of `1 x 64`. For ones it gives `64 * weight`.
pub(super) fn product(file_bytes: usize, weight: f32) -> Vec<u8> {
    let columns = file_bytes / size_of::<f32>() / INPUTS;
    let graph = [
        bytes(1, &multiply("x", "w", "h")),
        bytes(1, &multiply("h", "v", "y")),
        bytes(2, b"weights"),
        bytes(5, &matrix("w", INPUTS, columns, weight)),
        bytes(5, &matrix("v", columns, 1, 1.0 / columns as f32)),
        bytes(11, &value("x", INPUTS)),
        bytes(12, &value("y", 1)),
    ]
    .concat();
    let opset = number(2, 17);
    [number(1, 8), bytes(7, &graph), bytes(8, &opset)].concat()
}

/// A model that multiplies a row of 256 numbers with the same matrix so many times over: its cost is in its operators, not in
/// its size.
pub(super) fn deep(operators: usize) -> Vec<u8> {
    let name = |step: usize| match step {
        0 => "x".to_owned(),
        step if step == operators => "y".to_owned(),
        step => format!("h{step}"),
    };
    let mut graph = Vec::new();
    for step in 0..operators {
        graph.extend(bytes(1, &multiply(&name(step), "w", &name(step + 1))));
    }
    graph.extend(bytes(2, b"deep"));
    graph.extend(bytes(5, &matrix("w", WIDTH, WIDTH, 1.0 / WIDTH as f32)));
    graph.extend(bytes(11, &rows("x", WIDTH)));
    graph.extend(bytes(12, &rows("y", WIDTH)));
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat()
}

/// The numbers of a row of such a model.
const WIDTH: usize = 256;

/// ONNX's number for 32-bit floats.
const FLOAT: u64 = 1;

fn multiply(left: &str, right: &str, product: &str) -> Vec<u8> {
    [bytes(1, left.as_bytes()), bytes(1, right.as_bytes()), bytes(2, product.as_bytes()), bytes(4, b"MatMul")]
        .concat()
}

/// A constant of so many rows and columns, the same number everywhere.
fn matrix(name: &str, rows: usize, columns: usize, element: f32) -> Vec<u8> {
    let raw: Vec<u8> = std::iter::repeat_n(element.to_le_bytes(), rows * columns).flatten().collect();
    [
        number(1, rows as u64),
        number(1, columns as u64),
        number(2, FLOAT),
        bytes(8, name.as_bytes()),
        bytes(9, &raw),
    ]
    .concat()
}

/// An input or output of one row and so many columns.
fn value(name: &str, columns: usize) -> Vec<u8> {
    let dims = [1, columns as u64].map(|size| bytes(1, &number(1, size))).concat();
    let tensor = [number(1, FLOAT), bytes(2, &dims)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// An input or output of any number of rows and so many columns.
fn rows(name: &str, columns: usize) -> Vec<u8> {
    let dims = [bytes(1, &bytes(2, b"batch")), bytes(1, &number(1, columns as u64))].concat();
    let tensor = [number(1, FLOAT), bytes(2, &dims)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A field of protobuf that is a number.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field of protobuf that is bytes, a text or a message.
fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2)[..], &varint(value.len() as u64), value].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
