//! A page as Gravitee's message APIs write it: `content` for the payload, the cursor under `pagination`.
use super::items::{Page, gap, name, names, payload, string};

/// `limit` is echoed as text, and no line end closes the document, as there.
pub(super) fn write(page: &Page<'_>, limit: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"items\":[");
    for (i, item) in page.items.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
        let own = item.message.id.as_deref().map(|id| String::from_utf8_lossy(id).into_owned());
        if let Some(id) = own.or_else(|| item.position.map(|position| position.to_string())) {
            name("id", out);
            string(&id, out);
        }
        payload("content", &item.message.payload, out);
        if page.parts.headers {
            names("headers", &item.message.headers, out);
        }
        if page.parts.metadata {
            names("metadata", &item.metadata, out);
        }
        out.push(b'}');
    }
    out.push(b']');
    // That product has no word for it; silence would be a loss nobody is told of.
    if let Some(told) = page.gap {
        name("gap", out);
        gap(told, out);
    }
    // Also without items: who pages on reads the cursor without asking whether it is there. Empty is the beginning.
    let next = page.next.map(ToString::to_string).or(page.items.is_empty().then(String::new));
    if let Some(next) = next {
        out.extend_from_slice(format!(",\"pagination\":{{\"nextCursor\":\"{next}\",\"limit\":\"{limit}\"}}").as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_items_says_where_to_go_on() {
        let page = |next| Page {
            items: &[],
            gap: None,
            next,
            parts: super::super::items::Parts::default(),
        };
        let text = |next| {
            let mut out = Vec::new();
            write(&page(next), 5, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(None), r#"{"items":[],"pagination":{"nextCursor":"","limit":"5"}}"#);
        let next = "1.7".parse().unwrap();
        assert_eq!(text(Some(&next)), r#"{"items":[],"pagination":{"nextCursor":"1.7","limit":"5"}}"#);
    }
}
