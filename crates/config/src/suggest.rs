//! "did you mean": the known word that is nearest to what was typed.

/// The nearest of `known`, if it is near enough to be meant. Case, `-` and `_` do not count.
pub fn suggest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third, rounded: two letters in a word of five.
    let most = ((bare(typed).count() + 1) / 3).clamp(1, 3);
    near(typed, known, most)
}
/// The nearest of `known`, if at most so many letters are other ones.
pub(crate) fn near<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    // Nobody mistypes a word this long by so little, and the distance costs length × length.
    if typed.len() > 64 {
        return None;
    }
    let typed = bare(typed).collect::<Vec<_>>();
    known
        .into_iter()
        .map(|word| (bare(word).collect::<Vec<_>>(), word))
        // Each letter more or less is one step: most words are out before anything is compared.
        .filter(|(letters, _)| letters.len().abs_diff(typed.len()) <= most)
        .map(|(letters, word)| (distance(&typed, &letters), word))
        .filter(|(far, _)| *far <= most && *far < typed.len())
        .min()
        .map(|(_, word)| word)
}
fn bare(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase).filter(|c| !"-_".contains(*c))
}
/// Letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["retention", "partitions", "topics", "name", "when_full", "http_get", "body", "head"];
        for (typed, meant) in [
            ("retension", Some("retention")),
            ("retnetion", Some("retention")),
            ("topic", Some("topics")),
            ("nmae", Some("name")),
            ("whenFull", Some("when_full")),
            ("http-get", Some("http_get")),
            ("bodie", Some("body")),
            ("colour", None),
            ("host", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggest(typed, known), meant, "{typed}");
        }
    }
}
