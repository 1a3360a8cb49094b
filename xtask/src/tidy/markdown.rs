//! Reads one Markdown file: its links, the code between backticks, and the anchors that its headings make.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) links: Vec<Spot>,
    /// Code between backticks in running text; no code blocks.
    pub(crate) codes: Vec<Spot>,
    pub(crate) items: Vec<Item>,
    pub(crate) anchors: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// An item of a list, with the code that it begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The headings that it stands under, outermost first.
    pub(crate) headings: Vec<String>,
    /// The codes at its beginning: `a`, `b` and `c` in "`a`, `b` and `c`: what for".
    pub(crate) codes: Vec<Spot>,
}

impl Document {
    pub(crate) fn read(text: &str) -> Self {
        let mut document = Document::default();
        let mut headings: Vec<(usize, String)> = Vec::new();
        let mut heading = None;
        let mut open_item: Option<Item> = None;
        let mut taken = BTreeMap::new();
        let line_starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line_of = |at: usize| line_starts.partition_point(|start| *start <= at);
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let line = line_of(range.start);
            match event {
                Event::Start(Tag::Link { link_type, dest_url, .. })
                    if !matches!(link_type, LinkType::Autolink | LinkType::Email) =>
                {
                    document.links.push(Spot { text: dest_url.into_string(), line });
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    document.links.push(Spot { text: dest_url.into_string(), line });
                }
                Event::Start(Tag::Heading { level, .. }) => heading = Some((level as usize, String::new())),
                Event::End(TagEnd::Heading(_)) => {
                    if let Some((level, title)) = heading.take() {
                        document.anchors.insert(anchor(&title, &mut taken));
                        headings.retain(|(above, _)| *above < level);
                        headings.push((level, title));
                    }
                }
                Event::Start(Tag::Item) => {
                    let headings = headings.iter().map(|(_, title)| title.clone()).collect();
                    open_item = Some(Item { headings, codes: Vec::new() });
                }
                Event::End(TagEnd::Item) => document.items.extend(open_item.take()),
                Event::Code(code) => {
                    if let Some((_, title)) = &mut heading {
                        title.push_str(&code);
                    }
                    let spot = Spot { text: code.into_string(), line };
                    if let Some(item) = &mut open_item {
                        item.codes.push(spot.clone());
                    }
                    document.codes.push(spot);
                }
                Event::Text(words) => {
                    if let Some((_, title)) = &mut heading {
                        title.push_str(&words);
                    }
                    // Other words end an item's beginning.
                    if !matches!(words.trim(), "" | "," | "and" | ", and") {
                        document.items.extend(open_item.take());
                    }
                }
                Event::Html(html) | Event::InlineHtml(html) => document.anchors.extend(html_anchors(&html)),
                _ => {}
            }
        }
        document
    }
}

/// The anchor of a heading, as code hosts make it: lower case, blanks to dashes, punctuation gone, repetitions counted.
fn anchor(title: &str, taken: &mut BTreeMap<String, usize>) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let slug = kept.collect::<String>().to_lowercase().replace(' ', "-");
    let count = taken.entry(slug.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
}

/// `<a id="x">` and `<a name="x">`.
fn html_anchors(html: &str) -> impl Iterator<Item = String> {
    let parts = html.split([' ', '<', '>']);
    parts.filter_map(|part| {
        let value = part.strip_prefix("id=").or_else(|| part.strip_prefix("name="))?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_codes_and_anchors_are_read() {
        let document = Document::read(
            "# A `b` heading!\n\nSee [x](y.md#z) and `code`.\n\n```\n[no](link) `here`\n```\n\n## Same\n\n## Same\n\n\
             ![p](q.png) <https://a.b> <a id=\"own\"></a> [r][ref]\n\n[ref]: other.md\n",
        );
        let links: Vec<_> = document.links.iter().map(|link| (link.text.as_str(), link.line)).collect();
        assert_eq!(links, [("y.md#z", 3), ("q.png", 13), ("other.md", 13)]);
        assert_eq!(document.codes.iter().map(|code| code.text.as_str()).collect::<Vec<_>>(), ["b", "code"]);
        let anchors: Vec<_> = document.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["a-b-heading", "own", "same", "same-1"]);
    }

    #[test]
    fn items_know_their_headings_and_first_codes() {
        let document = Document::read(
            "# Top\n\n## Old\n\n- `x`\n\n## Dependencies\n\n### Product\n\n- `a`, `b` and `c`: for `d`\n- no\n",
        );
        let item = |headings: &[&str], codes: &[&str]| {
            let found = document.items.iter().find(|item| item.headings == headings);
            let found: Vec<_> = found.unwrap().codes.iter().map(|code| code.text.clone()).collect();
            assert_eq!(found, codes);
        };
        item(&["Top", "Old"], &["x"]);
        item(&["Top", "Dependencies", "Product"], &["a", "b", "c"]);
        assert_eq!(document.items.len(), 3);
    }
}
