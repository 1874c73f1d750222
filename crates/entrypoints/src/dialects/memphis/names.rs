//! Names of stations.
use tidegate_core::error::{Code, Error, Result};

/// Bytes of a name.
const LONGEST: usize = 128;

/// The stream of that station, or why there can be none. The name is taken as it stands in the path: nothing is decoded.
pub(super) fn station(raw: &str) -> Result<String> {
    let refused = |why: &'static str| Err(Error::client(Code::BadStation, why));
    if raw.is_empty() {
        return refused("Station name can not be empty");
    }
    if raw.len() > LONGEST {
        return refused("Station should be under 128 characters");
    }
    if !raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte)) {
        return refused("Only alphanumeric and the '_', '-', '.' characters are allowed in Station");
    }
    if raw.bytes().next().is_some_and(is_mark) || raw.bytes().last().is_some_and(is_mark) {
        return refused("Station name can not start or end with non alphanumeric character");
    }
    Ok(raw.to_ascii_lowercase())
}
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_and_of_few_characters() {
        assert_eq!(station("ST1").unwrap(), "st1");
        assert_eq!(station("a.b.c").unwrap(), "a.b.c");
        assert_eq!(station(&"x".repeat(128)).unwrap().len(), 128);
        let charset = "Only alphanumeric and the '_', '-', '.' characters are allowed in Station";
        let ends = "Station name can not start or end with non alphanumeric character";
        for (name, why) in [
            ("", "Station name can not be empty"),
            (&*"x".repeat(129), "Station should be under 128 characters"),
            ("my%20st", charset),
            ("a$b", charset),
            ("ä", charset),
            (".a", ends),
            ("a-", ends),
            ("_", ends),
        ] {
            let error = station(name).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (Code::BadStation, why), "{name}");
        }
    }
}
