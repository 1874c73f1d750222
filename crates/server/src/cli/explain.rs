//! `tidegate explain TG1001`: the page of an error code.
use super::{OK, say, tell};
use rust_embed::RustEmbed;

const USAGE: u8 = 2;
/// What the `type` of a problem begins with.
const URN: &str = "URN:TIDEGATE:ERROR:";
/// Codes that are named in the place of one that is not there.
const NEAR: usize = 3;

#[derive(RustEmbed)]
#[folder = "../../docs/errors"]
struct Pages;

pub(super) fn explain(code: &str) -> u8 {
    let wanted = code.trim().to_ascii_uppercase();
    let wanted = wanted.strip_prefix(URN).unwrap_or(&wanted);
    let digits = wanted.strip_prefix("TG").unwrap_or(wanted);
    if let Some(page) = Pages::get(&format!("TG{digits}.md")) {
        say(&String::from_utf8_lossy(&page.data));
        return OK;
    }
    let known = Pages::iter().map(|name| name.trim_end_matches(".md").to_owned()).collect();
    let near = nearest(digits, known);
    let hint = if near.is_empty() {
        "a code is `TG` and four digits, like TG1001".to_owned()
    } else {
        format!("the nearest are {}", near.join(", "))
    };
    tell(&format!(
        "error[TG5020]: there is no error code `{}`\nhint: {hint}\n",
        code.escape_debug()
    ));
    USAGE
}
/// Those with the most digits at their places, and of them the next ones. What is no number has none.
fn nearest(digits: &str, mut known: Vec<String>) -> Vec<String> {
    let four = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = digits.parse::<u32>().ok().filter(|_| four) else {
        return Vec::new();
    };
    known.sort_by_cached_key(|code| {
        let own = code.trim_start_matches("TG");
        let other = own.chars().zip(digits.chars()).filter(|(a, b)| a != b).count();
        (other, own.parse().unwrap_or(u32::MAX).abs_diff(number), code.clone())
    });
    known.truncate(NEAR);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_differs_least() {
        let known = || {
            ["TG1001", "TG1002", "TG1003", "TG5001", "TG5012", "TG5020"]
                .map(str::to_owned)
                .to_vec()
        };
        assert_eq!(nearest("1004", known()), ["TG1003", "TG1002", "TG1001"]);
        assert_eq!(nearest("5013", known()), ["TG5012", "TG5020", "TG5001"]);
        for bad in ["", "0", "x", "+100", "10010"] {
            assert!(nearest(bad, known()).is_empty(), "{bad}");
        }
    }
}
