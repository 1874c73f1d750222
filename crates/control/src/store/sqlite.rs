//! The store in one file: SQLite, for a single node.
use super::{
    Author, Change, Contents, Effect, Entry, Store, Stored, Version,
    versions::{self, KEPT},
};
use futures::future::BoxFuture;
use serde_json::Value;
use sqlx::{
    ConnectOptions, Connection, Executor, Row, SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous},
};
use std::{path::Path, time::Duration};
use tidegate_config::{Id, ResourceKind};
use tidegate_core::{
    clock,
    error::{Code, Error, Fault, Result},
};
use tokio::sync::watch;

/// One file, held by one process: whoever opens it holds the lock of the data folder.
///
/// Each call has a connection of its own, closed behind it. What a full disk or a failing one leaves in a connection (SQLite may have rolled
/// back by itself, and nobody told whoever counts transactions) ends with it, and the file alone is all there is between two calls.
pub struct Sqlite {
    options: SqliteConnectOptions,
    revision: watch::Sender<u64>,
    /// Changes that are kept for the audit log.
    kept: u64,
}
impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings an older one up to date. A newer one is refused with `NewerFormat`.
    /// Of the changes the newest `kept` are remembered.
    pub async fn open(path: &Path, kept: u64) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // One process alone: without memory shared through a file, for which a full disk has no room.
            .locking_mode(SqliteLockingMode::Exclusive)
            // What is answered is on disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        private(path);
        let unusable = |error: &dyn std::fmt::Display| {
            // SQLite does not say which file it was, nor why.
            if let Some((file, why)) = unwritable(path) {
                let text = format!("`{}` cannot be written to: {why}", file.display());
                return Error::new(Code::StoreFailed, Fault::Operator, text)
                    .with_hint("let this user write to it: what it holds, users and tokens among it, is whole");
            }
            let text = format!("`{}` cannot be used: {error}", path.display());
            Error::new(Code::StoreFailed, Fault::Operator, text)
                .with_hint("put a copy of it there, or start without it: resources of files and all messages stay")
        };
        let unusable_or_full = |error: sqlx::Error| {
            if is_full(&error) {
                full(error)
            } else {
                unusable(&error).because(error)
            }
        };
        let mut first = options.connect().await.map_err(unusable_or_full)?;
        migrator().run(&mut first).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                let text = format!("`{}` was written by a newer version of Tidegate: format {version}", path.display());
                Error::new(Code::NewerFormat, Fault::Operator, text).with_hint("start the version that wrote it, or a newer one")
            }
            MigrateError::Execute(error) if is_full(&error) => full(error),
            other => unusable(&other).because(other),
        })?;
        let at = revision(&mut first).await?;
        first.close().await.map_err(failed)?;
        Ok(Self {
            // If it goes while the node runs, that is told, and not made good by an empty one.
            options: options.create_if_missing(false),
            revision: watch::Sender::new(at),
            kept,
        })
    }
    async fn connect(&self) -> Result<SqliteConnection> {
        self.options.connect().await.map_err(failed)
    }
}
/// All or nothing, from the first word on: nobody else writes beside it.
async fn write(to: &mut SqliteConnection, at: u64, changes: &[Change], author: &Author, kept: u64) -> Result<u64> {
    to.execute("BEGIN IMMEDIATE".into_sql_str()).await.map_err(failed)?;
    let is = revision(to).await?;
    if is != at {
        return Err(Error::client(
            Code::Changed,
            format!("the resources are at revision {is}, not {at}"),
        ));
    }
    let now = clock::now_us();
    for change in changes {
        one(to, change, author, now).await?;
        version(to, change, now).await?;
    }
    let is = revision(to).await?;
    let forgotten = i64::try_from(is.saturating_sub(kept)).unwrap_or(i64::MAX);
    let forget = sqlx::query("DELETE FROM changes WHERE revision <= ?").bind(forgotten);
    forget.execute(&mut *to).await.map_err(failed)?;
    to.execute("COMMIT".into_sql_str()).await.map_err(failed)?;
    Ok(is)
}
fn migrator() -> Migrator {
    let first = include_str!("1_resources.sql").into_sql_str();
    let second = include_str!("2_schemas.sql").into_sql_str();
    Migrator::with_migrations(vec![
        Migration::new(1, "resources".into(), MigrationType::Simple, first, false),
        Migration::new(2, "schemas".into(), MigrationType::Simple, second, false),
    ])
}
/// Hashes of passwords lie in it: nobody else reads it, wherever it is copied to. What cannot be made is told when it is opened.
fn private(path: &Path) {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let _told_soon = opened.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
}
/// Of the file, what SQLite keeps beside it, and the folder of both: the first that this process cannot write to.
fn unwritable(path: &Path) -> Option<(std::path::PathBuf, std::io::Error)> {
    let open = |path: &Path| std::fs::OpenOptions::new().write(true).open(path);
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        std::path::PathBuf::from(name)
    };
    for file in [path.to_owned(), beside("-wal"), beside("-journal")] {
        match open(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Some((file, error)),
            _ => {}
        }
    }
    let probe = beside("-probe");
    match std::fs::OpenOptions::new().write(true).create_new(true).open(&probe) {
        Ok(_) => {
            let _gone_soon = std::fs::remove_file(probe);
            None
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
        Err(error) => Some((path.parent().unwrap_or(path).to_owned(), error)),
    }
}
/// The disk, or what of it this user may have: SQLite's own number for it, and for the memory it shares through a file.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "13" | "4874" | "778"))
}
fn full(error: sqlx::Error) -> Error {
    Error::new(
        Code::StorageFull,
        Fault::Operator,
        "the disk has no room for the store of resources",
    )
    .with_hint("make room on it: the store is whole")
    .because(error)
}
fn failed(error: sqlx::Error) -> Error {
    if is_full(&error) {
        return full(error);
    }
    Error::new(Code::StoreFailed, Fault::Operator, "the store of resources failed").because(error)
}
fn damaged(what: &str) -> Error {
    Error::new(
        Code::StoreFailed,
        Fault::Operator,
        format!("the store of resources is damaged: {what}"),
    )
}
async fn revision(of: &mut SqliteConnection) -> Result<u64> {
    // Also when all changes were forgotten.
    let row = sqlx::query("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'");
    let number: i64 = row.fetch_one(&mut *of).await.map_err(failed)?.try_get(0).map_err(failed)?;
    Ok(number.unsigned_abs())
}
fn id(row: &SqliteRow) -> Result<Id> {
    let (kind, name): (&str, &str) = (row.try_get("kind").map_err(failed)?, row.try_get("name").map_err(failed)?);
    let kind = ResourceKind::of_word(kind).ok_or_else(|| damaged(&format!("it holds a resource of the kind `{kind}`")))?;
    Ok(Id::new(kind, name))
}
fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| damaged("it holds what is no JSON").because(error))
}
fn maybe_json(row: &SqliteRow, column: &str) -> Result<Option<Value>> {
    let text: Option<&str> = row.try_get(column).map_err(failed)?;
    text.map(json).transpose()
}
fn number(row: &SqliteRow, column: &str) -> Result<i64> {
    row.try_get(column).map_err(failed)
}
fn text(row: &SqliteRow, column: &str) -> Result<String> {
    row.try_get(column).map_err(failed)
}

impl Store for Sqlite {
    fn load(&self) -> BoxFuture<'_, Result<Contents>> {
        Box::pin(async move {
            let mut all = self.connect().await?;
            // One moment for all of it.
            all.execute("BEGIN".into_sql_str()).await.map_err(failed)?;
            let revision = revision(&mut all).await?;
            let resources = sqlx::query("SELECT * FROM resources").fetch_all(&mut all).await.map_err(failed)?;
            let running = sqlx::query("SELECT * FROM running").fetch_all(&mut all).await.map_err(failed)?;
            let newest = "SELECT * FROM schemas AS s WHERE version = (SELECT max(version) FROM schemas WHERE name = s.name)";
            let schemas = sqlx::query(newest).fetch_all(&mut all).await.map_err(failed)?;
            let stored = |row: &SqliteRow| {
                let stored = Stored {
                    document: json(&text(row, "document")?)?,
                    revision: number(row, "revision")?.unsigned_abs(),
                    created: number(row, "created")?,
                    changed: number(row, "changed")?,
                    by: text(row, "author")?,
                };
                Ok((id(row)?, stored))
            };
            let enabled = |row: &SqliteRow| Ok((id(row)?, number(row, "enabled")? != 0));
            Ok(Contents {
                revision,
                resources: resources.iter().map(stored).collect::<Result<_>>()?,
                running: running.iter().map(enabled).collect::<Result<_>>()?,
                schemas: schemas
                    .iter()
                    .map(|row| Ok((text(row, "name")?, of_version(row)?)))
                    .collect::<Result<_>>()?,
            })
        })
    }
    fn commit<'a>(&'a self, at: u64, changes: &'a [Change], author: &'a Author) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut to = self.connect().await?;
            let is = write(&mut to, at, changes, author, self.kept).await?;
            // It is durable; what the end of the connection tidies up beside it may wait.
            if let Err(error) = to.close().await {
                tracing::debug!(error = %error, "the store is tidied up later");
            }
            self.revision.send_replace(is);
            Ok(is)
        })
    }
    fn changes(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
            let rows = sqlx::query("SELECT * FROM changes WHERE revision < ? ORDER BY revision DESC LIMIT ?");
            let rows = rows
                .bind(before)
                .bind(i64::from(limit))
                .fetch_all(&mut self.connect().await?)
                .await
                .map_err(failed)?;
            let entry = |row: &SqliteRow| {
                Ok(Entry {
                    revision: number(row, "revision")?.unsigned_abs(),
                    at: number(row, "at")?,
                    author: Author {
                        who: text(row, "who")?,
                        from: text(row, "origin")?,
                    },
                    action: text(row, "action")?,
                    kind: text(row, "kind")?,
                    name: text(row, "name")?,
                    before: maybe_json(row, "before")?,
                    after: maybe_json(row, "after")?,
                })
            };
            rows.iter().map(entry).collect()
        })
    }
    fn versions<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, Result<Vec<Version>>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT * FROM schemas WHERE name = ? ORDER BY version DESC").bind(schema);
            let rows = rows.fetch_all(&mut self.connect().await?).await.map_err(failed)?;
            rows.iter().map(of_version).collect()
        })
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}
fn of_version(row: &SqliteRow) -> Result<Version> {
    Ok(Version {
        version: number(row, "version")?.unsigned_abs(),
        content: json(&text(row, "content")?)?,
        at: number(row, "at")?,
    })
}
/// What a change does to the versions of a schema.
async fn version(all: &mut SqliteConnection, change: &Change, now: i64) -> Result<()> {
    let Some((name, content)) = versions::of(change) else {
        return Ok(());
    };
    let Some(content) = content else {
        let gone = sqlx::query("DELETE FROM schemas WHERE name = ?").bind(name);
        gone.execute(all).await.map_err(failed)?;
        return Ok(());
    };
    let newest = sqlx::query("SELECT * FROM schemas WHERE name = ? ORDER BY version DESC LIMIT 1").bind(name);
    let before = newest.fetch_optional(&mut *all).await.map_err(failed)?;
    let before = before.as_ref().map(of_version).transpose()?;
    if before.as_ref().is_some_and(|before| before.content == content) {
        return Ok(());
    }
    let next = before.map_or(0, |before| before.version) + 1;
    let next = i64::try_from(next).map_err(|_| damaged("a schema has too many versions"))?;
    let add = sqlx::query("INSERT INTO schemas (name, version, content, at) VALUES (?, ?, ?, ?)");
    let add = add.bind(name).bind(next).bind(content.to_string()).bind(now);
    add.execute(&mut *all).await.map_err(failed)?;
    let forget = sqlx::query("DELETE FROM schemas WHERE name = ? AND version <= ?").bind(name);
    let forget = forget.bind(next.saturating_sub(KEPT as i64));
    forget.execute(&mut *all).await.map_err(failed)?;
    Ok(())
}
async fn one(all: &mut SqliteConnection, change: &Change, author: &Author, now: i64) -> Result<()> {
    let (kind, name) = (change.of.kind(), change.of.name());
    let told = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
    let row = sqlx::query(
        "INSERT INTO changes (at, who, origin, action, kind, name, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING revision",
    );
    let row = row.bind(now).bind(&author.who).bind(&author.from).bind(change.action);
    let row = row.bind(kind).bind(name).bind(told(&change.before)).bind(told(&change.after));
    let revision: i64 = row.fetch_one(&mut *all).await.map_err(failed)?.try_get(0).map_err(failed)?;
    let effect = match &change.effect {
        Effect::Nothing => return Ok(()),
        Effect::Put(document) => sqlx::query(
            "INSERT INTO resources (kind, name, document, revision, created, changed, author) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
             ON CONFLICT (kind, name) DO UPDATE SET document = ?3, revision = ?4, changed = ?5, author = ?6",
        )
        .bind(kind)
        .bind(name)
        .bind(document.to_string())
        .bind(revision)
        .bind(now)
        .bind(&author.who),
        Effect::Delete => sqlx::query("DELETE FROM resources WHERE kind = ? AND name = ?")
            .bind(kind)
            .bind(name),
        Effect::Run(None) => sqlx::query("DELETE FROM running WHERE kind = ? AND name = ?").bind(kind).bind(name),
        Effect::Run(Some(enabled)) => {
            sqlx::query("INSERT INTO running (kind, name, enabled) VALUES (?1, ?2, ?3) ON CONFLICT (kind, name) DO UPDATE SET enabled = ?3")
                .bind(kind)
                .bind(name)
                .bind(*enabled)
        }
    };
    effect.execute(&mut *all).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Subject;
    use serde_json::json;

    fn author() -> Author {
        Author {
            who: "token admin".into(),
            from: "127.0.0.1:9".into(),
        }
    }
    fn put(name: &str, document: Value) -> Change {
        Change {
            of: Subject::Resource(Id::new(ResourceKind::Stream, name)),
            action: "create",
            after: Some(document.clone()),
            before: None,
            effect: Effect::Put(document),
        }
    }
    #[tokio::test]
    async fn what_cannot_be_written_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        drop(Sqlite::open(&path, 3).await.unwrap());
        // Whoever runs the tests may be allowed everything, but nobody writes to a folder.
        let beside = folder.path().join("control.db-wal");
        std::fs::create_dir(&beside).unwrap();
        let told = Sqlite::open(&path, 3).await.err().unwrap();
        assert!(
            told.to_string()
                .starts_with(&format!("`{}` cannot be written to: ", beside.display())),
            "{told}"
        );
        assert!(told.hint().unwrap().contains("is whole"), "{told}");
    }
    #[tokio::test]
    async fn what_is_committed_is_there_after_a_start_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let store = Sqlite::open(&path, 3).await.unwrap();
        assert_eq!(
            store
                .commit(0, &[put("a", json!({"x": 1})), put("b", json!({}))], &author())
                .await
                .unwrap(),
            2
        );
        assert_eq!(*store.watch().borrow(), 2);
        let stale = store.commit(1, &[put("c", json!({}))], &author()).await.unwrap_err();
        assert_eq!(stale.code(), Code::Changed);
        let gone = Change {
            action: "delete",
            effect: Effect::Delete,
            ..put("b", json!({}))
        };
        let stop = Change {
            action: "stop",
            effect: Effect::Run(Some(false)),
            ..put("f", json!({}))
        };
        assert_eq!(store.commit(2, &[gone, stop], &author()).await.unwrap(), 4);
        drop(store);

        let store = Sqlite::open(&path, 3).await.unwrap();
        let contents = store.load().await.unwrap();
        assert_eq!(contents.resources.len(), 1);
        let (id, a) = contents.resources.first_key_value().unwrap();
        assert_eq!(
            (&*id.name, &a.document, a.revision, &*a.by),
            ("a", &json!({"x": 1}), 1, "token admin")
        );
        assert_eq!(contents.running.get(&Id::new(ResourceKind::Stream, "f")), Some(&false));
        assert_eq!(contents.revision, 4);
        let told: Vec<_> = store
            .changes(None, 10)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.revision, entry.action))
            .collect();
        assert_eq!(told, [(4, "stop".into()), (3, "delete".into()), (2, "create".into())]);
        assert_eq!(store.changes(Some(4), 1).await.unwrap()[0].revision, 3);
    }
    /// SQLite rolls back by itself when the disk is full; whoever counts its transactions does not hear of it.
    #[tokio::test]
    async fn after_a_full_disk_what_is_committed_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let mut store = Sqlite::open(&path, 100).await.unwrap();
        let roomy = store.options.clone();
        store.options = roomy.clone().pragma("max_page_count", "9");
        let large = json!({"description": "x".repeat(20_000)});
        for _ in 0..3 {
            let full = store.commit(0, &[put("large", large.clone())], &author()).await.unwrap_err();
            assert_eq!(full.code(), Code::StorageFull, "{full:?}");
        }
        store.options = roomy;
        assert_eq!(store.commit(0, &[put("a", large.clone())], &author()).await.unwrap(), 1);
        assert_eq!(store.commit(1, &[put("b", large)], &author()).await.unwrap(), 2);
        // The file alone holds it: nothing lies beside it.
        let copy = folder.path().join("copy.db");
        #[expect(clippy::disallowed_methods, reason = "a test copies a file")]
        std::fs::write(&copy, std::fs::read(&path).unwrap()).unwrap();
        let contents = Sqlite::open(&copy, 100).await.unwrap().load().await.unwrap();
        assert_eq!((contents.revision, contents.resources.len()), (2, 2));
    }
    #[tokio::test]
    async fn a_file_that_goes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let store = Sqlite::open(&path, 100).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            store.commit(0, &[put("a", json!({}))], &author()).await.unwrap_err().code(),
            Code::StoreFailed
        );
    }
    #[tokio::test]
    async fn a_newer_file_is_refused_and_no_database_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let store = Sqlite::open(&path, 3).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9, 'x', 1, x'00', 0)";
        sqlx::query(newer).execute(&mut store.connect().await.unwrap()).await.unwrap();
        drop(store);
        let refused = Sqlite::open(&path, 3).await.err().unwrap();
        assert_eq!(refused.code(), Code::NewerFormat, "{refused:?}");
        let other = folder.path().join("other.db");
        #[expect(clippy::disallowed_methods, reason = "a test makes a file")]
        std::fs::write(&other, [b'x'; 5_000]).unwrap();
        assert_eq!(Sqlite::open(&other, 3).await.err().unwrap().code(), Code::StoreFailed);
    }
}
