//! Where in a TOML text something stands: the line, and the key by which people find it.

/// The line of a byte offset, counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The key that a byte offset belongs to: that of its line, below the table above it.
pub(super) fn key_at(text: &str, offset: usize) -> Option<String> {
    let end = text[offset.min(text.len())..].find('\n').map_or(text.len(), |more| offset + more);
    let mut table = "";
    let mut key = None;
    for line in text[..end].lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            (table, key) = (header.trim_matches('['), None);
        } else if let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            key = Some(name.trim());
        }
    }
    match (table, key) {
        ("", key) => key.map(str::to_owned),
        (table, None) => Some(table.to_owned()),
        (table, Some(key)) => Some(format!("{table}.{key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{key_at, line_at};

    #[track_caller]
    fn check(text: &str, mark: &str, line: usize, key: Option<&str>) {
        let offset = text.find(mark).unwrap();
        assert_eq!((line_at(text, offset), key_at(text, offset).as_deref()), (line, key));
    }

    #[test]
    fn finds_keys_below_their_tables() {
        let text = "license = 1\n\n[inputs.x.from]\n# a = b\nkind = \"image\"\nmean = [\n 1, 2 ]\n";
        check(text, "1", 1, Some("license"));
        check(text, "[inputs", 3, Some("inputs.x.from"));
        check(text, "\"image", 5, Some("inputs.x.from.kind"));
        check(text, "2 ]", 7, Some("inputs.x.from.mean"));
    }
}
