//! The registry over a real store, with a plane that only remembers: who may what, what others write, and what a failed step leaves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_config::{Checked, Documents, Id, Mode, ResourceKind};
use tidegate_control::{
    access::{Access, password},
    dead_letters::{self, DeadLetters, Deed, Handled, Page, missing},
    directory::Directory,
    hooks::{Attempts, Hooks, Wanted, Which},
    plane::{Plane, Prepared, Refusal},
    registry::{Parts, Refused, Registry, What, When, Wish},
    store::{Author, Change, Contents, Entry, Sqlite, Store, Version},
};
use tidegate_core::{
    directory::{Directory as _, Right},
    error::{Code, Error, Fault, Result},
    exchange::Credentials,
    position::Position,
};
use tokio::sync::watch;

/// Remembers the names of the streams that are served.
#[derive(Default)]
struct Served {
    streams: Mutex<Vec<String>>,
    swaps: watch::Sender<u32>,
}
struct Next<'a>(&'a Served, Vec<String>);
impl Prepared for Next<'_> {
    fn swap<'a>(self: Box<Self>) -> BoxFuture<'a, Result<()>>
    where
        Self: 'a,
    {
        *self.0.streams.lock().unwrap() = self.1;
        self.0.swaps.send_modify(|swaps| *swaps += 1);
        Box::pin(async { Ok(()) })
    }
}
impl Plane for Served {
    fn check(&self, _: &Checked) -> Result<(), Refusal> {
        Ok(())
    }
    fn would_start<'a>(&'a self, _checked: &'a Checked) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn prepare<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, Refusal>> {
        Box::pin(async move {
            let names: Vec<_> = checked.streams.iter().map(|stream| stream.name.to_string()).collect();
            if names.iter().any(|name| name == "unopenable") {
                return Err(Refusal::Failed(Error::new(Code::StorageFull, Fault::Operator, "the disk is full")));
            }
            let next: Box<dyn Prepared + 'a> = Box::new(Next(self, names));
            Ok(next)
        })
    }
    fn status(&self, _: &Id) -> Value {
        json!({"state": "ready"})
    }
    fn orphans(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
    fn delete_stream<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn takes_dead_letters(&self, _: &str) -> bool {
        false
    }
    fn undeclared(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
    fn reach<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }
    fn readmit(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn purge_stream<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Ok(0) })
    }
    fn groups(&self, _stream: &str) -> Option<Vec<Value>> {
        None
    }
    fn delete_group<'a>(&'a self, _stream: &'a str, _group: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(false) })
    }
    fn hooks(&self) -> &dyn Hooks {
        self
    }
    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }
}
impl Hooks for Served {
    fn deliveries<'a>(&'a self, _: &'a str, _: &'a Wanted) -> BoxFuture<'a, Result<Attempts>> {
        Box::pin(async { Ok(Attempts::default()) })
    }
    fn test<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async { Ok(Value::Null) })
    }
    fn replay<'a>(&'a self, _: &'a str, _: Which) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async { Ok(Value::Null) })
    }
    fn trace<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async { Ok(Value::Null) })
    }
}
/// It has three, and all that is done with them is good.
impl DeadLetters for Served {
    fn list<'a>(&'a self, _: &'a dead_letters::Wanted, _: Option<dead_letters::Before<'a>>, _: usize) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async { Ok(Page::default()) })
    }
    fn read(&self, at: Position) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Err(missing(at)) })
    }
    fn count<'a>(&'a self, _: &'a dead_letters::Which) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async { Ok(3) })
    }
    fn handle<'a>(&'a self, _: &'a dead_letters::Which, _: &'a Deed) -> BoxFuture<'a, Result<Handled>> {
        Box::pin(async {
            Ok(Handled {
                done: 3,
                ..Handled::default()
            })
        })
    }
}
/// The store, and a switch that makes it fail.
struct Switched(Arc<dyn Store>, AtomicBool);
impl Store for Switched {
    fn load(&self) -> BoxFuture<'_, Result<Contents>> {
        self.0.load()
    }
    fn commit<'a>(&'a self, at: u64, changes: &'a [Change], author: &'a Author) -> BoxFuture<'a, Result<u64>> {
        if self.1.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Error::new(Code::StoreFailed, Fault::Operator, "it fails")) });
        }
        self.0.commit(at, changes, author)
    }
    fn changes(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>>> {
        self.0.changes(before, limit)
    }
    fn versions<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, Result<Vec<Version>>> {
        self.0.versions(schema)
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }
}
async fn open(store: Arc<dyn Store>, plane: Arc<Served>) -> (Arc<Registry>, Arc<Access>) {
    let access = Arc::new(Access::new(3, true));
    let parts = Parts {
        store,
        plane,
        access: access.clone(),
        read: Box::new(Documents::default),
        mode: Mode::Run,
        kinds: Vec::new(),
    };
    (Registry::open(Documents::default(), parts).await.unwrap(), access)
}
async fn store(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(&folder.path().join("control.db"), 100).await.unwrap())
}
fn author() -> Author {
    Author {
        who: "a test".to_owned(),
        from: String::new(),
    }
}
fn put(kind: ResourceKind, name: &str, document: Value) -> Wish {
    Wish {
        id: Id::new(kind, name),
        what: What::Put(document),
        when: When::Always,
        at: String::new(),
    }
}
async fn make(registry: &Arc<Registry>, name: &str) -> Result<(), Refused> {
    registry
        .change(vec![put(ResourceKind::Stream, name, json!({}))], author(), false)
        .await
        .map(drop)
}
#[tokio::test]
async fn what_somebody_else_writes_to_the_store_is_taken_over() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder).await;
    let (here, there) = (Arc::new(Served::default()), Arc::new(Served::default()));
    let (one, _) = open(store.clone(), here).await;
    let (other, _) = open(store, there.clone()).await;
    let mut swaps = there.swaps.subscribe();
    let following = tidegate_core::tasks::spawn(other.clone().follow());
    swaps.mark_unchanged();
    make(&one, "s").await.unwrap();
    swaps.changed().await.unwrap();
    assert_eq!(*there.streams.lock().unwrap(), ["s"]);
    // It can go on from there.
    while other.now().revision() == 0 {
        tokio::task::yield_now().await;
    }
    make(&other, "t").await.unwrap();
    drop(following);
    // Who has not followed yet is told, and nothing is overwritten.
    assert_eq!(make(&one, "u").await.unwrap_err().error.code(), Code::Changed);
}
#[tokio::test]
async fn a_step_that_fails_leaves_the_old_world() {
    let folder = TempDir::new().unwrap();
    let plane = Arc::new(Served::default());
    let switched = Arc::new(Switched(store(&folder).await, AtomicBool::new(false)));
    let (registry, _) = open(switched.clone(), plane.clone()).await;
    make(&registry, "a").await.unwrap();
    assert_eq!(make(&registry, "unopenable").await.unwrap_err().error.code(), Code::StorageFull);
    switched.1.store(true, Ordering::Relaxed);
    assert_eq!(make(&registry, "b").await.unwrap_err().error.code(), Code::StoreFailed);
    assert_eq!(*plane.streams.lock().unwrap(), ["a"]);
    assert_eq!(registry.now().resources.len(), 1);
    switched.1.store(false, Ordering::Relaxed);
    make(&registry, "b").await.unwrap();
    assert_eq!(*plane.streams.lock().unwrap(), ["a", "b"]);
}
#[tokio::test]
async fn a_change_is_done_whole_though_nobody_waits_for_it() {
    let folder = TempDir::new().unwrap();
    let plane = Arc::new(Served::default());
    let (registry, _) = open(store(&folder).await, plane.clone()).await;
    let mut swaps = plane.swaps.subscribe();
    swaps.mark_unchanged();
    let mut change = Box::pin(make(&registry, "a"));
    assert!(futures::poll!(&mut change).is_pending());
    drop(change);
    swaps.changed().await.unwrap();
    assert_eq!(*plane.streams.lock().unwrap(), ["a"]);
}
#[tokio::test]
async fn protocols_ask_who_is_who_and_who_may_what() {
    let folder = TempDir::new().unwrap();
    let (registry, access) = open(store(&folder).await, Arc::default()).await;
    let alice = json!({
        "password": {"argon2": password::hash("secret").unwrap()},
        "permissions": [{"topics": ["orders/#"], "allow": ["publish"]}],
    });
    registry
        .change(vec![put(ResourceKind::User, "alice", alice)], author(), false)
        .await
        .unwrap();
    let directory = Directory::new(access, registry.clone());
    let shown = |password: &str| {
        let mut shown = Credentials::default();
        for (name, value) in [("username", "alice"), ("password", password), ("address", "127.0.0.1")] {
            shown.keep(name, value.as_bytes());
        }
        shown
    };
    let who = directory.verify("main", &shown("secret")).await.unwrap();
    assert!(who.id.starts_with("user alice "), "{}", who.id);
    assert!(directory.permits("main", &who, Right::Publish, "orders/eu"));
    assert!(!directory.permits("main", &who, Right::Subscribe, "orders/eu"));
    assert!(!directory.permits("other", &who, Right::Publish, "orders/eu"));
    assert_eq!(
        directory.verify("other", &shown("secret")).await.unwrap_err().code(),
        Code::Unauthorized
    );
    for code in [Code::Unauthorized, Code::Unauthorized, Code::Unauthorized, Code::TooManyAttempts] {
        assert_eq!(directory.verify("main", &shown("guess")).await.unwrap_err().code(), code);
    }
    for _ in 0..2 {
        directory
            .ensure_stream("main", "made", &who, IpAddr::from([10, 0, 0, 7]))
            .await
            .unwrap();
    }
    // It is told who made it, and from where.
    let changes = registry.store().changes(None, 10).await.unwrap();
    let author = &changes[0].author;
    assert_eq!((&*author.who, &*author.from), ("user alice", "10.0.0.7"));
    let made = Id::new(ResourceKind::Stream, "made");
    let stream = registry
        .now()
        .checked()
        .streams
        .iter()
        .find(|stream| *stream.name == *made.name)
        .cloned()
        .unwrap();
    assert_eq!((stream.age, stream.dedupe), (Some(Duration::from_hours(1)), Duration::from_mins(2)));
    assert_eq!(registry.now().revision(), 2, "made once");
}
#[tokio::test]
async fn what_is_done_with_dead_letters_is_told_and_what_cannot_be_told_is_not_done() {
    let folder = TempDir::new().unwrap();
    let switched = Arc::new(Switched(store(&folder).await, AtomicBool::new(false)));
    let (registry, _) = open(switched.clone(), Arc::default()).await;
    let wanted = dead_letters::Wanted {
        group: Some("g".to_owned()),
        ..dead_letters::Wanted::default()
    };
    let all = || dead_letters::Which::All(Box::new(wanted.clone()));
    let handled = registry
        .dead_letters(all(), Deed::Replay(Some("t".into())), author())
        .await
        .unwrap();
    assert_eq!((handled.done, handled.failed), (3, 0));
    let at: Position = "7.1".parse().unwrap();
    registry
        .dead_letters(dead_letters::Which::One(at), Deed::Drop, author())
        .await
        .unwrap();
    switched.1.store(true, Ordering::Relaxed);
    let refused = registry.dead_letters(all(), Deed::Drop, author()).await.unwrap_err();
    assert_eq!(refused.error.code(), Code::StoreFailed);
    let entries = registry.store().changes(None, 10).await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (&*entry.action, &*entry.kind, &*entry.name, entry.after.clone().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("drop", "dead_letter", "7.1", json!({"messages": 3})),
            (
                "replay",
                "dead_letter",
                "*",
                json!({"messages": 3, "filter": {"group": "g"}, "to": "t"})
            ),
        ]
    );
}
