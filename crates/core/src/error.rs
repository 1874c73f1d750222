//! One error type: stable code, whose fault, may I retry, text for the caller, hint, private cause. One pointer wide.
use std::{borrow::Cow, fmt, time::Duration};

/// Writes the enum, its list and its titles from one table, so that none can be forgotten.
macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        /// What went wrong, as a stable number. Never reused; `docs/errors/TG1001.md` exists for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }
        impl Code {
            /// Every code there is, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The constant text of problem details; what differs from case to case is the error's own text.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}
codes! {
    NotFound = 1001, "No context-path matches the request URI.";
    BadRequest = 1002, "The request is malformed.";
    TooLarge = 1003, "The body is too large.";
    MethodNotAllowed = 1004, "The method is not allowed here.";
    NotAcceptable = 1005, "No representation matches the Accept header.";
    UnsupportedMediaType = 1006, "The content type is not supported here.";
    BadHeader = 1007, "A header has a malformed value.";
    BadCursor = 1008, "A cursor or position is malformed.";
    BadQuery = 1009, "A query parameter is malformed.";
    BodyTimeout = 1010, "The body did not arrive in time.";
    HeadTooLarge = 1011, "The request head is too large.";
    TargetTooLong = 1012, "The request target is too long.";
    BadTarget = 1013, "The request target is not allowed.";
    UnknownCoding = 1014, "The transfer coding is not known here.";
    BadHandshake = 1015, "The WebSocket handshake is not understood.";
    BadFrame = 1016, "A WebSocket message is not understood.";
    NotYet = 1020, "This is not built yet.";
    PartitionOutOfRange = 1021, "There is no such partition.";
    LevelNotOffered = 1022, "Nobody offers this acknowledgement level here.";
    IdempotencyMismatch = 1023, "The idempotency key was used with another payload.";
    AmbiguousStream = 1024, "More than one stream captures the topic.";
    BadTopic = 1025, "The topic is malformed.";
    BatchTooLong = 1030, "The batch has too many items.";
    NotJson = 1031, "The body is not the JSON it says it is.";
    BadItem = 1032, "An item of the batch is malformed.";
    EmptyBatch = 1033, "The batch has no items.";
    PlainOnTls = 1040, "The port speaks TLS, and the request came without.";
    Changed = 1050, "The resource is not what the condition says.";
    InUse = 1051, "Other resources use this one.";
    ReadOnly = 1052, "The resource comes from a file.";
    ResourceExists = 1053, "There is a resource of this name.";
    NoSuchResource = 1054, "There is no such resource.";
    NoSuchRoute = 1055, "The management API has no such path.";
    LastAdmin = 1056, "Nobody could administer the node any more.";
    Unauthorized = 2001, "The caller is not known.";
    Forbidden = 2002, "The caller may not do this.";
    Overloaded = 2003, "The gateway is at its limit.";
    TooManyAttempts = 2004, "Too many failed logins.";
    ForeignPage = 2005, "A page of another place may not do this.";
    BrokerDown = 3001, "The broker cannot be reached.";
    StorageFull = 4001, "The disk is full.";
    StorageFailed = 4002, "The disk failed.";
    FolderLocked = 4003, "Another process holds the data folder.";
    NewerFormat = 4004, "The data folder was written by a newer version.";
    StreamExists = 4005, "The stream exists already.";
    NoSuchStream = 4006, "There is no such stream.";
    StreamFull = 4007, "The stream is full.";
    RecordTooLarge = 4008, "The message is too large to store.";
    Draining = 4009, "The gateway is shutting down.";
    NotALog = 4010, "The folder holds something else.";
    StoreFailed = 4011, "The store of resources failed.";
    Recovering = 4012, "The node is starting and not ready yet.";
    NotText = 5001, "A configuration file cannot be parsed.";
    MissingKey = 5002, "A configuration key is missing.";
    UnknownKey = 5003, "A configuration key is not known.";
    BadValue = 5004, "A configuration value is not allowed.";
    UnknownKind = 5005, "A resource kind is not known.";
    Duplicate = 5006, "Two resources have the same name or place.";
    NoSuchReference = 5007, "A reference names nothing.";
    Unkeepable = 5008, "An entrypoint asks what its backend cannot keep.";
    UnsafeAddress = 5009, "A public address without protection.";
    Unreadable = 5010, "A configuration file cannot be read.";
    NoSuchVariable = 5011, "A variable of the configuration is not set.";
    AddressInUse = 5012, "A listening address is taken.";
    WrongResources = 5013, "Resources are wrong; nothing was changed.";
    CommandFailed = 5020, "The command could not be carried out.";
    NotLoggedIn = 5030, "Not logged in.";
    NodeUnreachable = 5031, "The node cannot be reached.";
    NotANode = 5032, "What answers there is not a node's management API.";
    BadCertificate = 5040, "A certificate or its key cannot be used.";
    BadSigningKey = 5041, "A signing key cannot be used.";
    PublishedCredentials = 5042, "Published credentials protect nothing.";
    LeaseLost = 6001, "The lease was lost.";
    TargetRefused = 6002, "The target refused the messages.";
    TargetDown = 6003, "The target cannot be reached.";
    TargetTimeout = 6004, "The target did not answer in time.";
    AddressForbidden = 6005, "The address is not allowed for outgoing calls.";
    TargetGone = 6006, "The target wants no more messages.";
    SchemaViolation = 7001, "The message does not match its schema.";
    SchemaIncompatible = 7002, "The new version of the schema is not compatible.";
    BadStation = 8001, "The name of the station is not allowed.";
    Internal = 9001, "Tidegate has a bug.";
}
/// `TG1001`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TG{:04}", *self as u16)
    }
}

/// Who has to do something about it. Decides the log level and who is paged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller: logged at debug.
    Client,
    /// A broker or target: warned once per change of state.
    Broker,
    /// Tidegate itself: logged as an error.
    Gateway,
    /// Who runs this node: warned once per change of state.
    Operator,
}
/// Whether trying the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again.
    No,
    /// At once.
    Now,
    /// After this long.
    After(Duration),
}

/// What went wrong. `Display` is the public text; `Debug` adds the private cause.
pub struct Error(Box<Inner>);
struct Inner {
    code: Code,
    fault: Fault,
    retry: Retry,
    public: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
impl Error {
    /// An error that no retry helps; `public` is shown to the caller: lower case, no full stop, backticks round values.
    pub fn new(code: Code, fault: Fault, public: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            fault,
            retry: Retry::No,
            public: public.into(),
            hint: None,
            source: None,
        }))
    }
    /// The caller's fault.
    pub fn client(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Fault::Client, public)
    }
    /// Says when to try again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }
    /// Says what the caller can do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
    /// Keeps the private cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.0.fault
    }
    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    /// What the caller can do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    /// The same error for another waiter: all but the private cause, which stays with the first.
    #[must_use]
    pub fn again(&self) -> Self {
        let Inner {
            code,
            fault,
            retry,
            public,
            hint,
            ..
        } = &*self.0;
        Self(Box::new(Inner {
            code: *code,
            fault: *fault,
            retry: *retry,
            public: public.clone(),
            hint: hint.clone(),
            source: None,
        }))
    }
}
/// The public text.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.public)
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({:?})", self.0.code, self.0.public, self.0.source)
    }
}
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
    #[test]
    fn numbers_rise_and_are_never_used_twice() {
        assert!(Code::ALL.windows(2).all(|pair| (pair[0] as u16) < pair[1] as u16));
    }
}
