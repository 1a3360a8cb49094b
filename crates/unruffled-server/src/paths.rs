//! Takes the paths of this machine out of texts that go to clients.

use std::borrow::Cow;

/// Characters around a path in a text.
const AROUND: &str = "\"'`()[]{}<>,;=";

/// Those of them that stand on both sides.
const QUOTES: &str = "\"'`";

/// The text with nothing but the last step of each absolute path: what a model or the system says may name files, and
/// where these lie is nobody's business. Paths of the protocol are left as they are.
pub(crate) fn without_folders(text: &str) -> Cow<'_, str> {
    if !text.contains(['/', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find(|c: char| c.is_whitespace() || AROUND.contains(c)) {
        shown.push_str(last_step(&rest[..end]));
        let separator = rest[end..].chars().next().map_or(0, char::len_utf8);
        let (before, after) = (&rest[end..end + separator], &rest[end + separator..]);
        shown.push_str(before);
        rest = after;
        // What is quoted is one path, blanks and all.
        if QUOTES.contains(before)
            && let Some((quoted, _)) = rest.split_once(before)
            && !quoted.contains('\n')
            && last_step(quoted) != quoted
        {
            shown.push_str(last_step(quoted));
            rest = &rest[quoted.len()..];
        }
    }
    shown.push_str(last_step(rest));
    Cow::Owned(shown)
}

/// The last step of a word that is an absolute path of several; any other word as it is.
fn last_step(word: &str) -> &str {
    let path = word.strip_prefix("file://").unwrap_or(word);
    let drive = path.as_bytes();
    let on_drive =
        drive.len() > 2 && drive[0].is_ascii_alphabetic() && drive[1] == b':' && is_slash(drive[2]);
    let is_absolute = on_drive || path.starts_with(['/', '\\', '~']);
    let is_protocol = path.starts_with("/v2") || path.starts_with("/v1");
    if !is_absolute || is_protocol || path.bytes().filter(|byte| is_slash(*byte)).count() < 2 {
        return word;
    }
    let last = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next();
    last.filter(|step| !step.is_empty()).unwrap_or(word)
}

fn is_slash(byte: u8) -> bool {
    byte == b'/' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::without_folders;

    #[test]
    fn only_the_last_step_is_told() {
        for (text, expected) in [
            ("`/srv/models/m/1/model.onnx`: no such file", "`model.onnx`: no such file"),
            ("File \"/home/me/model.py\", line 3", "File \"model.py\", line 3"),
            ("cannot open /srv/models/m/ (denied)", "cannot open m (denied)"),
            (r"at C:\models\m\model.onnx:7", "at model.onnx:7"),
            ("`/srv/my models/m.onnx` or \"/a b/c d\"", "`m.onnx` or \"c d\""),
            ("the model's file /srv/a/b isn't there", "the model's file b isn't there"),
            ("in ~/models/m and file:///srv/a/b", "in m and b"),
            (r"\\host\share\model.onnx", "model.onnx"),
        ] {
            assert_eq!(without_folders(text), expected, "{text}");
        }
    }

    #[test]
    fn all_else_stays() {
        for text in [
            "there is nothing at `/v3`; ask `/v2/models/m/infer`",
            "1/2 of [batch, 2] and/or none, 3 requests/s",
            "see https://example.org/a/b/c",
            "`model.onnx` is not sound\n\tnor is `sub/model.onnx`",
            "üñï / \\ //",
            "",
        ] {
            assert_eq!(without_folders(text), text);
        }
    }
}
