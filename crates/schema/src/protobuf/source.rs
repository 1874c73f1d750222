//! A `.proto` file to the descriptor of one message. What it imports are the types every Protobuf has; nothing is read from the disk.
use crate::Invalid;
use prost_reflect::MessageDescriptor;
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

/// Longer than anybody writes.
const MOST: usize = 1 << 20;
/// Of brackets of any sort.
const DEPTH: usize = 64;

/// The one file there is.
struct Held {
    file: File,
}
impl FileResolver for Held {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == self.file.name() {
            return Ok(self.file.clone());
        }
        Err(protox::Error::file_not_found(name))
    }
}
pub(crate) fn message(name: &str, text: &str, message: &str) -> Result<MessageDescriptor, Invalid> {
    if text.len() > MOST {
        return Err(Invalid::new("", "the file is larger than 1 MiB"));
    }
    if depth(text.as_bytes()) > DEPTH {
        return Err(Invalid::new("", format!("the file nests deeper than {DEPTH} levels")));
    }
    let file = format!("{name}.proto");
    let parsed = File::from_source(&file, text).map_err(|error| of(&error, &file))?;
    let mut resolver = ChainFileResolver::new();
    resolver.add(Held { file: parsed });
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(&file).map_err(|error| {
        let invalid = of(&error, &file);
        if error.is_file_not_found() {
            invalid.hint("a schema is one file: it may import `google/protobuf/…` only")
        } else {
            invalid
        }
    })?;
    let pool = compiler.descriptor_pool();
    let own: Vec<_> = pool
        .all_messages()
        .filter(|one| one.parent_file().name() == file && !one.is_map_entry())
        .collect();
    let named = |one: &&MessageDescriptor| one.full_name() == message;
    let short = |one: &&MessageDescriptor| one.full_name().rsplit('.').next() == Some(message);
    let top: Vec<_> = own.iter().filter(|one| one.parent_message().is_none()).collect();
    let found = match (own.iter().find(named), &top[..]) {
        (Some(one), _) => Some(one),
        (None, [only]) if message.is_empty() => Some(*only),
        _ => {
            let mut short = own.iter().filter(short);
            short.next().filter(|_| short.next().is_none())
        }
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<_> = own.iter().take(20).map(|one| format!("`{}`", one.full_name())).collect();
        let there = format!(
            "the file has {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
        if message.is_empty() {
            let how = "name one with `message:`, or with `--message` on the command line";
            Invalid::new("", "which message it is about is not said").hint(format!("{how}: {there}"))
        } else {
            Invalid::new("", format!("there is no message `{}`", crate::text::cut(message, 100))).hint(there)
        }
    })
}
/// Line and column are in its long form.
fn of(error: &protox::Error, file: &str) -> Invalid {
    let text = format!("{error:?}");
    let text = text.strip_prefix(file).and_then(|rest| rest.strip_prefix(':')).unwrap_or(&text);
    let mut parts = text.splitn(3, ':');
    let (line, column, rest) = (parts.next(), parts.next(), parts.next());
    match (
        line.and_then(|line| line.parse::<u32>().ok()),
        column.and_then(|column| column.parse::<u32>().ok()),
        rest,
    ) {
        (Some(line), Some(column), Some(rest)) => Invalid::new("", format!("line {line}, column {column}: {}", rest.trim())),
        _ => Invalid::new("", text.trim()),
    }
}
/// How deep brackets nest, outside texts and comments. The parser uses the stack for each.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match (byte, text.get(at)) {
            (b'/', Some(b'/')) => {
                at += text
                    .get(at..)
                    .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
                    .unwrap_or(text.len());
            }
            (b'/', Some(b'*')) => {
                at += 1;
                at += text
                    .get(at..)
                    .and_then(|rest| rest.windows(2).position(|pair| pair == b"*/"))
                    .map_or(text.len(), |end| end + 2);
            }
            (quote @ (b'"' | b'\''), _) => {
                while let Some(byte) = text.get(at).filter(|byte| *byte != quote && **byte != b'\n') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            (b'{' | b'[' | b'(' | b'<', _) => {
                now += 1;
                most = most.max(now);
            }
            (b'}' | b']' | b')' | b'>', _) => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}
