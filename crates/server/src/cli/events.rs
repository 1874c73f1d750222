//! Server-sent events (HTML Living Standard, section 9.2.6) as they come in.

/// One event with data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty for a message.
    pub(super) name: String,
    pub(super) data: String,
}
/// What came of a stream and is no whole event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
    event: Event,
    any: bool,
    /// The last one there was.
    pub(super) id: Option<String>,
}
impl Events {
    /// Takes bytes, gives the events that end in them. Lines end as a node writes them, with a line feed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        events
    }
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.any).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if std::mem::replace(&mut self.any, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.id = Some(value.to_owned()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_however_they_are_cut() {
        let text = "retry: 1000\nid: 1.0\n\n:\n\nid: 1.1\ndata: a\ndata: b\n\nevent: gap\ndata: {}\n\ndata\n\ndata: ü";
        for size in 1..text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for bytes in text.as_bytes().chunks(size) {
                found.extend(events.feed(bytes));
            }
            let told: Vec<_> = found.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
            assert_eq!(
                (told, events.id.as_deref()),
                (vec![("", "a\nb"), ("gap", "{}"), ("", "")], Some("1.1"))
            );
        }
    }
}
