//! Reads files and the environment; the only place that touches either.
use crate::{
    Checked, Documents, Report,
    check::{self, Declares},
    ledger::{At, Fault, Ledger, Path as Keys},
    listener, overrides, schema,
    substitute::{Outside, substitute},
    tree::{self, Data, Value},
};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tidegate_core::{check::Kind, error::Code};

/// Where declarations come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files, or folders with `*.yaml`, `*.yml`, `*.json` in them. A document without `kind` is the node's settings: at most one.
    Files(Vec<PathBuf>),
    /// Name and text of each. Nothing is read from the disk.
    Texts(Vec<(String, String)>),
}
/// How strict it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For trying out: plans may be left out.
    Dev,
    /// The same on all interfaces: whoever says no address gets a public one, and that it has no TLS is meant.
    Exposed,
    /// For production.
    Run,
}

/// Reads what there is, without checking it. `environment` is only asked for `${env:NAME}` and `TIDEGATE__A__B`;
/// `overrides` are flags: a path such as `limits.body` and its value, stronger than the environment, which is stronger than files.
pub fn read(source: Source, environment: impl IntoIterator<Item = (String, String)>, overrides: &[(String, String)]) -> Documents {
    let mut loader = Loader::new(environment, matches!(source, Source::Files(_)));
    match source {
        Source::Files(paths) => paths.iter().for_each(|path| loader.path(path, None)),
        Source::Texts(texts) => texts.iter().for_each(|(name, text)| loader.text(name, text, None)),
    }
    loader.settings(overrides);
    let (documents, ledger, touched) = loader.close();
    Documents::new(ledger, documents, touched)
}
/// [`read`] with the environment of this process.
pub fn read_from_process(source: Source, overrides: &[(String, String)]) -> Documents {
    read(source, variables(), overrides)
}
/// A variable that is not UTF-8 cannot be named in a file either.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
/// [`read`], then checked: all errors at once. `kinds` are the endpoint types there are.
pub fn load(
    source: Source,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
    mode: Mode,
    kinds: &[Kind],
) -> Result<Checked, Report> {
    read(source, environment, overrides).check(mode, kinds)
}
/// [`load`] with the environment of this process.
pub fn load_from_process(source: Source, overrides: &[(String, String)], mode: Mode, kinds: &[Kind]) -> Result<Checked, Report> {
    read_from_process(source, overrides).check(mode, kinds)
}

pub(crate) struct Loader {
    ledger: Ledger,
    variables: HashMap<String, String>,
    documents: Vec<Document>,
    /// A file that is named twice is read once.
    seen: HashSet<PathBuf>,
    /// Every file and folder that was looked at, whether or not it was there.
    touched: RefCell<BTreeSet<PathBuf>>,
    disk: bool,
}
struct Document {
    value: Value,
    /// What paths in it are relative to.
    folder: Option<PathBuf>,
}
impl Loader {
    /// `disk`: files may be read.
    pub(crate) fn new(environment: impl IntoIterator<Item = (String, String)>, disk: bool) -> Self {
        Self {
            ledger: Ledger::default(),
            variables: environment.into_iter().collect(),
            documents: Vec::new(),
            seen: HashSet::new(),
            touched: RefCell::default(),
            disk,
        }
    }
    /// What was read, what was wrong with it, and where it was looked for.
    pub(crate) fn close(self) -> (Vec<Value>, Ledger, BTreeSet<PathBuf>) {
        let documents = self.documents.into_iter().map(|document| document.value);
        (documents.collect(), self.ledger, self.touched.into_inner())
    }
    /// A file or folder; `by` names it, if a file does.
    pub(crate) fn path(&mut self, path: &Path, by: Option<(At, &Keys)>) {
        self.touched.get_mut().insert(path.to_owned());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => match files(path) {
                Ok(files) => files.iter().for_each(|file| self.file(file, by)),
                Err(error) => self.unreadable(path, &error.to_string(), by),
            },
            Ok(_) => self.file(path, by),
            Err(error) => self.unreadable(path, &why(&error), by),
        }
    }
    fn file(&mut self, path: &Path, by: Option<(At, &Keys)>) {
        if !self.seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
            return;
        }
        self.touched.get_mut().insert(path.to_owned());
        let name = path.display().to_string();
        match bytes(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => self.text(&name, &text, path.parent()),
                Err(error) => self.not_text(&name, error.utf8_error().valid_up_to(), error.as_bytes()),
            },
            Err(error) => self.unreadable(path, &why(&error), by),
        }
    }
    pub(crate) fn text(&mut self, name: &str, text: &str, folder: Option<&Path>) {
        let file = self.ledger.sources.add(name.into(), Arc::from(text));
        for mut value in tree::parse(text, file, &mut self.ledger) {
            let label = check::label(&value);
            let (disk, touched) = (self.disk, &self.touched);
            let outside = Outside {
                variables: &self.variables,
                file: &|path| match folder {
                    Some(folder) if disk => {
                        let path = folder.join(path);
                        touched.borrow_mut().insert(path.clone());
                        secret_file(&path)
                    }
                    _ => Err("a text in memory has no files".to_owned()),
                },
            };
            let named = self.disk.then_some(outside.file);
            schema::prepare(&mut value, named, &label, &mut self.ledger);
            substitute(&mut value, &label, &outside, &mut self.ledger);
            let folder = folder.map(Path::to_owned);
            self.documents.push(Document { value, folder });
        }
    }
    fn unreadable(&mut self, path: &Path, why: &str, by: Option<(At, &Keys)>) {
        let message = format!("`{}` cannot be read: {why}", path.display());
        let fault = if let Some((at, keys)) = by {
            Fault::new(Code::Unreadable, at, keys, message).hint("a path is relative to the folder of this file")
        } else {
            let file = self.ledger.sources.add(path.display().to_string().into(), Arc::from(""));
            Fault::new(Code::Unreadable, At::whole(file), &Keys::default(), message)
        };
        self.ledger.tell(fault);
        self.ledger.incomplete = true;
    }
    /// Says where the first byte is that is no text.
    fn not_text(&mut self, name: &str, good: usize, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes.get(..good).unwrap_or_default()).into_owned();
        let line = text.matches('\n').count() as u32 + 1;
        let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
        let file = self.ledger.sources.add(name.into(), Arc::from(""));
        let at = At {
            file,
            line,
            column,
            width: 1,
        };
        let message = "not UTF-8 text";
        self.ledger
            .tell(Fault::new(Code::NotText, at, &Keys::default(), message).hint("save the file as UTF-8"));
        self.ledger.incomplete = true;
    }
    /// Lays overrides over the settings, and reads the resources they name.
    fn settings(&mut self, flags: &[(String, String)]) {
        let own = |document: &Document| matches!(check::declares(&document.value), Declares::Node);
        let place = self.documents.iter().position(own).unwrap_or_else(|| {
            let value = Value::empty_map(At::BUILT_IN);
            self.documents.insert(0, Document { value, folder: None });
            0
        });
        let Some(document) = self.documents.get_mut(place) else { return };
        if let Some(folder) = &document.folder {
            listener::anchor(&mut document.value, folder);
        }
        overrides::apply(&mut document.value, &self.variables, flags, &mut self.ledger);
        let folder = document.folder.clone().unwrap_or_default();
        let Some(entry) = document.value.get("resources").cloned() else {
            return;
        };
        // Anything but a list of texts is told when the settings are checked.
        let Data::List(items) = &entry.value.data else { return };
        for (i, item) in items.iter().enumerate() {
            let Some(text) = item.text() else { continue };
            let keys = Keys::default().key("resources").item(i);
            if self.disk {
                self.path(&folder.join(text), Some((item.at, &keys)));
            } else {
                self.unreadable(Path::new(text), "a text in memory has no files", Some((item.at, &keys)));
            }
        }
    }
}
/// What of a folder is read: sorted, so that errors and order are the same everywhere.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let ours = path
            .extension()
            .is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext.eq_ignore_ascii_case(known)));
        if ours && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
/// One byte more than may be, so that too much is noticed; a device or a huge file does not fill the memory.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    #[expect(clippy::disallowed_methods, reason = "the one place that reads configuration")]
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(tree::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
/// No secret is that long.
const SECRET_MOST: usize = 4 << 20;

/// The line end that editors and `echo` put at the end is not part of a password.
fn secret_file(path: &Path) -> Result<String, String> {
    let bytes = bytes(path).map_err(|error| why(&error))?;
    if bytes.len() > SECRET_MOST {
        return Err("it is larger than 4 MiB".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
/// Without the number of the operating system.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}
