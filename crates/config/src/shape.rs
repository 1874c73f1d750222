//! What a key may hold, said once: the checker, the JSON Schema and the reference page all read these tables.
use std::time::Duration;

/// A resource, or a map inside one.
#[derive(Debug)]
pub(crate) struct Table {
    /// How the reference calls it.
    pub(crate) title: &'static str,
    /// One sentence.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
}
impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
/// One key. Built by [`key`] and the methods below, so that a table reads as sentences.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// As a user would write it.
    pub(crate) default: Option<&'static str>,
    /// For the reference, where the default is computed.
    pub(crate) otherwise: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) doc: &'static str,
    pub(crate) example: Option<&'static str>,
}
pub(crate) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        default: None,
        otherwise: None,
        required: false,
        doc,
        example: None,
    }
}
impl Key {
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }
    pub(crate) const fn otherwise(mut self, text: &'static str) -> Self {
        self.otherwise = Some(text);
        self
    }
    pub(crate) const fn example(mut self, text: &'static str) -> Self {
        self.example = Some(text);
        self
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Bool,
    /// A whole number.
    Count {
        min: u64,
        max: u64,
    },
    /// Bytes; `off`: the word `none` lifts the limit.
    Size {
        min: u64,
        max: u64,
        off: bool,
    },
    /// A whole number that `none` lifts.
    CountOrNone {
        min: u64,
        max: u64,
    },
    Time {
        min: Duration,
        max: Duration,
        off: bool,
    },
    Choice {
        now: &'static [&'static str],
        later: &'static [&'static str],
    },
    Text(&'static Text),
    /// Text to text.
    Labels,
    List {
        of: &'static Shape,
        min: usize,
    },
    /// A list may be left out around a single item.
    OneOrMany {
        of: &'static Shape,
        min: usize,
    },
    Record(&'static Table),
    /// A bare text stands for `key` of the table.
    TextOr {
        text: &'static Text,
        key: &'static str,
        table: &'static Table,
    },
    /// Read by its own code; the table is for the reference.
    Own(Option<&'static Table>),
    /// A known word that does nothing yet.
    Later,
    /// Read back by the API and ignored when written.
    Ignored,
}

/// A text with a form of its own.
#[derive(Debug)]
pub(crate) struct Text {
    /// `a name: letters, …`
    pub(crate) expected: &'static str,
    pub(crate) good: fn(&str) -> bool,
    /// The same for the JSON Schema, where it can be said.
    pub(crate) pattern: Option<&'static str>,
}
pub(crate) const ANY: Text = Text {
    expected: "text",
    good: |_| true,
    pattern: None,
};
pub(crate) const NAME: Text = Text {
    expected: "a name: a letter or digit, then letters, digits, `.`, `_`, `-`, at most 255",
    good: |text| tidegate_core::endpoint::GroupName::new(text).is_some(),
    pattern: Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"),
};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const TIB: u64 = 1 << 40;
pub(crate) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
pub(crate) const DAY: Duration = seconds(86_400);
/// Longer than any data is kept; short enough that adding it to a time cannot overflow.
pub(crate) const CENTURY: Duration = seconds(36_500 * 86_400);

/// The keys every kind has.
pub(crate) const KIND_DOC: &str = "What the document declares.";
pub(crate) const NAME_KEY: Key = key("name", Shape::Text(&NAME), "Unique among its kind; case is kept.").required();
pub(crate) const DESCRIPTION: Key = key("description", Shape::Text(&ANY), "For people.");
pub(crate) const LABELS: Key = key("labels", Shape::Labels, "For sorting and finding: names and texts.").example("{ team: sales }");
pub(crate) const META: Key = key("meta", Shape::Ignored, "Written by the API when read back; ignored.");
pub(crate) const STATUS: Key = key("status", Shape::Ignored, "Written by the API when read back; ignored.");

/// `64KiB 1GiB`; a plain number is bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
/// In the largest unit that says it exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, name) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}
/// In the largest unit that says it exactly.
pub(crate) fn show_time(time: Duration) -> String {
    let millis = time.as_millis() as u64;
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= unit && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}
/// `a, b or c` with backticks.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => "nothing".to_owned(),
    }
}
impl Shape {
    /// What would be right, for a message.
    pub(crate) fn expected(&self) -> String {
        let none = |off: &bool| if *off { ", or `none`" } else { "" };
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::CountOrNone { min, max } => format!("a whole number from {min} to {max}, or `none`"),
            Self::Size { min, max, off } => format!(
                "a size from {} to {}, such as `64KiB`{}",
                show_size(*min),
                show_size(*max),
                none(off)
            ),
            Self::Time { min, max, off } => {
                format!(
                    "a duration from {} to {}, such as `5s`{}",
                    show_time(*min),
                    show_time(*max),
                    none(off)
                )
            }
            Self::Choice { now, .. } => one_of(now.iter().copied()),
            Self::Text(text) | Self::TextOr { text, .. } => text.expected.to_owned(),
            Self::Labels => "a map of texts".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::OneOrMany { of, min: 0 } => format!("{}, a list of them, or `[]` for none", of.expected()),
            Self::OneOrMany { of, .. } => format!("{}, or a list of them", of.expected()),
            Self::Record(table) | Self::Own(Some(table)) => {
                let keys = table.keys.iter().filter(|key| !matches!(key.shape, Self::Later | Self::Ignored));
                format!("a map with {}", one_of(keys.map(|key| key.name)))
            }
            Self::Own(None) | Self::Later | Self::Ignored => "a value".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_there_and_back() {
        for (text, bytes) in [
            ("0", 0),
            ("7B", 7),
            ("64KiB", 65_536),
            ("4MiB", 4 << 20),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes), "{text}");
        }
        for bad in ["", "KiB", "4 MiB", "4MB", "4mib", "-1", "1.5GiB", "99999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["250ms", "5s", "2m", "1h", "7d", "0ms"] {
            let time = tidegate_core::clock::parse_duration(text).unwrap();
            assert_eq!(show_time(time), text);
        }
    }
}
