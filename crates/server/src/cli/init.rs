//! `tidegate init`: the demo as files.
use super::{FAILED, OK, tell};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

pub(super) const RESOURCES: &str = include_str!("../../../../examples/demo/resources/demo.yaml");
const NODE: &str = include_str!("../../../../examples/demo/tidegate.yaml");

/// Nothing that is there is touched.
pub(super) fn init(folder: &Path) -> u8 {
    let files = [
        (folder.join("tidegate.yaml"), NODE),
        (folder.join("resources/demo.yaml"), RESOURCES),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        tell(&format!(
            "error[TG5020]: `{}` is there already; nothing was written\nhint: name an empty folder: tidegate init DIR\n",
            path.display()
        ));
        return FAILED;
    }
    for (path, text) in &files {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tell(&format!("error[TG5020]: cannot write `{}`: {error}\n", path.display()));
            return FAILED;
        }
        tell(&format!("wrote {}\n", path.display()));
    }
    let go = if folder == Path::new(".") {
        String::new()
    } else {
        format!("cd {}, then ", folder.display())
    };
    tell(&format!("Next: {go}tidegate dev, or tidegate run --config tidegate.yaml\n"));
    OK
}
