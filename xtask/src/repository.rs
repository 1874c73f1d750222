//! The repository: its root and its files.
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where everything is looked up. Tests build a small one of their own.
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
}
/// One file, its path from the root with `/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}
impl Repository {
    /// The one this program was built from.
    pub(crate) fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: manifest.parent().unwrap_or(manifest).to_owned(),
        }
    }
    /// All files below a folder whose name ends with `end`, sorted; none if the folder is missing. Build output is left out.
    pub(crate) fn files(&self, folder: &str, end: &str) -> Vec<File> {
        let mut found = Vec::new();
        self.walk(&self.root.join(folder), end, &mut found);
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }
    fn walk(&self, folder: &Path, end: &str, found: &mut Vec<File>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "target" || name == "node_modules" || name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.walk(&path, end, found);
            } else if name.ends_with(end)
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&self.root).unwrap_or(&path);
                let path = path.to_string_lossy().replace('\\', "/");
                found.push(File { path, text });
            }
        }
    }
    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.root.join(path)).map_err(|error| format!("{path}: {error}"))
    }
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let path = self.root.join(path);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
#[cfg(test)]
pub(crate) fn small(files: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let repository = Repository { root };
    for (path, text) in files {
        repository.write(path, text).unwrap();
    }
    (folder, repository)
}
