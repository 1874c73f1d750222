//! `tidegate explain TG1001`: the page of an error code.
use super::{OK, say, tell};
use rust_embed::RustEmbed;

const USAGE: u8 = 2;

#[derive(RustEmbed)]
#[folder = "../../docs/errors"]
struct Pages;

pub(super) fn explain(code: &str) -> u8 {
    let wanted = code.to_ascii_uppercase();
    let digits = wanted.strip_prefix("TG").unwrap_or(&wanted);
    if let Some(page) = Pages::get(&format!("TG{digits}.md")) {
        say(&String::from_utf8_lossy(&page.data));
        return OK;
    }
    let mut known: Vec<_> = Pages::iter().map(|name| name.trim_end_matches(".md").to_owned()).collect();
    known.sort();
    tell(&format!(
        "error[TG5020]: there is no error code `{code}`\nhint: {}\n",
        known.join(" ")
    ));
    USAGE
}
