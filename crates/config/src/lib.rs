//! What a user may declare: raw text → a tree that keeps positions → checked types. Checking is pure and tells all errors at once;
//! only [`load`] touches the disk and the environment.
pub mod api;
mod backend;
mod check;
pub mod diagnostic;
pub mod docs;
mod documents;
pub mod drafts;
pub mod endpoint;
mod entrypoints;
#[doc(hidden)]
pub mod fuzz;
mod kept;
pub mod kinds;
mod ledger;
pub mod listener;
pub mod load;
mod memphis;
pub mod node;
pub mod outgoing;
mod overrides;
mod policy;
pub mod query;
mod read;
pub mod render;
pub mod schema;
pub mod secret;
mod shape;
pub mod stream;
mod substitute;
mod suggest;
mod token;
mod tree;
mod user;
pub mod webhook;

pub use api::{Api, ApiPath, Backend, Compatibility, Include, Slow};
pub use diagnostic::{Diagnostic, Place, Report, Sources};
pub use documents::{BUILT_IN, Declared, Documents, imply};
pub use drafts::{Draft, Drafts, Remark};
pub use endpoint::Endpoint;
pub use entrypoints::{Answer, HttpGet, HttpPost, Pull, Sse, WebSocket};
pub use kinds::{Id, ResourceKind};
pub use listener::{Listener, Listeners};
pub use load::{Mode, Source, load, load_from_process, read, read_from_process};
pub use memphis::Memphis;
pub use node::{Limits, Log, LogFormat, Node, Shutdown, Store, Telemetry, Threads, log_level};
pub use outgoing::Outgoing;
pub use policy::Policy;
pub use render::render;
pub use schema::{Content, Required, Schema};
pub use secret::Secret;
pub use stream::{DeadLetters, Keep, Stream, WhenFull};
pub use suggest::suggest;
pub use token::{Grants, Token};
pub use user::{Manage, Permission, User};
pub use webhook::Webhook;

/// Everything a user declared, checked: each reference names something, each number is in its range.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The settings of this process.
    pub node: Node,
    /// In the order they were declared.
    pub schemas: Vec<Schema>,
    /// In the order they were declared.
    pub streams: Vec<Stream>,
    /// In the order they were declared.
    pub apis: Vec<Api>,
    /// In the order they were declared.
    pub endpoints: Vec<Endpoint>,
    /// In the order they were declared.
    pub webhooks: Vec<Webhook>,
    /// In the order they were declared.
    pub users: Vec<User>,
    /// In the order they were declared.
    pub tokens: Vec<Token>,
    /// Which resource uses which other.
    pub uses: Vec<(Id, Id)>,
}
