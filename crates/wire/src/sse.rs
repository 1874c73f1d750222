//! Server-sent events (HTML Living Standard, section 9.2): one event per message, whatever is in its payload.
use bytes::{BufMut, BytesMut};

/// Appends one event. `data` may have several lines, ended by LF, CR LF or CR as the standard counts them; the client joins them with LF.
/// `id` and `event` must not contain CR, LF or NUL: such a field is left out rather than let it forge another (CWE-93).
pub fn event(id: Option<&str>, event: Option<&str>, data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + id.map_or(0, str::len) + 32);
    for (name, value) in [("id: ", id), ("event: ", event)] {
        if let Some(value) = value.filter(|value| !value.contains(['\r', '\n', '\0'])) {
            out.put_slice(name.as_bytes());
            out.put_slice(value.as_bytes());
            out.put_u8(b'\n');
        }
    }
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest);
        let (line, tail) = rest.split_at(end.unwrap_or(rest.len()));
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
        match tail {
            [] => break,
            [b'\r', b'\n', more @ ..] | [_, more @ ..] => rest = more,
        }
    }
    out.put_u8(b'\n');
}
/// A line the client does not see: it keeps proxies from closing an idle stream.
pub fn comment(out: &mut BytesMut) {
    out.put_slice(b":\n\n");
}
/// What comes before all events: how long the client waits before it connects again, in milliseconds, and the id it then comes back with if
/// no event brought another. `id` must not contain CR, LF or NUL.
pub fn greeting(retry: u64, id: Option<&str>, out: &mut BytesMut) {
    out.put_slice(format!("retry: {retry}\n").as_bytes());
    if let Some(id) = id.filter(|id| !id.contains(['\r', '\n', '\0'])) {
        out.put_slice(format!("id: {id}\n").as_bytes());
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: Option<&str>, name: Option<&str>, data: &[u8]) -> String {
        let mut out = BytesMut::new();
        event(id, name, data, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn each_line_is_a_data_line() {
        assert_eq!(
            written(Some("7"), None, b"a\nb\r\nc\rd"),
            "id: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(written(None, Some("gap"), b""), "event: gap\ndata: \n\n");
        assert_eq!(written(None, None, b"end\n"), "data: end\ndata: \n\n");
    }
    #[test]
    fn a_payload_cannot_forge_an_event() {
        let forged = written(None, None, b"x\n\nid: 9\nevent: goaway\n");
        assert!(
            forged
                .lines()
                .filter(|line| !line.is_empty())
                .all(|line| line.starts_with("data: "))
        );
        assert_eq!(forged.matches("\n\n").count(), 1);
    }
    #[test]
    fn an_id_cannot_forge_an_event() {
        assert_eq!(written(Some("1\ndata: x"), None, b"y"), "data: y\n\n");
    }
}
