//! Counts the words of a text and prints the most frequent ones.

use std::collections::HashMap;
use std::io::{self, Read};

/// How many words are printed.
const TOP: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    word: String,
    count: usize,
}

/// Splits a text at everything that is neither a letter nor a digit.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The words by how often they occur; equal counts in the order of the alphabet.
fn count(text: &str) -> Vec<Entry> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in words(text) {
        *counts.entry(word).or_default() += 1;
    }
    let mut entries: Vec<Entry> = counts
        .into_iter()
        .map(|(word, count)| Entry { word, count })
        .collect();
    entries.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
    entries
}

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    for Entry { word, count } in count(&text).iter().take(TOP) {
        println!("{count:>6} {word}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_come_first() {
        let entries = count("the cat and the dog");
        assert_eq!(entries[0].word, "the");
        assert_eq!(entries[0].count, 2);
        assert_eq!(entries.len(), 4);
    }
}
