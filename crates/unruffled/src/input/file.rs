//! From the bytes of any file to numbers, by the settings of the input.

use std::io::{Read, Seek, SeekFrom};

use crate::config::FileInput;

/// The numbers that stand for a file: `begin` for its beginning, then `end` for its end.
pub(super) fn read(file: &mut (impl Read + Seek), settings: &FileInput) -> std::io::Result<Vec<i32>> {
    let size = file.seek(SeekFrom::End(0))?;
    let length = size.min(settings.block as u64);
    let mut part = |from: u64| {
        file.seek(SeekFrom::Start(from))?;
        let mut part = Vec::new();
        // A file may shrink while it is read: what is there counts.
        file.by_ref().take(length).read_to_end(&mut part)?;
        Ok::<_, std::io::Error>(part)
    };
    let (first, last) = (part(0)?, part(size - length)?);
    let (mut first, mut last) = (first.as_slice(), last.as_slice());
    if settings.trim {
        let blanks = first.iter().take_while(|byte| is_blank(**byte)).count();
        first = &first[blanks..];
        let blanks = last.iter().rev().take_while(|byte| is_blank(**byte)).count();
        last = &last[..last.len() - blanks];
    }
    first = &first[..first.len().min(settings.begin)];
    last = &last[last.len().saturating_sub(settings.end)..];
    let padding = |taken: usize, wanted: usize| std::iter::repeat_n(settings.padding, wanted - taken);
    let numbers = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>();
    Ok(numbers(first)
        .into_iter()
        .chain(padding(first.len(), settings.begin))
        .chain(padding(last.len(), settings.end))
        .chain(numbers(last))
        .collect())
}

/// White space as C and Python know it: with the vertical tab, which Rust leaves out.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::read;
    use crate::config::FileInput;

    #[track_caller]
    fn check(bytes: &[u8], trim: bool, expected: &[i32]) {
        let settings = FileInput { begin: 3, end: 3, block: 6, trim, padding: -1 };
        assert_eq!(read(&mut Cursor::new(bytes), &settings).unwrap(), expected);
    }

    #[test]
    fn both_ends_are_taken_and_filled_up() {
        check(&[1, 2, 3, 4, 5, 6, 7, 8], false, &[1, 2, 3, 6, 7, 8]);
        check(&[1, 2], false, &[1, 2, -1, -1, 1, 2]);
        check(&[], false, &[-1; 6]);
    }

    #[test]
    fn white_space_outside_is_dropped_within_the_block() {
        check(b" \x0b\x0c\ta.b\r\n", true, &[97, 46, -1, 97, 46, 98]);
        check(b"        a", true, &[-1, -1, -1, 32, 32, 97]);
        check(b" \n ", true, &[-1; 6]);
    }
}
